/** Stripe's events are believed only when Stripe signed these bytes, and then mean what the shop's own messages mean. */
import { randomUUID } from 'node:crypto';
import Stripe from 'stripe';
import type { Order } from '../../src/domain/records';
import { parseStripeEvent } from '../../src/webhooks/stripe';
import { expectClean, snapshot } from '../support/invariants';
import { openServedShop, type ServedShop } from '../support/served';

const secret = 'whsec_of_the_endpoint_1234567890';
const PATH = '/webhooks/payments/stripe';

let shop: ServedShop;
beforeAll(async () => (shop = await openServedShop({ STRIPE_WEBHOOK_SECRET: secret })));
afterAll(async () => {
  await expectClean(shop);
  await shop.close();
});

type StripeObject = Record<string, unknown>;

function event(type: string, object: StripeObject, more: StripeObject = {}): StripeObject {
  return {
    ...{ id: `evt_${randomUUID()}`, object: 'event', api_version: '2025-09-30.clover', livemode: false },
    ...{ created: Math.floor(Date.now() / 1_000), pending_webhooks: 1, request: { id: null, idempotency_key: null } },
    ...{ type, data: { object } },
    ...more,
  };
}

function intent(order: Pick<Order, 'id' | 'totalMinor'>, more: StripeObject = {}): StripeObject {
  return {
    ...{ id: 'pi_1', object: 'payment_intent', amount: order.totalMinor, amount_received: order.totalMinor },
    ...{ currency: 'usd', metadata: { order_id: order.id }, status: 'succeeded', latest_charge: 'ch_1' },
    ...more,
  };
}

function charge(order: Pick<Order, 'id' | 'totalMinor'>, more: StripeObject = {}): StripeObject {
  return {
    ...{ id: 'ch_1', object: 'charge', amount: order.totalMinor, amount_refunded: order.totalMinor, refunded: true },
    ...{ currency: 'usd', metadata: { order_id: order.id }, payment_intent: 'pi_1' },
    ...more,
  };
}

interface Sent {
  readonly timestamp?: number;
  readonly secret?: string;
  readonly header?: string;
  /** Makes other bytes of the same object. */
  readonly indent?: number;
}

async function send(what: StripeObject | string, sent: Sent = {}) {
  const payload = typeof what === 'string' ? what : JSON.stringify(what, null, sent.indent);
  const { timestamp } = sent;
  const header =
    sent.header ??
    Stripe.webhooks.generateTestHeaderString({
      payload,
      secret: sent.secret ?? secret,
      ...(timestamp !== undefined && { timestamp }),
    });
  const { status, text } = await shop.post(PATH, payload, { 'stripe-signature': header });
  return { status, body: JSON.parse(text) as Record<string, unknown> };
}

const newOrder = async () => shop.orderOf(await shop.product(5));

async function statusOf(orderId: string): Promise<string> {
  const [row] = await shop.sql<{ status: string }>('SELECT status FROM orders WHERE id = $1', [orderId]);
  return row!.status;
}

describe('a payment at Stripe', () => {
  test('paid and fully refunded: the order follows', async () => {
    const order = await newOrder();
    const paid = event('payment_intent.succeeded', intent(order));
    expect(await send(paid)).toEqual({
      status: 200,
      body: { event_id: paid.id, outcome: 'APPLIED', duplicate: false, order_id: order.id },
    });
    expect(await statusOf(order.id)).toBe('PAID');
    expect((await send(event('charge.refunded', charge(order)))).body).toMatchObject({ outcome: 'APPLIED' });
    expect(await statusOf(order.id)).toBe('REFUNDED');
  });

  test('paid for a hold, before there was an order: the order is placed', async () => {
    const hold = await shop.hold(await shop.product(1));
    const about = intent({ id: hold.id, totalMinor: 1_000 }, { id: 'pi_2', metadata: { hold_id: hold.id } });
    const { body } = await send(event('payment_intent.succeeded', about));
    expect(body).toMatchObject({ outcome: 'APPLIED', order_id: expect.any(String) });
    expect(await statusOf(body.order_id as string)).toBe('PAID');
  });

  test('a canceled intent cancels the order', async () => {
    const order = await newOrder();
    const canceled = intent(order, { amount_received: 0, status: 'canceled' });
    expect((await send(event('payment_intent.canceled', canceled))).body).toMatchObject({ outcome: 'APPLIED' });
    expect(await statusOf(order.id)).toBe('CANCELLED');
  });

  test('a declined card before a successful one changes nothing', async () => {
    const order = await newOrder();
    const declined = intent(order, { amount_received: 0, status: 'requires_payment_method' });
    expect((await send(event('payment_intent.payment_failed', declined))).body).toMatchObject({ outcome: 'IGNORED' });
    expect(await statusOf(order.id)).toBe('PENDING_PAYMENT');
    expect((await send(event('payment_intent.succeeded', intent(order)))).body).toMatchObject({ outcome: 'APPLIED' });
  });

  test('a partial refund is AMOUNT_MISMATCH and stays open for the operators', async () => {
    const order = await newOrder();
    await send(event('payment_intent.succeeded', intent(order)));
    const part = charge(order, { amount_refunded: 1, refunded: false });
    expect((await send(event('charge.refunded', part))).body).toMatchObject({ outcome: 'AMOUNT_MISMATCH' });
    expect(await statusOf(order.id)).toBe('PAID');
  });

  test('a refund that overtakes its payment waits for it', async () => {
    const order = await newOrder();
    expect((await send(event('charge.refunded', charge(order)))).body).toMatchObject({ outcome: 'PARKED' });
    await send(event('payment_intent.succeeded', intent(order)));
    expect(await statusOf(order.id)).toBe('REFUNDED');
  });
});

describe('an event is read as', () => {
  const order = { id: 'order-1', totalMinor: 4_999 };
  const read = (type: string, object: StripeObject) =>
    parseStripeEvent(Buffer.from(JSON.stringify(event(type, object))));

  test.each<[string, string, StripeObject, StripeObject]>([
    [
      'a success',
      'payment_intent.succeeded',
      intent(order),
      { type: 'payment.succeeded', reference: 'order-1', amountMinor: 4_999, currency: 'USD', paymentId: 'pi_1' },
    ],
    [
      'a success of what was received, whatever was asked for',
      'payment_intent.succeeded',
      intent(order, { amount: 10_000 }),
      { amountMinor: 4_999 },
    ],
    [
      'a failure',
      'payment_intent.canceled',
      intent(order, { amount_received: 0 }),
      { type: 'payment.failed', reference: 'order-1', paymentId: 'pi_1' },
    ],
    [
      'a refund of the intent’s payment',
      'charge.refunded',
      charge(order),
      { type: 'payment.refunded', reference: 'order-1', amountMinor: 4_999, currency: 'USD', paymentId: 'pi_1' },
    ],
    [
      'a refund, with the intent expanded',
      'charge.refunded',
      charge(order, { payment_intent: { id: 'pi_9', object: 'payment_intent' } }),
      { type: 'payment.refunded', paymentId: 'pi_9' },
    ],
    [
      'its hold',
      'payment_intent.succeeded',
      intent(order, { metadata: { hold_id: 'hold-1' } }),
      { reference: 'hold-1' },
    ],
    ['its reference', 'charge.refunded', charge(order, { metadata: { reference: ' ref-1 ' } }), { reference: 'ref-1' }],
    [
      'its order before its hold',
      'payment_intent.succeeded',
      intent(order, { metadata: { reference: 'c', hold_id: 'b', order_id: 'a' } }),
      { reference: 'a' },
    ],
    [
      'money that names nothing of ours, kept under the payment’s id',
      'payment_intent.succeeded',
      intent(order, { metadata: {} }),
      { type: 'payment.succeeded', reference: 'pi_1' },
    ],
    [
      'nothing, when what was canceled is not ours',
      'payment_intent.canceled',
      intent(order, { metadata: { order_id: ' ' } }),
      { type: 'payment_intent.canceled', reference: '' },
    ],
    [
      'nothing, when a card was declined',
      'payment_intent.payment_failed',
      intent(order),
      { type: 'payment_intent.payment_failed' },
    ],
    [
      'nothing, of any other type',
      'customer.created',
      { id: 'cus_1' },
      { type: 'customer.created', reference: '', paymentId: null },
    ],
    ['nothing by a type that objects have', 'constructor', intent(order), { type: 'constructor' }],
    [
      'no amount that is none',
      'payment_intent.succeeded',
      intent(order, { amount_received: '4999', currency: 7 }),
      { type: 'payment.succeeded', amountMinor: null, currency: null },
    ],
    [
      'the payment whose id is a number',
      'charge.refunded',
      charge(order, { payment_intent: { id: 12, object: 'payment_intent' } }),
      { type: 'payment.refunded', paymentId: '12' },
    ],
    ['nothing without an object', 'payment_intent.succeeded', null as never, { type: 'payment_intent.succeeded' }],
  ])('%s', (_name, type, object, expected) => {
    expect(read(type, object)).toMatchObject(expected);
  });
});

describe('an amount is read in the minor unit of ISO 4217, whatever unit Stripe counts in', () => {
  const read = (currency: string, amount: number) =>
    parseStripeEvent(
      Buffer.from(
        JSON.stringify(event('payment_intent.succeeded', intent({ id: 'o', totalMinor: amount }, { currency }))),
      ),
    );

  test.each<[what: string, currency: string, stripe: number, minor: number | null]>([
    ['5 krónur, which Stripe counts in hundredths', 'isk', 500, 5],
    ['a part of a króna, which cannot be paid', 'isk', 550, null],
    ['5 Ugandan shillings, which Stripe counts in hundredths', 'ugx', 500, 5],
    ['5 ariary, which Stripe counts whole', 'mga', 5, 500],
    ['more ariary than can be counted exactly', 'mga', 90_071_992_547_410, null],
    ['5 forint, whole for payouts alone', 'huf', 500, 500],
    ['5.50 forint', 'huf', 550, 550],
    ['5 Taiwan dollars, whole for payouts alone', 'twd', 500, 500],
    ['5 yen', 'jpy', 5, 5],
    ['1.500 dinars', 'kwd', 1_500, 1_500],
    ['a lari', 'gel', 100, 100],
  ])('%s', (_what, currency, stripe, minor) => {
    expect(read(currency, stripe)).toMatchObject({ amountMinor: minor, currency: currency.toUpperCase() });
  });

  test.each([
    ['ISK', 4_990, 499_000],
    ['UGX', 4_990, 499_000],
    ['MGA', 499_000, 4_990],
    ['HUF', 499_000, 499_000],
    ['TWD', 499_000, 499_000],
  ])('an order of %s is paid and refunded by the amounts that Stripe reports', async (currency, priceMinor, stripe) => {
    const order = await shop.orderOf(await shop.product(1, { priceMinor, currency }));
    const more = { currency: currency.toLowerCase() };
    const paid = intent(order, { ...more, amount: stripe, amount_received: stripe });
    expect((await send(event('payment_intent.succeeded', paid))).body).toMatchObject({ outcome: 'APPLIED' });
    expect(await statusOf(order.id)).toBe('PAID');
    const refunded = charge(order, { ...more, amount: stripe, amount_refunded: stripe });
    expect((await send(event('charge.refunded', refunded))).body).toMatchObject({ outcome: 'APPLIED' });
    expect(await statusOf(order.id)).toBe('REFUNDED');
  });
});

test.each([true, {}, { id: null }, 1.5, ['pi_1']])(
  'a payment that is named by %j is the sender’s mistake',
  (payment_intent) => {
    const refund = event('charge.refunded', charge({ id: 'order-1', totalMinor: 4_999 }, { payment_intent }));
    expect(parseStripeEvent(Buffer.from(JSON.stringify(refund)))).toEqual({
      problem: expect.stringMatching(/^data\.object\.payment_intent, if there is one, must be/),
    });
  },
);

describe('a copy', () => {
  test('with other bytes is a duplicate, and has no second effect', async () => {
    const order = await newOrder();
    const first = event('payment_intent.succeeded', intent(order));
    await send(first);
    const before = await snapshot(shop.sql);
    const again = { ...first, pending_webhooks: 0, request: { id: 'req_1', idempotency_key: 'k' } };
    expect(await send(again, { indent: 2 })).toEqual({
      status: 200,
      body: { event_id: first.id, outcome: 'APPLIED', duplicate: true, order_id: order.id },
    });
    expect(await snapshot(shop.sql)).toEqual(before);
  });

  test('a hundred at once have one effect', async () => {
    const order = await newOrder();
    const paid = event('payment_intent.succeeded', intent(order));
    const answers = await Promise.all(Array.from({ length: 100 }, () => send(paid)));
    expect(answers.map(({ status }) => status)).toEqual(Array(100).fill(200));
    expect(answers.filter(({ body }) => !body.duplicate)).toHaveLength(1);
  });

  test('with other content is a conflict', async () => {
    const order = await newOrder();
    const first = event('payment_intent.succeeded', intent(order));
    await send(first);
    const before = await snapshot(shop.sql);
    const other = { ...first, data: { object: intent(order, { amount_received: 1 }) } };
    expect((await send(other)).status).toBe(409);
    expect(await snapshot(shop.sql)).toEqual(before);
  });

  test('the same id of another provider is another event', async () => {
    const order = await newOrder();
    const paid = event('payment_intent.succeeded', intent(order));
    await shop.receive({
      ...{ eventId: paid.id as string, type: 'something.else', reference: '', amountMinor: null, currency: null },
      ...{ paymentId: null, payload: {} },
    });
    expect((await send(paid)).body).toMatchObject({ outcome: 'APPLIED', duplicate: false });
  });
});

describe('a message is refused and changes nothing', () => {
  const seconds = () => Math.floor(Date.now() / 1_000);

  test.each<[string, () => Sent]>([
    ['signed with another secret', () => ({ secret: 'whsec_of_somebody_else_123456' })],
    ['without a signature', () => ({ header: '' })],
    ['with a signature that is none', () => ({ header: 'v1=abc' })],
    ['with a v1 that is not ASCII', () => ({ header: `t=${seconds()},v1=${'é'.repeat(64)}` })],
    ['with an empty v1', () => ({ header: `t=${seconds()},v1=` })],
    ['older than five minutes', () => ({ timestamp: seconds() - 301 })],
    ['with a timestamp that is none', () => ({ header: 't=NaN,v1=00' })],
    ['with a megabyte of signatures', () => ({ header: `t=1,${'v1=00,'.repeat(2_000)}` })],
  ])('%s', async (_name, sent) => {
    const paid = event('payment_intent.succeeded', intent(await newOrder()));
    const before = await snapshot(shop.sql);
    expect((await send(paid, sent())).status).toBe(401);
    expect(await snapshot(shop.sql)).toEqual(before);
  });

  test('with one bit flipped', async () => {
    const payload = JSON.stringify(event('payment_intent.succeeded', intent(await newOrder())));
    const header = Stripe.webhooks.generateTestHeaderString({ payload, secret });
    expect((await send(payload.replace('"amount":1000', '"amount":1001'), { header })).status).toBe(401);
  });

  test('signed, but no JSON', async () => {
    expect((await send('not json')).status).toBe(401);
  });

  test('a signature almost five minutes old is still accepted', async () => {
    const paid = event('payment_intent.succeeded', intent(await newOrder()));
    expect((await send(paid, { timestamp: seconds() - 290 })).status).toBe(200);
  });
});

describe('a signed message is parsed strictly', () => {
  test.each([
    ['no object', '[]'],
    ['no id', '{"type":"x"}'],
    ['no type', '{"id":"evt_1"}'],
    ['a key twice', '{"id":"evt_1","type":"x","id":"evt_2"}'],
  ])('%s is 400', async (_name, body) => {
    expect((await send(body)).status).toBe(400);
  });

  test('a NUL in a note does not keep a payment from being recorded', async () => {
    const order = await newOrder();
    const paid = event('payment_intent.succeeded', intent(order, { description: 'a\0b\ud800' }));
    expect((await send(paid)).body).toMatchObject({ outcome: 'APPLIED' });
  });

  test('an event of 300 kB is accepted, one of a megabyte is refused', async () => {
    const invoice = (length: number) => event('invoice.paid', { id: 'in_1', lines: 'x'.repeat(length) });
    expect((await send(invoice(300_000))).body).toMatchObject({ outcome: 'IGNORED' });
    expect((await send(invoice(1_000_000))).status).toBe(413);
  });

  test('the standard route still accepts 64 kB only', async () => {
    const { status, text } = await shop.post('/webhooks/payments', 'x'.repeat(65_537));
    expect([status, text]).toEqual([413, expect.stringContaining('65536')]);
  });

  test('another content type is 415', async () => {
    expect((await shop.post(PATH, '{}', { 'content-type': 'text/plain' })).status).toBe(415);
  });
});

test('a payment without a reference stays parked for the operators', async () => {
  const foreign = event(
    'payment_intent.succeeded',
    intent({ id: '', totalMinor: 7 }, { id: 'pi_foreign', metadata: {} }),
  );
  expect((await send(foreign)).body).toMatchObject({ outcome: 'PARKED' });
  const [row] = await shop.sql('SELECT reference, settled_at FROM payment_events WHERE event_id = $1', [foreign.id]);
  expect(row).toEqual({ reference: 'pi_foreign', settled_at: null });
});

test('a server without Stripe’s secret answers 503 with Retry-After and stores nothing', async () => {
  const without = await openServedShop();
  const payload = JSON.stringify(event('payment_intent.succeeded', intent({ id: 'x', totalMinor: 1 })));
  const header = Stripe.webhooks.generateTestHeaderString({ payload, secret });
  const response = await fetch(new URL(PATH, without.app.url), {
    method: 'POST',
    body: payload,
    headers: { 'content-type': 'application/json', 'stripe-signature': header },
  });
  const rows = await without.sql('SELECT 1 FROM payment_events');
  const body = await response.text();
  await without.close();
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '60']);
  expect(body).toContain('STRIPE_WEBHOOK_SECRET');
  expect(rows).toEqual([]);
});
