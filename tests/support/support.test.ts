/** The tests' own tools: what they say about leaks, races and deadlocks can be relied on. */
import { Client } from 'pg';
import { openShop, type Shop } from './checkout';
import { onOneServer } from './citus';
import { freshDatabase } from './database';
import { deadlocks } from './invariants';
import { stampede } from './races';
import { run, sql as statement } from '../../src/postgres/statement';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterAll(() => shop.close());

test('a connection that a test leaves open fails the test', async () => {
  const fresh = await freshDatabase({ leaveWithinMs: 500 });
  const leaked = new Client({ connectionString: fresh.url, application_name: 'leaked' });
  leaked.on('error', () => undefined);
  await leaked.connect();
  await expect(fresh.close()).rejects.toThrow(/leaked/);
});

// Nobody counts a deadlock between two workers of Citus.
onOneServer('a deadlock that a retry hides is counted', async () => {
  const [a, b] = [await shop.product(1), await shop.product(1)];
  const before = await deadlocks(shop.sql);
  await stampede(shop, async (serverOf) => {
    let arrived = 0;
    let bothHaveOne!: () => void;
    const both = new Promise<void>((resolve) => (bothHaveOne = resolve));
    const lock = (product: { id: string }) => statement`SELECT FROM stock WHERE product_id = ${product.id} FOR UPDATE`;
    await Promise.all(
      [
        [a, b],
        [b, a],
      ].map(([one, other], index) =>
        serverOf(index).database.inTransaction('control', async ({ em }) => {
          await run(em, lock(one!));
          if (++arrived === 2) bothHaveOne();
          await both;
          await run(em, lock(other!));
        }),
      ),
    );
  });
  expect(await deadlocks(shop.sql)).toBeGreaterThan(before);
});
