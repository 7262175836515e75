/** Every mutation over HTTP: success, each refusal, replays, and the accepted inputs. */
import { randomUUID } from 'node:crypto';
import { newKey } from '../support/checkout';
import { expectClean, expectNothingMoved } from '../support/invariants';
import { expire, makeOrderOverdue } from '../support/time';
import {
  mutationText,
  openServer,
  paymentMessage,
  type GqlReply,
  type Mutation,
  type Payload,
  type TestServer,
} from '../support/server';

let server: TestServer;
let alice: string;
let bob: string;
let admin: string;
beforeAll(async () => {
  server = await openServer();
  ({ alice, bob, admin } = server.tokens);
});
afterAll(async () => {
  await expectClean(server.db);
  await server.close();
});

const OUT_OF_STOCK = 'No available stock left for the product';
const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString();

/** Expects exactly these userErrors in their whole shape, no object, and that nothing moved. */
async function expectRefused(
  name: Mutation,
  input: Record<string, unknown>,
  token: string | null,
  ...expected: { code: string; field: string[] | null }[]
): Promise<Payload> {
  const payload = await expectNothingMoved(server.db, () => server.mutate(name, input, token));
  expect(payload.object).toBeNull();
  expect(payload.userErrors.map(({ code, field }) => ({ code, field }))).toEqual(expected);
  for (const error of payload.userErrors) {
    expect(Object.keys(error).sort()).toEqual(['code', 'field', 'message', 'retryAfterMs', 'stockReturnsAt']);
    expect(error.message).toMatch(/\S/);
    expect(error.retryAfterMs).toBeNull();
    if (error.code !== 'OUT_OF_STOCK') expect(error.stockReturnsAt).toBeNull();
  }
  return payload;
}

async function expectMistake(work: () => Promise<GqlReply>, status: number): Promise<GqlReply> {
  const reply = await expectNothingMoved(server.db, work);
  expect(reply.status).toBe(status);
  expect(reply.body.data ?? null).toBeNull();
  expect(reply.body.errors!.map((error) => error.extensions!.code)).toEqual(['BAD_USER_INPUT']);
  return reply;
}

const mistake = (name: Mutation, input: Record<string, unknown>, token: string | null, status = 200) =>
  expectMistake(() => server.gql(mutationText(name), { input }, token), status);

describe('createHold', () => {
  test('holds one unit by default, at the current price, for HOLD_TTL_SECONDS', async () => {
    const product = await server.product(5, { priceMinor: 4_999, currency: 'EUR' });
    const hold = await server.hold(product.id);
    expect(hold).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      quantity: 1,
      unitPrice: { amountMinor: 4_999, currency: 'EUR' },
      total: { amountMinor: 4_999, currency: 'EUR' },
      status: 'ACTIVE',
      createdAt: expect.stringMatching(/Z$/),
      expiresAt: expect.stringMatching(/Z$/),
      product: { id: product.id },
      order: null,
    });
    expect(Date.parse(hold.expiresAt) - Date.parse(hold.createdAt)).toBe(120_000);
  });

  test('keeps its price when the product’s changes', async () => {
    const product = await server.product(5);
    const hold = await server.hold(product.id, { quantity: 2 });
    await server.mutate('updateProduct', { productId: product.id, priceMinor: 7 }, admin);
    const { body } = await server.gql('query ($id: ID!) { hold(id: $id) { total { amountMinor } } }', { id: hold.id });
    expect(body.data.hold.total.amountMinor).toBe(2_000);
    expect((await server.hold(product.id)).total.amountMinor).toBe(7);
  });

  test('answers a repeated key with the same hold, as it stands now', async () => {
    const product = await server.product(5);
    const idempotencyKey = newKey();
    const hold = await server.hold(product.id, { idempotencyKey });
    const again = () => expectNothingMoved(server.db, () => server.hold(product.id, { idempotencyKey }));
    expect(await again()).toEqual(hold);
    await expire(server.sql, hold.id);
    expect(await again()).toMatchObject({ id: hold.id, status: 'EXPIRED' });
    const other = await server.hold(product.id, { idempotencyKey: `${idempotencyKey}2` });
    await server.mutate('releaseHold', { holdId: other.id });
    const released = await server.hold(product.id, { idempotencyKey: `${idempotencyKey}2` });
    expect(released).toMatchObject({ id: other.id, status: 'RELEASED' });
  });

  test('keeps the idempotency keys of customers and of anonymous shoppers apart', async () => {
    const product = await server.product(5);
    const idempotencyKey = newKey();
    const ids = [];
    for (const token of [null, alice, bob]) ids.push((await server.hold(product.id, { idempotencyKey }, token)).id);
    expect(new Set(ids).size).toBe(3);
  });

  test('refuses a used key with another quantity before it judges anything else', async () => {
    const product = await server.product(1);
    const idempotencyKey = newKey();
    await server.hold(product.id, { idempotencyKey });
    await server.mutate('updateProduct', { productId: product.id, saleEndsAt: ago(60) }, admin);
    const input = { productId: product.id, quantity: 2, idempotencyKey };
    await expectRefused('createHold', input, null, { code: 'IDEMPOTENCY_KEY_REUSED', field: ['idempotencyKey'] });
  });

  test('does not remember a refusal', async () => {
    const product = await server.product(0);
    const input = { productId: product.id, idempotencyKey: newKey() };
    await expectRefused('createHold', input, null, { code: 'OUT_OF_STOCK', field: null });
    await server.mutate('adjustStock', { productId: product.id, delta: 1, reason: 'found' }, admin);
    expect((await server.mutate('createHold', input)).object.status).toBe('ACTIVE');
  });

  test('OUT_OF_STOCK says when the first live hold ends, or nothing when no unit is held', async () => {
    const product = await server.product(2);
    const first = await server.hold(product.id);
    await server.hold(product.id);
    const outOfStock = async () => {
      const { userErrors } = await expectRefused('createHold', { productId: product.id }, null, {
        code: 'OUT_OF_STOCK',
        field: null,
      });
      expect(userErrors[0]!.message).toBe(OUT_OF_STOCK);
      return userErrors[0]!.stockReturnsAt;
    };
    expect(await outOfStock()).toBe(first.expiresAt);
    const { body } = await server.gql(`{ product(id: "${product.id}") { saleStatus } }`);
    expect(body.data.product.saleStatus).toBe('FULLY_HELD');

    const sold = await server.product(1);
    await server.order((await server.hold(sold.id)).id);
    const { userErrors } = await server.mutate('createHold', { productId: sold.id });
    expect(userErrors).toEqual([
      { code: 'OUT_OF_STOCK', message: OUT_OF_STOCK, field: null, retryAfterMs: null, stockReturnsAt: null },
    ]);
  });

  test('takes the units of overdue holds before a sweep', async () => {
    const product = await server.product(1);
    const overdue = await server.hold(product.id);
    await expire(server.sql, overdue.id);
    expect((await server.hold(product.id)).status).toBe('ACTIVE');
    await expectRefused('createOrder', { holdIds: [overdue.id] }, null, {
      code: 'HOLD_EXPIRED',
      field: ['holdIds', '0'],
    });
  });

  test('refuses for the first reason that applies', async () => {
    const wanted = { quantity: 3 };
    const refuse = (id: string, token: string | null, code: string, field: string[] | null) =>
      expectRefused('createHold', { productId: id, ...wanted }, token, { code, field });
    await refuse(randomUUID(), null, 'PRODUCT_NOT_FOUND', ['productId']);
    const limits = { maxPerCustomer: 2 };
    const future = { saleStartsAt: ago(-3_600) };
    const past = { saleEndsAt: ago(60) };
    await refuse((await server.product(1, { ...limits, ...future })).id, null, 'CUSTOMER_REQUIRED', null);
    await refuse((await server.product(1, { ...limits, ...future })).id, alice, 'SALE_NOT_STARTED', null);
    await refuse((await server.product(1, { ...limits, ...past })).id, alice, 'SALE_ENDED', null);
    await refuse((await server.product(1, limits)).id, alice, 'LIMIT_PER_CUSTOMER', ['quantity']);
    await refuse((await server.product(1)).id, alice, 'OUT_OF_STOCK', null);
  });

  test('counts all units of one customer, and no longer those that were released', async () => {
    const product = await server.product(10, { maxPerCustomer: 2 });
    const hold = await server.hold(product.id, { quantity: 2 }, alice);
    const input = { productId: product.id };
    await expectRefused('createHold', input, alice, { code: 'LIMIT_PER_CUSTOMER', field: ['quantity'] });
    expect((await server.mutate('createHold', { ...input, quantity: 2 }, bob)).codes).toEqual([]);
    await server.mutate('releaseHold', { holdId: hold.id }, alice);
    expect((await server.mutate('createHold', input, alice)).codes).toEqual([]);
  });
});

describe('releaseHold', () => {
  test('gives the units back, once', async () => {
    const product = await server.product(1);
    const hold = await server.hold(product.id);
    const first = await server.mutate('releaseHold', { holdId: hold.id });
    expect(first.object).toMatchObject({ id: hold.id, status: 'RELEASED' });
    const again = await expectNothingMoved(server.db, () => server.mutate('releaseHold', { holdId: hold.id }));
    expect(again).toEqual(first);
    const { body } = await server.gql(`{ product(id: "${product.id}") { availableStock } }`);
    expect(body.data.product.availableStock).toBe(1);
  });

  test('refuses missing, ended and used holds', async () => {
    const product = await server.product(3);
    const [expired, used] = [await server.hold(product.id), await server.hold(product.id)];
    await server.order(used.id);
    await expire(server.sql, expired.id);
    const refuse = (holdId: string, code: string) =>
      expectRefused('releaseHold', { holdId }, null, { code, field: ['holdId'] });
    await refuse(randomUUID(), 'HOLD_NOT_FOUND');
    await refuse(expired.id, 'HOLD_EXPIRED');
    await refuse(used.id, 'HOLD_ALREADY_USED');
  });
});

describe('createOrder', () => {
  test('accepts a single id in place of a list', async () => {
    const product = await server.product(2);
    const byVariable = await server.mutate('createOrder', { holdIds: (await server.hold(product.id)).id });
    expect(byVariable.object.status).toBe('PENDING_PAYMENT');
    const { id } = await server.hold(product.id);
    const { body } = await server.gql(
      `mutation { createOrder(input: { holdIds: "${id}" }) { order { lines { hold { id } } } } }`,
    );
    expect(body.data.createOrder.order.lines).toEqual([{ hold: { id } }]);
  });

  test('makes one order of several holds, and counts a hold named twice once', async () => {
    const [a, b] = [await server.product(9, { priceMinor: 150 }), await server.product(9, { priceMinor: 20 })];
    const holds = [await server.hold(a.id, { quantity: 2 }), await server.hold(b.id, { quantity: 3 })];
    const ids = holds.map((hold) => hold.id);
    const order = await server.order([...ids, ids[0].toUpperCase()]);
    expect(order).toMatchObject({
      status: 'PENDING_PAYMENT',
      total: { amountMinor: 360, currency: 'USD' },
      paidAt: null,
      cancelledAt: null,
    });
    expect(Date.parse(order.paymentDueAt) - Date.parse(order.createdAt)).toBe(900_000);
    expect(order.lines.map((line: { quantity: number; hold: unknown }) => [line.quantity, line.hold])).toEqual([
      [2, { id: ids[0], status: 'CONSUMED' }],
      [3, { id: ids[1], status: 'CONSUMED' }],
    ]);
  });

  test('answers a repeated key with the same order, as it stands now', async () => {
    const product = await server.product(2);
    const input = { holdIds: [(await server.hold(product.id)).id], idempotencyKey: newKey() };
    const { object: order } = await server.mutate('createOrder', input);
    const again = () => expectNothingMoved(server.db, () => server.mutate('createOrder', input));
    expect((await again()).object).toEqual(order);
    await server.webhook(paymentMessage('succeeded', order));
    expect((await again()).object).toMatchObject({ id: order.id, status: 'PAID', paidAt: expect.any(String) });
    const other = { ...input, holdIds: [(await server.hold(product.id)).id] };
    await expectRefused('createOrder', other, null, { code: 'IDEMPOTENCY_KEY_REUSED', field: ['idempotencyKey'] });
  });

  test('names each bad hold by its index and orders none of the good ones', async () => {
    const [usd, eur] = [await server.product(9), await server.product(9, { currency: 'EUR' })];
    const good = await server.hold(usd.id);
    const [expired, released, used] = [await server.hold(usd.id), await server.hold(usd.id), await server.hold(usd.id)];
    await server.order(used.id);
    await server.mutate('releaseHold', { holdId: released.id });
    await expire(server.sql, expired.id);
    const foreign = await server.hold(eur.id);
    const holdIds = [good.id, expired.id, released.id, good.id, used.id, foreign.id, randomUUID(), 'x'];
    await expectRefused(
      'createOrder',
      { holdIds },
      null,
      { code: 'HOLD_EXPIRED', field: ['holdIds', '1'] },
      { code: 'HOLD_RELEASED', field: ['holdIds', '2'] },
      { code: 'HOLD_ALREADY_USED', field: ['holdIds', '4'] },
      { code: 'CURRENCY_MISMATCH', field: ['holdIds', '5'] },
      { code: 'HOLD_NOT_FOUND', field: ['holdIds', '6'] },
      { code: 'HOLD_NOT_FOUND', field: ['holdIds', '7'] },
    );
    expect((await server.order(good.id)).status).toBe('PENDING_PAYMENT');
  });

  test('does not judge the sale window again', async () => {
    const product = await server.product(1);
    const hold = await server.hold(product.id);
    await server.mutate('updateProduct', { productId: product.id, saleEndsAt: ago(60) }, admin);
    expect((await server.order(hold.id)).status).toBe('PENDING_PAYMENT');
  });

  test('takes from 1 to 50 holds', async () => {
    await mistake('createOrder', { holdIds: [] }, null);
    await mistake('createOrder', { holdIds: Array.from({ length: 51 }, () => randomUUID()) }, null);
    const product = await server.product(50);
    const answers = await Promise.all(Array.from({ length: 50 }, () => server.hold(product.id)));
    const order = await server.order(answers.map((hold) => hold.id));
    expect(order.lines).toHaveLength(50);
    expect(order.total.amountMinor).toBe(50_000);
  });

  test('answers the order that a payment has placed for the hold', async () => {
    const product = await server.product(1);
    const hold = await server.hold(product.id, {}, alice);
    const paid = await server.webhook(paymentMessage('succeeded', hold));
    expect(paid.body).toMatchObject({ outcome: 'APPLIED', duplicate: false });
    const order = await expectNothingMoved(server.db, () => server.order(hold.id, alice));
    expect(order).toMatchObject({ id: paid.body.order_id, status: 'PAID' });
    const { body } = await server.gql(`{ hold(id: "${hold.id}") { status order { id } } }`, null, alice);
    expect(body.data.hold).toEqual({ status: 'CONSUMED', order: { id: order.id } });
  });
});

describe('cancelOrder', () => {
  test('gives the units back, once', async () => {
    const product = await server.product(1);
    const order = await server.order((await server.hold(product.id)).id);
    const first = await server.mutate('cancelOrder', { orderId: order.id });
    expect(first.object).toMatchObject({ status: 'CANCELLED', cancelledAt: expect.any(String), paidAt: null });
    const again = await expectNothingMoved(server.db, () => server.mutate('cancelOrder', { orderId: order.id }));
    expect(again).toEqual(first);
    expect((await server.hold(product.id)).status).toBe('ACTIVE');
  });

  test('an order says what cancelled it last, even after a payment arrived', async () => {
    const product = await server.product(9);
    const orders = await Promise.all(
      Array.from({ length: 4 }, async () => server.order((await server.hold(product.id)).id)),
    );
    const [open, byCustomer, byFailure, byWindow] = orders;
    const read = async ({ id }: { id: string }) =>
      (await server.gql(`{ order(id: "${id}") { status cancelledBy } }`)).body.data.order;
    await server.mutate('cancelOrder', { orderId: byCustomer.id });
    await server.webhook(paymentMessage('failed', byFailure));
    await makeOrderOverdue(server.sql, byWindow.id);
    await server.app.checkout.sweep();
    expect(await Promise.all(orders.map(read))).toEqual([
      { status: 'PENDING_PAYMENT', cancelledBy: null },
      { status: 'CANCELLED', cancelledBy: 'CUSTOMER' },
      { status: 'CANCELLED', cancelledBy: 'PAYMENT_FAILED' },
      { status: 'CANCELLED', cancelledBy: 'PAYMENT_WINDOW' },
    ]);
    await server.webhook(paymentMessage('succeeded', open));
    await server.webhook(paymentMessage('succeeded', byCustomer));
    await server.webhook(paymentMessage('succeeded', byWindow));
    expect(await Promise.all([open, byCustomer, byWindow].map(read))).toEqual([
      { status: 'PAID', cancelledBy: null },
      { status: 'REFUND_DUE', cancelledBy: 'CUSTOMER' },
      { status: 'PAID', cancelledBy: 'PAYMENT_WINDOW' },
    ]);
  });

  test('refuses missing and paid orders', async () => {
    const product = await server.product(9);
    const refuse = (orderId: string, code: string) =>
      expectRefused('cancelOrder', { orderId }, null, { code, field: ['orderId'] });
    await refuse(randomUUID(), 'ORDER_NOT_FOUND');
    const order = await server.order((await server.hold(product.id)).id);
    const payment = paymentMessage('succeeded', order);
    await server.webhook(payment);
    await refuse(order.id, 'ORDER_NOT_CANCELLABLE');
    await server.webhook(paymentMessage('refunded', order, { payment_id: payment.data.payment_id }));
    await refuse(order.id, 'ORDER_NOT_CANCELLABLE');
    const owed = await server.order((await server.hold(product.id)).id);
    await server.mutate('cancelOrder', { orderId: owed.id });
    expect((await server.webhook(paymentMessage('succeeded', owed))).body.outcome).toBe('REFUND_DUE');
    await refuse(owed.id, 'ORDER_NOT_CANCELLABLE');
  });
});

describe('createProduct', () => {
  const good = () => ({ sku: `S-${randomUUID()}`, name: 'Name', priceMinor: 1, currency: 'USD', totalStock: 3 });

  test('creates a product with every field of its input', async () => {
    const input = {
      ...good(),
      description: '',
      maxPerCustomer: 2,
      saleStartsAt: '2020-01-01T02:00:00+02:00',
      saleEndsAt: '9999-12-31T23:59:59.999Z',
    };
    const { object } = await server.mutate('createProduct', input, admin);
    expect(object).toEqual({
      id: expect.any(String),
      sku: input.sku,
      name: 'Name',
      description: '',
      price: { amountMinor: 1, currency: 'USD' },
      availableStock: 3,
      totalStock: 3,
      saleStatus: 'ON_SALE',
      saleStartsAt: '2020-01-01T00:00:00.000Z',
      saleEndsAt: '9999-12-31T23:59:59.999Z',
      maxPerCustomer: 2,
    });
  });

  test('refuses a SKU that another product has', async () => {
    const input = good();
    await server.mutate('createProduct', input, admin);
    await expectRefused('createProduct', input, admin, { code: 'SKU_TAKEN', field: ['sku'] });
    const race = await Promise.all(
      Array.from({ length: 8 }, () => server.mutate('createProduct', { ...input, sku: `${input.sku}-race` }, admin)),
    );
    expect(race.map(({ codes }) => codes[0]).filter((code) => code === 'SKU_TAKEN')).toHaveLength(7);
  });

  test.each<[string, Record<string, unknown>, number]>([
    ['an empty sku', { sku: '' }, 200],
    ['a blank sku', { sku: ' \t' }, 200],
    ['a sku of 256 characters', { sku: 's'.repeat(256) }, 200],
    ['an empty name', { name: '' }, 200],
    ['a name of 256 characters', { name: 'n'.repeat(256) }, 200],
    ['a description of 10,001 characters', { description: 'd'.repeat(10_001) }, 200],
    ['small letters for a currency', { currency: 'usd' }, 200],
    ['a currency of two letters', { currency: 'US' }, 200],
    ['a currency and a line', { currency: 'USD\n' }, 200],
    ['a currency that ISO 4217 does not list', { currency: 'BTC' }, 200],
    ['a currency that was withdrawn', { currency: 'HRK' }, 200],
    ['gold, which has no minor unit', { currency: 'XAU' }, 200],
    ['a price below nothing', { priceMinor: -1 }, 200],
    ['a price of 2^53', { priceMinor: 2 ** 53 }, 400],
    ['a price that is a text', { priceMinor: '100' }, 400],
    ['a price that is a fraction', { priceMinor: 1.5 }, 400],
    ['a stock below nothing', { totalStock: -1 }, 200],
    ['a stock of 2^31', { totalStock: 2 ** 31 }, 400],
    ['a stock that is a text', { totalStock: '5' }, 400],
    ['a limit of nothing', { maxPerCustomer: 0 }, 400],
    ['a window that ends before it starts', { saleStartsAt: ago(0), saleEndsAt: ago(60) }, 200],
    ['a window of no length', { saleStartsAt: '2030-01-01T00:00:00Z', saleEndsAt: '2030-01-01T00:00:00Z' }, 200],
    ['a day that is none', { saleStartsAt: '2030-02-30T00:00:00Z' }, 400],
    ['a time without a zone', { saleStartsAt: '2030-01-01T00:00:00' }, 400],
    ['words for a time', { saleStartsAt: 'tomorrow' }, 400],
    ['an object for a time', { saleStartsAt: {} }, 400],
    ['a time before all times', { saleStartsAt: '0000-01-01T00:00:00Z' }, 400],
    ['a time after all times', { saleStartsAt: '9999-12-31T23:59:59-01:00' }, 400],
    ['an object where a text belongs', { name: { $ne: null } }, 400],
    ['a field nobody knows', { isAdmin: true }, 400],
  ])('refuses %s', async (_name, more, status) => {
    await mistake('createProduct', { ...good(), ...more }, admin, status);
  });
});

describe('updateProduct', () => {
  const full = {
    description: 'Text',
    maxPerCustomer: 2,
    saleStartsAt: '2020-01-01T00:00:00Z',
    saleEndsAt: ago(-3_600),
  };

  test('keeps every field that the input leaves out', async () => {
    const product = await server.product(1, full);
    const { object } = await server.mutate('updateProduct', { productId: product.id }, admin);
    expect(object).toEqual(product);
    const renamed = await server.mutate('updateProduct', { productId: product.id, name: 'New' }, admin);
    expect(renamed.object).toEqual({ ...product, name: 'New' });
  });

  test('removes description, limit and window on null', async () => {
    const product = await server.product(1, full);
    const none = { description: null, maxPerCustomer: null, saleStartsAt: null, saleEndsAt: null };
    const { object } = await server.mutate('updateProduct', { productId: product.id, ...none }, admin);
    expect(object).toEqual({ ...product, ...none });
  });

  test('refuses null as a name or a price', async () => {
    const { id } = await server.product(1);
    await mistake('updateProduct', { productId: id, name: null }, admin);
    await mistake('updateProduct', { productId: id, priceMinor: null }, admin);
  });

  test('judges one end of the sale window by the stored other end', async () => {
    const product = await server.product(1, { saleStartsAt: '2030-01-01T00:00:00Z' });
    await mistake('updateProduct', { productId: product.id, saleEndsAt: '2029-01-01T00:00:00Z' }, admin);
    await mistake('updateProduct', { productId: product.id, saleEndsAt: '2030-01-01T00:00:00Z' }, admin);
  });

  test('refuses a product that does not exist', async () => {
    const unknown = { code: 'PRODUCT_NOT_FOUND', field: ['productId'] };
    await expectRefused('updateProduct', { productId: randomUUID(), name: 'New' }, admin, unknown);
    await expectRefused('updateProduct', { productId: 'x' }, admin, unknown);
  });
});

describe('adjustStock', () => {
  test('changes total and available stock, once for each key', async () => {
    const product = await server.product(5);
    const input = { productId: product.id, delta: -2, reason: 'broken', idempotencyKey: newKey() };
    const { object } = await server.mutate('adjustStock', input, admin);
    expect(object).toMatchObject({ totalStock: 3, availableStock: 3 });
    const again = await expectNothingMoved(server.db, () => server.mutate('adjustStock', input, admin));
    expect(again.object).toEqual(object);
    const reused = { code: 'IDEMPOTENCY_KEY_REUSED', field: ['idempotencyKey'] };
    await expectRefused('adjustStock', { ...input, delta: 2 }, admin, reused);
  });

  test('refuses to remove held units, and an unknown product', async () => {
    const product = await server.product(5);
    await server.hold(product.id, { quantity: 4 });
    const input = { productId: product.id, delta: -2, reason: 'broken' };
    await expectRefused('adjustStock', input, admin, { code: 'STOCK_BELOW_COMMITTED', field: ['delta'] });
    const unknown = { code: 'PRODUCT_NOT_FOUND', field: ['productId'] };
    await expectRefused('adjustStock', { ...input, productId: randomUUID() }, admin, unknown);
  });

  test.each([
    ['no change', { delta: 0 }, 200],
    ['more than fits', { delta: 2_147_483_647 }, 200],
    ['2^31', { delta: 2_147_483_648 }, 400],
    ['no reason', { reason: '' }, 200],
    ['a blank reason', { reason: '  ' }, 200],
  ])('refuses %s', async (_name, more, status) => {
    const { id } = await server.product(1);
    await mistake('adjustStock', { productId: id, delta: 1, reason: 'found', ...more }, admin, status);
  });
});

describe('replayPaymentEvent', () => {
  test('judges a parked event again and answers every other event unchanged', async () => {
    const product = await server.product(2);
    const order = await server.order((await server.hold(product.id)).id);
    const wrong = paymentMessage('succeeded', order, { amount_minor: 1 });
    expect((await server.webhook(wrong)).body.outcome).toBe('AMOUNT_MISMATCH');
    const key = { provider: 'standard', eventId: wrong.event_id };
    const { object } = await server.mutate('replayPaymentEvent', key, admin);
    expect(object).toMatchObject({ ...key, outcome: 'AMOUNT_MISMATCH', settledAt: null, order: { id: order.id } });

    const right = paymentMessage('succeeded', order);
    await server.webhook(right);
    const settled = { provider: 'standard', eventId: right.event_id };
    const replay = await expectNothingMoved(server.db, () => server.mutate('replayPaymentEvent', settled, admin));
    expect(replay.object).toMatchObject({ outcome: 'APPLIED', order: { id: order.id, status: 'PAID' } });
  });

  test('refuses an unknown event', async () => {
    const unknown = { code: 'PAYMENT_EVENT_NOT_FOUND', field: ['eventId'] };
    await expectRefused('replayPaymentEvent', { provider: 'standard', eventId: 'evt_x' }, admin, unknown);
    await expectRefused('replayPaymentEvent', { provider: 'stripe', eventId: '' }, admin, unknown);
  });
});

test('a request that waits too long for a product is BUSY with retryAfterMs, and nothing has happened', async () => {
  const [locked, free] = [await server.product(4), await server.product(3)];
  const hold = await server.hold(locked.id);
  const ordered = await server.hold(locked.id);
  const order = await server.order((await server.hold(locked.id)).id);
  const { Client } = await import('pg');
  const client = new Client({ connectionString: server.db.url });
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query('SELECT FROM stock WHERE product_id = $1 FOR UPDATE', [locked.id]);
    // An order takes no units; it waits for its holds.
    await client.query('SELECT FROM holds WHERE id = $1 FOR UPDATE', [ordered.id]);
    const asked = performance.now();
    const answers = expectNothingMoved(server.db, () =>
      Promise.all([
        server.mutate('createHold', { productId: locked.id }),
        server.mutate('releaseHold', { holdId: hold.id }),
        server.mutate('createOrder', { holdIds: [ordered.id] }),
        server.mutate('cancelOrder', { orderId: order.id }),
        server.mutate('adjustStock', { productId: locked.id, delta: 1, reason: 'found' }, admin),
      ]),
    );
    for (const { object, userErrors } of await answers) {
      expect(object).toBeNull();
      expect(userErrors).toEqual([expect.objectContaining({ code: 'BUSY', field: null, stockReturnsAt: null })]);
      expect(userErrors[0]!.retryAfterMs).toBeGreaterThan(0);
    }
    // Twice the lock timeout: a request that reaches the head of the queue starts to wait again.
    expect(performance.now() - asked).toBeLessThan(5_000);
    const untouched = performance.now();
    expect((await server.hold(free.id)).status).toBe('ACTIVE');
    expect(performance.now() - untouched).toBeLessThan(1_000);
  } finally {
    await client.end();
  }
  expect((await server.mutate('releaseHold', { holdId: hold.id })).codes).toEqual([]);
  expect((await server.order(ordered.id)).status).toBe('PENDING_PAYMENT');
});

test('a document reads fresh values after each of its mutations', async () => {
  const product = await server.product(3);
  const idempotencyKey = newKey();
  const hold = await server.hold(product.id, { idempotencyKey });
  const { body } = await server.gql(
    `mutation ($hold: CreateHoldInput!, $order: CreateOrderInput!) {
      before: createHold(input: $hold) { hold { status order { id } product { availableStock } } }
      order: createOrder(input: $order) { order { id lines { hold { status order { status } } } } }
      after: createHold(input: $hold) { hold { status order { status } } }
    }`,
    { hold: { productId: product.id, idempotencyKey }, order: { holdIds: [hold.id] } },
  );
  expect(body.data.before.hold).toMatchObject({ status: 'ACTIVE', order: null });
  const now = { status: 'CONSUMED', order: { status: 'PENDING_PAYMENT' } };
  expect(body.data.order.order.lines).toEqual([{ hold: now }]);
  expect(body.data.after.hold).toEqual(now);

  const { body: cancelled } = await server.gql(
    `mutation ($hold: CreateHoldInput!, $order: CancelOrderInput!) {
      before: createHold(input: $hold) { hold { order { status } } }
      cancelOrder(input: $order) { order { status } }
      after: createHold(input: $hold) { hold { order { status } } }
    }`,
    { hold: { productId: product.id, idempotencyKey }, order: { orderId: body.data.order.order.id } },
  );
  expect(cancelled.data.before.hold.order.status).toBe('PENDING_PAYMENT');
  expect(cancelled.data.after.hold.order.status).toBe('CANCELLED');
});

describe('only whole numbers are accepted as numbers', () => {
  test.each<[string, unknown]>([
    ['2^31', 2_147_483_648],
    ['2^53', 2 ** 53],
    ['10^10', 1e10],
    ['-1', -1],
    ['0', 0],
    ['1.5', 1.5],
    ['"7"', '7'],
    ['""', ''],
    ['true', true],
    ['[3]', [3]],
    ['{}', {}],
    ['null', null],
  ])('a quantity of %s is refused, as a variable and in the text', async (literal, quantity) => {
    const { id: productId } = await server.product(5);
    await mistake('createHold', { productId, quantity }, null, 400);
    const text = literal.startsWith('2^') ? String(quantity) : literal.replace('10^10', '1e10');
    const document = `mutation { createHold(input: { productId: "${productId}", quantity: ${text} }) { hold { id } } }`;
    const reply = await expectNothingMoved(server.db, () => server.gql(document));
    expect(reply.status).toBe(400);
    expect(reply.body.errors![0]!.extensions!.code).toBe('GRAPHQL_VALIDATION_FAILED');
  });

  test.each([1_000_000_000, 2_147_483_647])(
    'a quantity of %d is a number: there is only not that much stock',
    async (quantity) => {
      const { id: productId } = await server.product(5);
      await expectRefused('createHold', { productId, quantity }, null, { code: 'OUT_OF_STOCK', field: null });
    },
  );

  test('quantity × price is exact up to 2^53 − 1 and BAD_USER_INPUT beyond', async () => {
    const dear = await server.product(2_000_000_000, { priceMinor: 2 ** 53 - 1 });
    await mistake('createHold', { productId: dear.id, quantity: 2 }, null);
    await mistake('createHold', { productId: dear.id, quantity: 1_000_000_000 }, null);
    const holds = [await server.hold(dear.id), await server.hold(dear.id)];
    expect(holds[0].total.amountMinor).toBe(2 ** 53 - 1);
    await mistake('createOrder', { holdIds: holds.map((hold) => hold.id) }, null);
    const order = await server.order(holds[0].id);
    expect(order.total.amountMinor).toBe(9_007_199_254_740_991);
    expect((await server.webhook(paymentMessage('succeeded', order))).body.outcome).toBe('APPLIED');
  });
});

describe('text', () => {
  const broken = { NUL: 'a\0b', 'a high surrogate alone': 'a\ud800', 'a low surrogate alone': '\udc00a' };

  test.each(Object.entries(broken))('with %s is refused wherever text is taken', async (_name, text) => {
    const { id } = await server.product(3);
    const hold = await server.hold(id);
    const product = { sku: randomUUID(), name: 'N', priceMinor: 1, currency: 'USD', totalStock: 1 };
    await mistake('createProduct', { ...product, sku: text }, admin);
    await mistake('createProduct', { ...product, name: text }, admin);
    await mistake('createProduct', { ...product, description: text }, admin);
    await mistake('createProduct', { ...product, currency: text }, admin);
    await mistake('updateProduct', { productId: id, name: text }, admin);
    await mistake('updateProduct', { productId: id, description: text }, admin);
    await mistake('adjustStock', { productId: id, delta: 1, reason: text }, admin);
    await mistake('adjustStock', { productId: id, delta: 1, reason: 'r', idempotencyKey: text }, admin);
    await mistake('createHold', { productId: id, idempotencyKey: text }, null);
    await mistake('createOrder', { holdIds: [hold.id], idempotencyKey: text }, null);
    await mistake('replayPaymentEvent', { provider: text, eventId: 'e' }, admin);
    await mistake('replayPaymentEvent', { provider: 'p', eventId: text }, admin);
    const bySku = 'query ($sku: String) { product(sku: $sku) { id } }';
    const reply = await expectNothingMoved(server.db, () => server.gql(bySku, { sku: text }));
    expect(reply.body.errors!.map((error) => error.extensions!.code)).toEqual(['BAD_USER_INPUT']);
  });

  test.each(Object.entries(broken))('with %s in an id names nothing', async (_name, text) => {
    const found = await server.gql(
      'query ($id: ID!) { hold(id: $id) { id } order(id: $id) { id } product(id: $id) { id } }',
      {
        id: text,
      },
    );
    expect(found.body).toEqual({ data: { hold: null, order: null, product: null } });
    await expectRefused('createHold', { productId: text }, null, { code: 'PRODUCT_NOT_FOUND', field: ['productId'] });
    await expectRefused('releaseHold', { holdId: text }, null, { code: 'HOLD_NOT_FOUND', field: ['holdId'] });
    await expectRefused('cancelOrder', { orderId: text }, null, { code: 'ORDER_NOT_FOUND', field: ['orderId'] });
    await expectRefused('createOrder', { holdIds: [text] }, null, { code: 'HOLD_NOT_FOUND', field: ['holdIds', '0'] });
  });

  test.each([
    `'; DROP TABLE holds; --`,
    `" OR 1=1 --`,
    `\\'; SELECT pg_sleep(9) --`,
    '? ?? \\? $1 $$ :name ${7*7} %s {{x}}',
    '\u202Egnol oot\u202C',
    '𝕱𝖑𝖆𝖘𝖍 🛒 e\u0301 \u200B',
    '__proto__',
    'constructor',
    '<script>alert(1)</script>',
    '{"$ne":null}',
    '*/ DROP',
  ])('the text %j is stored unchanged and not interpreted', async (text) => {
    const { object: product } = await server.mutate(
      'createProduct',
      { sku: text, name: text, description: text, priceMinor: 1, currency: 'USD', totalStock: 9 },
      admin,
    );
    expect(product).toMatchObject({ sku: text, name: text, description: text });
    const found = await server.gql('query ($sku: String) { product(sku: $sku) { id name } }', { sku: text });
    expect(found.body.data.product).toEqual({ id: product.id, name: text });

    const customer = await server.token(text);
    const input = { productId: product.id, idempotencyKey: text };
    const hold = await server.mutate('createHold', input, customer);
    expect((await server.mutate('createHold', input, customer)).object.id).toBe(hold.object.id);
    expect((await server.mutate('createHold', input, alice)).object.id).not.toBe(hold.object.id);
    const order = { holdIds: [hold.object.id], idempotencyKey: text };
    const placed = await server.mutate('createOrder', order, customer);
    expect((await server.mutate('createOrder', order, customer)).object.id).toBe(placed.object.id);
    const adjust = { productId: product.id, delta: 1, reason: text, idempotencyKey: text };
    await server.mutate('adjustStock', adjust, admin);
    expect((await server.mutate('adjustStock', adjust, admin)).object.totalStock).toBe(10);
    const renamed = { productId: product.id, name: `${text}!`, description: text };
    expect((await server.mutate('updateProduct', renamed, admin)).object).toMatchObject({ name: `${text}!` });
    const event = paymentMessage('succeeded', placed.object, { payment_id: text });
    event.event_id = `${text} ${randomUUID()}`;
    expect((await server.webhook(event, { id: 'msg_1' })).body).toMatchObject({
      event_id: event.event_id,
      outcome: 'APPLIED',
    });
    const replayed = { provider: 'standard', eventId: event.event_id };
    expect((await server.mutate('replayPaymentEvent', replayed, admin)).object).toMatchObject({ outcome: 'APPLIED' });

    await mistake(
      'createProduct',
      { sku: `${text}2`, name: text, priceMinor: 1, currency: text, totalStock: 9 },
      admin,
    );
    const notFound = (field: string, code: string) => ({ code, field: [field] });
    await expectRefused('releaseHold', { holdId: text }, null, notFound('holdId', 'HOLD_NOT_FOUND'));
    await expectRefused('cancelOrder', { orderId: text }, null, notFound('orderId', 'ORDER_NOT_FOUND'));
    await expectRefused('createHold', { productId: text }, null, notFound('productId', 'PRODUCT_NOT_FOUND'));
    await expectRefused(
      'updateProduct',
      { productId: text, name: text },
      admin,
      notFound('productId', 'PRODUCT_NOT_FOUND'),
    );
    for (const key of [
      { provider: text, eventId: event.event_id },
      { provider: 'standard', eventId: text },
    ]) {
      await expectRefused('replayPaymentEvent', key, admin, notFound('eventId', 'PAYMENT_EVENT_NOT_FOUND'));
    }
    const [row] = await server.sql<{ n: number }>('SELECT count(*)::int AS n FROM holds WHERE customer_id = $1', [
      text,
    ]);
    expect(row!.n).toBe(1);
  });

  test.each<[string, string, boolean]>([
    ['no character', '', false],
    ['one character', ' ', true],
    ['255 characters', 'k'.repeat(255), true],
    ['256 characters', 'k'.repeat(256), false],
    ['100,000 characters', 'k'.repeat(100_000), false],
  ])('an idempotency key of %s is accepted or refused as the table says', async (_name, idempotencyKey, isTaken) => {
    const { id: productId } = await server.product(9);
    const hold = await server.hold(productId);
    const calls: [Mutation, Record<string, unknown>, string | null][] = [
      ['createHold', { productId, idempotencyKey }, bob],
      ['createOrder', { holdIds: [hold.id], idempotencyKey }, bob],
      ['adjustStock', { productId, delta: 1, reason: 'r', idempotencyKey }, admin],
    ];
    for (const [name, input, token] of calls) {
      if (isTaken) expect((await server.mutate(name, input, token)).codes).toEqual([]);
      else await mistake(name, input, token);
    }
  });

  test('a megabyte of text is refused unread in every field', async () => {
    const { id } = await server.product(9);
    const text = 'k'.repeat(1_000_000);
    const calls: [Mutation, Record<string, unknown>][] = [
      ['createHold', { productId: id, idempotencyKey: text }],
      ['releaseHold', { holdId: text }],
      ['createOrder', { holdIds: [text] }],
      ['createProduct', { sku: text, name: 'N', priceMinor: 1, currency: 'USD', totalStock: 1 }],
      ['adjustStock', { productId: id, delta: 1, reason: text }],
      ['replayPaymentEvent', { provider: 'standard', eventId: text }],
    ];
    await expectNothingMoved(server.db, async () => {
      for (const [name, input] of calls) {
        const { status, body } = await server.gql(mutationText(name), { input }, admin);
        expect([name, status, body.errors!.map((error) => error.extensions!.code)]).toEqual([
          name,
          413,
          ['BAD_REQUEST'],
        ]);
        expect(body.data).toBeUndefined();
      }
    });
  });

  test('a key of null counts as no key', async () => {
    const { id: productId } = await server.product(9);
    const ids = [
      await server.hold(productId, { idempotencyKey: null }),
      await server.hold(productId, { idempotencyKey: null }),
    ];
    expect(ids[0].id).not.toBe(ids[1].id);
  });
});
