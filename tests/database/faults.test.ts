/** What the connection to PostgreSQL can do to a transaction: each loss ends in a known outcome, soon, and by itself. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { armFailpoints } from '../../src/database/failpoints';
import { openDatabase, type Database } from '../../src/database/orm';
import { run, sql as statement } from '../../src/database/statement';
import { Busy, Unavailable } from '../../src/domain/errors';
import { newKey, openShop, serverOn, valueOf, type Server, type Shop } from '../support/checkout';
import { expectClean } from '../support/invariants';
import { Wire } from '../support/wire';

let shop: Shop;
let wire: Wire;
let database: Database;
/** Sees PostgreSQL through the wire. */
let server: Server;

beforeAll(async () => {
  shop = await openShop();
  wire = await Wire.to(shop.url);
  database = await openDatabase({ url: wire.url, poolSize: 4, log: shop.log });
  server = serverOn(database, shop.log);
});
afterEach(() => {
  wire.lose(null);
  wire.slow(0);
  wire.up();
  armFailpoints(null);
});
afterAll(async () => {
  await database.close();
  await wire.close();
  await shop.close();
});

const holdsWith = async (key: string) =>
  Number((await shop.sql<{ n: string }>('SELECT count(*) AS n FROM holds WHERE idempotency_key = $1', [key]))[0]!.n);

describe('a connection that is cut', () => {
  test.each([
    ['before BEGIN arrives', /BEGIN/, 'question'],
    ['after BEGIN', /BEGIN/, 'answer'],
    ['before the lock', /for update/, 'question'],
    ['after the lock', /for update/, 'answer'],
    ['before the write', /createHold \*\//, 'question'],
    ['after the write', /createHold \*\//, 'answer'],
    ['before COMMIT arrives', /COMMIT/, 'question'],
    ['after COMMIT', /COMMIT/, 'answer'],
  ] as const)('%s costs a re-run, and there is one hold', async (_, pattern, loss) => {
    const product = await shop.product(3);
    await server.hold(product);
    wire.lose(pattern, loss);
    const key = newKey();
    const before = wire.cuts;
    const asked = server.createHold({ productId: product.id, quantity: 1, customerId: '', idempotencyKey: key });
    while (wire.cuts === before) await sleep(1);
    wire.lose(null);
    valueOf(await asked);
    expect(await holdsWith(key)).toBe(1);
    await expectClean(shop);
  });

  test('at every COMMIT leaves an outcome that is said to be unknown, and the key finds it', async () => {
    const product = await shop.product(3);
    wire.lose(/COMMIT/, 'answer');
    const input = { productId: product.id, quantity: 1, customerId: '', idempotencyKey: newKey() };
    const first = await server.createHold(input).catch((error: unknown) => error);
    wire.lose(null);
    // The re-run finds the hold of its predecessor and has nothing to commit: it may well learn the outcome.
    if (!(first instanceof Unavailable)) valueOf(first as never);
    expect(valueOf(await server.createHold(input)).quantity).toBe(1);
    expect(await holdsWith(input.idempotencyKey)).toBe(1);
    await expectClean(shop);
  });
});

test('a database that is away is told within a second, and used again when it is back', async () => {
  const product = await shop.product(3);
  wire.down();
  const startedAt = performance.now();
  await expect(server.hold(product)).rejects.toThrow(Unavailable);
  expect(performance.now() - startedAt).toBeLessThan(1_500);
  wire.up();
  await server.hold(product);
  await expectClean(shop);
});

test('a network that swallows everything ends in an error within 10 s, and its connections are given up', async () => {
  const product = await shop.product(3);
  await server.hold(product);
  wire.freeze();
  const startedAt = performance.now();
  await expect(server.hold(product)).rejects.toThrow(Unavailable);
  await expect(database.read((em) => run(em, statement`SELECT 1`))).rejects.toThrow(Unavailable);
  expect(performance.now() - startedAt).toBeLessThan(16_000);
  wire.up();
  await server.hold(product);
  await expectClean(shop);
}, 40_000);

test('a backend that is stopped while it holds a stock lock: waiters are BUSY in 4 s, other products go on', async () => {
  const [product, other] = [await shop.product(3), await shop.product(3)];
  let pid = 0;
  armFailpoints(async (point, where) => {
    if (point !== 'before-commit' || where !== 'createHold' || pid !== 0) return;
    const client = new Client({ connectionString: shop.url });
    await client.connect();
    // The transaction that is idle now: everybody else has ended.
    const { rows } = await client.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`,
    );
    await client.end();
    pid = rows[0]!.pid;
    process.kill(pid, 'SIGSTOP');
  });
  const startedAt = performance.now();
  const since = () => performance.now() - startedAt;
  try {
    const stopped = server.hold(product).then(
      () => ({ error: null, at: since() }),
      (error: unknown) => ({ error, at: since() }),
    );
    while (pid === 0) await sleep(5);
    const waiting = [server, shop].map((one) => one.hold(product).catch((error: unknown) => error));
    await server.hold(other);
    await shop.hold(other);
    expect(since()).toBeLessThan(1_000);
    for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(Busy);
    expect(since()).toBeLessThan(4_500);
    const end = await stopped;
    expect(end.error).toBeInstanceOf(Unavailable); // its COMMIT was sent: nobody knows yet
    expect(end.at).toBeLessThan(25_000);
  } finally {
    if (pid !== 0) process.kill(pid, 'SIGCONT');
  }
  armFailpoints(null);
  await sleep(100);
  await server.hold(product);
  await expectClean(shop);
}, 60_000);
