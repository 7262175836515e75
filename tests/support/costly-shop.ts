/** A shop whose data makes every answer as large as its limits allow: long texts, full pages, orders of 50 lines. */
import type { Sql } from './database';

/** Whose orders they are. */
export const COSTLY_CUSTOMER = 'costly';
const PRODUCTS = 110;
const ORDERS = 110;
const LINES = 50;
const EVENTS = 300;
/** A text of `MAX_TEXT_LENGTH` characters, each of which JSON writes with six bytes. */
const LONGEST = `repeat(E'\\u0001', 10000)`;

const id = (kind: string, number: string) =>
  `('01930000-${kind}-7000-8000-' || lpad(to_hex(${number}), 12, '0'))::uuid`;
const idOf = (kind: string, number: number) => `01930000-${kind}-7000-8000-${number.toString(16).padStart(12, '0')}`;

/** Ids of what is in the shop: whatever a document names is found. */
export const COSTLY = {
  product: (number: number) => idOf('aaaa', 1 + (number % PRODUCTS)),
  order: (number: number) => idOf('bbbb', 1 + (number % ORDERS)),
  hold: (number: number) => idOf('cccc', 1 + (number % (ORDERS * LINES))),
  /** The order with the most payment events. */
  busyOrder: idOf('bbbb', 1),
} as const;

/** By SQL, as no request shall be counted for it. Reconciles: the units of every product are where they are said to be. */
export async function openCostlyShop(sql: Sql): Promise<void> {
  await sql(
    `INSERT INTO products (id, sku, name, description, price_minor, currency, sale_starts_at, sale_ends_at, max_per_customer)
       SELECT ${id('aaaa', 'n')}, rpad('SKU' || n, 255, 's'), rpad('Product ' || lpad(n::text, 3, '0'), 255, 'n'), ${LONGEST},
         9007199254740991, 'USD', now() - interval '1 day', now() + interval '1 day', 2000000000
       FROM generate_series(1, ${PRODUCTS}) n`,
  );
  const units = ORDERS * LINES;
  await sql(
    `INSERT INTO stock (product_id, total, available) SELECT ${id('aaaa', 'n')}, ${units}, ${units} - ${LINES}
       FROM generate_series(1, ${PRODUCTS}) n`,
  );
  await sql(
    `INSERT INTO stock_adjustments (id, product_id, delta, reason, actor, created_at)
       SELECT gen_random_uuid(), product_id, total, 'created', 'test', now() FROM stock`,
  );
  // Line l of order n holds product (n * LINES + l) modulo PRODUCTS: every product is in as many lines as any other.
  const lines = `generate_series(0, ${ORDERS - 1}) n, generate_series(0, ${LINES - 1}) l`;
  const hold = id('cccc', `n * ${LINES} + l + 1`);
  const product = id('aaaa', `(n * ${LINES} + l) % ${PRODUCTS} + 1`);
  const order = id('bbbb', 'n + 1');
  await sql(
    `INSERT INTO orders (id, customer_id, status, total_minor, currency, placed_by, payment_due_at, created_at)
       SELECT ${order}, '${COSTLY_CUSTOMER}', 'PENDING_PAYMENT', ${LINES * 1000}, 'USD', 'CUSTOMER', now() + interval '1 day', now()
       FROM generate_series(0, ${ORDERS - 1}) n`,
  );
  await sql(
    `INSERT INTO holds (id, product_id, quantity, unit_price_minor, currency, customer_id, status, order_id, expires_at,
         created_at, closed_at)
       SELECT ${hold}, ${product}, 1, 1000, 'USD', '${COSTLY_CUSTOMER}', 'CONSUMED', ${order}, now(), now(), now() FROM ${lines}`,
  );
  await sql(
    `INSERT INTO order_lines (order_id, hold_id, product_id, quantity, unit_price_minor)
       SELECT ${order}, ${hold}, ${product}, 1, 1000 FROM ${lines}`,
  );
  // The message that a sender wrote is bounded by its body alone, and so are the texts in it.
  await sql(
    `INSERT INTO payment_events (provider, event_id, type, reference, amount_minor, currency, payment_id, payload, outcome,
         order_id, received_at, settled_at)
       SELECT 'standard', rpad('event' || n, 255, 'e'), rpad('payment', 255, 't'), '${COSTLY.busyOrder}', 1, 'USD',
         rpad('payment' || n, 255, 'p'), '{}', 'IGNORED', '${COSTLY.busyOrder}', now(), now()
       FROM generate_series(1, ${EVENTS}) n`,
  );
  await sql('ANALYZE');
}
