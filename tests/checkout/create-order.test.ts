/** createOrder: all holds or none, one effect a key, and what a payment did before the shopper came. */
import { randomUUID } from 'node:crypto';
import { orderIdOf } from '../../src/database/ids';
import { CallerError } from '../../src/domain/errors';
import type { Hold } from '../../src/domain/records';
import { onOneServer } from '../support/citus';
import { replayed } from '../../src/domain/refusals';
import {
  ALICE,
  BOB,
  holdIds,
  message,
  newKey,
  openShop,
  refusalsOf,
  serverOn,
  valueOf,
  type Shop,
} from '../support/checkout';
import { expectClean, expectNothingMoved, expectRefused } from '../support/invariants';
import { expire } from '../support/time';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

const place = (ids: readonly string[], more: { customerId?: string; idempotencyKey?: string } = {}) =>
  shop.createOrder({ holdIds: ids, customerId: '', ...more });
const newHold = async (more: { customerId?: string; quantity?: number } = {}, price = 1_000, currency = 'USD') =>
  shop.hold(await shop.product(9, { priceMinor: price, currency }), more);
const rows = (text: string, ...values: unknown[]) => shop.sql(text, values);

test('several holds become one unpaid order of their prices; no unit moves', async () => {
  const holds = [await newHold({ quantity: 2 }, 4_999), await newHold({}, 1)];
  const order = valueOf(await place(holdIds(holds)));
  expect(order).toMatchObject({ status: 'PENDING_PAYMENT', totalMinor: 9_999, currency: 'USD', placedBy: 'CUSTOMER' });
  expect(order.paymentDueAt.getTime() - order.createdAt.getTime()).toBe(900_000);
  const lines = await rows('SELECT hold_id, quantity FROM order_lines WHERE order_id = $1 ORDER BY quantity', order.id);
  expect(lines).toEqual([
    { hold_id: holds[1]!.id, quantity: 1 },
    { hold_id: holds[0]!.id, quantity: 2 },
  ]);
  const consumed = await rows('SELECT status, given_back_at FROM holds WHERE order_id = $1', order.id);
  expect(consumed).toEqual(holds.map(() => ({ status: 'CONSUMED', given_back_at: null })));
});

test('an order waits for its payment as long as the settings say', async () => {
  const server = serverOn(shop.database, shop.log, { orderPaymentWindowSeconds: 3 });
  const order = await server.orderOf(await shop.product(1));
  expect(order.paymentDueAt.getTime() - order.createdAt.getTime()).toBe(3_000);
});

test('a hold that is named twice, in either case, counts once', async () => {
  const hold = await newHold();
  expect(valueOf(await place([hold.id, hold.id.toUpperCase(), hold.id])).totalMinor).toBe(1_000);
});

test('the sale window is not asked again', async () => {
  const hold = await newHold();
  await shop.updateProduct({ productId: hold.productId, saleEndsAt: new Date(0) });
  expect((await place([hold.id])).granted).toBe(true);
});

test('whoever has the id of an anonymous hold may order it, and the order is theirs', async () => {
  const hold = await newHold();
  expect(valueOf(await place([hold.id], { customerId: ALICE })).customerId).toBe(ALICE);
});

describe('a refusal names each bad hold, and moves nothing', () => {
  test('each bad hold has an error at its index', async () => {
    const good = await newHold();
    const expired = await newHold();
    await expire(shop.sql, expired.id);
    const released = await newHold();
    await shop.releaseHold(released.id);
    const used = await newHold();
    await shop.order(used);
    const foreign = await newHold({ customerId: BOB });
    const euro = await newHold({}, 1_000, 'EUR');
    const ids = [good.id, expired.id, released.id, used.id, foreign.id, euro.id, randomUUID(), 'no id'];
    const answer = await expectNothingMoved(shop, () => place(ids, { customerId: ALICE }));
    expect(refusalsOf(answer).map(({ code, field }) => [code, field])).toEqual([
      ['HOLD_EXPIRED', ['holdIds', '1']],
      ['HOLD_RELEASED', ['holdIds', '2']],
      ['HOLD_ALREADY_USED', ['holdIds', '3']],
      ['HOLD_NOT_FOUND', ['holdIds', '4']],
      ['CURRENCY_MISMATCH', ['holdIds', '5']],
      ['HOLD_NOT_FOUND', ['holdIds', '6']],
      ['HOLD_NOT_FOUND', ['holdIds', '7']],
    ]);
    expect((await place([good.id], { customerId: ALICE })).granted).toBe(true);
  });

  test('the index is that of the first naming', async () => {
    const good = await newHold();
    const answer = await place([good.id, good.id, randomUUID()]);
    expect(refusalsOf(answer)).toMatchObject([{ code: 'HOLD_NOT_FOUND', field: ['holdIds', '2'] }]);
  });

  test('an expired hold cannot be ordered, swept or not', async () => {
    const hold = await newHold();
    await expire(shop.sql, hold.id);
    await expectRefused(shop, () => place([hold.id]), 'HOLD_EXPIRED');
    await shop.sweep();
    await expectRefused(shop, () => place([hold.id]), 'HOLD_EXPIRED');
  });

  test('an order of no hold or of more than 50 is a caller error', async () => {
    await expect(place([])).rejects.toThrow(CallerError);
    await expect(place(Array.from({ length: 51 }, () => randomUUID()))).rejects.toThrow(CallerError);
  });

  test('a total beyond the exact integers is the caller’s mistake', async () => {
    const holds = [await newHold({}, Number.MAX_SAFE_INTEGER), await newHold({}, 1)];
    await expectNothingMoved(shop, () => expect(place(holdIds(holds))).rejects.toThrow(CallerError));
  });
});

describe('a key names one order for ever', () => {
  test('a replay answers the order as it stands now, and moves nothing', async () => {
    const hold = await newHold();
    const more = { idempotencyKey: newKey() };
    const order = valueOf(await place([hold.id], more));
    expect(await expectNothingMoved(shop, () => place([hold.id], more))).toEqual(replayed(order));
    await shop.cancelOrder(order.id);
    expect(await place([hold.id], more)).toMatchObject({ replay: true, value: { id: order.id, status: 'CANCELLED' } });
  });

  test('a key with another set of holds is IDEMPOTENCY_KEY_REUSED; the order of the holds does not matter', async () => {
    const [a, b, c] = [await newHold(), await newHold(), await newHold()];
    const more = { idempotencyKey: newKey() };
    await place([a.id, b.id], more);
    expect(await place([b.id, a.id], more)).toMatchObject({ replay: true });
    await expectRefused(shop, () => place([a.id], more), 'IDEMPOTENCY_KEY_REUSED');
    await expectRefused(shop, () => place([a.id, b.id, c.id], more), 'IDEMPOTENCY_KEY_REUSED');
    await expectRefused(shop, () => place([c.id], more), 'IDEMPOTENCY_KEY_REUSED');
  });

  test('a refusal is not remembered, and another customer has keys of their own', async () => {
    const [a, b] = [await newHold(), await newHold()];
    const more = { idempotencyKey: newKey() };
    await expectRefused(shop, () => place([randomUUID()], more), 'HOLD_NOT_FOUND');
    const first = valueOf(await place([a.id], more));
    expect(valueOf(await place([b.id], { ...more, customerId: ALICE })).id).not.toBe(first.id);
  });

  test('without a key a used hold is used', async () => {
    const hold = await newHold();
    await shop.order(hold);
    await expectRefused(shop, () => place([hold.id]), 'HOLD_ALREADY_USED');
  });
});

// On Citus each has a transaction of its own, and which of two comes first is open.
onOneServer('requests that share a transaction see what their neighbours did', async () => {
  const product = await shop.product(9);
  const [first, a, b] = [await shop.hold(product), await shop.hold(product), await shop.hold(product)];
  const more = { idempotencyKey: newKey() };
  // The first goes at once, and the others wait for it together.
  const [, ...answers] = await Promise.all([
    place([first.id]),
    place([a.id]),
    place([a.id]),
    place([b.id], more),
    place([b.id], more),
  ]);
  const [own, used, one, copy] = answers;
  expect([used!.granted, refusalsOf(used!)[0]?.code]).toEqual([false, 'HOLD_ALREADY_USED']);
  expect(copy).toEqual(replayed(valueOf(one!)));
  expect(own!.granted).toBe(true);
});

describe('a payment that came before the shopper', () => {
  const pay = (hold: Hold, more = {}) => shop.receive(message('succeeded', hold, more));

  test('its order is the answer for exactly that hold, whatever the key', async () => {
    const hold = await newHold();
    await pay(hold);
    for (const more of [{}, { idempotencyKey: newKey() }]) {
      const answer = await expectNothingMoved(shop, () => place([hold.id], more));
      expect(answer).toMatchObject({ replay: true, value: { status: 'PAID', placedBy: 'PAYMENT' } });
    }
  });

  test('together with other holds it is refused for that hold', async () => {
    const [hold, other] = [await newHold(), await newHold()];
    await pay(hold);
    const answer = await expectNothingMoved(shop, () => place([other.id, hold.id]));
    expect(refusalsOf(answer)).toMatchObject([{ code: 'HOLD_ALREADY_USED', field: ['holdIds', '1'] }]);
  });

  test('an order that a payment placed is not shown to other customers', async () => {
    const hold = await newHold({ customerId: ALICE });
    await pay(hold);
    await expectRefused(shop, () => place([hold.id], { customerId: BOB }), 'HOLD_NOT_FOUND');
    expect(await place([hold.id], { customerId: ALICE })).toMatchObject({ replay: true });
  });

  test('createOrder answers the order that a payment placed of an expired hold', async () => {
    const hold = await newHold();
    await expire(shop.sql, hold.id);
    await pay(hold);
    expect(await place([hold.id])).toMatchObject({ replay: true, value: { status: 'PAID' } });
  });

  test('parked for its amount, pays the order of several holds', async () => {
    const holds = [await newHold(), await newHold()];
    await pay(holds[0]!, { amountMinor: 2_000 });
    expect(valueOf(await place(holdIds(holds))).status).toBe('PAID');
  });

  test('parked, and of no order’s amount, is a mismatch once the order is there', async () => {
    const hold = await newHold();
    const event = message('succeeded', hold, { amountMinor: 999 });
    await shop.receive(event);
    const order = valueOf(await place([hold.id]));
    expect(order.status).toBe('PENDING_PAYMENT');
    expect(await rows('SELECT outcome, order_id FROM payment_events WHERE event_id = $1', event.eventId)).toEqual([
      { outcome: 'AMOUNT_MISMATCH', order_id: order.id },
    ]);
  });
});

test('a payment for an order whose id the provider knew before it existed is applied', async () => {
  const hold = await newHold();
  const idempotencyKey = newKey();
  const id = orderIdOf('', idempotencyKey);
  await shop.receive(message('succeeded', hold, { reference: id }));
  expect(valueOf(await place([hold.id], { idempotencyKey }))).toMatchObject({ id, status: 'PAID' });
});
