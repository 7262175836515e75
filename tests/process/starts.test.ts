/** Starts that have to wait, or find a database that is not theirs: they say so, and hear the signals that end them. */
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { MIGRATIONS } from '../../migrations';
import { grantsFor } from '../../src/database/grants';
import { migrate } from '../../src/database/migrate';
import { readServerVersion } from '../../src/database/minor-versions';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { buildProject, type Build } from '../support/process';
import { until } from '../support/project-copy';

const LATEST = MIGRATIONS.at(-1)!.name;
const MIGRATION_LOCK = 7_202_611_22;

/** Logs JSON. */
const PRODUCTION = {
  NODE_ENV: 'production',
  JWT_SECRET: 'p'.repeat(32),
  WEBHOOK_SECRETS: `whsec_${Buffer.alloc(24, 1).toString('base64')}`,
};

let db: FreshDatabase;
let build: Build;
beforeAll(async () => {
  [db, build] = await Promise.all([freshDatabase(), buildProject()]);
});
afterAll(async () => {
  await build.remove();
  await db.close();
});

/** Other tests migrate other databases of the same PostgreSQL. */
const MIGRATORS = `application_name = 'flash-sale migrate' AND datname = current_database()`;

/** Another process that migrates, or hangs while it does. */
async function holdMigrationLock(url = db.url, application_name = 'another deployment'): Promise<Client> {
  const client = new Client({ connectionString: url, application_name });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('BEGIN');
  await client.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
  return client;
}

test('a start that waits for a migration logs which session it waits for, and exits 0 on SIGTERM', async () => {
  const elsewhere = await holdMigrationLock(
    Object.assign(new URL(db.url), { pathname: '/postgres' }).href,
    'elsewhere',
  );
  const other = await holdMigrationLock();
  const waiting = build.launch({ DATABASE_URL: db.url });
  try {
    await until(() => waiting.said().includes('waiting for another process'), 'the start says that it waits');
    expect(waiting.said()).toContain('another deployment');
    const { code, stderr } = await waiting.end('SIGTERM');
    expect([code, stderr]).toEqual([0, '']);
  } finally {
    await Promise.all([other.end(), elsewhere.end()]);
  }
});

test('a start that waits for a migration continues when it has ended', async () => {
  const other = await holdMigrationLock();
  const starting = build.start({ DATABASE_URL: db.url });
  await until(async () => (await db.sql(`SELECT FROM pg_stat_activity WHERE ${MIGRATORS}`)).length > 0, 'it waits');
  await other.end();
  expect((await (await starting).end('SIGTERM')).code).toBe(0);
});

test('losing the session while waiting for the migration lock is a one-line error', async () => {
  const other = await holdMigrationLock();
  const waiting = build.launch({ DATABASE_URL: db.url });
  try {
    await until(() => waiting.said().includes('waiting for another process'), 'the start says that it waits');
    await db.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${MIGRATORS}`);
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

/** The tables as the previous release has them. */
async function undoLatestMigration(): Promise<void> {
  await db.sql('ALTER TABLE products DROP COLUMN listed');
  await db.sql('DELETE FROM migrations WHERE name = $1', [LATEST]);
}

describe('a server whose minor version is known to be old', () => {
  const warnings = (said: string) => said.split('\n').filter((line) => line.includes('lacks the security fixes'));

  test('is named in one warning at the start, with the version to install', async () => {
    const version = await readServerVersion(db.database);
    const [major, minor] = [Math.floor(version / 10_000), version % 10_000];
    const server = await build.start({ ...PRODUCTION, DATABASE_URL: db.url });
    const { stdout } = await server.end('SIGTERM');
    const [warning, ...more] = warnings(stdout).map((line) => JSON.parse(line));
    expect(more).toEqual([]);
    expect(warning).toMatchObject({
      level: 'warn',
      event: 'database.warning',
      warning: expect.stringMatching(
        `^PostgreSQL ${major}\\.${minor} lacks the security fixes up to ${major}\\.\\d+: install that minor version`,
      ),
    });
  });

  test('is named without a warning when it is the embedded one, with what it is for', async () => {
    const server = await build.start({});
    const { stdout } = await server.end('SIGTERM');
    const lines = warnings(stdout);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('it is for development, on 127.0.0.1 with a random password; set DATABASE_URL');
    expect(stdout).not.toMatch(/\bWARN\b|"level":"warn"/);
  });
});

describe('a role that may not migrate', () => {
  const role = `server_${randomBytes(4).toString('hex')}`;
  const asRole = () => {
    const url = new URL(db.url);
    url.username = role;
    url.password = 'secret';
    return url.href;
  };
  beforeAll(async () => {
    await db.sql(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
    await db.sql(grantsFor(role));
    await undoLatestMigration();
  });
  afterAll(async () => {
    await db.sql(`DROP OWNED BY ${role}`);
    await db.sql(`DROP ROLE ${role}`);
    await migrate(db.database, db.url);
  });

  test.each([
    ['npm start', 'main.js', []],
    ['npm run db:migrate', 'cli/db.js', ['migrate']],
  ] as const)('%s says which statement failed for it, and which commands to run', async (_name, file, args) => {
    const { code, stderr } = await build.command(file, args, { DATABASE_URL: asRole() });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(
        `^error: The role ${role} may not migrate this database\\. PostgreSQL refused "ALTER TABLE products [^\n]*" ` +
          `of migration ${LATEST}: must be owner of table products\\. [^\n]*db:migrate with the URL of the tables' owner ` +
          `\\(\\w+\\)[^\n]*db:grant -- --role ${role} [^\n]*\n$`,
      ),
    );
  });

  test('db:migrate -- --plan works for it, because it reads only', async () => {
    const { code, stdout } = await build.command('cli/db.js', ['migrate', '--plan'], { DATABASE_URL: asRole() });
    expect([code, stdout]).toEqual([0, expect.stringContaining(`-- ${LATEST}\nALTER TABLE products`)]);
  });
});

test('the statement and the locks of a killed migration end within seconds', async () => {
  await undoLatestMigration();
  await db.sql(`CREATE FUNCTION wait() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); END'`);
  await db.sql(`CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION wait()`);
  const sessions = () => db.sql(`SELECT FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE products %'`);
  try {
    const migrating = build.launch({ DATABASE_URL: db.url }, 'cli/db.js', ['migrate']);
    await until(async () => (await sessions()).length === 1, 'the migration runs');
    await migrating.end('SIGKILL');
    await until(async () => (await sessions()).length === 0, 'PostgreSQL has ended the statement', 30_000);
  } finally {
    await db.sql('DROP EVENT TRIGGER slow');
    await db.sql('DROP FUNCTION wait()');
    await migrate(db.database, db.url);
  }
});
