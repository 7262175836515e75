/** Each kind of corruption, made on purpose in SQL where the database lets us, is seen by `reconcile`. */
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { CHECKS } from '../../src/database/reconcile-checks';
import { reconcile } from '../../src/database/reconcile';
import type { Hold, Order, Product } from '../../src/domain/records';
import { ALICE, amountOf, message, newKey, openShop, rawMessage, type Shop } from '../support/checkout';
import type { Sql } from '../support/database';
import { expectClean, violations } from '../support/invariants';
import { expire } from '../support/time';

let shop: Shop;
let sql: Sql;
let story: Sale;

/** A story that touches everything: what each corruption then breaks. */
interface Sale {
  readonly product: Product;
  readonly live: Hold;
  readonly released: Hold;
  readonly expired: Hold;
  readonly pending: Order;
  readonly paid: Order;
  readonly cancelled: Order;
  readonly failed: Order;
  readonly owed: Order;
  readonly refunded: Order;
}

/** The constraints are a second guard: they are taken away, so that corruption can be made at all. */
async function withoutGuards(): Promise<void> {
  const rows = await sql<{ name: string; table: string }>(
    `SELECT conname AS name, conrelid::regclass::text AS table FROM pg_constraint
     WHERE conrelid = ANY ($1::regclass[]) AND contype IN ('c', 'u', 'f')`,
    [TABLES],
  );
  for (const { name, table } of rows) await sql(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
  await sql('DROP INDEX holds_idempotency_key_unique');
}

async function tell(): Promise<Sale> {
  const product = await shop.product(20);
  const live = await shop.hold(product, { idempotencyKey: newKey(), customerId: ALICE });
  const released = await shop.hold(product);
  await shop.releaseHold(released.id);
  const expired = await shop.hold(product);
  await expire(sql, expired.id);
  await shop.sweep();
  const keyed = await shop.hold(product, { customerId: ALICE });
  await shop.createOrder({ holdIds: [keyed.id], customerId: ALICE, idempotencyKey: newKey() });
  const pending = await shop.orderOf(product);
  const paid = await shop.orderOf(product);
  await shop.receive(message('succeeded', paid, { eventId: `paid ${paid.id}`, paymentId: 'p1' }));
  await shop.receive(message('succeeded', paid, { eventId: `again ${paid.id}`, paymentId: 'p1' }));
  const cancelled = await shop.orderOf(product);
  await shop.cancelOrder(cancelled.id);
  const failed = await shop.orderOf(product);
  await shop.receive(message('failed', failed));
  const owed = await shop.orderOf(product);
  await shop.cancelOrder(owed.id);
  await shop.receive(message('succeeded', owed));
  const refunded = await shop.orderOf(product);
  await shop.receive(message('succeeded', refunded));
  await shop.receive(message('refunded', refunded, { paymentId: null }));
  await shop.receive(message('succeeded', live, { amountMinor: 1 }));
  return { product, live, released, expired, pending, paid, cancelled, failed, owed, refunded };
}

const TABLES = ['products', 'stock', 'stock_adjustments', 'holds', 'orders', 'order_lines', 'payment_events'];

beforeAll(async () => {
  shop = await openShop({ holdTtlSeconds: 3_600 });
  sql = shop.sql;
  await withoutGuards();
  story = await tell();
  await sql('CREATE SCHEMA told');
  for (const table of TABLES) await sql(`CREATE TABLE told.${table} AS TABLE ${table}`);
});
/** Told once, and put back after each test. */
afterEach(async () => {
  const back = TABLES.map((table) => `INSERT INTO ${table} TABLE told.${table}`);
  await sql([`TRUNCATE ${TABLES.join()}`, ...back].join(';'));
});
afterAll(() => shop.close());

/** What is done to the story, and which checks have to see it. */
const CORRUPTIONS: readonly (readonly [string, (story: Sale) => Promise<unknown>, readonly string[]])[] = [
  [
    'a unit appears',
    ({ product }) => sql('UPDATE stock SET available = available + 1 WHERE product_id = $1', [product.id]),
    [
      'total - available is not what the holds have taken and not given back',
      'total is not available + held + awaiting payment + sold',
    ],
  ],
  [
    'a product is oversold',
    ({ product }) => sql('UPDATE stock SET available = -1 WHERE product_id = $1', [product.id]),
    [
      'available is below 0 or above total',
      'total - available is not what the holds have taken and not given back',
      'total is not available + held + awaiting payment + sold',
    ],
  ],
  [
    'a total is raised by hand',
    ({ product }) =>
      sql('UPDATE stock SET total = total + 1, available = available + 1 WHERE product_id = $1', [product.id]),
    ['total is not the sum of the adjustments'],
  ],
  [
    'a stock row is lost',
    ({ product }) => sql('DELETE FROM stock WHERE product_id = $1', [product.id]),
    ['a product has no stock row'],
  ],
  [
    'a paid order’s units are on sale again',
    async ({ paid, product }) => {
      await sql('UPDATE holds SET given_back_at = now() WHERE order_id = $1', [paid.id]);
      await sql('UPDATE stock SET available = available + 1 WHERE product_id = $1', [product.id]);
    },
    [
      'a hold says its units are elsewhere than its order does',
      'total is not available + held + awaiting payment + sold',
    ],
  ],
  [
    'an active hold is closed',
    ({ live }) => sql('UPDATE holds SET closed_at = now() WHERE id = $1', [live.id]),
    ['a hold’s status and its times disagree'],
  ],
  [
    'a hold is ordered when it is over',
    ({ pending }) => sql('UPDATE holds SET expires_at = closed_at WHERE order_id = $1', [pending.id]),
    ['an overdue hold was ordered or released as if it were live'],
  ],
  [
    'a hold expires too early',
    ({ expired }) => sql(`UPDATE holds SET expires_at = now() + interval '1 h' WHERE id = $1`, [expired.id]),
    ['a hold was closed as expired before its time'],
  ],
  [
    'an order is lost',
    ({ pending }) => sql('DELETE FROM orders WHERE id = $1', [pending.id]),
    [
      'a hold’s order does not exist, or has no line of it',
      'a line’s order does not exist, or its hold knows nothing of it',
      'total is not available + held + awaiting payment + sold',
    ],
  ],
  [
    'a line is lost',
    ({ pending }) => sql('DELETE FROM order_lines WHERE order_id = $1', [pending.id]),
    [
      'a hold’s order does not exist, or has no line of it',
      'an order’s total is not the sum of its lines',
      'total is not available + held + awaiting payment + sold',
    ],
  ],
  [
    'a hold is sold twice',
    ({ pending, cancelled }) =>
      sql(
        'INSERT INTO order_lines SELECT $1, hold_id, product_id, quantity, unit_price_minor FROM order_lines WHERE order_id = $2',
        [cancelled.id, pending.id],
      ),
    [
      'a hold is sold more than once',
      'a line’s order does not exist, or its hold knows nothing of it',
      'an order’s total is not the sum of its lines',
    ],
  ],
  [
    'a line is cheaper than its hold',
    ({ pending }) => sql('UPDATE order_lines SET unit_price_minor = 1 WHERE order_id = $1', [pending.id]),
    [
      'a line differs from its hold in product, quantity, price or currency',
      'an order’s total is not the sum of its lines',
    ],
  ],
  [
    'an order has another currency',
    ({ pending }) => sql(`UPDATE orders SET currency = 'EUR' WHERE id = $1`, [pending.id]),
    ['a line differs from its hold in product, quantity, price or currency'],
  ],
  [
    'an order has another total',
    ({ pending }) => sql('UPDATE orders SET total_minor = total_minor + 1 WHERE id = $1', [pending.id]),
    ['an order’s total is not the sum of its lines'],
  ],
  [
    'an order has another customer’s hold',
    ({ pending }) => sql(`UPDATE holds SET customer_id = 'mallory' WHERE order_id = $1`, [pending.id]),
    ['an order has another customer’s hold'],
  ],
  [
    'a key has two holds',
    ({ live, released }) =>
      sql('UPDATE holds SET idempotency_key = $2, customer_id = $3 WHERE id = $1', [
        released.id,
        live.idempotencyKey,
        live.customerId,
      ]),
    ['a key has several holds'],
  ],
  [
    'a key has two adjustments',
    ({ product }) =>
      sql(
        `INSERT INTO stock_adjustments SELECT gen_random_uuid(), $1, d, 'test', 'test', 'key', now() FROM unnest(ARRAY[-1, 1]) d`,
        [product.id],
      ),
    ['a key has several stock adjustments'],
  ],
  [
    'an order’s key changes',
    () => sql(`UPDATE orders SET idempotency_key = 'another' WHERE idempotency_key IS NOT NULL`),
    ['an order’s id is not the one that its customer and key make'],
  ],
  [
    'an order is paid out of thin air',
    ({ pending }) => sql(`UPDATE orders SET status = 'PAID', paid_at = now() WHERE id = $1`, [pending.id]),
    [
      'an order’s status and its times or payment disagree',
      'a paid, refund-due or refunded order has no success of its amount that made it so',
    ],
  ],
  [
    'a success is lost',
    ({ paid }) => sql('DELETE FROM payment_events WHERE order_id = $1', [paid.id]),
    ['a paid, refund-due or refunded order has no success of its amount that made it so'],
  ],
  [
    'a success is undone',
    ({ paid }) =>
      sql(`UPDATE orders SET status = 'PENDING_PAYMENT', paid_at = NULL, payment_event_id = NULL WHERE id = $1`, [
        paid.id,
      ]),
    ['a success was applied, and its order is not paid by it'],
  ],
  [
    'an event is applied twice',
    ({ paid }) => sql(`UPDATE payment_events SET outcome = 'APPLIED' WHERE event_id = $1`, [`again ${paid.id}`]),
    [
      'several successes were applied to one order',
      'one payment was judged twice for an order',
      'a success was applied, and its order is not paid by it',
    ],
  ],
  [
    'a mismatch counts as settled',
    () => sql(`UPDATE payment_events SET settled_at = now() WHERE outcome = 'PARKED'`),
    ['an event’s outcome and its settlement disagree'],
  ],
  [
    'a payment is swallowed',
    ({ paid }) => sql(`UPDATE payment_events SET payment_id = 'p2' WHERE event_id = $1`, [`again ${paid.id}`]),
    ['a success was ignored that repeats no payment of its order'],
  ],
  [
    'a payment belongs to nothing',
    ({ paid }) => sql(`UPDATE payment_events SET order_id = NULL WHERE event_id = $1`, [`paid ${paid.id}`]),
    [
      'a success was judged for an order that does not exist',
      'a success was ignored that repeats no payment of its order',
      'a paid, refund-due or refunded order has no success of its amount that made it so',
    ],
  ],
  [
    'a failure did nothing',
    ({ failed }) => sql(`UPDATE orders SET cancelled_by = 'CUSTOMER' WHERE id = $1`, [failed.id]),
    ['a failure was applied, and no order was cancelled by it'],
  ],
  [
    'a failure is lost',
    ({ failed }) => sql('DELETE FROM payment_events WHERE order_id = $1', [failed.id]),
    ['an order that a failure cancelled has not exactly one applied failure'],
  ],
  [
    'a refund is forgotten',
    ({ owed }) => sql('UPDATE payment_events SET settled_at = now() WHERE order_id = $1', [owed.id]),
    [
      'a refund is due, and its event counts as settled, or the other way round',
      'the applied refunds of an order are not as many as its refunded payments',
    ],
  ],
  [
    'a refund is lost',
    ({ refunded }) =>
      sql(`DELETE FROM payment_events WHERE order_id = $1 AND type = 'payment.refunded'`, [refunded.id]),
    ['the applied refunds of an order are not as many as its refunded payments'],
  ],
  [
    'a payment of the right amount is called wrong',
    ({ pending }) =>
      shop
        .receive(message('succeeded', pending, { amountMinor: 1 }))
        .then(() =>
          sql('UPDATE payment_events SET amount_minor = $2 WHERE order_id = $1', [pending.id, pending.totalMinor]),
        ),
    ['a refund or a success has its order’s amount, and is called a mismatch'],
  ],
  [
    'a payment for a live hold is left lying',
    ({ live }) =>
      sql('UPDATE payment_events SET amount_minor = $2 WHERE reference = $1', [live.id, amountOf(live).amountMinor]),
    ['an event is parked for a live hold that it pays exactly'],
  ],
  [
    'a parked payment is left lying when its hold has ended',
    ({ released }) =>
      sql(
        `INSERT INTO payment_events (provider, event_id, type, reference, payload, outcome, received_at) VALUES ('standard', 'lying', 'payment.failed', $1, '{}', 'PARKED', now())`,
        [released.id],
      )
        .then(() =>
          sql(`UPDATE holds SET closed_at = now() - interval '10 minutes', given_back_at = now() WHERE id = $1`, [
            released.id,
          ]),
        )
        .then(() =>
          sql(`UPDATE payment_events SET received_at = now() - interval '5 minutes' WHERE event_id = 'lying'`),
        ),
    ['an event is still parked though what it waited for has long come'],
  ],
];

test('a story with everything in it is clean', () => expectClean(shop));

test.each(CORRUPTIONS)('%s: reconcile sees it', async (_, corrupt, seen) => {
  await corrupt(story);
  expect((await violations(shop)).map(({ what }) => what).sort()).toEqual([...seen].sort());
});

test('every check is proved able to fail', () => {
  const seen = new Set(CORRUPTIONS.flatMap(([, , what]) => what));
  expect(CHECKS.map(({ what }) => what).filter((what) => !seen.has(what))).toEqual([]);
});

test('what is open at the operators’ is counted, and is no violation', async () => {
  const { owed, live } = story;
  await shop.receive(
    rawMessage({ type: 'payment.succeeded', reference: 'nobody knows', amountMinor: 1, currency: 'USD' }),
  );
  await shop.receive(message('succeeded', owed, { amountMinor: 1 }));
  await expire(sql, live.id);
  const { open, violations: found } = await reconcile(shop.url);
  expect(found).toEqual([]);
  expect(open).toEqual({
    parkedUnknown: 1,
    parkedWaiting: 1,
    amountMismatches: 1,
    refundDuePayments: 1,
    refundDueOrders: 1,
    parkedForSweep: 1,
    overdueHolds: 1,
    overdueOrders: 0,
  });
});

describe('npm run reconcile', () => {
  const root = resolve(__dirname, '../..');
  async function command(url: string, ...options: string[]): Promise<{ code: number; out: string; err: string }> {
    const source = ['-r', './tests/support/typescript.cjs', 'src/cli/reconcile.ts', ...options];
    return promisify(execFile)(process.execPath, source, {
      cwd: root,
      env: { ...process.env, DATABASE_URL: url },
    }).then(
      ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({
        code: error.code,
        out: error.stdout,
        err: error.stderr,
      }),
    );
  }

  test('reconcile says in one line that every promise holds', async () => {
    const { code, out } = await command(shop.url);
    expect(code).toBe(0);
    expect(out).toMatch(/Every promise holds \(\d+ checks\)\.\n$/);
  });

  test('names what is broken, and ends with 1', async () => {
    const product = await shop.product(1);
    await sql('UPDATE stock SET available = 2 WHERE product_id = $1', [product.id]);
    const human = await command(shop.url);
    expect(human.code).toBe(1);
    expect(human.out).toContain(product.id);
    const { code, out } = await command(shop.url, '--json');
    expect(code).toBe(1);
    expect(JSON.parse(out).violations[0]).toMatchObject({ promise: 'P1', count: 1, examples: [product.id] });
  });

  test('reconcile exits with 2 and one line when there is no database or the call is wrong', async () => {
    const away = await command('postgres://nobody:secret@127.0.0.1:1/nothing');
    expect(away).toMatchObject({ code: 2, out: '' });
    expect(away.err).toMatch(/^error: .*ECONNREFUSED.*\n$/);
    expect(away.err).not.toContain('secret');
    expect((await command(shop.url, '--nonsense')).code).toBe(2);
  });
});
