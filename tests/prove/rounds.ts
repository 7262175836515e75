/**
 * The rounds: several clients at once against two servers on one database. Some serial order of their requests that respects
 * real time must explain every answer and the final state (linearizability).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { serverOn, type Server } from '../support/checkout';
import { expireIn, makeOrderOverdue } from '../support/time';
import { ensure, type Installation } from './fixture';
import { Random } from '../../src/tools/load/random';
import type { Tally } from './tally';
import { readState, type Client } from './client';
import { explain, step, type Call, type Op, type State } from './spec';
import { Generator } from './generator';

export const ROUND_NEEDS = [
  'rounds with operations at once',
  'refusals',
  'expiries in a round',
  'duplicates',
  'late payments',
  'sweeps in a round',
  'one unit, several takers',
  're-runs',
];

const ROUNDS_A_UNIVERSE = 6;

/** Plays rounds until the time is over. Two servers, and this process as a third one that sweeps and adds products. */
export async function proveRounds(
  installation: Installation,
  seed: number,
  isTimeLeft: () => boolean,
  tally: Tally,
  settings: Record<string, string> = {},
): Promise<void> {
  const servers = [await installation.server(settings), await installation.server(settings)];
  const clients = servers.map((server) => server.client.ask);
  const own = serverOn(await installation.database(), installation.fixture.log);
  let reruns = 0;
  const countReruns = () => {
    const all = servers.flatMap((server) => server.logged('lock.retry')).length;
    tally.add('re-runs', all - reruns);
    reruns = all;
  };
  for (let n = 0; isTimeLeft(); n += 1) {
    const random = new Random(seed + n);
    const generator = new Generator();
    await generator.stock(random, own, 2);
    let state = await readState(installation.sql, generator.products, `${generator.eventPrefix}%`);
    state = await warmUp(installation, generator, random, clients, state);
    for (let round = 0; round < ROUNDS_A_UNIVERSE; round += 1) {
      state = await playRound(
        installation,
        generator,
        random,
        clients,
        own,
        state,
        tally,
        `rounds, seed ${seed + n}, round ${round}`,
      );
    }
    tally.add('rounds', ROUNDS_A_UNIVERSE);
    if (n % 10 === 0) await installation.ensureClean();
    // Only until there is one, because the logs of a long run are long.
    if (reruns === 0) countReruns();
  }
  await installation.ensureClean();
  countReruns();
  for (const server of servers) {
    ensure(server.deaths.length === 0, 'a server ended by itself', server.deaths);
    const retries = server.logged('lock.retry');
    ensure(!retries.some((line) => line.reason === '40P01'), 'a deadlock, though locks have an order', retries);
    ensure(server.logged('request.failed').length === 0, 'an unexpected error', server.logged('request.failed'));
  }
}

/** Creates a few holds, orders and events as common objects. */
async function warmUp(
  installation: Installation,
  generator: Generator,
  random: Random,
  clients: Client[],
  from: State,
): Promise<State> {
  let state = from;
  for (let n = random.integer(2, 6); n > 0; n -= 1) {
    const op = generator.op(random, state);
    const reply = await random.oneOf(clients)(op);
    const expected = structuredClone(state);
    ensure(step(expected, op, reply), 'an answer that the promises do not allow', { op, reply, state });
    state = await look(installation, generator, expected);
  }
  return state;
}

async function playRound(
  installation: Installation,
  generator: Generator,
  random: Random,
  clients: readonly Client[],
  own: Server,
  start: State,
  tally: Tally,
  name: string,
): Promise<State> {
  const ops = chooseOps(generator, random, start);
  const expiring = random.isTrue(0.4) ? random.oneOf([null, ...live(start)]) : null;
  const overdue = random.isTrue(0.3) ? random.oneOf([null, ...unpaid(start)]) : null;
  const sweeps = random.isTrue(0.35);
  if (overdue) await makeOrderOverdue(installation.sql, overdue);
  if (overdue) generator.overdueOrders.add(overdue);
  const from = performance.now();
  const byItself = (op: Op, isOptional = false): Call => ({
    op,
    reply: { code: 'ok' },
    from,
    until: Infinity,
    isOptional,
  });
  if (expiring) await expireIn(installation.sql, expiring, random.integer(0, 12));

  const asked = ops.map(async (op, index): Promise<Call> => {
    const client = clients[index % clients.length]!;
    if (random.isTrue(0.3)) await sleep(random.integer(0, 6));
    const call = { op, from: performance.now() };
    const reply = await client(op);
    return { ...call, reply, until: performance.now() };
  });
  const swept = sweeps ? own.sweep() : Promise.resolve();
  const answered = await Promise.all(asked);
  await swept;
  if (expiring) await sleep(13);

  const end = await look(installation, generator, null);
  for (const { op, reply } of answered) {
    ensure(reply.code !== 'INTERNAL', `${name}: an unexpected error`, { op, reply });
  }
  // Nothing happened; and without a fault no outcome may be unknown.
  const told = answered.filter(({ reply }) => reply.code !== 'BUSY');
  tally.add('BUSY', answered.length - told.length);
  const calls: Call[] = [
    ...told,
    ...(expiring ? [byItself({ kind: 'expire', hold: expiring })] : []),
    ...(sweeps ? [...generator.overdueOrders].map((order) => byItself({ kind: 'sweepOrder', order }, true)) : []),
    ...(sweeps ? ripe(start, end).map((event) => byItself({ kind: 'sweepEvent', event }, true)) : []),
  ];
  const order = explain(start, calls, end);
  ensure(order !== null, `${name}: no serial order explains the answers and the end`, {
    answers: told.map(({ op, reply, from: at, until }) => [
      op,
      reply,
      Math.round((at - from) * 10) / 10,
      Math.round((until - from) * 10) / 10,
    ]),
    byItself: calls.filter((call) => call.until === Infinity).map((call) => call.op),
    start,
    end,
  });
  noteRound(tally, start, answered, end);
  for (const id of generator.overdueOrders) {
    if (end.orders[id]?.status !== 'PENDING_PAYMENT') generator.overdueOrders.delete(id);
  }
  if (expiring) tally.add('expiries in a round');
  if (sweeps) tally.add('sweeps in a round');
  // The rows do not contain the keys of adjustments; the specification provides them in the order that explains the round.
  const remembered = structuredClone(start);
  for (const { op, reply } of order) step(remembered, op, reply);
  for (const id of generator.products) end.products[id]!.adjusted = remembered.products[id]!.adjusted;
  return end;
}

/** Operations that conflict: copies of one, or several about the same objects. */
function chooseOps(generator: Generator, random: Random, state: State): Op[] {
  const count = random.integer(2, 8);
  const ops = Array.from({ length: count }, () => generator.op(random, state));
  for (let n = 1; n < count; n += 1) if (random.isTrue(0.25)) ops[n] = ops[n - 1]!;
  if (random.isTrue(0.3)) {
    const product = random.oneOf(generator.products);
    const customer = random.oneOf(['', 'alice']);
    return ops.map(() => ({ kind: 'hold', product, quantity: random.integer(1, 2), customer, key: null }));
  }
  return ops;
}

/** Events that a sweep may settle: parked before, or received in the round. */
function ripe(start: State, end: State): string[] {
  const known = Object.keys(end.events).filter(
    (id) => !['APPLIED', 'REFUND_DUE'].includes(start.events[id]?.outcome ?? ''),
  );
  return known.filter((id) => end.events[id]!.outcome !== 'PARKED').slice(0, 4);
}

async function look(installation: Installation, generator: Generator, expected: State | null): Promise<State> {
  const state = await readState(installation.sql, generator.products, `${generator.eventPrefix}%`);
  if (expected) for (const id of generator.products) state.products[id]!.adjusted = expected.products[id]!.adjusted;
  return state;
}

const live = (state: State) => Object.keys(state.holds).filter((id) => state.holds[id]!.status === 'ACTIVE');
const unpaid = (state: State) =>
  Object.keys(state.orders).filter((id) => state.orders[id]!.status === 'PENDING_PAYMENT');

/** Whether both were in progress at the same moment, as their client saw it. */
const isAtOnce = (one: Call, other: Call) => one !== other && one.from < other.until && other.from < one.until;

function noteRound(tally: Tally, start: State, calls: readonly Call[], end: State): void {
  tally.add('operations', calls.length);
  if (calls.some((call) => calls.some((other) => isAtOnce(call, other)))) tally.add('rounds with operations at once');
  for (const { op, reply } of calls) {
    if (reply.code !== 'ok') tally.add('refusals');
    if (reply.isDuplicate) tally.add('duplicates');
    if (op.kind !== 'event' || op.type !== 'succeeded' || reply.code !== 'ok' || !reply.id) continue;
    const wasOver = start.orders[reply.id]?.status === 'CANCELLED' || start.holds[op.reference]?.status === 'EXPIRED';
    if (wasOver && end.orders[reply.id]) tally.add('late payments');
  }
  const takers = calls.filter(({ op }) => op.kind === 'hold');
  const isShort = takers.some(({ reply }) => reply.code === 'OUT_OF_STOCK');
  if (isShort && takers.some(({ reply }) => reply.code === 'ok')) tally.add('one unit, several takers');
}
