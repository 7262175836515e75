/** The model: one client sends random operations, and after each one the database must agree with the specification. */
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { serverOn, type Server } from '../support/checkout';
import { expire, expireIn, makeOrderOverdue } from '../support/time';
import { ensure, Violation, type Installation } from './fixture';
import { Random } from '../../src/tools/load/random';
import type { Tally } from './tally';
import { clientOf, readState, type Client } from './client';
import { canonical, explain, step, type Call, type Op, type Reply, type State } from './spec';
import { Generator } from './generator';

/** fast-check draws the frequencies of these, and finds the shortest failing sequence. */
type Intent = { readonly kind: 'ask' | 'expire' | 'atExpiry' | 'overdue' | 'sweep'; readonly seed: number };

const INTENTS = fc.record<Intent>({
  kind: fc.constantFrom('ask', 'ask', 'ask', 'ask', 'ask', 'ask', 'ask', 'expire', 'atExpiry', 'overdue', 'sweep'),
  seed: fc.nat(),
});

/** Events without which the run proves nothing. */
export const MODEL_NEEDS = [
  'refusals',
  'replays',
  'duplicates',
  'expiries',
  'just in time',
  'just too late',
  'late payments',
  'second payments',
  'parked events',
  'sweeps',
  'limits reached',
];

/** `aimMs`: how long before its expiry a hold is requested, so that it ends about when it is judged. */
interface Stage {
  readonly installation: Installation;
  readonly server: Server;
  readonly client: Client;
  aimMs: number;
}

const FIRST_AIM_MS = 5;
/** Above this the machine is too busy to hit the moment of expiry. */
const MAX_AIM_MS = 40;

async function stageIn(installation: Installation): Promise<Stage> {
  const server = serverOn(await installation.database(), installation.fixture.log);
  return { installation, server, client: clientOf(server), aimMs: FIRST_AIM_MS };
}

/** Runs sequences until the time is over; throws a violation with the shortest failing one. */
export async function proveModel(
  installation: Installation,
  seed: number,
  untilMs: () => boolean,
  tally: Tally,
): Promise<void> {
  let stage = await stageIn(installation);
  const tryOut = async (intents: readonly Intent[], world: number) => {
    try {
      await walk(stage, intents, world, tally);
    } catch (error) {
      // On another database, or every shorter sequence would find again what this one broke.
      await stage.installation.close();
      stage = await stageIn(await installation.fixture.installation());
      throw error;
    }
  };
  for (let n = 0; untilMs(); n += 1) {
    const property = fc.asyncProperty(fc.array(INTENTS, { minLength: 5, maxLength: 40 }), fc.nat(), tryOut);
    const details = await fc.check(property, {
      seed: seed + n,
      numRuns: 4,
      endOnFailure: false,
      interruptAfterTimeLimit: 40_000,
    });
    if (details.failed) {
      const error = details.errorInstance as Error;
      throw Object.assign(error, { message: `model, seed ${seed + n}: ${error.message}` });
    }
    tally.add('sequences', 4);
  }
}

async function walk(stage: Stage, intents: readonly Intent[], world: number, tally: Tally): Promise<void> {
  const { installation, server, client } = stage;
  const generator = new Generator();
  await generator.stock(new Random(world), server, 2);
  let state = await readState(installation.sql, generator.products, `${generator.eventPrefix}%`);
  const story: unknown[] = [];
  for (const intent of intents) {
    const random = new Random(intent.seed);
    const op = generator.op(random, state);
    const expected = structuredClone(state);
    switch (intent.kind) {
      case 'ask': {
        const reply = await client(op);
        story.push([op, reply]);
        ensure(step(expected, op, reply), 'an answer that the promises do not allow', { story, state });
        note(tally, state, op, reply, expected);
        break;
      }
      case 'expire': {
        const hold = random.oneOf([...live(state), '']);
        if (hold === '') continue;
        await expire(installation.sql, hold);
        story.push(['expire', hold]);
        step(expected, { kind: 'expire', hold }, { code: 'ok' });
        tally.add('expiries');
        break;
      }
      case 'atExpiry': {
        const hold = random.oneOf([...live(state), '']);
        if (hold === '') continue;
        const about = aboutHold(random, generator, hold, state, op);
        const ms = stage.aimMs + random.integer(-2, 2);
        await expireIn(installation.sql, hold, ms);
        const reply = await client(about);
        await sleep(Math.max(ms, 0) + 4);
        story.push(['at the expiry of', hold, about, reply]);
        const now = await readState(installation.sql, generator.products, `${generator.eventPrefix}%`);
        const asked = { op: about, reply };
        const passes = { op: { kind: 'expire', hold } as const, reply: { code: 'ok' } };
        const inTime = explain(state, oneByOne(asked, passes), now);
        const tooLate = explain(state, oneByOne(passes, asked), now);
        const order = inTime ?? tooLate;
        ensure(order !== null, 'an answer at an expiry that no order of the two explains', { story, state, now });
        for (const call of order) step(expected, call.op, call.reply);
        // Operations that the expiry does not concern are on neither side.
        if (!tooLate) tally.add('just in time');
        if (!inTime) tally.add('just too late');
        stage.aimMs += inTime && tooLate ? 0 : inTime ? -1 : 1;
        stage.aimMs = Math.min(Math.max(stage.aimMs, 0), MAX_AIM_MS);
        if (await isClosedAtExpiry(installation, hold)) tally.add('at the very millisecond');
        break;
      }
      case 'overdue': {
        const order = random.oneOf([...unpaid(state), '']);
        if (order === '') continue;
        await makeOrderOverdue(installation.sql, order);
        // Only the sweep cancels it.
        await server.sweep();
        story.push(['payment window passes, sweep', order]);
        sweep(expected, [order]);
        break;
      }
      case 'sweep': {
        await server.sweep();
        story.push('sweep');
        sweep(expected, []);
        tally.add('sweeps');
        break;
      }
    }
    state = await readState(installation.sql, generator.products, `${generator.eventPrefix}%`);
    ensure(canonical(state) === canonical(expected), 'the database is not where the promises lead', {
      story,
      state,
      expected,
    });
    // The rows do not contain the keys of adjustments, so the specification provides them.
    for (const id of generator.products) state.products[id]!.adjusted = expected.products[id]!.adjusted;
    tally.add('steps');
  }
  // Once per walk: it takes 25 ms, two to three times as long as a step, and after each step it would reduce the walks to a
  // fifth. The shortest failing walk still shows the step.
  try {
    await installation.ensureClean();
  } catch (error) {
    if (error instanceof Violation) ensure(false, error.message, { story });
    throw error;
  }
}

/** One after another. */
const oneByOne = (...calls: readonly Pick<Call, 'op' | 'reply'>[]): Call[] =>
  calls.map((call, n) => ({ ...call, from: 2 * n, until: 2 * n + 1 }));

/** Overdue, and judged at its very expiry: visible only if something was written, so it is counted but not required. */
async function isClosedAtExpiry(installation: Installation, hold: string): Promise<boolean> {
  const text = `SELECT FROM holds WHERE id = $1 AND status = 'EXPIRED' AND closed_at = expires_at`;
  return (await installation.sql(text, [hold])).length > 0;
}

const live = (state: State) => Object.keys(state.holds).filter((id) => state.holds[id]!.status === 'ACTIVE');
const unpaid = (state: State) =>
  Object.keys(state.orders).filter((id) => state.orders[id]!.status === 'PENDING_PAYMENT');

function aboutHold(random: Random, { eventPrefix }: Generator, hold: string, state: State, otherwise: Op): Op {
  const { customer, quantity, product } = state.holds[hold]!;
  const amount = quantity * 1_000;
  const id = `${eventPrefix}${random.id()}`;
  return random.oneOf<Op>([
    { kind: 'order', holds: [hold], customer, key: null, keyedId: null },
    { kind: 'release', hold, customer },
    { kind: 'hold', product, quantity: 1, customer, key: null },
    { kind: 'event', id, type: 'succeeded', reference: hold, amount, payment: id },
    otherwise.kind === 'event' || otherwise.kind === 'replay' ? { kind: 'release', hold, customer } : otherwise,
  ]);
}

/** Visible effects of a sweep: unpaid orders, and events whose hold has ended, each by itself in ascending id. */
function sweep(state: State, overdueOrders: readonly string[]): void {
  for (const order of overdueOrders) step(state, { kind: 'sweepOrder', order }, { code: 'ok' });
  for (const event of Object.keys(state.events).sort()) step(state, { kind: 'sweepEvent', event }, { code: 'ok' });
}

function note(tally: Tally, before: State, op: Op, reply: Reply, after: State): void {
  if (reply.code !== 'ok') tally.add('refusals');
  if (reply.code === 'LIMIT_PER_CUSTOMER') tally.add('limits reached');
  if (reply.isDuplicate) tally.add('duplicates');
  if ((op.kind === 'hold' || op.kind === 'order') && reply.id && (before.holds[reply.id] ?? before.orders[reply.id])) {
    tally.add('replays');
  }
  if (op.kind !== 'event' || reply.code !== 'ok' || reply.isDuplicate) return;
  if (reply.status === 'PARKED') tally.add('parked events');
  const orderId = reply.id;
  if (op.type !== 'succeeded' || !orderId || !after.orders[orderId]) return;
  const earlier = before.orders[orderId];
  if (earlier?.status === 'CANCELLED' || ['EXPIRED', 'RELEASED'].includes(before.holds[op.reference]?.status ?? '')) {
    tally.add('late payments');
  }
  if (earlier && ['PAID', 'REFUND_DUE', 'REFUNDED'].includes(earlier.status)) tally.add('second payments');
}
