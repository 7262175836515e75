/**
 * A sale over HTTP against two servers during faults. Every client records its requests and answers; afterwards the database
 * must agree with each of them.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { serverOn } from '../support/checkout';
import { Wire } from '../support/wire';
import { ensure, until, type Fixture, type Installation, type ServerProcess } from './fixture';
import type { Random } from '../../src/tools/load/random';
import type { Tally } from './tally';
import type { Fault, FaultContext } from './faults';
import { PRICE_MINOR, type Op, type Reply } from './spec';

const SHOPPERS = 20;
const LOAD_BEFORE_MS = 1_200;
const LOAD_AFTER_MS = 1_000;
/** P10. */
const RECOVERS_WITHIN_MS = 30_000;
const HOLD_TTL_SECONDS = 3;
const PAYMENT_WINDOW_SECONDS = 4;
const CUSTOMERS = ['', '', 'alice', 'bob', 'carol', 'dave'];

/** Without `restart`, which only means that work needed an earlier lock. */
const RERUN = /"event":"lock.retry".*"reason":"(?!restart")/;
const RERUNS = 're-runs after a failure';
const CRASHES = 'requests whose COMMIT was carried out while their server crashed';
/** Needed of any sale with a fault. */
export const SALE_NEEDS = ['acknowledged', 'refusals', 'unknown outcomes', 'unknown, and it had happened', RERUNS];
export const FAULTY_SALE_NEEDS = [...SALE_NEEDS, CRASHES];

/** In the directory of a failed run: every intent of every client, with all its answers. */
const HISTORY_FILE = 'history.jsonl';

interface Attempt {
  readonly reply: Reply;
  readonly from: number;
  readonly until: number;
  /** When it was sent, on this machine's clock, which is also PostgreSQL's. */
  readonly askedAt: number;
  readonly server: number;
}

/** One intent of one client, repeated with its key until its outcome is known. */
export interface Intent {
  readonly op: Op;
  readonly replies: Attempt[];
}

export interface Measured {
  readonly acknowledged: number;
  readonly refused: number;
  readonly busy: number;
  readonly unknown: number;
  /** Of those, how many were granted when they were repeated at the end. */
  readonly granted: number;
  /** From the end of the fault until both servers sell again. */
  readonly recoveredMs: number;
  readonly slowestMs: number;
}

/** Unknown until it is repeated. */
const isUnknown = ({ code }: Reply) => code === 'UNAVAILABLE' || code === 'LOST';
/** Nothing happened: it was not received, or the server was busy. */
const isToRepeat = (reply: Reply) => isUnknown(reply) || reply.code === 'BUSY' || reply.code === 'UNREACHED';

/**
 * Runs one sale with these faults, one after another or at once. Throws a violation with the history of the clients concerned,
 * and leaves everyone's history with the logs.
 */
export async function proveSaleUnderFaults(
  fixture: Fixture,
  random: Random,
  faults: readonly Fault[],
  tally: Tally,
  settings: Record<string, string> = {},
): Promise<Measured> {
  const installation = await fixture.installation();
  const own = serverOn(await installation.database(), fixture.log);
  const products: string[] = [];
  for (const [stock, maxPerCustomer] of [
    [40, null],
    [400, null],
    [400, 6],
    [100_000, null],
  ] as const) {
    products.push((await own.product(stock, { maxPerCustomer })).id);
  }
  const wires = [await Wire.to(installation.url), await Wire.to(installation.url)];
  const isAlone = faults.length === 1;
  const servers: ServerProcess[] = [];
  for (const wire of wires) {
    servers.push(
      await installation.server(
        {
          SWEEP_CRON: '* * * * * *',
          HOLD_TTL_SECONDS: String(HOLD_TTL_SECONDS),
          ORDER_PAYMENT_WINDOW_SECONDS: String(PAYMENT_WINDOW_SECONDS),
          ...settings,
        },
        wire.url,
      ),
    );
  }
  const context: FaultContext = { installation, random, servers, wires, products, isAlone };
  const history: Intent[] = [];
  const load = { isOn: true };
  const shoppers = Array.from({ length: SHOPPERS }, (_, n) => shop(context, n, history, load));
  try {
    await sleep(LOAD_BEFORE_MS);
    const linesBefore = servers.map((server) => server.logLines().length);
    const struck = await Promise.allSettled(
      faults.map(async (fault, n) => {
        await sleep(n * random.integer(0, 1_500));
        await fault.run(context);
      }),
    );
    // All faults are over by now; what is stopped afterwards stays stopped.
    for (const end of struck) if (end.status === 'rejected') throw end.reason;
    const recoveredMs = await untilRecovered(context);
    await sleep(LOAD_AFTER_MS);
    load.isOn = false;
    await Promise.all(shoppers);
    const measured = { ...(await audit(context, history, tally)), recoveredMs };
    ensureLively(servers);
    const lines = servers.flatMap((server, n) => server.logLines().slice(linesBefore[n]));
    const begun = hadHappened(whoWasTold(history, 'LOST'), history, await readStored(installation));
    if (isAlone) ensureTold(faults[0]!, history, lines, begun);
    tally.add(RERUNS, lines.filter((line) => RERUN.test(line)).length);
    if (faults.some((fault) => fault.crashes)) tally.add(CRASHES, begun.length);
    for (const fault of faults) tally.add(fault.name);
    return measured;
  } catch (error) {
    const told = history.map((intent) => JSON.stringify(intent)).join('\n');
    writeFileSync(join(fixture.directory, HISTORY_FILE), `${told}\n`);
    throw error;
  } finally {
    load.isOn = false;
    await installation.close();
    await Promise.all(wires.map((wire) => wire.close()));
  }
}

/** The context that shoppers and the audit need. */
export type Sale = Pick<FaultContext, 'random' | 'products'> & {
  readonly servers: readonly Pick<ServerProcess, 'client'>[];
  readonly installation: Pick<Installation, 'sql' | 'ensureClean'>;
};

/** A shopper: holds, orders, pays, changes their mind; repeats requests with an unknown outcome. */
export async function shop(context: Sale, number: number, history: Intent[], load: { isOn: boolean }): Promise<void> {
  const { random, products } = context;
  const customer = CUSTOMERS[number % CUSTOMERS.length]!;
  for (let n = 0; load.isOn; n += 1) {
    const name = `${number}-${n}-${random.id()}`;
    const ask = (op: Op) => insist(context, { op, replies: [] }, history);
    const product = random.oneOf(products);
    const owner = product === products[2] && customer === '' ? 'alice' : customer;
    const quantity = random.integer(1, 2);
    const hold = await ask({ kind: 'hold', product, quantity, customer: owner, key: `h-${name}` });
    await sleep(random.integer(5, 40));
    if (hold.code !== 'ok') continue;
    const amount = quantity * PRICE_MINOR;
    const event = (type: 'succeeded' | 'failed' | 'refunded', reference: string): Op => ({
      kind: 'event',
      id: `e-${name}-${type}`,
      type,
      reference,
      amount,
      payment: `p-${name}`,
    });
    const roll = random.next();
    if (roll < 0.1) continue;
    if (roll < 0.2) {
      await ask({ kind: 'release', hold: hold.id!, customer: owner });
    } else if (roll < 0.35) {
      await Promise.all([ask(event('succeeded', hold.id!)), ask(event('succeeded', hold.id!))]);
    } else {
      const ordered = { kind: 'order', holds: [hold.id!], customer: owner, key: `o-${name}`, keyedId: null } as const;
      const order = await ask(ordered);
      if (order.code !== 'ok') continue;
      if (roll < 0.45) await ask({ kind: 'cancel', order: order.id!, customer: owner });
      if (roll < 0.55) await ask(event('failed', order.id!));
      if (roll > 0.45 && roll < 0.95) {
        const paid = await ask(event('succeeded', order.id!));
        if (random.isTrue(0.3)) await ask(event('succeeded', order.id!));
        if (paid.code === 'ok' && random.isTrue(0.1)) await ask(event('refunded', order.id!));
      }
    }
  }
}

/** Repeats a request with its key at another server a few times, as a good client does. */
async function insist({ servers, random }: Sale, intent: Intent, history: Intent[]): Promise<Reply> {
  history.push(intent);
  for (let attempt = 1; ; attempt += 1) {
    const server = random.integer(0, servers.length - 1);
    const [from, askedAt] = [performance.now(), Date.now()];
    const reply = await servers[server]!.client.ask(intent.op);
    intent.replies.push({ reply, from, until: performance.now(), askedAt, server });
    if (!isToRepeat(reply) || attempt === 3) return reply;
    await sleep(50 * attempt);
  }
}

/** Waits until every server is ready and sells the last product. */
export async function untilRecovered({ servers, products, random }: Sale): Promise<number> {
  const startedAt = performance.now();
  for (const { client } of servers) {
    const isBack = await until(RECOVERS_WITHIN_MS, async () => {
      if ((await client.status('/readyz')) !== 200) return false;
      const key = `canary-${random.id()}`;
      return (
        (await client.ask({ kind: 'hold', product: products.at(-1)!, quantity: 1, customer: '', key })).code === 'ok'
      );
    });
    ensure(isBack, `a server does not sell ${RECOVERS_WITHIN_MS / 1_000} s after the fault`);
  }
  return Math.round(performance.now() - startedAt);
}

/** Checks what one fault alone must show clients and the log, and what it must not have done. `begun`: executed, and cut off. */
function ensureTold(
  fault: Fault,
  history: readonly Intent[],
  lines: readonly string[],
  begun: readonly Intent[],
): void {
  for (const code of fault.mustSee ?? []) {
    if (whoWasTold(history, code).length === 0) throw new Error(`the fault was none: no client saw ${code}`);
  }
  for (const pattern of fault.logs) {
    const isThere = lines.some((line) => pattern.test(line));
    ensure(isThere, `no server's log has a line about it: ${pattern.source}`);
  }
  if (!fault.answersWhatItBegan) return;
  ensure(begun.length === 0, 'a request was carried out, and cut off before it was answered', begun.slice(0, 5));
}

const whoWasTold = (history: readonly Intent[], code: string) =>
  history.filter(({ replies }) => replies.some(({ reply }) => reply.code === code));

/** The servers have not ended by themselves, and have met no unknown error. */
function ensureLively(servers: readonly ServerProcess[]): void {
  for (const server of servers) {
    ensure(server.deaths.length === 0, 'a server ended by itself', server.deaths);
    for (const event of ['request.failed', 'unhandled.rejection']) {
      ensure(server.logged(event).length === 0, `${event} in a server's log`, server.logged(event).slice(0, 5));
    }
  }
}

/** Compares clients' answers with the database, after requesting those that are still missing. */
export async function audit(
  context: Sale,
  history: readonly Intent[],
  tally: Tally,
): Promise<Omit<Measured, 'recoveredMs'>> {
  const unknown = history.filter(
    ({ replies }) => replies.some(({ reply }) => isUnknown(reply)) && !replies.some(({ reply }) => reply.code === 'ok'),
  );
  let granted = 0;
  for (const intent of unknown) if (await learn(context, intent)) granted += 1;

  const stored = await readStored(context.installation);
  for (const intent of history) {
    const problem = contradiction(intent, stored);
    ensure(problem === null, `a client was told otherwise: ${problem}`, { intent: intent.op, replies: intent.replies });
  }
  const keys = new Set(history.flatMap(({ op }) => (op.kind === 'hold' ? [op.key] : [])));
  for (const hold of stored.holds.values()) {
    const isKnown = keys.has(hold.key) || hold.key?.startsWith('canary-');
    ensure(isKnown === true, 'a hold that nobody asked for', { hold });
  }
  await context.installation.ensureClean();

  const last = history.map(({ replies }) => replies.at(-1)!.reply);
  const took = history.flatMap(({ replies }) => replies.map(({ from, until: at }) => at - from));
  const anyUnknown = history.filter(({ replies }) => replies.some(({ reply }) => isUnknown(reply)));
  const measured = {
    acknowledged: last.filter(({ code }) => code === 'ok').length,
    refused: last.filter((reply) => reply.code !== 'ok' && reply.code !== 'BUSY').length,
    busy: history.filter(({ replies }) => replies.some(({ reply }) => reply.code === 'BUSY')).length,
    unknown: anyUnknown.length,
    granted,
    slowestMs: Math.round(Math.max(...took)),
  };
  tally.add('acknowledged', measured.acknowledged);
  tally.add('refusals', measured.refused);
  tally.add('BUSY', measured.busy);
  tally.add('unknown outcomes', measured.unknown);
  tally.add('unknown, and it had happened', hadHappened(anyUnknown, history, stored).length);
  return measured;
}

/** Repeats with the same key until the outcome is known. Returns whether it had happened or has now. */
async function learn({ servers }: Sale, intent: Intent): Promise<boolean> {
  let reply: Reply = { code: '' };
  const isKnown = await until(RECOVERS_WITHIN_MS, async () => {
    const [from, askedAt] = [performance.now(), Date.now()];
    reply = await servers[0]!.client.ask(intent.op);
    intent.replies.push({ reply, from, until: performance.now(), askedAt, server: 0 });
    return !isToRepeat(reply);
  });
  ensure(isKnown, 'an outcome stays unknown', { intent: intent.op, replies: intent.replies.slice(-3) });
  return reply.code === 'ok';
}

interface StoredHold {
  id: string;
  key: string | null;
  status: string;
  createdAt: Date;
}
interface StoredOrder {
  id: string;
  key: string | null;
  status: string;
  cancelledBy: string | null;
  paidAt: string | null;
  createdAt: Date;
  holds: string[];
}
interface Stored {
  holds: Map<string, StoredHold>;
  orders: Map<string, StoredOrder>;
  events: Map<string, { outcome: string }>;
}

async function readStored({ sql }: Pick<Installation, 'sql'>): Promise<Stored> {
  const holds = await sql<StoredHold>(
    'SELECT id, idempotency_key AS key, status, created_at AS "createdAt" FROM holds',
  );
  const orders = await sql<StoredOrder>(
    `SELECT o.id, o.idempotency_key AS key, o.status, o.cancelled_by AS "cancelledBy", o.paid_at::text AS "paidAt",
       o.created_at AS "createdAt", (SELECT array_agg(l.hold_id::text) FROM order_lines l WHERE l.order_id = o.id) AS holds FROM orders o`,
  );
  const events = await sql<{ id: string; outcome: string }>('SELECT event_id AS id, outcome FROM payment_events');
  const once = (keys: (string | null)[]) => {
    const named = keys.filter((key) => key !== null);
    ensure(new Set(named).size === named.length, 'a key has several effects');
  };
  once(holds.map((hold) => hold.key));
  once(orders.map((order) => order.key));
  return {
    holds: new Map(holds.map((hold) => [hold.id, hold])),
    orders: new Map(orders.map((order) => [order.id, order])),
    events: new Map(events.map((event) => [event.id, event])),
  };
}

/** Why the client may complain; null if it may not. */
function contradiction({ op, replies }: Intent, { holds, orders, events }: Stored): string | null {
  const told = replies.map(({ reply }) => reply);
  if (told.some(({ code }) => code === 'INTERNAL')) return 'an unexpected error';
  const oks = told.filter(({ code }) => code === 'ok');
  const ids = new Set(oks.map(({ id }) => id));
  switch (op.kind) {
    case 'hold': {
      const row = [...holds.values()].find((hold) => hold.key === op.key);
      if (ids.size > 1) return 'one key, several holds';
      if (oks.length > 0) return row?.id === oks[0]!.id ? null : 'an acknowledged hold is not there';
      return row ? 'a refused hold is there' : null;
    }
    case 'order': {
      const row = [...orders.values()].find((order) => order.key === op.key);
      if (ids.size > 1) return 'one key, several orders';
      if (oks.length === 0) return row ? 'a refused order is there' : null;
      const order = orders.get(oks[0]!.id!);
      if (!order) return 'an acknowledged order is not there';
      if (order.holds.join() !== op.holds.join()) return 'an order of other holds';
      return oks.some(({ status }) => status === 'PAID') && order.paidAt === null ? 'a paid order is not paid' : null;
    }
    case 'release':
      return oks.length > 0 && holds.get(op.hold)?.status !== 'RELEASED' ? 'a released hold is not released' : null;
    case 'cancel':
      return oks.length > 0 && !orders.get(op.order)?.cancelledBy ? 'a cancelled order is not cancelled' : null;
    case 'event': {
      const row = events.get(op.id);
      if (oks.length > 0 && !row) return 'an acknowledged event is not there';
      const final = oks.find(({ status }) => status !== 'PARKED');
      return final && final.status !== row?.outcome ? 'an event has another outcome than was told' : null;
    }
    default:
      return null;
  }
}

/** Unknown at first, and done when it was repeated. Of an event with copies it is unknown which one did it. */
function hadHappened(intents: readonly Intent[], history: readonly Intent[], stored: Stored): Intent[] {
  const sent = new Map<string, number>();
  for (const { op } of history) if (op.kind === 'event') sent.set(op.id, (sent.get(op.id) ?? 0) + 1);
  return intents.filter(({ op, replies }) => {
    const known = replies.find(({ reply }) => reply.code === 'ok');
    if (!known || known === replies[0]) return false;
    if (op.kind === 'event') return known.reply.isDuplicate === true && sent.get(op.id) === 1;
    const id = known.reply.id!;
    const row = op.kind === 'hold' ? stored.holds.get(id) : op.kind === 'order' ? stored.orders.get(id) : undefined;
    return row !== undefined && row.createdAt.getTime() < known.askedAt;
  });
}
