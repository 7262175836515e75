/** Servers that are killed, stopped, started twice and misconfigured keep what they acknowledged and name what is wrong. */
import { randomBytes } from 'node:crypto';
import { Agent, request as httpRequest } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/postgres/embedded';
import { connectAdmin, databaseUrl, drop, nameOf } from '../support/cluster';
import { newKey } from '../support/checkout';
import { freshDatabase, untilSomebodyWaits, type FreshDatabase, type Sql } from '../support/database';
import { expectClean } from '../support/invariants';
import { buildProject, type Build, type RunningServer } from '../support/process';
import { insist, paymentMessage } from '../support/server';

let db: FreshDatabase;
let build: Build;
beforeAll(async () => {
  [db, build] = await Promise.all([freshDatabase(), buildProject()]);
});
afterAll(async () => {
  await build.remove();
  await db.close();
});

/** The promised time from the start of a process until /readyz is 200, in ms. */
const READY_WITHIN_MS = 10_000;

async function startAgain(env: NodeJS.ProcessEnv): Promise<RunningServer> {
  const startedAt = performance.now();
  const server = await build.start(env);
  expect((await server.fetch('/readyz')).status).toBe(200);
  expect(performance.now() - startedAt).toBeLessThan(READY_WITHIN_MS);
  return server;
}

const keysOf = async (productId: string) =>
  (await db.sql<{ key: string }>('SELECT idempotency_key AS key FROM holds WHERE product_id = $1', [productId])).map(
    ({ key }) => key,
  );

test.each([5, 400])(
  'acknowledged is durable: the server is killed after %d of many holds, 200 at a time',
  async (enough) => {
    const server = await build.start({ DATABASE_URL: db.url, LOG_LEVEL: 'warn' });
    const { id: productId } = await server.product(1_000_000);
    const acknowledged: string[] = [];
    let killed: Promise<unknown> | undefined;
    /** Holds one unit after another until the server is gone; returns the key with the unknown outcome. */
    const shopper = async (): Promise<string> => {
      for (;;) {
        const idempotencyKey = newKey();
        try {
          await insist(() => server.mutate('createHold', { productId, idempotencyKey }));
        } catch {
          return idempotencyKey;
        }
        acknowledged.push(idempotencyKey);
        if (acknowledged.length === enough) killed = server.end('SIGKILL');
      }
    };
    const unknown = await Promise.all(Array.from({ length: 200 }, shopper));
    await killed;

    const stored = new Set(await keysOf(productId));
    expect(acknowledged.length).toBeGreaterThanOrEqual(enough);
    expect(acknowledged.filter((key) => !stored.has(key))).toEqual([]);
    await expectClean(db);

    const again = await startAgain({ DATABASE_URL: db.url, LOG_LEVEL: 'warn' });
    await Promise.all(
      [...acknowledged.slice(0, 100), ...unknown].map((idempotencyKey) =>
        insist(() => again.mutate('createHold', { productId, idempotencyKey })),
      ),
    );
    expect((await keysOf(productId)).sort()).toEqual([...acknowledged, ...unknown].sort());
    expect((await again.end('SIGTERM')).code).toBe(0);
    await expectClean(db);
  },
);

/** A hold, its order and its payment, one after the other until the server is gone. */
async function buy(server: RunningServer, productId: string, told: Told): Promise<void> {
  try {
    for (;;) {
      const hold = (await insist(() => server.mutate('createHold', { productId, idempotencyKey: newKey() }))).object;
      told.holds.push(hold.id);
      const input = { holdIds: [hold.id], idempotencyKey: newKey() };
      const order = (await insist(() => server.mutate('createOrder', input))).object;
      told.orders.push(order.id);
      const event = paymentMessage('succeeded', order);
      if ((await server.webhook(event)).status === 200) told.events.push(event.event_id);
    }
  } catch (error) {
    expect(String(error)).toMatch(/fetch failed|terminated|socket/);
  }
}

/** Acknowledged answers, by id. */
interface Told {
  readonly holds: string[];
  readonly orders: string[];
  readonly events: string[];
}

/** Buys with many shoppers until payment events are acknowledged, and then kills the server. */
async function killMidSale(server: RunningServer): Promise<Told> {
  const { id } = await server.product(1_000_000);
  const told: Told = { holds: [], orders: [], events: [] };
  const shoppers = Promise.all(Array.from({ length: 40 }, () => buy(server, id, told)));
  while (told.events.length < 40) await sleep(2);
  await server.end('SIGKILL');
  await shoppers;
  return told;
}

/** Expects every one of them in the database. */
async function expectKept({ holds, orders, events }: Told, sql: Sql): Promise<void> {
  const [kept] = await sql(
    `SELECT (SELECT count(*)::int FROM holds WHERE id = ANY ($1)) AS holds,
       (SELECT count(*)::int FROM orders WHERE id = ANY ($2)) AS orders,
       (SELECT count(*)::int FROM payment_events WHERE event_id = ANY ($3) AND outcome = 'APPLIED') AS events`,
    [holds, orders, events],
  );
  expect(kept).toEqual({ holds: holds.length, orders: orders.length, events: events.length });
}

test('a server killed during a sale keeps the orders and events that it acknowledged', async () => {
  const told = await killMidSale(await build.start({ DATABASE_URL: db.url, LOG_LEVEL: 'warn' }));
  await expectKept(told, db.sql);
  await expectClean(db);
});

test('after a kill during a sale the next server adopts the running embedded PostgreSQL', async () => {
  // Without DATABASE_URL: its data is in the build's own folder.
  const first = await build.start({});
  const said: string[] = [];
  const adopt = () =>
    startEmbeddedPostgres({ directory: join(build.directory, '.data'), log: (line) => said.push(line) });
  let embedded: EmbeddedPostgres | undefined;
  try {
    const told = await killMidSale(first);
    const again = await startAgain({});
    const [started, adopted] = [first, again].map((server) =>
      /PostgreSQL (.*) on port (.*\(pid \d+\))/.exec(server.said())!,
    );
    expect(adopted!.slice(1)).toEqual(['runs already', started![2]]);
    embedded = await adopt();
    const client = new Client({ connectionString: embedded.url });
    await client.connect();
    await expectKept(told, async (text, values) => (await client.query(text, values && [...values])).rows);
    await client.end();
    await expectClean({ url: embedded.url });
    expect((await again.end('SIGTERM')).code).toBe(0);
  } finally {
    // The last one out stops it, however far the test came.
    await (embedded ?? (await adopt())).stop();
  }
  expect(said.at(-1)).toBe('PostgreSQL stopped');
});

test('a stop under load answers every accepted request and exits with 0 in time', async () => {
  const server = await build.start({ DATABASE_URL: db.url, LOG_LEVEL: 'warn' });
  const { id: productId } = await server.product(1_000_000);
  const acknowledged = new Set<string>();
  const shopper = async () => {
    for (;;) {
      const idempotencyKey = newKey();
      try {
        await insist(() => server.mutate('createHold', { productId, idempotencyKey }));
      } catch (error) {
        // The connection was refused or closed: its request must have had no effect.
        expect(String(error)).toMatch(/fetch failed/);
        return;
      }
      acknowledged.add(idempotencyKey);
    }
  };
  const shoppers = Promise.all(Array.from({ length: 60 }, shopper));
  while (acknowledged.size < 200) await sleep(5);
  const stoppedAt = performance.now();
  const { code, stderr } = await server.end('SIGTERM');
  expect([code, stderr]).toEqual([0, '']);
  expect(performance.now() - stoppedAt).toBeLessThan(15_000);
  await shoppers;
  const stored = await keysOf(productId);
  expect(stored.filter((key) => !acknowledged.has(key))).toEqual([]);
  expect(stored).toHaveLength(acknowledged.size);
  await expectClean(db);
});

test('a stop does not wait for idle connections', async () => {
  const server = await build.start({ DATABASE_URL: db.url, LOG_LEVEL: 'warn' });
  const { id: productId } = await server.product(1_000_000);
  const agent = new Agent({ keepAlive: true });
  const body = JSON.stringify({
    query: `mutation { createHold(input: { productId: "${productId}" }) { hold { id } } }`,
  });
  const ask = () =>
    new Promise<string>((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const request = httpRequest(`${server.url}/graphql`, { method: 'POST', agent, headers }, (response) => {
        response.resume().on('end', () => resolve(response.headers.connection!));
      });
      request.on('error', reject).end(body);
    });
  await Promise.all(Array.from({ length: 20 }, ask));
  const blocker = new Client({ connectionString: db.url });
  await blocker.connect();
  await blocker.query('BEGIN');
  await blocker.query('SELECT FROM stock WHERE product_id = $1 FOR UPDATE', [productId]);
  const last = Array.from({ length: 20 }, ask);
  await untilSomebodyWaits(db.sql);
  const stoppedAt = performance.now();
  const ended = server.end('SIGTERM');
  while (!(await refuses(server.url))) await sleep(5);
  await blocker.query('COMMIT');
  await blocker.end();
  expect(await Promise.all(last)).toEqual(Array(20).fill('close'));
  expect((await ended).code).toBe(0);
  expect(performance.now() - stoppedAt).toBeLessThan(8_000);
  agent.destroy();
});

const refuses = (url: string) =>
  fetch(`${url}/livez`).then(
    () => false,
    () => true,
  );

test('a second signal cuts off the requests in progress', async () => {
  const server = await build.start({ DATABASE_URL: db.url });
  const { id: productId } = await server.product(1);
  const blocker = new Client({ connectionString: db.url });
  await blocker.connect();
  await blocker.query('BEGIN');
  await blocker.query('SELECT FROM stock WHERE product_id = $1 FOR UPDATE', [productId]);
  const lost = server.hold(productId).catch((error: unknown) => error);
  await untilSomebodyWaits(db.sql);
  process.kill(server.pid, 'SIGINT');
  while (!server.said().includes('server.stopping')) await sleep(5);
  expect((await server.end('SIGINT')).code).toBe(130);
  expect(String(await lost)).toMatch(/fetch failed/);
  await blocker.end();
  expect(await keysOf(productId)).toEqual([]);
});

test('a server suspended beyond the expiry of holds does not treat them as live, and sweeps them', async () => {
  const server = await build.start({ DATABASE_URL: db.url, HOLD_TTL_SECONDS: '3' });
  const { id: productId } = await server.product(20);
  const holds = await Promise.all(Array.from({ length: 20 }, () => server.hold(productId)));
  process.kill(server.pid, 'SIGSTOP');
  // Sent while the server is suspended: the kernel keeps it until the server continues.
  const asked = server.mutate('createOrder', { holdIds: [holds[0].id] });
  try {
    const overdue = `SELECT count(*) FILTER (WHERE expires_at < clock_timestamp())::int AS overdue,
      count(*) FILTER (WHERE status = 'ACTIVE')::int AS active FROM holds WHERE product_id = $1`;
    const read = async () => (await db.sql<{ overdue: number; active: number }>(overdue, [productId]))[0]!;
    while ((await read()).overdue < 20) await sleep(20);
    expect((await read()).active).toBe(20);
    process.kill(server.pid, 'SIGCONT');
    const continuedAt = performance.now();
    expect((await asked).codes).toEqual(['HOLD_EXPIRED']);
    while ((await read()).active > 0) await sleep(20);
    // Its sweep ticks every second; the rest is for a busy machine.
    expect(performance.now() - continuedAt).toBeLessThan(5_000);
  } finally {
    process.kill(server.pid, 'SIGCONT');
  }
  expect(await db.sql('SELECT available FROM stock WHERE product_id = $1', [productId])).toEqual([{ available: 20 }]);
  expect((await server.end('SIGTERM')).code).toBe(0);
  await expectClean(db);
});

test('a full log disk does not stop a sale', async () => {
  const server = await build.start({ DATABASE_URL: db.url, LOG_FILE: '/dev/full', LOG_LEVEL: 'debug' });
  const { id: productId } = await server.product(20);
  const buyOne = async () => {
    const hold = (await insist(() => server.mutate('createHold', { productId, idempotencyKey: newKey() }))).object;
    const input = { holdIds: [hold.id], idempotencyKey: newKey() };
    const payment = paymentMessage('succeeded', (await insist(() => server.mutate('createOrder', input))).object);
    // The test repeats like a provider, because a busy machine may not store the event in time.
    for (let repeats = 0; ; repeats += 1) {
      const { status, body } = await server.webhook(payment);
      if (status !== 503) return { body, repeats };
    }
  };
  const bought = await Promise.all(Array.from({ length: 20 }, buyOne));
  for (const { body, repeats } of bought) {
    expect(body).toMatchObject({ outcome: 'APPLIED', ...(repeats === 0 && { duplicate: false }) });
  }
  expect((await server.fetch('/readyz')).status).toBe(200);
  expect((await server.end('SIGTERM')).code).toBe(0);
  await expectClean(db);
});

test('a taken port ends the start with a one-line error', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  const { code, stderr } = await build.command('main.js', [], { DATABASE_URL: db.url, PORT: String(port) });
  await new Promise((resolve) => taken.close(resolve));
  expect([code, stderr]).toEqual([1, `error: Port ${port} on 127.0.0.1 is taken: stop what uses it, or set PORT.\n`]);
});

test('an unreachable database ends the start with a one-line error', async () => {
  const { code, stderr } = await build.command('main.js', [], { DATABASE_URL: 'postgres://u:secret@127.0.0.1:9/none' });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error: [^\n]*127\.0\.0\.1:9[^\n]*\n$/);
  expect(stderr).not.toContain('secret');
});

test('a database that could lose acknowledged commits is refused with a one-line error', async () => {
  const name = nameOf(randomBytes(4).toString('hex'));
  const admin = await connectAdmin('flashsale tests');
  await admin.query(`CREATE DATABASE ${name}`);
  try {
    await admin.query(`ALTER DATABASE ${name} SET synchronous_commit = off`);
    const { code, stderr } = await build.command('main.js', [], { DATABASE_URL: databaseUrl(name) });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: PostgreSQL runs with fsync or synchronous_commit off: [^\n]*\n$/);
  } finally {
    await drop(admin, name);
    await admin.end();
  }
});

test('bad settings end the start, and each is named', async () => {
  const env = {
    PORT: '70000',
    HOLD_TTL_SECONDS: '0',
    SWEEP_CRON: 'often',
    JWT_SECRET: 'short-secret',
    LOG_LEVEL: 'loud',
  };
  const { code, stdout, stderr } = await build.command('main.js', [], { DATABASE_URL: db.url, ...env });
  expect([code, stdout]).toEqual([1, '']);
  for (const key of Object.keys(env)) expect(stderr).toContain(`${key} must be `);
  expect(stderr).not.toContain('short-secret');
  expect(stderr).not.toMatch(/\bat \S+ \(/);
  expect(stderr.trim().split('\n')).toHaveLength(6);
});

test('production does not start with the development secrets', async () => {
  const { code, stderr } = await build.command('main.js', [], { NODE_ENV: 'production' });
  expect(code).toBe(1);
  for (const key of ['DATABASE_URL', 'JWT_SECRET', 'WEBHOOK_SECRETS']) expect(stderr).toContain(key);
});

test.each([1, 2])('two servers that start together on an empty database both serve (round %d)', async () => {
  const name = nameOf(randomBytes(4).toString('hex'));
  const admin = await connectAdmin('flashsale tests');
  await admin.query(`CREATE DATABASE ${name}`);
  try {
    // Production: it has nothing to seed. What becomes of two that do, see the seeder in commands.test.ts.
    const env = {
      DATABASE_URL: databaseUrl(name),
      NODE_ENV: 'production',
      JWT_SECRET: 'p'.repeat(32),
      WEBHOOK_SECRETS: `whsec_${Buffer.alloc(24, 1).toString('base64')}`,
    };
    const [one, other] = await Promise.all([build.start(env), build.start(env)]);
    const migrated = [one, other].filter((server) => server.said().includes('database.migrated'));
    expect(migrated).toHaveLength(1);
    const product = await one.product(5);
    const hold = await one.hold(product.id, { idempotencyKey: 'k' }, one.tokens.alice);
    expect((await other.hold(product.id, { idempotencyKey: 'k' }, one.tokens.alice)).id).toBe(hold.id);
    expect((await other.order(hold.id, one.tokens.alice)).status).toBe('PENDING_PAYMENT');
    const ends = await Promise.all([one.end('SIGTERM'), other.end('SIGINT')]);
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
    await expectClean({ url: databaseUrl(name) });
  } finally {
    await drop(admin, name);
    await admin.end();
  }
});
