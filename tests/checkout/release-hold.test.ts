/** releaseHold: units go back once, to nobody but whoever holds them. */
import { randomUUID } from 'node:crypto';
import { ALICE, BOB, message, openShop, type Shop } from '../support/checkout';
import { expectClean, expectNothingMoved, expectRefused } from '../support/invariants';
import { expire } from '../support/time';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

test('a released hold gives its units back', async () => {
  const product = await shop.product(3);
  const hold = await shop.hold(product, { quantity: 3 });
  expect(await shop.releaseHold(hold.id.toUpperCase())).toMatchObject({
    replay: false,
    value: { id: hold.id, status: 'RELEASED', closedAt: expect.any(Date), givenBackAt: expect.any(Date) },
  });
  expect(await shop.sql('SELECT available FROM stock WHERE product_id = $1', [product.id])).toEqual([{ available: 3 }]);
});

test('releasing it again is a replay that moves nothing, also when its time is over', async () => {
  const hold = await shop.hold(await shop.product(1));
  await shop.releaseHold(hold.id);
  expect(await expectNothingMoved(shop, () => shop.releaseHold(hold.id))).toMatchObject({
    replay: true,
    value: { id: hold.id, status: 'RELEASED' },
  });
});

describe('a refusal moves nothing', () => {
  test('HOLD_NOT_FOUND for what is unknown, no id, an order, or somebody else’s', async () => {
    const hold = await shop.hold(await shop.product(9), { customerId: ALICE });
    const order = await shop.orderOf(await shop.product(1));
    await expectRefused(shop, () => shop.releaseHold(randomUUID()), 'HOLD_NOT_FOUND');
    await expectRefused(shop, () => shop.releaseHold('no id'), 'HOLD_NOT_FOUND');
    await expectRefused(shop, () => shop.releaseHold(order.id), 'HOLD_NOT_FOUND');
    await expectRefused(shop, () => shop.releaseHold(hold.id, BOB), 'HOLD_NOT_FOUND');
    await expectRefused(shop, () => shop.releaseHold(hold.id), 'HOLD_NOT_FOUND');
  });

  test('HOLD_EXPIRED for an overdue hold, swept or not', async () => {
    const hold = await shop.hold(await shop.product(1));
    await expire(shop.sql, hold.id);
    await expectRefused(shop, () => shop.releaseHold(hold.id), 'HOLD_EXPIRED');
    await shop.sweep();
    await expectRefused(shop, () => shop.releaseHold(hold.id), 'HOLD_EXPIRED');
  });

  test('HOLD_ALREADY_USED for an ordered hold', async () => {
    const hold = await shop.hold(await shop.product(1));
    await shop.order(hold);
    await expectRefused(shop, () => shop.releaseHold(hold.id), 'HOLD_ALREADY_USED');
  });
});

test('payments of another amount that were parked for it are mismatches now', async () => {
  const hold = await shop.hold(await shop.product(1));
  const event = message('succeeded', hold, { amountMinor: 1 });
  await shop.receive(event);
  await shop.releaseHold(hold.id);
  const [row] = await shop.sql('SELECT outcome FROM payment_events WHERE event_id = $1', [event.eventId]);
  expect(row).toEqual({ outcome: 'AMOUNT_MISMATCH' });
});
