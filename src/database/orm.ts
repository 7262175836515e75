/** The connection to PostgreSQL: two pools, one for group commits and one for everything else, on the writable server. */
import type { Socket } from 'node:net';
import { MikroORM, PostgreSqlKnexDialect, type EntityManager } from '@mikro-orm/postgresql';
import { Migrator } from '@mikro-orm/migrations';
import { Client } from 'pg';
import { MIGRATIONS } from '../../migrations';
import { Busy, Unavailable } from '../domain/errors';
import type { Logger } from '../telemetry/logger';
import { isDistributedAt, markDistributed } from './citus';
import { ENTITIES } from './entities';
import { classify } from './failures';
import {
  BEGIN_WITH_LIMITS,
  BEGIN_WITH_LIMITS_EVERYWHERE,
  RETRY_AFTER_MS,
  transactionsOf,
  type InTransaction,
} from './transaction';

export interface Database {
  /** Its tables are spread over the workers of a Citus coordinator. Known once the database has answered anything. */
  readonly isDistributed: boolean;
  /** For the migrator, the seeder and the schema tools. */
  readonly orm: MikroORM;
  /** Use cases, one transaction each. */
  readonly inTransaction: InTransaction;
  /** How many group commits may be in flight. */
  readonly batchConnections: number;
  /** Group commits: a pool of their own, so that neither slow reads nor another product's stopped lock can starve them. */
  readonly inBatch: InTransaction;
  /** A read outside of any transaction. Throws `Busy` when the pool is full, `Unavailable` when the database does not answer. */
  read<T>(work: (em: EntityManager) => Promise<T>): Promise<T>;
  /** A read of a group commit, before it takes its lock. */
  readForBatch<T>(work: (em: EntityManager) => Promise<T>): Promise<T>;
  /** How many wait for a connection of the pools at this moment. */
  waiting(): number;
  close(): Promise<void>;
}

/** How long a request may wait for a connection of the pool, in ms; then it is BUSY. */
const POOL_WAIT_MS = 2_000;
/** How long a new connection may take, in ms: a database that is away is told within a second. */
const CONNECT_MS = 900;

/**
 * How long an answer of PostgreSQL is waited for, in ms. Longer than any statement may take there (5 s), so it is over only
 * when nobody is left to answer: a stopped backend, a dead machine, a network that swallows everything. Nothing on the
 * server's side ends such a wait, and pg's own `query_timeout` would leave the connection in use with its answer pending.
 */
const ANSWER_MS = 6_000;
/** A ROLLBACK does next to nothing. knex gives it 5 s, and would then hand out the connection that still waits for it. */
const ROLLBACK_ANSWER_MS = 2_000;

/**
 * Sends the limits of every transaction with its BEGIN (connection options do not survive PgBouncer), and gives up a
 * connection that does not answer: its query fails as lost, and the pool makes a new one.
 */
class BoundedDialect extends PostgreSqlKnexDialect {
  protected begin(): string {
    return BEGIN_WITH_LIMITS;
  }

  transaction(...args: unknown[]): unknown {
    const transaction = knex.transaction.apply(this, args);
    const beginning = this.begin();
    transaction.begin = async (connection) => {
      try {
        // Not `transaction.query`, which knex begins with: that swallows the error, hands out the transaction all the same,
        // and lets its first statement fail with "Transaction query already complete", of which nobody can tell the reason.
        return await transaction.trxClient.query(connection, beginning);
      } catch (error) {
        connection.__knex__disposed = error; // it may be in a transaction that is aborted
        throw error;
      }
    };
    return transaction;
  }

  _query(connection: Connection, query: { sql: string }): Promise<unknown> {
    const patience = query.sql === 'ROLLBACK' ? ROLLBACK_ANSWER_MS : ANSWER_MS;
    const watchdog = setTimeout(() => {
      const error = new Error(`PostgreSQL has not answered for ${patience} ms`);
      connection.connection.stream.destroy(Object.assign(error, { code: 'ETIMEDOUT' }));
    }, patience);
    return knex._query.call(this, connection, query).finally(() => clearTimeout(watchdog));
  }
}

/** On Citus the limits reach the workers too: they are where the locks are. */
const dialectOf = (layout: Layout) =>
  class extends BoundedDialect {
    protected override begin(): string {
      return layout.isDistributed ? BEGIN_WITH_LIMITS_EVERYWHERE : BEGIN_WITH_LIMITS;
    }
  };

/** Of the tables. null: the database was away, and is asked before it is used. */
interface Layout {
  isDistributed: boolean | null;
}

/** knex's own classes have these; MikroORM's types do not show them. */
interface Knex {
  transaction(...args: unknown[]): Transaction;
  _query(connection: Connection, query: { sql: string }): Promise<unknown>;
}
interface Transaction {
  begin(connection: Connection): Promise<unknown>;
  readonly trxClient: { query(connection: Connection, sql: string): Promise<unknown> };
}
interface Connection {
  /** Set: the pool gives the connection up instead of handing it out. */
  __knex__disposed?: unknown;
  readonly connection: { readonly stream: Socket };
}
const knex = PostgreSqlKnexDialect.prototype as unknown as Knex;

export interface DatabaseOptions {
  readonly url: string;
  /** Of each of the two pools. */
  readonly poolSize: number;
  readonly log: Logger;
  /** Is told why whenever a transaction is run again. */
  readonly onRetry?: (reason: string) => void;
}

/**
 * Opens the pools; their first connection is made when the first statement needs it. Another one is made at once, to learn
 * whether the tables are distributed; of a database that is away it is learned before its first use.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { log, onRetry } = options;
  const layout: Layout = { isDistributed: null };
  const [orm, batchOrm] = await Promise.all([openPool(options, layout), openPool(options, layout)]);
  const learn = async () => {
    layout.isDistributed = await isDistributedAt(options.url, CONNECT_MS);
    if (layout.isDistributed) for (const { em } of [orm, batchOrm]) markDistributed(em);
  };
  // Whoever comes meanwhile shares the look.
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
    (pool: MikroORM): Database['read'] =>
    (work) =>
      layout.isDistributed === null ? learned().then(() => readWith(pool, work)) : readWith(pool, work);
  return {
    get isDistributed() {
      return layout.isDistributed === true;
    },
    orm,
    inTransaction: transactionsWith(orm),
    batchConnections: options.poolSize,
    inBatch: transactionsWith(batchOrm),
    read: readsWith(orm),
    readForBatch: readsWith(batchOrm),
    waiting: () => waitingOf(orm) + waitingOf(batchOrm),
    close: async () => {
      await Promise.all([orm.close(true), batchOrm.close(true)]);
    },
  };
}

function openPool({ url, poolSize, log }: DatabaseOptions, layout: Layout): Promise<MikroORM> {
  const debug = log.isLevelEnabled('debug');
  return MikroORM.init({
    clientUrl: url,
    entities: ENTITIES,
    connect: false,
    discovery: { warnWhenNoEntities: false },
    extensions: [Migrator],
    // The pool's own timeout for a new connection is the later one: pg's error says that nobody answers, the pool's would
    // say that the pool is full.
    pool: { min: 0, max: poolSize, acquireTimeoutMillis: POOL_WAIT_MS, createTimeoutMillis: 2 * CONNECT_MS },
    driverOptions: {
      client: dialectOf(layout),
      acquireConnectionTimeout: POOL_WAIT_MS,
      log: knexLog(log),
      connection: { application_name: 'flash-sale', connectionTimeoutMillis: CONNECT_MS, keepAlive: true },
    },
    migrations: { migrationsList: MIGRATIONS, snapshot: false, tableName: 'migrations', silent: true },
    debug: debug ? ['query', 'query-params'] : false,
    colors: false,
    logger: (message) => log.debug({ event: 'sql' }, message),
  });
}

/** knex would print to the console that a connection was lost; whoever used it is told by its error. */
function knexLog(log: Logger) {
  const debug = (message: unknown) => log.debug({ event: 'database.connection' }, String(message));
  return { warn: debug, error: debug, deprecate: debug, debug };
}

/** tarn's pool, which knex does not show in its types. */
function waitingOf(orm: MikroORM): number {
  const { pool } = orm.em.getKnex().client as { pool?: { numPendingAcquires(): number } };
  return pool?.numPendingAcquires() ?? 0;
}

async function readWith<T>(orm: MikroORM, work: (em: EntityManager) => Promise<T>): Promise<T> {
  try {
    return await work(orm.em.fork({ clear: true }) as EntityManager);
  } catch (error) {
    const failure = classify(error);
    if (failure.kind === 'bug') throw error;
    // Nothing was asked of anybody yet: of a mutation that only looked so far, it is BUSY.
    if (failure.kind === 'busy') throw new Busy(RETRY_AFTER_MS, { cause: error });
    throw new Unavailable({ cause: error });
  }
}

/** Of several servers, the one that takes writes. With one URL there is nothing to choose. */
export async function writableUrl(urls: readonly string[]): Promise<string> {
  if (urls.length === 1) return urls[0]!;
  const problems: string[] = [];
  for (const url of urls) {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS });
    try {
      await client.connect();
      const { rows } = await client.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby');
      if (!rows[0]!.standby) return url;
      problems.push('a standby');
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  throw new Error(`none of the ${urls.length} servers in DATABASE_URL takes writes: ${problems.join('; ')}`);
}
