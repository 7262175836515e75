/**
 * Before all tests: the pages, and one PostgreSQL for the run, in it a migrated database that every test file clones. CITUS_URL
 * names a cluster.
 */
import { resolve } from 'node:path';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/postgres/embedded';
import { migrate } from '../../src/database/migrate';
import { openDatabase } from '../../src/database/database';
import { WritableServer } from '../../src/postgres/primary';
import { closeLogger } from '../../src/telemetry/logger';
import { buildPages } from './build';
import { CITUS_URL } from './citus';
import { beginRun, databaseUrl, dropLeftovers, TEMPLATE, usePooler, type Run } from './cluster';
import tearDown from './global-teardown';
import { testLogger } from './log';
import { findPgBouncer, startPgBouncer, type PgBouncer } from './pgbouncer';

const ROOT = resolve(__dirname, '../..');

/** What the teardown needs; it runs in this very process. */
export interface Started {
  readonly run: Run;
  readonly embedded: EmbeddedPostgres | null;
  pgbouncer: PgBouncer | null;
}

/** Of each test file's database: fewer than its processes open, so that connections are shared in earnest. */
const POOL_SIZE_BEHIND_PGBOUNCER = 10;

/**
 * Tells the tests their cluster, run and template through the environment, see `cluster.ts`. Leaves nothing when it fails.
 * TEST_PGBOUNCER=on: what is tested goes through PgBouncer.
 */
export default async function setUp(): Promise<void> {
  await buildPages();
  const given = CITUS_URL ?? process.env.DATABASE_URL;
  const embedded = given ? null : await startOurs();
  const started = globalThis as { started?: Started };
  try {
    const serverUrl = embedded?.url ?? (await new WritableServer(given!.split(',')).find());
    const run = await beginRun(serverUrl);
    started.started = { run, embedded, pgbouncer: null };
    await dropLeftovers(run);
    // Shards are no part of a clone: there each file makes its own.
    if (!CITUS_URL) await createTemplate(run);
    if (process.env.TEST_PGBOUNCER === 'on') {
      const program = findPgBouncer();
      if (program === null) throw new Error('TEST_PGBOUNCER=on, and pgbouncer is not installed');
      started.started.pgbouncer = await startPgBouncer(program, serverUrl, POOL_SIZE_BEHIND_PGBOUNCER);
      usePooler(started.started.pgbouncer.urlOf(serverUrl));
    }
    forgetEntities();
  } catch (error) {
    // Jest calls no teardown then, and an open connection would keep it alive for ever.
    await tearDown();
    await embedded?.stop();
    throw error;
  }
}

/**
 * MikroORM keeps its metadata on globalThis. Where jest runs the tests in this very process (a single file, or a few fast
 * ones) they would inherit it, and its Maps are of another realm there: "Map.set called on incompatible receiver".
 */
function forgetEntities(): void {
  for (const key of Object.keys(globalThis)) if (key.startsWith('mikro-orm-')) Reflect.deleteProperty(globalThis, key);
}

async function startOurs(): Promise<EmbeddedPostgres> {
  const said: string[] = [];
  try {
    // Durable as in production: fsync on costs the tests little, and what they measure is then what is promised.
    return await startEmbeddedPostgres({ directory: resolve(ROOT, '.data/test'), log: (line) => said.push(line) });
  } catch (error) {
    throw new Error(['the tests have no PostgreSQL:', String(error), ...said].join('\n  '), { cause: error });
  }
}

async function createTemplate(run: Run): Promise<void> {
  const name = run.nameOf(TEMPLATE);
  await run.admin.query(`CREATE DATABASE ${name}`);
  const log = testLogger();
  const url = databaseUrl(name);
  const database = await openDatabase({ url, poolSize: 2, log });
  try {
    await migrate(database, url);
  } finally {
    await database.close();
    await closeLogger(log);
    forgetEntities();
  }
  // Nobody can connect, not even autovacuum: a database that somebody uses cannot be cloned.
  await run.admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
}
