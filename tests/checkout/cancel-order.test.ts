/** cancelOrder: only an unpaid order, once, by its owner. */
import { randomUUID } from 'node:crypto';
import { replayed } from '../../src/domain/refusals';
import { ALICE, BOB, message, openShop, valueOf, type Shop } from '../support/checkout';
import { expectClean, expectNothingMoved, expectRefused } from '../support/invariants';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

test('a cancelled order gives back the units of all its products; its holds stay consumed', async () => {
  const products = [await shop.product(5), await shop.product(5)];
  const order = await shop.order(await shop.hold(products[0]!, { quantity: 2 }), await shop.hold(products[1]!));
  expect(await shop.cancelOrder(order.id.toUpperCase())).toMatchObject({
    replay: false,
    value: { status: 'CANCELLED', cancelledBy: 'CUSTOMER', cancelledAt: expect.any(Date) },
  });
  const stock = 'SELECT available FROM stock WHERE product_id = ANY ($1)';
  expect(await shop.sql(stock, [products.map(({ id }) => id)])).toEqual([{ available: 5 }, { available: 5 }]);
  const holds = await shop.sql('SELECT status, given_back_at FROM holds WHERE order_id = $1', [order.id]);
  expect(holds).toEqual([1, 2].map(() => ({ status: 'CONSUMED', given_back_at: expect.any(Date) })));
});

test('cancelling a cancelled order again is a replay that moves nothing', async () => {
  const order = await shop.orderOf(await shop.product(1));
  const cancelled = valueOf(await shop.cancelOrder(order.id));
  expect(await expectNothingMoved(shop, () => shop.cancelOrder(order.id))).toEqual(replayed(cancelled));
});

describe('a refusal moves nothing', () => {
  test('ORDER_NOT_FOUND for what is unknown, no id, a hold, or somebody else’s', async () => {
    const hold = await shop.hold(await shop.product(9), { customerId: ALICE });
    const order = await shop.orderOf(await shop.product(1), { customerId: ALICE });
    await expectRefused(shop, () => shop.cancelOrder(randomUUID()), 'ORDER_NOT_FOUND');
    await expectRefused(shop, () => shop.cancelOrder('no id'), 'ORDER_NOT_FOUND');
    await expectRefused(shop, () => shop.cancelOrder(hold.id, ALICE), 'ORDER_NOT_FOUND');
    await expectRefused(shop, () => shop.cancelOrder(order.id, BOB), 'ORDER_NOT_FOUND');
    await expectRefused(shop, () => shop.cancelOrder(order.id), 'ORDER_NOT_FOUND');
  });

  test('ORDER_NOT_CANCELLABLE for a paid, a refunded and a refund-due order', async () => {
    const order = await shop.orderOf(await shop.product(1));
    await shop.receive(message('succeeded', order));
    await expectRefused(shop, () => shop.cancelOrder(order.id), 'ORDER_NOT_CANCELLABLE');
    await shop.receive(message('refunded', order, { paymentId: null }));
    await expectRefused(shop, () => shop.cancelOrder(order.id), 'ORDER_NOT_CANCELLABLE');

    const owed = await shop.orderOf(await shop.product(1));
    await shop.cancelOrder(owed.id);
    await shop.receive(message('succeeded', owed));
    await expectRefused(shop, () => shop.cancelOrder(owed.id), 'ORDER_NOT_CANCELLABLE');
  });
});
