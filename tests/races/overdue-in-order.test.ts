/** No lost sale: an overdue hold whose order is about to commit does not hide the other overdue holds. */
import { setTimeout as sleep } from 'node:timers/promises';
import { openShop, valueOf, type Shop } from '../support/checkout';
import { expectClean } from '../support/invariants';
import { collide } from '../support/races';
import { expireIn } from '../support/time';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterAll(() => shop.close());

/** A busy machine still begins the order within it; a waiting transaction is given up after 5 s. */
const LEFT_MS = 1_500;

test('units of an overdue hold can be taken although an older one was ordered in time', async () => {
  const product = await shop.product(2);
  const [older, younger] = [await shop.hold(product), await shop.hold(product)];
  await expireIn(shop.sql, older.id, LEFT_MS);
  await expireIn(shop.sql, younger.id, LEFT_MS + 10);
  const { first, others } = await collide(
    shop,
    (server) => server.createOrder({ holdIds: [older.id], customerId: '' }),
    [
      async (server) => {
        await sleep(LEFT_MS + 30);
        return server.createHold({ productId: product.id, quantity: 1, customerId: '' });
      },
    ],
  );
  valueOf(first as never);
  expect(valueOf(others[0] as never)).toMatchObject({ status: 'ACTIVE' });
  await expectClean(shop);
});
