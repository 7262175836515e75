/** Statements that a transaction sends in one tick: in which order PostgreSQL runs them, and what a failure does to the rest. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { Client } from 'pg';
import { lockStock, readLevel } from '../../src/checkout/stock-keeper';
import { lockHolds } from '../../src/database/holds';
import { readClock } from '../../src/database/clock';
import { run, sql } from '../../src/postgres/statement';
import type { Hold, Product } from '../../src/domain/records';
import { openShop, type Shop } from '../support/checkout';
import { untilWaiting } from '../support/races';

let shop: Shop;
let product: Product;
let hold: Hold;
beforeAll(async () => {
  shop = await openShop();
  product = await shop.product(3);
  hold = await shop.hold(product);
});
afterAll(() => shop.close());

test.each([
  ['a stock row', 'SELECT FROM stock WHERE product_id = $1 FOR UPDATE', lockStock],
  [
    'a hold',
    'SELECT FROM holds WHERE product_id = $1 FOR UPDATE',
    async (em: EntityManager, productId: string) => lockHolds(em, productId, [hold.id]),
  ],
])('what is sent behind the lock of %s is read once the lock is had', async (_, lockingSql, lock) => {
  const client = new Client({ connectionString: shop.url });
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query(lockingSql, [product.id]);
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const behind = shop.database.inTransaction('test', ({ em }) =>
      Promise.all([lock(em, product.id), readLevel(em, product.id, []), readClock(em)]),
    );
    await untilWaiting(shop.sql, rows[0]!.pid, 1);
    await client.query('UPDATE products SET name = $2 WHERE id = $1', [product.id, lockingSql]);
    const now = await client.query<{ at: Date }>('SELECT clock_timestamp() AS at');
    await client.query('COMMIT');
    const [, level, at] = await behind;
    expect(level!.product.name).toBe(lockingSql);
    for (const time of [level!.at, at]) expect(time.getTime()).toBeGreaterThanOrEqual(now.rows[0]!.at.getTime());
  } finally {
    await client.end();
  }
});

test('the first failure is the one that is told, and nothing of the transaction stays', async () => {
  const failed = shop.database.inTransaction('test', ({ em }) =>
    Promise.all([
      run(em, sql`UPDATE stock SET available = 1 WHERE product_id = ${product.id}`),
      run(em, sql`SELECT 1 / 0`),
      run(em, sql`UPDATE stock SET available = 0 WHERE product_id = ${product.id}`),
    ]),
  );
  await expect(failed).rejects.toThrow('division by zero');
  expect(await shop.sql('SELECT available FROM stock WHERE product_id = $1', [product.id])).toEqual([{ available: 2 }]);
  await shop.hold(product);
});
