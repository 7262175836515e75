/** One PostgreSQL database for one test file, cloned from the run's migrated template; with CITUS_URL, one spread over a cluster. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool, type Client } from 'pg';
import { openDatabase, type Database } from '../../src/database/database';
import { closeLogger, type Logger } from '../../src/telemetry/logger';
import { createDatabase, createTables } from '../../src/tools/load/scratch-database';
import { CITUS_URL, SHARDS } from './citus';
import { connectAdmin, databaseUrl, drop, nameOf, servedUrl, TEMPLATE } from './cluster';
import { testLogger } from './log';

/** For asserting and back-dating, on connections of their own: `bigint` comes as text, `timestamptz` as Date. */
export type Sql = <Row = Record<string, unknown>>(text: string, values?: readonly unknown[]) => Promise<Row[]>;

export interface FreshDatabase {
  readonly url: string;
  readonly database: Database;
  readonly log: Logger;
  readonly sql: Sql;
  /** Another process, as far as PostgreSQL can tell: pools of its own on the same database. Whoever opens it closes it. */
  openAnother(): Promise<Database>;
  /** Drops the database. Throws when somebody is still connected to it: a leak of the test or of what it tests. */
  close(): Promise<void>;
}

const POOL_SIZE = 8;
/** PostgreSQL's processes end a moment after their connections were closed, in ms. */
const LEAVE_WITHIN_MS = 10_000;

/**
 * Call it in `beforeAll`, and `close` in `afterAll`. Empty but for the tables. Takes some 50 ms; on Citus 2 s. `isDirect`: past
 * a PgBouncer of the run.
 */
export async function freshDatabase({
  poolSize = POOL_SIZE,
  leaveWithinMs = LEAVE_WITHIN_MS,
  isDirect = false,
} = {}): Promise<FreshDatabase> {
  const name = nameOf(randomBytes(4).toString('hex'));
  const url = isDirect ? databaseUrl(name) : servedUrl(name);
  const isPooled = url !== databaseUrl(name);
  const admin = await connectAdmin('flashsale tests');
  const log = testLogger();
  if (CITUS_URL) await createTables(await createDatabase({ admin, url: CITUS_URL }, name, { shards: SHARDS }), log);
  else await admin.query(`CREATE DATABASE ${name} TEMPLATE ${nameOf(TEMPLATE)}`);

  const open = () => openDatabase({ url, poolSize, log });
  const database = await open();
  const pool = new Pool({ connectionString: databaseUrl(name), max: 4, application_name: 'test assertions' });
  pool.on('error', () => undefined);

  return {
    url,
    database,
    log,
    sql: async (text, values) => (await pool.query(text, values && [...values])).rows,
    openAnother: open,
    close: async () => {
      await Promise.all([database.close(), pool.end()]);
      await closeLogger(log);
      // PgBouncer keeps its own connections, whoever leaves.
      const left = isPooled ? [] : await untilAllLeft(admin, name, leaveWithinMs);
      await drop(admin, name);
      await admin.end();
      if (left.length > 0) throw new Error(`still connected to the test's database:\n  ${left.join('\n  ')}`);
    },
  };
}

async function untilAllLeft(admin: Client, name: string, withinMs: number): Promise<string[]> {
  for (const patience = AbortSignal.timeout(withinMs); ; await sleep(10)) {
    const { rows } = await admin.query<{ who: string }>(
      `SELECT concat_ws(', ', pid, application_name, state, query) AS who FROM pg_stat_activity
       WHERE datname = $1 AND backend_type = 'client backend' AND application_name NOT LIKE 'citus%'`,
      [name],
    );
    if (rows.length === 0 || patience.aborted) return rows.map((row) => row.who);
  }
}

/** The process ids of PostgreSQL behind both pools. */
export async function backendsOf(database: Database): Promise<number[]> {
  const knexes = [database.orm.em.getKnex(), await database.readForBatch(async (em) => em.getKnex())];
  return knexes.flatMap(({ client }) => {
    const { used, free } = (client as { pool: Record<'used' | 'free', { resource: { processID: number } }[]> }).pool;
    return [...used, ...free].map(({ resource }) => resource.processID);
  });
}

/** Until these processes have ended: what PostgreSQL counted of them is then in its statistics. */
export async function untilGone(sql: Sql, pids: readonly number[]): Promise<void> {
  for (const patience = AbortSignal.timeout(LEAVE_WITHIN_MS); ; await sleep(5)) {
    const left = await sql('SELECT pid, state, query FROM pg_stat_activity WHERE pid = ANY ($1)', [pids]);
    if (left.length === 0) return;
    if (patience.aborted) throw new Error(`connections are still open: ${JSON.stringify(left)}`);
  }
}

/** Until some backend of this database waits for a lock. */
export async function untilSomebodyWaits(sql: Sql): Promise<void> {
  for (const patience = AbortSignal.timeout(LEAVE_WITHIN_MS); ; await sleep(5)) {
    const [row] = await sql<{ n: number }>(
      CITUS_URL
        ? 'SELECT count(*)::int AS n FROM citus_lock_waits'
        : "SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    if (row!.n > 0) return;
    if (patience.aborted) throw new Error('nobody waits for a lock');
  }
}
