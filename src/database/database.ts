/**
 * The database as the rooms above see it: a pool for group commits, one for everything else, and a connection each for live
 * stock and for readiness.
 */
import type { EntityManager, MikroORM } from '@mikro-orm/postgresql';
import { Unavailable } from '../domain/errors';
import { isDistributedAt, markDistributed } from '../postgres/citus';
import { openPool, readWith, waitingOf, type Layout } from '../postgres/pools';
import { CONNECT_MS, WritableServer } from '../postgres/primary';
import { transactionsOf, type InTransaction } from '../postgres/transaction';
import type { Logger } from '../telemetry/logger';
import { ENTITIES } from './entities';

export type Read = <T>(work: (em: EntityManager) => Promise<T>) => Promise<T>;

export interface Database {
  /** The tables are distributed by Citus. Known once the database has answered. */
  readonly isDistributed: boolean;
  /** For migrations, the check of the tables, and tests. */
  readonly orm: MikroORM;
  /** Use cases, one transaction each. */
  readonly inTransaction: InTransaction;
  /** Group commits use a separate pool, so that neither slow reads nor a stuck lock of another product can starve them. */
  readonly inBatch: InTransaction;
  /** A read outside of any transaction. Throws `Busy` when the pool is full, `Unavailable` when the database does not answer. */
  read<T>(work: (em: EntityManager) => Promise<T>): Promise<T>;
  /** A read of a group commit, before it takes its lock. */
  readForBatch<T>(work: (em: EntityManager) => Promise<T>): Promise<T>;
  /** A read of live stock on a separate connection, so that watchers get updates even when the pools are full. */
  readWatched<T>(work: (em: EntityManager) => Promise<T>): Promise<T>;
  /**
   * Checks that the database answers, on a separate connection: a full pool is no reason to send shoppers to another
   * server, whose pool is as full. Concurrent calls share the answer. Throws `Unavailable`.
   */
  ping(): Promise<void>;
  /** Requests that wait for a connection of the pools now. */
  waiting(): number;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** Of several servers, the one that takes writes is used, whichever that is at the moment. */
  readonly url: string | readonly string[];
  /** Of each of the two pools. */
  readonly poolSize: number;
  readonly log: Logger;
  /** Called with the reason when a transaction runs again. */
  readonly onRetry?: (reason: string) => void;
}

/**
 * Opens the pools; their first connection is made when the first statement needs it. Another one is made at once, to learn
 * whether the tables are distributed; of a database that is away it is learned before its first use.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { log, onRetry } = options;
  const server = new WritableServer([options.url].flat());
  const layout: Layout = { isDistributed: null };
  const stored = { entities: ENTITIES, log };
  const [url] = [options.url].flat() as [string];
  const { poolSize } = options;
  const pools = await Promise.all(
    [poolSize, poolSize, 1, 1].map((size) => openPool({ ...stored, server, layout, url, size })),
  );
  const [orm, batchOrm, watchOrm, pingOrm] = pools as [MikroORM, MikroORM, MikroORM, MikroORM];
  const learn = async () => {
    layout.isDistributed = await isDistributedAt(await server.find(), CONNECT_MS);
    if (layout.isDistributed) for (const { em } of pools) markDistributed(em);
  };
  // Concurrent callers share one query.
  let learning: Promise<void> | null = null;
  const learned = () =>
    (learning ??= learn()
      .catch((cause: unknown) => Promise.reject(new Unavailable({ cause })))
      .finally(() => (learning = null)));
  await learned().catch(() => undefined);
  const transactionsWith = (pool: MikroORM): InTransaction => {
    const run = transactionsOf(() => pool.em.fork({ clear: true }), log, onRetry);
    return (name, work) => (layout.isDistributed === null ? learned().then(() => run(name, work)) : run(name, work));
  };
  const readsWith =
    (pool: MikroORM): Read =>
    (work) =>
      layout.isDistributed === null ? learned().then(() => readWith(pool, work)) : readWith(pool, work);
  const read = readsWith(orm);
  const ping = readsWith(pingOrm);
  let pinging: Promise<void> | null = null;
  return {
    get isDistributed() {
      return layout.isDistributed === true;
    },
    orm,
    inTransaction: transactionsWith(orm),
    inBatch: transactionsWith(batchOrm),
    read,
    readForBatch: readsWith(batchOrm),
    readWatched: readsWith(watchOrm),
    ping: () => (pinging ??= ping(async (em) => void (await em.execute('SELECT 1'))).finally(() => (pinging = null))),
    waiting: () => waitingOf(orm) + waitingOf(batchOrm),
    close: async () => {
      await Promise.all(pools.map((own) => own.close(true)));
    },
  };
}
