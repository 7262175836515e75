/** The model: one client, random operations, and after each one the database must say what the specification says. */
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { serverOn, type Server } from '../support/checkout';
import { expire, expireIn, makeOrderOverdue } from '../support/time';
import type { Room } from './arena';
import { ensure } from './arena';
import { Chance, type Tally } from './chance';
import { clientOf, readState, type Client } from './client';
import { canonical, explain, step, type Call, type Op, type Reply, type State } from './spec';
import { Universe } from './universe';

/** How often each of these comes is drawn by fast-check, which also finds the shortest sequence that fails. */
type Intent = { readonly kind: 'ask' | 'expire' | 'atExpiry' | 'overdue' | 'sweep'; readonly seed: number };

const INTENTS = fc.record<Intent>({
  kind: fc.constantFrom('ask', 'ask', 'ask', 'ask', 'ask', 'ask', 'ask', 'expire', 'atExpiry', 'overdue', 'sweep'),
  seed: fc.nat(),
});

/** What must have happened, or the run proves nothing. */
export const MODEL_NEEDS = [
  'refusals',
  'replays',
  'duplicates',
  'expiries',
  'races with an expiry',
  'late payments',
  'second payments',
  'parked events',
  'sweeps',
  'limits reached',
];

/** Runs sequences until the time is over; throws a violation with the shortest one that fails. */
export async function proveModel(room: Room, seed: number, untilMs: () => boolean, tally: Tally): Promise<void> {
  const database = await room.database();
  const server = serverOn(database, room.arena.log);
  const client = clientOf(server);
  for (let n = 0; untilMs(); n += 1) {
    const property = fc.asyncProperty(fc.array(INTENTS, { minLength: 5, maxLength: 40 }), fc.nat(), (intents, world) =>
      walk(room, server, client, intents, world, tally),
    );
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
    if (n % 5 === 0) await room.ensureClean();
  }
  await room.ensureClean();
}

async function walk(
  room: Room,
  server: Server,
  client: Client,
  intents: readonly Intent[],
  world: number,
  tally: Tally,
): Promise<void> {
  const universe = new Universe();
  await universe.stock(new Chance(world), server, 2);
  let state = await readState(room.sql, universe.products, `${universe.eventPrefix}%`);
  const story: unknown[] = [];
  for (const intent of intents) {
    const chance = new Chance(intent.seed);
    const op = universe.op(chance, state);
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
        const hold = chance.of([...live(state), '']);
        if (hold === '') continue;
        await expire(room.sql, hold);
        story.push(['expire', hold]);
        step(expected, { kind: 'expire', hold }, { code: 'ok' });
        tally.add('expiries');
        break;
      }
      case 'atExpiry': {
        const hold = chance.of([...live(state), '']);
        if (hold === '') continue;
        const about = aboutHold(chance, universe, hold, state, op);
        // From just after to just before: at the answer the time may be over or not, and both are right.
        await expireIn(room.sql, hold, chance.int(-2, 12));
        const reply = await client(about);
        await sleep(16);
        story.push(['at the expiry of', hold, about, reply]);
        const now = await readState(room.sql, universe.products, `${universe.eventPrefix}%`);
        const calls: Call[] = [about, { kind: 'expire' as const, hold }].map((each, n) => ({
          op: each,
          reply: n === 0 ? reply : { code: 'ok' },
          from: 0,
          until: 1,
        }));
        const order = explain(state, calls, now);
        ensure(order !== null, 'an answer at an expiry that no order of the two explains', { story, state, now });
        for (const call of order) step(expected, call.op, call.reply);
        tally.add('races with an expiry');
        break;
      }
      case 'overdue': {
        const order = chance.of([...unpaid(state), '']);
        if (order === '') continue;
        await makeOrderOverdue(room.sql, order);
        // Nothing but the sweep cancels it.
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
    state = await readState(room.sql, universe.products, `${universe.eventPrefix}%`);
    ensure(canonical(state) === canonical(expected), 'the database is not where the promises lead', {
      story,
      state,
      expected,
    });
    // The rows do not say which keys adjustments had; the specification remembers.
    for (const id of universe.products) state.products[id]!.adjusted = expected.products[id]!.adjusted;
    tally.add('steps');
  }
}

const live = (state: State) => Object.keys(state.holds).filter((id) => state.holds[id]!.status === 'ACTIVE');
const unpaid = (state: State) =>
  Object.keys(state.orders).filter((id) => state.orders[id]!.status === 'PENDING_PAYMENT');

function aboutHold(chance: Chance, { eventPrefix }: Universe, hold: string, state: State, otherwise: Op): Op {
  const { customer, quantity, product } = state.holds[hold]!;
  const amount = quantity * 1_000;
  const id = `${eventPrefix}${chance.id()}`;
  return chance.of<Op>([
    { kind: 'order', holds: [hold], customer, key: null, keyedId: null },
    { kind: 'release', hold, customer },
    { kind: 'hold', product, quantity: 1, customer, key: null },
    { kind: 'event', id, type: 'succeeded', reference: hold, amount, payment: id },
    otherwise.kind === 'event' || otherwise.kind === 'replay' ? { kind: 'release', hold, customer } : otherwise,
  ]);
}

/** What a sweep does that shows: unpaid orders, and events whose hold has ended. In ascending id, each on its own. */
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
