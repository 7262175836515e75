/** The npm commands against a running server, and the purchase that README.md shows. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { projectPath } from '../../src/config';
import { connectAdmin, databaseUrl, drop, nameOf } from '../support/cluster';
import { freshDatabase, untilSomebodyWaits, type FreshDatabase } from '../support/database';
import { expectClean } from '../support/invariants';
import { buildProject, type Build, type Ended, type RunningServer } from '../support/process';

let db: FreshDatabase;
let build: Build;
let server: RunningServer;
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  [db, build] = await Promise.all([freshDatabase(), buildProject()]);
  server = await build.start({ DATABASE_URL: db.url });
  env = { DATABASE_URL: db.url, PORT: new URL(server.url).port };
});
afterAll(async () => {
  await build.remove();
  await db.close();
});

const scripts = JSON.parse(readFileSync(projectPath('package.json'), 'utf8')).scripts as Record<string, string>;
/** The compiled file and the arguments that `npm run <name>` starts. */
function commandOf(name: string): [string, string[]] {
  const [, file, args] = /^exec node(?: --[\w=-]+)* src\/cli\/run\.mjs src\/(\S+\.js) ?([^;&|)]*)$/.exec(
    scripts[name]!,
  )!;
  return [file!, args!.split(' ').filter(Boolean)];
}
const npmRun = (name: string, ...args: string[]): Promise<Ended> => {
  const [file, own] = commandOf(name);
  return build.command(file, [...own, ...args], env);
};

const COMMANDS = Object.keys(scripts).filter((name) =>
  / src\/cli\/run\.mjs src\/\S+\.js[^;&|)]*$/.test(scripts[name]!),
);

test('the commands in package.json are found', () => {
  expect(COMMANDS).toEqual(
    expect.arrayContaining([
      'start',
      'db:migrate',
      'db:seed',
      'db:reset',
      'schema:emit',
      'token',
      'webhook:send',
      'reconcile',
    ]),
  );
});

/** The server's build leaves the tools out, so they run from their sources. */
function helpOf(name: string): Promise<Ended> {
  const [file] = commandOf(name);
  if (!file.startsWith('tools/')) return npmRun(name, '--help');
  const source = projectPath('src', file.replace(/\.js$/, '.ts'));
  const args = ['-r', projectPath('tests', 'support', 'typescript.cjs'), source, '--help'];
  return new Promise((resolve) =>
    execFile(process.execPath, args, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    ),
  );
}

test.each(COMMANDS)('npm run %s -- --help prints its usage and does nothing', async (name) => {
  const before = await db.sql('SELECT count(*)::int AS n FROM products');
  const { code, stdout, stderr } = await helpOf(name);
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^Usage: /);
  expect(await db.sql('SELECT count(*)::int AS n FROM products')).toEqual(before);
});

test.each(['start', 'schema:emit', 'db:reset'])('npm run %s refuses an unknown option', async (name) => {
  const { code, stderr } = await npmRun(name, '--no-such-option');
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/^error: /);
  expect(stderr).not.toMatch(/\bat \S+ \(/);
});

describe('npm run token', () => {
  test('npm run token prints only a token, which the server accepts', async () => {
    const { code, stdout, stderr } = await npmRun('token', '--sub', 'zoe');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^\S+\n$/);
    const { body } = await server.gql('{ orders { edges { cursor } } }', null, stdout.trim());
    expect(body).toEqual({ data: { orders: { edges: [] } } });
    expect(
      (await server.gql('{ paymentEvents { edges { cursor } } }', null, stdout.trim())).body.errors![0]!.extensions!
        .code,
    ).toBe('FORBIDDEN');
  });

  test('npm run token --role admin prints an admin’s token', async () => {
    const { stdout } = await npmRun('token', '--sub', 'zoe', '--role', 'admin');
    expect(
      (await server.gql('{ paymentEvents { edges { cursor } } }', null, stdout.trim())).body.errors,
    ).toBeUndefined();
  });

  test('npm run token without a customer exits with 2 and names the option', async () => {
    const { code, stderr } = await npmRun('token');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: .*--sub/);
  });
});

describe('npm run webhook:send', () => {
  test('npm run webhook:send delivers a hundred copies at once, all acknowledged, with one effect', async () => {
    const product = await server.product(3);
    const order = await server.order((await server.hold(product.id)).id);
    const sent = await npmRun('webhook:send', '--type', 'payment.succeeded', '--reference', order.id, '--times', '100');
    expect([sent.code, sent.stderr]).toEqual([0, '']);
    expect(
      sent.stdout
        .trim()
        .split('\n')
        .map((line) => line.replace(/evt_[\w-]+/, 'E'))
        .sort(),
    ).toEqual([
      `1 × 200 {"event_id":"E","outcome":"APPLIED","duplicate":false,"order_id":"${order.id}"}`,
      `99 × 200 {"event_id":"E","outcome":"APPLIED","duplicate":true,"order_id":"${order.id}"}`,
    ]);
    const { body } = await server.gql(`{ order(id: "${order.id}") { status } }`);
    expect(body.data.order.status).toBe('PAID');
  });

  test('npm run webhook:send prints the answers to a wrong amount, a bad signature and a conflict', async () => {
    const product = await server.product(3);
    const hold = await server.hold(product.id, {}, server.tokens.alice);
    const send = (...args: string[]) => npmRun('webhook:send', '--reference', hold.id, ...args);
    const bad = await send('--type', 'payment.succeeded', '--bad-signature');
    expect([bad.code, bad.stdout]).toEqual([0, expect.stringMatching(/^1 × 401 /)]);
    const parked = await send('--type', 'payment.succeeded', '--amount-minor', '1', '--event-id', 'evt_command');
    expect([parked.code, parked.stdout]).toEqual([0, expect.stringContaining('"outcome":"PARKED"')]);
    const conflict = await send('--type', 'payment.failed', '--event-id', 'evt_command');
    expect([conflict.code, conflict.stdout]).toEqual([1, expect.stringMatching(/^1 × 409 /)]);
    const early = await send('--type', 'payment.succeeded', '--delay-ms', '10');
    expect([early.code, early.stdout]).toEqual([0, expect.stringContaining('"outcome":"APPLIED"')]);
  });

  test('npm run webhook:send says in one line that no server answers', async () => {
    const { code, stderr } = await build.command(
      'cli/webhook-send.js',
      ['--type', 'payment.failed', '--reference', 'x', '--amount-minor', '1', '--currency', 'USD'],
      { ...env, PORT: '9' },
    );
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: [^\n]+\n$/)]);
  });
});

describe('npm run reconcile', () => {
  test('npm run reconcile finds no violation while a server runs, in words and as JSON', async () => {
    const { code, stdout } = await npmRun('reconcile');
    expect([code, stdout]).toEqual([0, expect.stringMatching(/\S/)]);
    const json = await npmRun('reconcile', '--json');
    expect(json.code).toBe(0);
    expect(JSON.parse(json.stdout)).toMatchObject({ violations: [] });
  });

  test('npm run reconcile exits with 1 when a promise is broken', async () => {
    const product = await server.product(3);
    await db.sql('UPDATE stock SET available = available - 1 WHERE product_id = $1', [product.id]);
    const broken = await npmRun('reconcile', '--json');
    await db.sql('UPDATE stock SET available = available + 1 WHERE product_id = $1', [product.id]);
    expect(broken.code).toBe(1);
    const { violations } = JSON.parse(broken.stdout) as { violations: { promise: string }[] };
    expect(new Set(violations.map(({ promise }) => promise))).toEqual(new Set(['P1']));
    await expectClean(db);
  });
});

test('npm run db:migrate -- --help names its exit codes', async () => {
  const { stdout } = await npmRun('db:migrate', '--help');
  for (const code of [0, 1, 2, 130]) expect(stdout).toMatch(new RegExp(`^ +${code} +\\S`, 'm'));
});

describe('npm run db:*', () => {
  const name = nameOf(randomBytes(4).toString('hex'));
  const own = { DATABASE_URL: databaseUrl(name) };
  const db = (command: string) => build.command('cli/db.js', [command], own);
  const withAdmin = async <T>(work: (admin: Awaited<ReturnType<typeof connectAdmin>>) => Promise<T>): Promise<T> => {
    const admin = await connectAdmin('flashsale tests');
    try {
      return await work(admin);
    } finally {
      await admin.end();
    }
  };
  beforeAll(() => withAdmin((admin) => admin.query(`CREATE DATABASE ${name}`)));
  afterAll(() => withAdmin((admin) => drop(admin, name)));

  test('of two concurrent db:migrate one migrates, and a second db:seed adds nothing', async () => {
    const migrated = await Promise.all([db('migrate'), db('migrate')]);
    expect(migrated.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ''],
      [0, ''],
    ]);
    expect(migrated.filter(({ stdout }) => stdout.startsWith('Migrated: '))).toHaveLength(1);
    for (const round of [1, 2]) expect({ round, ...(await db('seed')) }).toMatchObject({ code: 0, stderr: '' });
  });

  test('db:migrate -- --plan prints the pending SQL, which psql can run, and then nothing to migrate', async () => {
    await db('migrate');
    const client = new Client({ connectionString: own.DATABASE_URL });
    await client.connect();
    try {
      await client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
      const plan = () => build.command('cli/db.js', ['migrate', '--plan'], own);
      const planned = await plan();
      expect([planned.code, planned.stderr]).toEqual([0, '']);
      expect(planned.stdout).toMatch(/^BEGIN;\n-- 20261122-create-checkout\nCREATE TABLE [^]*\nCOMMIT;\n$/);
      expect(await plan()).toEqual(planned);
      await client.query(planned.stdout);
      expect(await plan()).toEqual({ code: 0, stdout: '-- Nothing to migrate.\n', stderr: '' });
      expect(await db('migrate')).toEqual({ code: 0, stdout: 'Nothing to migrate.\n', stderr: '' });
      await db('seed');
    } finally {
      await client.end();
    }
  });

  // As two servers do that start at once on an empty database.
  test('two concurrent db:seed add each missing product once', async () => {
    const other = new Client({ connectionString: own.DATABASE_URL });
    // A connection of its own, because pg_stat_activity does not change within a transaction.
    const watcher = new Client({ connectionString: own.DATABASE_URL });
    await Promise.all([other.connect(), watcher.connect()]);
    try {
      await other.query('DELETE FROM stock_adjustments; DELETE FROM stock; DELETE FROM products');
      await other.query('BEGIN');
      await other.query(`INSERT INTO products (id, sku, name, price_minor, currency)
        VALUES ('01930000-0000-7000-8000-000000000001', 'SNEAKER-AURORA', 'Aurora', 1, 'USD')`);
      await other.query(
        `INSERT INTO stock (product_id, total, available) VALUES ('01930000-0000-7000-8000-000000000001', 0, 0)`,
      );
      const seeding = db('seed');
      await untilSomebodyWaits(async (text) => (await watcher.query(text)).rows);
      await other.query('COMMIT');
      expect(await seeding).toMatchObject({ code: 0, stderr: '' });
    } finally {
      await Promise.all([other.end(), watcher.end()]);
      await db('seed');
    }
  });

  test('a running server continues to serve after db:reset', async () => {
    const running = await build.start(own);
    const { body } = await running.gql('{ products { edges { node { id } } } }');
    expect(body.data.products.edges).toHaveLength(5);
    const extra = await running.product(1);
    expect(await db('reset')).toMatchObject({ code: 0, stderr: '' });
    expect((await running.gql(`{ product(id: "${extra.id}") { id } }`)).body).toEqual({ data: { product: null } });
    expect((await running.hold(body.data.products.edges[0].node.id, {}, running.tokens.alice)).status).toBe('ACTIVE');
    expect((await running.end('SIGTERM')).code).toBe(0);
    await expectClean({ url: own.DATABASE_URL });
  });

  test('db:migrate in production needs only the database, none of the server’s secrets', async () => {
    const env = { ...own, NODE_ENV: 'production' };
    expect(await build.command('cli/db.js', ['migrate'], env)).toEqual({
      code: 0,
      stdout: 'Nothing to migrate.\n',
      stderr: '',
    });
    const without = await build.command('cli/db.js', ['migrate'], { NODE_ENV: 'production' });
    expect([without.code, without.stderr]).toEqual([1, expect.stringContaining('DATABASE_URL must be set')]);
    expect(without.stderr).not.toContain('JWT_SECRET');
  });

  test('db:reset is refused in production', async () => {
    const { code, stderr } = await build.command('cli/db.js', ['reset'], {
      ...own,
      NODE_ENV: 'production',
      JWT_SECRET: 'p'.repeat(32),
      WEBHOOK_SECRETS: `whsec_${Buffer.alloc(24, 1).toString('base64')}`,
    });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: [^\n]*production[^\n]*\n$/)]);
  });
});

describe('the purchase in README.md', () => {
  const section = /^## One purchase$([^]*?)^## /m.exec(readFileSync(projectPath('README.md'), 'utf8'))![1]!;
  const blocks = [...section.matchAll(/^```(\w+)\n([^]*?)^```/gm)].map(([, language, text]) => ({
    language,
    text: text!,
  }));
  const blocksIn = (language: string) => blocks.filter((block) => block.language === language).map(({ text }) => text);
  /** A printed answer as a matcher: "…" stands for any text. */
  const printed = (json: string) => JSON.parse(json, (_key, value) => (value === '…' ? expect.any(String) : value));

  /** `npm run` as the page prints it, of the build that is tested and on the same server. */
  async function npmOfTheBuild(): Promise<string> {
    const bin = join(build.directory, 'bin');
    await mkdir(bin);
    const cases = COMMANDS.map((name) => {
      const [file, args] = commandOf(name);
      return `${name}) shift; [ "$1" = -- ] && shift; exec '${process.execPath}' '${join(build.directory, 'dist', 'src', file)}' ${args.join(' ')} "$@";;`;
    });
    const script = `#!/bin/sh\n[ "$1" = run ] && shift\n[ "$1" = --silent ] && shift\ncase "$1" in\n${cases.join('\n')}\nesac\necho "npm $*: no such command" >&2; exit 9\n`;
    await writeFile(join(bin, 'npm'), script);
    await chmod(join(bin, 'npm'), 0o755);
    return bin;
  }

  test('answers what the page prints, ends in a paid order, and keeps every promise', async () => {
    const [hold, order] = blocksIn('graphql');
    const [heldAnswer, orderedAnswer] = blocksIn('json');
    expect(blocks.map(({ language }) => language)).toEqual(['graphql', 'json', 'graphql', 'json', 'sh']);

    const held = await server.gql(hold!);
    expect(held.body).toEqual(printed(heldAnswer!));
    expect((await server.gql(hold!)).body).toEqual(held.body);

    const ordered = await server.gql(order!, { holdId: held.body.data.createHold.hold.id });
    expect(ordered.body).toEqual(printed(orderedAnswer!));

    const orderId: string = ordered.body.data.createOrder.order.id;
    const PATH = `${await npmOfTheBuild()}:${process.env.PATH}`;
    const { stdout } = await promisify(execFile)('bash', ['--norc', '-euo', 'pipefail', '-c', blocksIn('sh')[0]!], {
      cwd: build.directory,
      env: build.environment({ ...env, PATH, ORDER_ID: orderId }),
    });
    const [, times, answer] = /`(1 × 200) (\{.*?\})`/.exec(section)!;
    const [firstLine] = stdout.split('\n');
    expect(firstLine).toMatch(new RegExp(`^${times} `));
    expect(JSON.parse(firstLine!.slice(times!.length))).toEqual(printed(answer!));
    const { body } = await server.gql(`{ order(id: "${orderId}") { status } }`);
    expect(body.data.order.status).toBe('PAID');
    await expectClean(db);
  });

  test('refuses a hold of a product without units as the page prints', async () => {
    const { id } = await server.product(1);
    await server.hold(id);
    const query = blocksIn('graphql')[0]!
      .replace(/productId: "[^"]*"/, `productId: "${id}"`)
      .replace('my-first-hold', 'my-second-hold');
    const [, refusal] = /`(\{ "hold": null.*?\})`/.exec(section)!;
    expect((await server.gql(query)).body).toEqual({ data: { createHold: printed(refusal!) } });
  });
});
