/** The connection to PostgreSQL: two pools, one for group commits and one for everything else, on the writable server. */
import { MikroORM, PostgreSqlKnexDialect, type EntityManager } from '@mikro-orm/postgresql';
import { Migrator } from '@mikro-orm/migrations';
import { SeedManager } from '@mikro-orm/seeder';
import { Client } from 'pg';
import { MIGRATIONS } from '../../migrations';
import { Unavailable } from '../domain/errors';
import type { Logger } from '../telemetry/logger';
import { ENTITIES } from './entities';
import { classify } from './failures';
import { BEGIN_WITH_LIMITS, transactionsOf, type InTransaction } from './transaction';

export interface Database {
  /** For the migrator, the seeder and the schema tools. */
  readonly orm: MikroORM;
  /** Use cases, one transaction each. */
  readonly inTransaction: InTransaction;
  /** Group commits: a pool of their own, so that neither slow reads nor another product's stopped lock can starve them. */
  readonly inBatch: InTransaction;
  /** A read outside of any transaction. Throws `Unavailable` when the database does not answer. */
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

/** Sends the limits of every transaction with its BEGIN: connection options do not survive PgBouncer. */
class BoundedDialect extends PostgreSqlKnexDialect {
  transaction(...args: unknown[]): unknown {
    // knex's own class has it; MikroORM's types do not show it.
    const parent = Object.getPrototypeOf(BoundedDialect.prototype) as { transaction(...a: unknown[]): BeginsWith };
    const transaction = parent.transaction.apply(this, args);
    transaction.begin = (connection) => transaction.query(connection, BEGIN_WITH_LIMITS);
    return transaction;
  }
}

interface BeginsWith {
  begin(connection: unknown): Promise<unknown>;
  query(connection: unknown, sql: string): Promise<unknown>;
}

export interface DatabaseOptions {
  readonly url: string;
  /** Of each of the two pools. */
  readonly poolSize: number;
  readonly log: Logger;
  /** Is told why whenever a transaction is run again. */
  readonly onRetry?: (reason: string) => void;
}

/** Opens the pools; the first connection is made when the first statement needs it. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { log, onRetry } = options;
  const [orm, batchOrm] = await Promise.all([openPool(options), openPool(options)]);
  return {
    orm,
    inTransaction: transactionsOf(() => orm.em.fork({ clear: true }), log, onRetry),
    inBatch: transactionsOf(() => batchOrm.em.fork({ clear: true }), log, onRetry),
    read: (work) => readWith(orm, work),
    readForBatch: (work) => readWith(batchOrm, work),
    waiting: () => waitingOf(orm) + waitingOf(batchOrm),
    close: async () => {
      await Promise.all([orm.close(true), batchOrm.close(true)]);
    },
  };
}

function openPool({ url, poolSize, log }: DatabaseOptions): Promise<MikroORM> {
  const debug = log.isLevelEnabled('debug');
  return MikroORM.init({
    clientUrl: url,
    entities: ENTITIES,
    connect: false,
    discovery: { warnWhenNoEntities: false },
    extensions: [Migrator, SeedManager],
    pool: { min: 0, max: poolSize, acquireTimeoutMillis: POOL_WAIT_MS, createTimeoutMillis: CONNECT_MS },
    driverOptions: {
      client: BoundedDialect,
      acquireConnectionTimeout: POOL_WAIT_MS,
      connection: { application_name: 'flash-sale', connectionTimeoutMillis: CONNECT_MS, keepAlive: true },
    },
    migrations: { migrationsList: MIGRATIONS, snapshot: false, tableName: 'migrations', silent: true },
    debug: debug ? ['query', 'query-params'] : false,
    colors: false,
    logger: (message) => log.debug({ event: 'sql' }, message),
  });
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
