/**
 * Makes races certain: one side stops before its COMMIT until PostgreSQL itself says that all others wait for it. No sleep
 * decides anything, and a side that does not wait where it should fails the test instead of passing it by luck.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Database } from '../../src/database/database';
import { run, sql as statement } from '../../src/postgres/statement';
import type { InTransaction } from '../../src/postgres/transaction';
import type { Hold } from '../../src/domain/records';
import { CITUS_URL } from './citus';
import { serverOn, type Server, type Shop } from './checkout';
import { backendsOf, untilGone, type Sql } from './database';
import { deadlocks, expectClean } from './invariants';

/**
 * Less than the idle timeout of the side that is stopped (5 s). The lock timeout of those that wait (2 s) begins only when
 * they wait, and then they are seen within some ms.
 */
const PATIENCE_MS = 4_000;

/** The race did not take place: it says nothing about the program. */
export class NoRace extends Error {
  override readonly name = 'NoRace';
}

export type Side<T> = (server: Server) => Promise<T>;

/**
 * Runs `first` up to the end of its first transaction, starts the `others`, each as a server of its own, and lets `first`
 * commit once PostgreSQL says that each of them waits for it.
 */
export async function collide<A, B>(
  shop: Shop,
  first: Side<A>,
  others: readonly Side<B>[],
): Promise<{ first: A; others: B[] }> {
  return withServers(shop, async (open) => {
    const gate = new Gate();
    const leader = await open();
    const follower = await open();
    const firstEnds = first(serverOn(stoppingBeforeCommit(leader, gate), shop.log));
    const pid = await Promise.race([gate.reached, firstEnds.then(() => never('the first side ended without a stop'))]);
    const othersEnd = Promise.allSettled(others.map((other) => other(serverOn(follower, shop.log))));
    try {
      await untilWaiting(shop.sql, pid, others.length);
    } finally {
      gate.open();
    }
    return { first: await firstEnds, others: valuesOf(await othersEnd) };
  });
}

/** On Citus it names the shard: `product_id` of stock and holds. */
export interface Lock {
  readonly text: string;
  readonly values: readonly unknown[];
}

export const lockOfHold = ({ productId, id }: Pick<Hold, 'productId' | 'id'>): Lock => ({
  text: 'SELECT FROM holds WHERE product_id = $1 AND id = $2 FOR UPDATE',
  values: [productId, id],
});

/**
 * Takes `locks` on a plain connection, starts the sides, and once PostgreSQL says that each waits for it, does `meanwhile`
 * in the same transaction and commits: what the sides then find has changed while they waited.
 */
export async function collideWithLock<T>(
  shop: Shop,
  locks: Lock | readonly Lock[],
  sides: readonly Side<T>[],
  meanwhile: (sql: Sql) => Promise<void>,
): Promise<T[]> {
  return withServers(shop, async (open) => {
    const client = new Client({ connectionString: shop.url, application_name: 'flash-sale' });
    await client.connect();
    const sql: Sql = async (text, values) => (await client.query(text, values && [...values])).rows;
    try {
      const follower = await open();
      await sql('BEGIN');
      for (const { text, values } of [locks].flat()) await sql(text, values);
      const [own] = await sql<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const ends = Promise.allSettled(sides.map((side) => side(serverOn(follower, shop.log))));
      await untilWaiting(shop.sql, own!.pid, sides.length);
      await meanwhile(sql);
      await sql('COMMIT');
      return valuesOf(await ends);
    } finally {
      await client.end();
    }
  });
}

export const SERVERS = 4;

/** Four servers that are all let go at the same moment, each with pools of its own; whoever is the n-th asks `serverOf(n)`. */
export async function stampede<T>(shop: Shop, work: (serverOf: (n: number) => Server) => Promise<T>): Promise<T> {
  return withServers(shop, async (open) => {
    const databases = await Promise.all(Array.from({ length: SERVERS }, open));
    const servers = databases.map((database) => serverOn(database, shop.log));
    return work((n) => servers[n % SERVERS]!);
  });
}

/** Runs `race` and expects that it leaves everything clean, and that PostgreSQL counted no deadlock: retries would hide it. */
export async function fairly<T>(shop: Shop, race: () => Promise<T>): Promise<T> {
  const before = await deadlocks(shop.sql);
  const result = await race();
  expect(await deadlocks(shop.sql)).toBe(before);
  await expectClean(shop);
  return result;
}

/** Ends every connection that it opened, and waits until PostgreSQL has counted what became of them. */
async function withServers<T>(shop: Shop, work: (open: () => Promise<Database>) => Promise<T>): Promise<T> {
  const opened: Database[] = [];
  try {
    return await work(async () => {
      const database = await shop.openAnother();
      opened.push(database);
      return database;
    });
  } finally {
    const pids = (await Promise.all(opened.map(backendsOf))).flat();
    await Promise.all(opened.map((database) => database.close()));
    await untilGone(shop.sql, pids);
  }
}

/** A door that one transaction waits at. */
class Gate {
  /** Opens it for whoever waits, and for ever. */
  open!: () => void;
  /** The process id of the backend whose transaction has arrived. */
  readonly reached: Promise<number>;
  private readonly opened = new Promise<void>((resolve) => (this.open = resolve));
  private arrive!: (pid: number) => void;
  private isTaken = false;

  constructor() {
    this.reached = new Promise((resolve) => (this.arrive = resolve));
  }

  async pass(pid: () => Promise<number>): Promise<void> {
    if (this.isTaken) return;
    this.isTaken = true;
    this.arrive(await pid());
    await this.opened;
  }
}

function stoppingBeforeCommit(database: Database, gate: Gate): Database {
  const stopping =
    (inner: InTransaction): InTransaction =>
    (name, work) =>
      inner(name, async (transaction) => {
        const value = await work(transaction);
        await gate.pass(async () => {
          const [row] = await run<{ pid: number }>(transaction.em, statement`SELECT pg_backend_pid() AS pid`);
          return row!.pid;
        });
        return value;
      });
  return { ...database, inTransaction: stopping(database.inTransaction), inBatch: stopping(database.inBatch) };
}

const WAITING = `
  WITH RECURSIVE blocked AS (
    SELECT pid, pg_blocking_pids(pid) AS by FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'),
  waiting AS (
    SELECT pid FROM blocked WHERE $1 = ANY (by)
    UNION SELECT b.pid FROM blocked b JOIN waiting w ON w.pid = ANY (b.by))
  SELECT count(*)::int AS n FROM waiting`;

/** On Citus the locks are the workers': it tells which of the coordinator's transactions wait for each other there. */
const WAITING_ANYWHERE = `
  WITH RECURSIVE blocked AS MATERIALIZED (SELECT waiting_gpid AS pid, blocking_gpid AS by FROM citus_lock_waits),
  waiting AS (
    SELECT pid FROM blocked WHERE by = (SELECT citus_calculate_gpid(nodeid, $1) FROM pg_dist_node WHERE groupid = 0)
    UNION SELECT b.pid FROM blocked b JOIN waiting w ON w.pid = b.by)
  SELECT count(*)::int AS n FROM waiting`;

/** Until `count` backends wait for a lock of `pid`, or for one that waits for it. */
export async function untilWaiting(sql: Sql, pid: number, count: number): Promise<void> {
  let seen = 0;
  for (const patience = AbortSignal.timeout(PATIENCE_MS); !patience.aborted; await sleep(5)) {
    const [row] = await sql<{ n: number }>(CITUS_URL ? WAITING_ANYWHERE : WAITING, [pid]);
    seen = row!.n;
    if (seen === count) return;
  }
  throw new NoRace(`${seen} of ${count} sides wait for the first one: the race did not take place`);
}

function valuesOf<T>(ends: readonly PromiseSettledResult<T>[]): T[] {
  return ends.map((end) => {
    if (end.status === 'rejected') throw end.reason;
    return end.value;
  });
}

function never(message: string): never {
  throw new NoRace(message);
}
