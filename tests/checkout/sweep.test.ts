/** sweepOnce: the bookkeeping, and nothing but the bookkeeping. */
import { message, openShop, type Shop } from '../support/checkout';
import { expectClean, expectNothingMoved } from '../support/invariants';
import { expire, makeOrderOverdue } from '../support/time';
import { Client } from 'pg';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

const NOTHING = { expiredHolds: 0, cancelledOrders: 0, settledEvents: 0, skipped: 0 };
const available = async (id: string) =>
  (await shop.sql('SELECT available FROM stock WHERE product_id = $1', [id]))[0]!.available;

test('a sweep with nothing to do does nothing', async () => {
  await shop.hold(await shop.product(2));
  await shop.orderOf(await shop.product(2));
  expect(await expectNothingMoved(shop, () => shop.sweep())).toEqual(NOTHING);
});

test('closes overdue holds of every product, and gives their units back once', async () => {
  const products = [await shop.product(3), await shop.product(3)];
  for (const product of products) {
    const [one, other] = [await shop.hold(product), await shop.hold(product)];
    await expire(shop.sql, one.id, other.id);
    await shop.hold(product);
  }
  expect(await shop.sweep()).toEqual({ ...NOTHING, expiredHolds: 4 });
  expect(await Promise.all(products.map(({ id }) => available(id)))).toEqual([2, 2]);
  expect(await expectNothingMoved(shop, () => shop.sweep())).toEqual(NOTHING);
});

test('closes more than a thousand, in several transactions', async () => {
  const product = await shop.product(2_500);
  await shop.sql(
    `INSERT INTO holds (id, product_id, quantity, unit_price_minor, currency, customer_id, status, expires_at, created_at)
     SELECT gen_random_uuid(), $1, 1, 1000, 'USD', '', 'ACTIVE', now() - interval '1 s', now() - interval '2 min'
     FROM generate_series(1, 2500)`,
    [product.id],
  );
  await shop.sql('UPDATE stock SET available = 0 WHERE product_id = $1', [product.id]);
  expect(await shop.sweep()).toEqual({ ...NOTHING, expiredHolds: 2_500 });
  expect(await available(product.id)).toBe(2_500);
});

test('cancels unpaid orders whose payment window has passed, and no others', async () => {
  const product = await shop.product(3);
  const [overdue, inTime, paid] = [
    await shop.orderOf(product),
    await shop.orderOf(product),
    await shop.orderOf(product),
  ];
  await shop.receive(message('succeeded', paid));
  await makeOrderOverdue(shop.sql, overdue.id);
  await makeOrderOverdue(shop.sql, paid.id);
  expect(await shop.sweep()).toEqual({ ...NOTHING, cancelledOrders: 1 });
  const rows = await shop.sql('SELECT id, status, cancelled_by FROM orders WHERE id = ANY ($1) ORDER BY id', [
    [overdue.id, inTime.id, paid.id],
  ]);
  expect(rows).toEqual(
    [
      { id: overdue.id, status: 'CANCELLED', cancelled_by: 'PAYMENT_WINDOW' },
      { id: inTime.id, status: 'PENDING_PAYMENT', cancelled_by: null },
      { id: paid.id, status: 'PAID', cancelled_by: null },
    ].sort((a, b) => (a.id < b.id ? -1 : 1)),
  );
  expect(await available(product.id)).toBe(1);
});

test('settles what was parked for a hold that has ended or become an order', async () => {
  const [ended, ordered] = [await shop.hold(await shop.product(1)), await shop.hold(await shop.product(1))];
  await shop.receive(message('failed', ended, { eventId: 'of the ended' }));
  await shop.order(ordered);
  // As a crash between two shards leaves it: the order is there, and an event of it is parked all the same.
  await shop.receive(message('failed', ordered, { eventId: 'of the ordered', reference: 'nobody' }));
  await shop.sql(`UPDATE payment_events SET reference = $1 WHERE event_id = 'of the ordered'`, [ordered.id]);
  await expire(shop.sql, ended.id);
  expect(await shop.sweep()).toEqual({ ...NOTHING, expiredHolds: 1, settledEvents: 2 });
  const rows = await shop.sql('SELECT event_id, outcome FROM payment_events WHERE event_id LIKE $1 ORDER BY 1', [
    'of the %',
  ]);
  expect(rows).toEqual([
    { event_id: 'of the ended', outcome: 'IGNORED' },
    { event_id: 'of the ordered', outcome: 'APPLIED' },
  ]);
});

test('a sweep leaves a busy product to the next one, and goes on with the others', async () => {
  const [busy, free] = [await shop.product(1), await shop.product(1)];
  await expire(shop.sql, (await shop.hold(busy)).id, (await shop.hold(free)).id);
  const client = new Client({ connectionString: shop.url });
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query('SELECT FROM stock WHERE product_id = $1 FOR UPDATE', [busy.id]);
    expect(await shop.sweep()).toEqual({ ...NOTHING, expiredHolds: 1, skipped: 1 });
    await client.query('ROLLBACK');
  } finally {
    await client.end();
  }
  expect(await shop.sweep()).toEqual({ ...NOTHING, expiredHolds: 1 });
});
