/**
 * What a decision reads does not grow with the holds that a product has, even when PostgreSQL knows nothing of them: during
 * a sale its statistics are older than most rows.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { insertHoldsInBulk } from '../../src/tools/bench/bench-sql';
import type { Product } from '../../src/domain/records';
import { CITUS_URL } from '../support/citus';
import { ALICE, message, newKey, openShop, serverOn, type Server, type Shop } from '../support/checkout';

const HOLDS = 20_000;
/** Some rows a request: far from what a product has. */
const FEW = 2_000;
const BATCH = 20;

let shop: Shop;
let product: Product;
let unknown: Product;
beforeAll(async () => {
  // A backend tells what it has read when it ends: PgBouncer's do not, so past one.
  shop = await openShop({}, { isDirect: true });
  await shop.sql('ALTER TABLE holds SET (autovacuum_enabled = off)');
  await shop.sql('ALTER TABLE orders SET (autovacuum_enabled = off)');
  product = await shop.product(2 * HOLDS, { maxPerCustomer: 1_000 });
  unknown = await shop.product(2 * HOLDS, { maxPerCustomer: 1_000 });
  const client = new Client({ connectionString: shop.url });
  await client.connect();
  // The statistics are made after the first, and know nothing of the second.
  await insertHoldsInBulk(client, product.id, HOLDS);
  await client.query(
    `INSERT INTO holds (id, product_id, quantity, unit_price_minor, currency, customer_id, status, expires_at, created_at)
      SELECT gen_random_uuid(), $1, 1, 1000, 'USD', '', 'ACTIVE', now() + interval '1 hour', now() FROM generate_series(1, $2::int)`,
    [unknown.id, HOLDS],
  );
  await client.query('UPDATE stock SET available = available - $2 WHERE product_id = $1', [unknown.id, HOLDS]);
  await client.end();
});
afterAll(() => shop.close());

/** Rows of holds and orders, and entries of their indexes, that `work` had PostgreSQL read. */
async function readBy(work: (server: Server) => Promise<unknown>): Promise<number> {
  const read = async () => {
    const [row] = await shop.sql<{ n: string }>(
      `SELECT (SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables
          WHERE relname IN ('holds', 'orders'))
        + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('holds', 'orders')) AS n`,
    );
    return Number(row!.n);
  };
  const database = await shop.openAnother();
  const before = await read();
  try {
    await work(serverOn(database, shop.log));
  } finally {
    // A backend that ends reports what it has read.
    await database.close();
  }
  for (let after = before, look = 0; ; look += 1) {
    await sleep(100);
    const now = await read();
    if ((now > before && now === after) || look > 50) return now - before;
    after = now;
  }
}

const many = <T>(work: (n: number) => Promise<T>) => Promise.all(Array.from({ length: BATCH }, (_, n) => work(n)));

// On Citus it is the workers' backends that read, by plans of their own (no OFFSET there).
const describeOnOneServer = CITUS_URL ? describe.skip : describe;

describeOnOneServer.each([
  ['counted', () => product],
  ['newer than the statistics', () => unknown],
])('of a product whose holds are %s', (_, ofProduct) => {
  test('holds, with keys and limits, too', async () => {
    const key = newKey();
    const rows = await readBy(async (server) => {
      const asked = (n: number) => ({ customerId: `shopper ${n}`, idempotencyKey: n % 2 ? `${key} ${n}` : null });
      for (let time = 0; time < 2; time += 1) await many((n) => server.hold(ofProduct(), asked(n)));
    });
    expect(rows).toBeGreaterThan(0);
    expect(rows).toBeLessThan(FEW);
  });

  test('holds with limits and without keys', async () => {
    const rows = await readBy((server) => many((n) => server.hold(ofProduct(), { customerId: `other ${n}` })));
    expect(rows).toBeGreaterThan(0);
    expect(rows).toBeLessThan(FEW);
  });

  test('holds without keys and limits', async () => {
    await shop.sql('UPDATE products SET max_per_customer = NULL WHERE id = $1', [ofProduct().id]);
    try {
      const rows = await readBy((server) => many(() => server.hold(ofProduct(), {})));
      expect(rows).toBeGreaterThan(0);
      expect(rows).toBeLessThan(FEW);
    } finally {
      await shop.sql('UPDATE products SET max_per_customer = 1000 WHERE id = $1', [ofProduct().id]);
    }
  });

  test('orders, their payments, releases and cancellations', async () => {
    const rows = await readBy(async (server) => {
      const holds = await many(() => server.hold(ofProduct(), { customerId: ALICE }));
      const orders = await Promise.all(holds.slice(0, 15).map((hold) => server.order(hold)));
      await Promise.all(orders.slice(0, 10).map((order) => server.receive(message('succeeded', order))));
      await Promise.all(orders.slice(10).map((order) => server.cancelOrder(order.id, ALICE)));
      await Promise.all(holds.slice(15).map((hold) => server.releaseHold(hold.id, ALICE)));
    });
    expect(rows).toBeGreaterThan(0);
    expect(rows).toBeLessThan(FEW);
  });

  test('a sweep that closes a few', async () => {
    const rows = await readBy(async (server) => {
      const short = serverOn(server.database, shop.log, { holdTtlSeconds: 1 });
      await many(() => short.hold(ofProduct(), { customerId: ALICE }));
      await sleep(1_100);
      expect(await server.sweep()).toMatchObject({ expiredHolds: BATCH });
    });
    expect(rows).toBeLessThan(FEW);
  });
});
