/** createHold against a real PostgreSQL: what is granted, what is refused, and that a refusal moves nothing. */
import { randomUUID } from 'node:crypto';
import { CallerError } from '../../src/domain/errors';
import type { Product } from '../../src/domain/records';
import { ALICE, BOB, codesOf, newKey, openShop, refusalsOf, serverOn, valueOf, type Shop } from '../support/checkout';
import { expectClean, expectNothingMoved, expectRefused } from '../support/invariants';
import { expire } from '../support/time';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

const ask = (product: { id: string }, more: object = {}) =>
  shop.createHold({ productId: product.id, quantity: 1, customerId: '', ...more });
const stock = async (product: Product) =>
  (await shop.sql('SELECT total, available FROM stock WHERE product_id = $1', [product.id]))[0];
const inDays = (days: number) => new Date(Date.now() + days * 86_400_000);

test('a hold takes its units for 120 seconds of the database’s time, at the price of the moment', async () => {
  const product = await shop.product(5, { priceMinor: 4_999, currency: 'EUR' });
  const hold = valueOf(await ask(product, { quantity: 2, customerId: ALICE }));
  expect(hold).toMatchObject({
    quantity: 2,
    unitPriceMinor: 4_999,
    currency: 'EUR',
    status: 'ACTIVE',
    customerId: ALICE,
  });
  expect(hold.expiresAt.getTime() - hold.createdAt.getTime()).toBe(120_000);
  expect(await stock(product)).toEqual({ total: 5, available: 3 });
  await shop.updateProduct({ productId: product.id, priceMinor: 1 });
  const [row] = await shop.sql('SELECT unit_price_minor AS price FROM holds WHERE id = $1', [hold.id]);
  expect(row).toEqual({ price: '4999' });
});

test('a hold lives as long as the settings say', async () => {
  const server = serverOn(shop.database, shop.log, { holdTtlSeconds: 2 });
  const hold = await server.hold(await shop.product(1));
  expect(hold.expiresAt.getTime() - hold.createdAt.getTime()).toBe(2_000);
});

test('ids are read in either case', async () => {
  const product = await shop.product(1);
  expect((await ask({ id: product.id.toUpperCase() })).granted).toBe(true);
});

describe('a refusal moves nothing', () => {
  test('PRODUCT_NOT_FOUND for an unknown id, and for what is no id', async () => {
    await expectRefused(shop, () => ask({ id: randomUUID() }), 'PRODUCT_NOT_FOUND');
    await expectRefused(shop, () => ask({ id: "x'; DROP TABLE holds; --" }), 'PRODUCT_NOT_FOUND');
  });

  test('OUT_OF_STOCK with its one message, and the time at which units can come back', async () => {
    const product = await shop.product(2);
    const { expiresAt } = await shop.hold(product, { quantity: 2 });
    // Twice: once under the lock, and once more without it, when the product is known to be sold out.
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      await expectRefused(shop, () => ask(product), 'OUT_OF_STOCK');
      expect(refusalsOf(await ask(product))).toMatchObject([
        { message: 'No available stock left for the product', stockReturnsAt: expiresAt },
      ]);
    }
  });

  test('OUT_OF_STOCK without a time when only an unpaid order could bring units back', async () => {
    const product = await shop.product(1);
    await shop.orderOf(product);
    expect(refusalsOf(await ask(product))).toMatchObject([{ code: 'OUT_OF_STOCK', stockReturnsAt: null }]);
  });

  test('OUT_OF_STOCK when fewer are left than wanted; what is left goes to the next', async () => {
    const product = await shop.product(2);
    await expectRefused(shop, () => ask(product, { quantity: 3 }), 'OUT_OF_STOCK');
    expect((await ask(product, { quantity: 2 })).granted).toBe(true);
  });

  test('SALE_NOT_STARTED and SALE_ENDED', async () => {
    const upcoming = await shop.product(1, { saleStartsAt: inDays(1) });
    await expectRefused(shop, () => ask(upcoming), 'SALE_NOT_STARTED');
    const ended = await shop.product(1, { saleEndsAt: inDays(-1) });
    await expectRefused(shop, () => ask(ended), 'SALE_ENDED');
  });

  test('CUSTOMER_REQUIRED for an anonymous shopper, LIMIT_PER_CUSTOMER for a greedy one', async () => {
    const product = await shop.product(9, { maxPerCustomer: 2 });
    await expectRefused(shop, () => ask(product), 'CUSTOMER_REQUIRED');
    await expectRefused(shop, () => ask(product, { customerId: ALICE, quantity: 3 }), 'LIMIT_PER_CUSTOMER');
    await shop.hold(product, { customerId: ALICE, quantity: 2 });
    await expectRefused(shop, () => ask(product, { customerId: ALICE }), 'LIMIT_PER_CUSTOMER');
    expect((await ask(product, { customerId: BOB })).granted).toBe(true);
  });

  test('malformed input is the caller’s mistake', async () => {
    const product = await shop.product(1);
    await expectNothingMoved(shop, async () => {
      for (const more of [{ quantity: 0 }, { quantity: 1.5 }, { quantity: 2 ** 31 }, { idempotencyKey: '' }]) {
        await expect(ask(product, more)).rejects.toThrow(CallerError);
      }
    });
  });

  test('a price beyond the exact integers is the caller’s mistake', async () => {
    const product = await shop.product(9, { priceMinor: Number.MAX_SAFE_INTEGER });
    await expectNothingMoved(shop, () => expect(ask(product, { quantity: 2 })).rejects.toThrow(CallerError));
  });
});

describe('the limit per customer counts units that are not given back', () => {
  test('the limit counts units of holds and orders, but not of overdue holds', async () => {
    const product = await shop.product(9, { maxPerCustomer: 2 });
    const more = { customerId: ALICE };
    await shop.orderOf(product, more);
    const second = await shop.hold(product, more);
    await expectRefused(shop, () => ask(product, more), 'LIMIT_PER_CUSTOMER');
    await expire(shop.sql, second.id);
    expect((await ask(product, more)).granted).toBe(true);
  });

  test('what is released or cancelled may be held again', async () => {
    const product = await shop.product(9, { maxPerCustomer: 1 });
    const more = { customerId: ALICE };
    await shop.releaseHold((await shop.hold(product, more)).id, ALICE);
    await shop.cancelOrder((await shop.orderOf(product, more)).id, ALICE);
    expect((await ask(product, more)).granted).toBe(true);
  });
});

describe('a key names one hold for ever', () => {
  test('a replay answers the same hold and moves nothing, also when the product is sold out', async () => {
    const product = await shop.product(1);
    const more = { idempotencyKey: newKey() };
    const hold = valueOf(await ask(product, more));
    await ask(product); // The server knows now that it is sold out.
    expect(await expectNothingMoved(shop, () => ask(product, more))).toMatchObject({
      granted: true,
      replay: true,
      value: hold,
    });
  });

  test('a replay shows the hold as it stands now', async () => {
    const product = await shop.product(1);
    const more = { idempotencyKey: newKey() };
    const { id } = valueOf(await ask(product, more));
    await shop.releaseHold(id);
    expect(await ask(product, more)).toMatchObject({ replay: true, value: { id, status: 'RELEASED' } });
  });

  test('a refusal is not remembered', async () => {
    const product = await shop.product(1);
    const blocking = await shop.hold(product);
    const more = { idempotencyKey: newKey() };
    await expectRefused(shop, () => ask(product, more), 'OUT_OF_STOCK');
    await shop.releaseHold(blocking.id);
    expect(await ask(product, more)).toMatchObject({ granted: true, replay: false });
  });

  test('a key with another quantity is IDEMPOTENCY_KEY_REUSED; other customers and products have separate keys', async () => {
    const product = await shop.product(9);
    const more = { idempotencyKey: newKey(), customerId: ALICE };
    const { id } = valueOf(await ask(product, more));
    await expectRefused(shop, () => ask(product, { ...more, quantity: 2 }), 'IDEMPOTENCY_KEY_REUSED');
    expect(valueOf(await ask(product, { ...more, customerId: BOB })).id).not.toBe(id);
    expect(valueOf(await ask(await shop.product(1), more)).id).not.toBe(id);
  });

  test('copies that come together name one hold', async () => {
    const product = await shop.product(9);
    const more = { idempotencyKey: newKey() };
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(product, more)));
    expect(new Set(answers.map((answer) => valueOf(answer).id)).size).toBe(1);
    expect(await stock(product)).toEqual({ total: 9, available: 8 });
  });
});

describe('units of overdue holds can be taken at once', () => {
  test('without a sweep, oldest first and no more than are needed', async () => {
    const product = await shop.product(3);
    const holds = [await shop.hold(product), await shop.hold(product), await shop.hold(product)];
    await expire(shop.sql, ...holds.map(({ id }) => id));
    expect((await ask(product, { quantity: 2 })).granted).toBe(true);
    const rows = await shop.sql<{ status: string }>(
      'SELECT status FROM holds WHERE product_id = $1 AND quantity = 1 ORDER BY expires_at',
      [product.id],
    );
    expect(rows.map(({ status }) => status)).toEqual(['EXPIRED', 'EXPIRED', 'ACTIVE']);
    expect(await stock(product)).toEqual({ total: 3, available: 0 });
  });

  test('also when the server has seen the product sold out', async () => {
    const product = await shop.product(1);
    const { id } = await shop.hold(product);
    expect(codesOf(await ask(product))).toEqual(['OUT_OF_STOCK']);
    await expire(shop.sql, id);
    expect((await ask(product)).granted).toBe(true);
  });

  test('overdue holds are closed for a whole batch', async () => {
    const product = await shop.product(4);
    const holds = await Promise.all(Array.from({ length: 4 }, () => shop.hold(product)));
    await expire(shop.sql, ...holds.map(({ id }) => id));
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(product)));
    expect(answers.map(({ granted }) => granted)).toEqual([true, true, true, true, false, false]);
  });

  test('when closing them does not help, the refusal stands, and the bookkeeping too', async () => {
    const product = await shop.product(2);
    const { id } = await shop.hold(product);
    await shop.orderOf(product);
    await expire(shop.sql, id);
    expect(codesOf(await ask(product, { quantity: 2 }))).toEqual(['OUT_OF_STOCK']);
    expect(await stock(product)).toEqual({ total: 2, available: 1 });
  });
});
