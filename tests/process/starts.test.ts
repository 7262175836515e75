/** Starts that have to wait, or find a database that is not theirs: they say so, and hear the signals that end them. */
import { Client } from 'pg';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { buildProject, type Build } from '../support/process';
import { until } from '../support/project-copy';

const MIGRATION_LOCK = 7_202_611_22;

let db: FreshDatabase;
let build: Build;
beforeAll(async () => {
  [db, build] = await Promise.all([freshDatabase(), buildProject()]);
});
afterAll(async () => {
  await build.remove();
  await db.close();
});

/** Another process that migrates, or hangs while it does. */
async function holdMigrationLock(): Promise<Client> {
  const client = new Client({ connectionString: db.url, application_name: 'another deployment' });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('BEGIN');
  await client.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
  return client;
}

test('a start that waits for a migration logs which session it waits for, and exits 0 on SIGTERM', async () => {
  const other = await holdMigrationLock();
  const waiting = build.launch({ DATABASE_URL: db.url });
  try {
    await until(() => waiting.said().includes('waiting for another process'), 'the start says that it waits');
    expect(waiting.said()).toContain('another deployment');
    const { code, stderr } = await waiting.end('SIGTERM');
    expect([code, stderr]).toEqual([0, '']);
  } finally {
    await other.end();
  }
});

test('a start that waits for a migration continues when it has ended', async () => {
  const other = await holdMigrationLock();
  const starting = build.start({ DATABASE_URL: db.url });
  await until(
    async () => (await db.sql(`SELECT FROM pg_stat_activity WHERE application_name = 'flash-sale migrate'`)).length > 0,
    'it waits',
  );
  await other.end();
  expect((await (await starting).end('SIGTERM')).code).toBe(0);
});

test('losing the session while waiting for the migration lock is a one-line error', async () => {
  const other = await holdMigrationLock();
  const waiting = build.launch({ DATABASE_URL: db.url });
  try {
    await until(() => waiting.said().includes('waiting for another process'), 'the start says that it waits');
    await db.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flash-sale migrate'`,
    );
    const { code, stderr } = await waiting.ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^error: The connection that is to hold the migration lock was lost \(terminating connection [^\n]*\): start again\n$/,
    );
  } finally {
    await other.end();
  }
});

test('npm run db:migrate says which session it waits for, and ends on Ctrl-C', async () => {
  const other = await holdMigrationLock();
  const waiting = build.launch({ DATABASE_URL: db.url }, 'cli/db.js', ['migrate']);
  try {
    await until(() => waiting.said().includes('another deployment'), 'the command says that it waits');
    expect((await waiting.end('SIGINT')).code).toBe(130);
  } finally {
    await other.end();
  }
});

test('an unknown migration is refused by name unless ACCEPT_MIGRATIONS names it', async () => {
  await db.sql(`INSERT INTO migrations (name) VALUES ('20991231-add-line')`);
  try {
    for (const [file, args] of [
      ['main.js', []],
      ['cli/db.js', ['migrate']],
    ] as const) {
      const { code, stderr } = await build.command(file, args, { DATABASE_URL: db.url });
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /^error: [^\n]*does not know: 20991231-add-line\. [^\n]*ACCEPT_MIGRATIONS=20991231-add-line[^\n]*\n$/,
      );
    }
    const accepting = await build.start({ DATABASE_URL: db.url, ACCEPT_MIGRATIONS: '20991231-add-line' });
    expect((await accepting.fetch('/readyz')).status).toBe(200);
    expect((await accepting.end('SIGTERM')).code).toBe(0);
  } finally {
    await db.sql(`DELETE FROM migrations WHERE name = '20991231-add-line'`);
  }
});

test('a missing column ends the start and is named', async () => {
  await db.sql('ALTER TABLE holds RENAME COLUMN idempotency_key TO key');
  try {
    const { code, stderr } = await build.command('main.js', [], { DATABASE_URL: db.url });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: [^\n]*the column holds\.idempotency_key is missing[^\n]*\n$/);
  } finally {
    await db.sql('ALTER TABLE holds RENAME COLUMN key TO idempotency_key');
  }
});
