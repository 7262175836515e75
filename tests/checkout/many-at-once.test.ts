/** P10: what falls due or was parked by the thousand is dealt with in batches, so it takes seconds and nobody waits long for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Hold, Product } from '../../src/domain/records';
import { CITUS_URL } from '../support/citus';
import { message, openShop, serverOn, valueOf, type Shop } from '../support/checkout';
import { expectClean } from '../support/invariants';
import { expire } from '../support/time';

const MANY = 5_000;

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

/** On Citus each order and each event is on a worker of its own, and has statements of its own. */
const testOnOneServer = CITUS_URL ? test.skip : test;

/** The statements that this process sends meanwhile: unlike time, they do not depend on the machine. */
async function statementsOf<T>(what: string, work: () => Promise<T>): Promise<{ sent: number; result: T }> {
  const query = jest.spyOn(Client.prototype, 'query');
  const startedAt = performance.now();
  try {
    const result = await work();
    const sent = query.mock.calls.length;
    process.stdout.write(`${what}: ${Math.round(performance.now() - startedAt)} ms, ${sent} statements\n`);
    return { sent, result };
  } finally {
    query.mockRestore();
  }
}

/** Unpaid orders of `units` holds each, whose payment window has passed. Answers how many units they have. */
async function insertDueOrders(products: readonly Product[], count: number, linesOfEach: number): Promise<void> {
  await shop.sql(
    `WITH line AS (
      SELECT n, l, gen_random_uuid() AS hold_id, ($1::uuid[])[1 + (n * 7 + l) % cardinality($1::uuid[])] AS product_id
      FROM generate_series(1, $2::int) n, generate_series(1, $3::int) l),
    placed AS (SELECT n, gen_random_uuid() AS id FROM generate_series(1, $2::int) n),
    o AS (INSERT INTO orders (id, customer_id, status, total_minor, currency, placed_by, payment_due_at, created_at)
      SELECT id, '', 'PENDING_PAYMENT', 1000 * $3::int, 'USD', 'CUSTOMER', now() - interval '1 s', now() - interval '1 h' FROM placed),
    h AS (INSERT INTO holds (id, product_id, quantity, unit_price_minor, currency, customer_id, status, order_id, expires_at, created_at, closed_at)
      SELECT hold_id, product_id, 1, 1000, 'USD', '', 'CONSUMED', id, now() - interval '50 min', now() - interval '1 h', now() - interval '55 min'
      FROM line JOIN placed USING (n)),
    i AS (INSERT INTO order_lines (order_id, hold_id, product_id, quantity, unit_price_minor)
      SELECT id, hold_id, product_id, 1, 1000 FROM line JOIN placed USING (n))
    UPDATE stock SET available = available - u.units
    FROM (SELECT product_id, count(*)::int AS units FROM line GROUP BY product_id) u WHERE stock.product_id = u.product_id`,
    [products.map(({ id }) => id), count, linesOfEach],
  );
}

/** Payments of the wrong amount for one hold: each waits for the hold's order. */
async function parkEvents(hold: Hold, count: number, type: string): Promise<void> {
  await shop.sql(
    `INSERT INTO payment_events (provider, event_id, type, reference, amount_minor, currency, payment_id, payload, outcome, received_at)
     SELECT 'standard', 'evt ' || $1 || ' ' || n, $3, $1, 1, 'USD', 'pay ' || n, jsonb_build_object('note', repeat('x', 1000)),
       'PARKED', now() - n * interval '1 ms'
     FROM generate_series(1, $2::int) n`,
    [hold.id, count, type],
  );
}

const outcomesOf = async (hold: Hold) =>
  Object.fromEntries(
    (
      await shop.sql<{ outcome: string; n: number }>(
        'SELECT outcome, count(*)::int AS n FROM payment_events WHERE reference = $1 GROUP BY outcome',
        [hold.id],
      )
    ).map(({ outcome, n }) => [outcome, n]),
  );

testOnOneServer(
  'thousands of unpaid orders of one product that fall due together are cancelled in few transactions',
  async () => {
    const product = await shop.product(MANY);
    await insertDueOrders([product], MANY, 1);
    const { sent, result } = await statementsOf('orders of one product', () => shop.sweep());
    expect(result).toMatchObject({ cancelledOrders: MANY, skipped: 0 });
    expect(sent).toBeLessThan(MANY / 5);
  },
);

testOnOneServer('thousands of unpaid orders of many products are cancelled in few transactions', async () => {
  const products = await Promise.all(Array.from({ length: 40 }, () => shop.product(MANY)));
  await insertDueOrders(products, MANY, 3);
  const { sent, result } = await statementsOf('orders of three products each', () => shop.sweep());
  expect(result).toMatchObject({ cancelledOrders: MANY, skipped: 0 });
  expect(sent).toBeLessThan(MANY);
});

testOnOneServer(
  'an order whose hold has thousands of parked events is placed at once, and the sweep settles the rest',
  async () => {
    const hold = await shop.hold(await shop.product(1));
    await parkEvents(hold, MANY, 'payment.succeeded');
    const { sent } = await statementsOf('order of a hold with parked events', () => shop.order(hold));
    expect(sent).toBeLessThan(100);
    const swept = await statementsOf('sweep of the rest', () => shop.sweep());
    expect(swept.sent).toBeLessThan(MANY / 5);
    expect(await outcomesOf(hold)).toEqual({ AMOUNT_MISMATCH: MANY });
  },
);

testOnOneServer(
  'a release of a hold with thousands of parked events is answered at once, and the sweep settles the rest',
  async () => {
    const hold = await shop.hold(await shop.product(1));
    await parkEvents(hold, MANY, 'payment.failed');
    const { sent } = await statementsOf('release of a hold with parked events', () => shop.releaseHold(hold.id));
    expect(sent).toBeLessThan(100);
    const swept = await statementsOf('sweep of the rest', () => shop.sweep());
    expect(swept.sent).toBeLessThan(MANY / 5);
    expect(await outcomesOf(hold)).toEqual({ IGNORED: MANY });
  },
);

testOnOneServer('thousands of events that are parked for a hold which expires are settled in batches', async () => {
  const hold = await shop.hold(await shop.product(1));
  await parkEvents(hold, MANY, 'payment.succeeded');
  await expire(shop.sql, hold.id);
  const { sent } = await statementsOf('sweep of an expired hold', () => shop.sweep());
  expect(sent).toBeLessThan(MANY / 5);
  expect(await outcomesOf(hold)).toEqual({ AMOUNT_MISMATCH: MANY });
});

testOnOneServer('a payment that places an order settles thousands of refunds that came before it', async () => {
  const hold = await shop.hold(await shop.product(1));
  await parkEvents(hold, MANY, 'payment.refunded');
  const { sent } = await statementsOf('payment of a hold with parked events', () =>
    shop.receive(message('succeeded', hold)),
  );
  expect(sent).toBeLessThan(100);
  const swept = await statementsOf('sweep of the rest', () => shop.sweep());
  expect(swept.sent).toBeLessThan(MANY / 5);
});

testOnOneServer(
  'shoppers get their holds while thousands of unpaid orders of the same product are cancelled',
  async () => {
    const product = await shop.product(2 * MANY);
    await insertDueOrders([product], MANY, 1);
    const other = await shop.openAnother();
    try {
      const shopper = serverOn(other, shop.log);
      let isOver = false;
      const tookMs: number[] = [];
      const say = (when: string) => {
        const sorted = tookMs.splice(0).sort((a, b) => a - b);
        const at = (share: number) => Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? NaN);
        process.stdout.write(`${when}: ${sorted.length} holds, median ${at(0.5)} ms, p99 ${at(0.99)} ms\n`);
        return sorted.length;
      };
      const shopping = (async () => {
        while (!isOver) {
          const askedAt = performance.now();
          valueOf(await shopper.createHold({ productId: product.id, quantity: 1, customerId: '' }));
          tookMs.push(performance.now() - askedAt);
        }
      })();
      await sleep(2_000);
      say('shoppers alone');
      const startedAt = performance.now();
      const swept = await shop.sweep();
      const took = `in ${Math.round(performance.now() - startedAt)} ms (${swept.skipped} left)`;
      isOver = true;
      await shopping;
      expect(say(`shoppers beside a sweep of ${swept.cancelledOrders} orders ${took}`)).toBeGreaterThan(0);
      for (let left = swept.skipped; left > 0;) left = (await shop.sweep()).skipped;
    } finally {
      await other.close();
    }
    const [row] = await shop.sql(
      'SELECT count(*)::int AS n FROM orders WHERE status = $1 AND payment_due_at <= now()',
      ['PENDING_PAYMENT'],
    );
    expect(row).toEqual({ n: 0 });
  },
);
