/**
 * The rounds: several clients at once against two server processes on one database. Some serial order of what they asked,
 * in which nothing comes before what had ended when it began, must explain every answer and the end state.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { serverOn, type Server } from '../support/checkout';
import { expireIn, makeOrderOverdue } from '../support/time';
import { ensure, type Room } from './arena';
import { Random } from '../../src/tools/load/random';
import type { Tally } from './tally';
import { readState, type Client } from './client';
import { explain, step, type Call, type Op, type State } from './spec';
import { Universe } from './universe';

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

/** Rounds until the time is over. Two servers, and this process as a third that sweeps and fills the shelves. */
export async function proveRounds(
  room: Room,
  seed: number,
  isTimeLeft: () => boolean,
  tally: Tally,
  settings: Record<string, string> = {},
): Promise<void> {
  const servers = [await room.server(settings), await room.server(settings)];
  const clients = servers.map((server) => server.client.ask);
  const own = serverOn(await room.database(), room.arena.log);
  let reruns = 0;
  const countReruns = () => {
    const all = servers.flatMap((server) => server.logged('lock.retry')).length;
    tally.add('re-runs', all - reruns);
    reruns = all;
  };
  for (let n = 0; isTimeLeft(); n += 1) {
    const random = new Random(seed + n);
    const universe = new Universe();
    await universe.stock(random, own, 2);
    let state = await readState(room.sql, universe.products, `${universe.eventPrefix}%`);
    state = await warmUp(room, universe, random, clients, state);
    for (let round = 0; round < ROUNDS_A_UNIVERSE; round += 1) {
      state = await playRound(
        room,
        universe,
        random,
        clients,
        own,
        state,
        tally,
        `rounds, seed ${seed + n}, round ${round}`,
      );
    }
    tally.add('rounds', ROUNDS_A_UNIVERSE);
    if (n % 10 === 0) await room.ensureClean();
    // Only until there is one, for which a run goes on beyond its time: the logs of a long run are long.
    if (reruns === 0) countReruns();
  }
  await room.ensureClean();
  countReruns();
  for (const server of servers) {
    ensure(server.deaths.length === 0, 'a server ended by itself', server.deaths);
    const retries = server.logged('lock.retry');
    ensure(!retries.some((line) => line.reason === '40P01'), 'a deadlock, though locks have an order', retries);
    ensure(server.logged('request.failed').length === 0, 'an unexpected error', server.logged('request.failed'));
  }
}

/** Something to meet at: a few holds, orders and events, one after another. */
async function warmUp(room: Room, universe: Universe, random: Random, clients: Client[], from: State): Promise<State> {
  let state = from;
  for (let n = random.integer(2, 6); n > 0; n -= 1) {
    const op = universe.op(random, state);
    const reply = await random.oneOf(clients)(op);
    const expected = structuredClone(state);
    ensure(step(expected, op, reply), 'an answer that the promises do not allow', { op, reply, state });
    state = await look(room, universe, expected);
  }
  return state;
}

async function playRound(
  room: Room,
  universe: Universe,
  random: Random,
  clients: readonly Client[],
  own: Server,
  start: State,
  tally: Tally,
  name: string,
): Promise<State> {
  const ops = chooseOps(universe, random, start);
  const expiring = random.isTrue(0.4) ? random.oneOf([null, ...live(start)]) : null;
  const overdue = random.isTrue(0.3) ? random.oneOf([null, ...unpaid(start)]) : null;
  const sweeps = random.isTrue(0.35);
  if (overdue) await makeOrderOverdue(room.sql, overdue);
  if (overdue) universe.overdueOrders.add(overdue);
  const from = performance.now();
  const byItself = (op: Op, isOptional = false): Call => ({
    op,
    reply: { code: 'ok' },
    from,
    until: Infinity,
    isOptional,
  });
  if (expiring) await expireIn(room.sql, expiring, random.integer(0, 12));

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

  const end = await look(room, universe, null);
  for (const { op, reply } of answered) {
    ensure(reply.code !== 'INTERNAL', `${name}: an unexpected error`, { op, reply });
  }
  // Nothing happened; and without a fault nobody may be left in the dark.
  const told = answered.filter(({ reply }) => reply.code !== 'BUSY');
  tally.add('BUSY', answered.length - told.length);
  const calls: Call[] = [
    ...told,
    ...(expiring ? [byItself({ kind: 'expire', hold: expiring })] : []),
    ...(sweeps ? [...universe.overdueOrders].map((order) => byItself({ kind: 'sweepOrder', order }, true)) : []),
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
  for (const id of universe.overdueOrders) {
    if (end.orders[id]?.status !== 'PENDING_PAYMENT') universe.overdueOrders.delete(id);
  }
  if (expiring) tally.add('expiries in a round');
  if (sweeps) tally.add('sweeps in a round');
  // The rows do not say which keys adjustments had: the specification remembers, along the order that explains.
  const remembered = structuredClone(start);
  for (const { op, reply } of order) step(remembered, op, reply);
  for (const id of universe.products) end.products[id]!.adjusted = remembered.products[id]!.adjusted;
  return end;
}

/** Several clients want the same: copies of one operation, or operations that speak of the same things. */
function chooseOps(universe: Universe, random: Random, state: State): Op[] {
  const count = random.integer(2, 8);
  const ops = Array.from({ length: count }, () => universe.op(random, state));
  for (let n = 1; n < count; n += 1) if (random.isTrue(0.25)) ops[n] = ops[n - 1]!;
  if (random.isTrue(0.3)) {
    const product = random.oneOf(universe.products);
    const customer = random.oneOf(['', 'alice']);
    return ops.map(() => ({ kind: 'hold', product, quantity: random.integer(1, 2), customer, key: null }));
  }
  return ops;
}

/** What a sweep may settle: what was parked before, or came in the round. */
function ripe(start: State, end: State): string[] {
  const known = Object.keys(end.events).filter(
    (id) => !['APPLIED', 'REFUND_DUE'].includes(start.events[id]?.outcome ?? ''),
  );
  return known.filter((id) => end.events[id]!.outcome !== 'PARKED').slice(0, 4);
}

async function look(room: Room, universe: Universe, expected: State | null): Promise<State> {
  const state = await readState(room.sql, universe.products, `${universe.eventPrefix}%`);
  if (expected) for (const id of universe.products) state.products[id]!.adjusted = expected.products[id]!.adjusted;
  return state;
}

const live = (state: State) => Object.keys(state.holds).filter((id) => state.holds[id]!.status === 'ACTIVE');
const unpaid = (state: State) =>
  Object.keys(state.orders).filter((id) => state.orders[id]!.status === 'PENDING_PAYMENT');

/** Both were under way at the same moment, as their client saw it. */
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
