/** The limit per customer at the moment at which a hold's time is over. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ALICE, amountOf, codesOf, message, openShop, valueOf, type Shop } from '../support/checkout';
import { expectClean } from '../support/invariants';
import { collide } from '../support/races';
import { expireIn } from '../support/time';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterAll(() => shop.close());

/** Long enough for an order to judge the hold live, short enough for the patience of a race. */
const LEFT_MS = 1_500;

test('a hold that becomes overdue while its order commits still counts for the limit', async () => {
  const product = await shop.product(5, { maxPerCustomer: 1 });
  const hold = await shop.hold(product, { customerId: ALICE });
  await expireIn(shop.sql, hold.id, LEFT_MS);
  const { first, others } = await collide(
    shop,
    (server) => server.createOrder({ holdIds: [hold.id], customerId: ALICE }),
    [
      async (server) => {
        await sleep(LEFT_MS + 20);
        return server.createHold({ productId: product.id, quantity: 1, customerId: ALICE });
      },
    ],
  );
  expect(valueOf(first).status).toBe('PENDING_PAYMENT');
  expect(codesOf(others[0]!)).toEqual(['LIMIT_PER_CUSTOMER']);
  await expectClean(shop);
});

test('an overdue hold counts against the limit of a late payment', async () => {
  const product = await shop.product(5, { maxPerCustomer: 1 });
  const released = await shop.hold(product, { customerId: ALICE });
  await shop.releaseHold(released.id, ALICE);
  const hold = await shop.hold(product, { customerId: ALICE });
  await expireIn(shop.sql, hold.id, LEFT_MS);
  const { first, others } = await collide(
    shop,
    (server) => server.createOrder({ holdIds: [hold.id], customerId: ALICE }).then((answer) => answer.granted),
    [
      async (server) => {
        await sleep(LEFT_MS + 20);
        const recorded = await server.receive(message('succeeded', released, amountOf(released)));
        return recorded.kind === 'recorded' ? recorded.event.outcome : null;
      },
    ],
  );
  expect([first, ...others]).toEqual([true, 'REFUND_DUE']);
  await expectClean(shop);
});
