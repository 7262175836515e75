/** What the connection to PostgreSQL can do to a transaction: each loss ends in a known outcome, soon, and by itself. */
import { setTimeout as sleep } from 'node:timers/promises';
import { armFailpoints, type Failpoint } from '../../src/postgres/failpoints';
import { openDatabase, type Database } from '../../src/database/database';
import { run, sql as statement } from '../../src/postgres/statement';
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

  test.each(['question', 'answer'] as const)(
    'at every COMMIT (its %s is lost) leaves an outcome that is said to be unknown, and the key finds it',
    async (loss) => {
      const product = await shop.product(3);
      const before = wire.cuts;
      wire.lose(/COMMIT/, loss);
      const input = { productId: product.id, quantity: 1, customerId: '', idempotencyKey: newKey() };
      const first = await server.createHold(input).catch((error: unknown) => error);
      wire.lose(null);
      expect(wire.cuts).toBeGreaterThan(before);
      if (loss === 'question') {
        // No re-run could commit either, and nobody knew that the first one had not.
        expect(first).toBeInstanceOf(Unavailable);
        expect(await holdsWith(input.idempotencyKey)).toBe(0);
      } else if (!(first instanceof Unavailable)) {
        // The re-run finds the hold of its predecessor and has nothing to commit: it may well learn the outcome.
        valueOf(first as never);
      }
      expect(valueOf(await server.createHold(input)).quantity).toBe(1);
      expect(await holdsWith(input.idempotencyKey)).toBe(1);
      await expectClean(shop);
    },
  );
});

/** Once, at this point of a hold's transaction: the process id of its backend is known then. */
function atHold(point: Failpoint, work: (pid: number) => Promise<void>): void {
  let isDone = false;
  armFailpoints(async (reached) => {
    if (reached !== point || isDone) return;
    isDone = true;
    await work(await idleInTransaction());
  });
}

/** The backend of the transaction that is idle now: everybody else has ended. */
async function idleInTransaction(): Promise<number> {
  for (const patience = AbortSignal.timeout(5_000); !patience.aborted; await sleep(1)) {
    const rows = await shop.sql<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`,
    );
    if (rows.length === 1) return rows[0]!.pid;
  }
  throw new Error('no transaction is idle');
}

test.each(['after-lock', 'before-commit'] as const)(
  'a backend that is terminated %s costs a re-run, and there is one hold',
  async (point) => {
    const product = await shop.product(3);
    const retries: string[] = [];
    const watched = await openDatabase({
      url: shop.url,
      poolSize: 2,
      log: shop.log,
      onRetry: (reason) => retries.push(reason),
    });
    try {
      const watchedServer = serverOn(watched, shop.log);
      atHold(point, async (pid) => {
        await shop.sql('SELECT pg_terminate_backend($1::int, 5000)', [pid]);
      });
      const input = { productId: product.id, quantity: 1, customerId: '', idempotencyKey: newKey() };
      const hold = valueOf(await watchedServer.createHold(input));
      // The message of a backend that ends may be read or not: with its SQLSTATE, or as a connection that is gone.
      expect(retries).toEqual([expect.stringMatching(/^(connection|57P01|ECONNRESET|EPIPE)$/)]);
      expect(valueOf(await shop.createHold(input)).id).toBe(hold.id);
      expect(await holdsWith(input.idempotencyKey)).toBe(1);
    } finally {
      await watched.close();
    }
    await expectClean(shop);
  },
);

describe('a transaction that PostgreSQL gives up for its neighbours’ sake', () => {
  afterEach(async () => {
    await shop.sql('DROP TRIGGER given_up ON holds');
    await shop.sql('DROP FUNCTION given_up');
    await shop.sql('DROP SEQUENCE given_up');
  });

  // The trigger of the last statement: all that the transaction did is gone with it. A sequence is not rolled back.
  test.each(['40001', '40P01'])('%s twice costs two re-runs of the whole, and there is one hold', async (state) => {
    const product = await shop.product(3);
    await shop.sql('CREATE SEQUENCE given_up');
    await shop.sql(`CREATE FUNCTION given_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('given_up') <= 2 THEN RAISE EXCEPTION 'given up' USING ERRCODE = '${state}'; END IF;
      RETURN NEW; END $$`);
    await shop.sql('CREATE TRIGGER given_up BEFORE INSERT ON holds FOR EACH ROW EXECUTE FUNCTION given_up()');
    const retries: string[] = [];
    const onRetry = (reason: string) => void retries.push(reason);
    const watched = await openDatabase({ url: shop.url, poolSize: 2, log: shop.log, onRetry });
    try {
      const key = newKey();
      const input = { productId: product.id, quantity: 1, customerId: '', idempotencyKey: key };
      valueOf(await serverOn(watched, shop.log).createHold(input));
      expect(retries).toEqual([state, state]);
      expect(await holdsWith(key)).toBe(1);
    } finally {
      await watched.close();
    }
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
  atHold('before-commit', async (idle) => {
    pid = idle;
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
    const keys = [newKey(), newKey()];
    const waiting = [server, shop].map((one, n) =>
      one.hold(product, { idempotencyKey: keys[n]! }).catch((error: unknown) => error),
    );
    await server.hold(other);
    await shop.hold(other);
    expect(since()).toBeLessThan(1_000);
    for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(Busy);
    expect(since()).toBeLessThan(4_500);
    for (const key of keys) expect(await holdsWith(key)).toBe(0);
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
