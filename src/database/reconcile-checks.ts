/** What `reconcile` recounts: one query a check, from the stored facts alone. Each answers the ids of what breaks a promise. */

export interface Check {
  /** docs/design.md#promises */
  readonly promise: 'P1' | 'P3' | 'P4' | 'P5' | 'P6' | 'P9';
  readonly what: string;
  /** Rows of one column, `id` (text); none when the promise holds. */
  readonly sql: string;
  /** Its rows are all of one product's stock, holds and adjustments, which Citus has on one worker. */
  readonly isWithinProduct?: boolean;
}

/** How long a parked event may have been ripe for the sweep; it comes every second and may have to skip what is busy. */
const SWEEP_GRACE = `interval '60 seconds'`;

/** Units of these orders are out of `available`. A REFUNDED order was sold only if it had been PAID. */
const hasUnits = (order: string) =>
  `(${order}.status IN ('PENDING_PAYMENT', 'PAID') OR (${order}.status = 'REFUNDED' AND ${order}.paid_at IS NOT NULL))`;

const STOCK: readonly Check[] = [
  {
    promise: 'P1',
    what: 'a product has no stock row',
    sql: `SELECT id::text FROM products p WHERE NOT EXISTS (SELECT FROM stock s WHERE s.product_id = p.id)`,
  },
  {
    promise: 'P1',
    what: 'available is below 0 or above total',
    isWithinProduct: true,
    sql: `SELECT product_id::text AS id FROM stock WHERE available NOT BETWEEN 0 AND total`,
  },
  {
    promise: 'P1',
    what: 'total is not the sum of the adjustments',
    isWithinProduct: true,
    sql: `SELECT s.product_id::text AS id FROM stock s
      LEFT JOIN (SELECT product_id, sum(delta) AS units FROM stock_adjustments GROUP BY product_id) a USING (product_id)
      WHERE s.total <> coalesce(a.units, 0)`,
  },
  {
    promise: 'P1',
    what: 'total - available is not what the holds have taken and not given back',
    isWithinProduct: true,
    sql: `SELECT s.product_id::text AS id FROM stock s
      LEFT JOIN (SELECT product_id, sum(quantity) AS units FROM holds WHERE given_back_at IS NULL
        GROUP BY product_id) h USING (product_id)
      WHERE s.total - s.available <> coalesce(h.units, 0)`,
  },
  {
    promise: 'P1',
    what: 'total is not available + held + awaiting payment + sold',
    sql: `SELECT s.product_id::text AS id FROM stock s
      LEFT JOIN (SELECT product_id, sum(quantity) AS units FROM holds WHERE status = 'ACTIVE'
        GROUP BY product_id) held USING (product_id)
      LEFT JOIN (SELECT l.product_id, sum(l.quantity) AS units FROM order_lines l JOIN orders o ON o.id = l.order_id
        WHERE ${hasUnits('o')} GROUP BY l.product_id) ordered USING (product_id)
      WHERE s.total <> s.available + coalesce(held.units, 0) + coalesce(ordered.units, 0)`,
  },
  {
    promise: 'P1',
    what: 'a hold says its units are elsewhere than its order does',
    sql: `SELECT h.id::text FROM holds h JOIN orders o ON o.id = h.order_id
      WHERE ${hasUnits('o')} <> (h.given_back_at IS NULL)`,
  },
];

const HOLDS: readonly Check[] = [
  {
    promise: 'P3',
    what: 'a hold’s status and its times disagree',
    sql: `SELECT id::text FROM holds WHERE NOT CASE status
      WHEN 'ACTIVE' THEN closed_at IS NULL AND given_back_at IS NULL AND order_id IS NULL
      WHEN 'CONSUMED' THEN closed_at IS NOT NULL AND order_id IS NOT NULL
      WHEN 'RELEASED' THEN closed_at IS NOT NULL AND (given_back_at IS NOT NULL OR order_id IS NOT NULL)
      WHEN 'EXPIRED' THEN closed_at IS NOT NULL AND (given_back_at IS NOT NULL OR order_id IS NOT NULL)
      ELSE false END`,
  },
  {
    promise: 'P3',
    what: 'an overdue hold was ordered or released as if it were live',
    sql: `SELECT id::text FROM holds WHERE status IN ('CONSUMED', 'RELEASED') AND closed_at >= expires_at`,
  },
  {
    promise: 'P3',
    what: 'a hold was closed as expired before its time',
    sql: `SELECT id::text FROM holds WHERE status = 'EXPIRED' AND closed_at < expires_at`,
  },
  {
    promise: 'P3',
    what: 'a hold’s order does not exist, or has no line of it',
    sql: `SELECT h.id::text FROM holds h WHERE h.order_id IS NOT NULL AND NOT EXISTS (
      SELECT FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.id = h.order_id AND l.hold_id = h.id)`,
  },
  {
    promise: 'P3',
    what: 'a line’s order does not exist, or its hold knows nothing of it',
    sql: `SELECT l.order_id || '/' || l.hold_id AS id FROM order_lines l WHERE NOT EXISTS (
      SELECT FROM orders o JOIN holds h ON h.order_id = o.id WHERE o.id = l.order_id AND h.id = l.hold_id)`,
  },
  {
    promise: 'P3',
    what: 'a hold is sold more than once',
    sql: `SELECT hold_id::text AS id FROM order_lines GROUP BY hold_id HAVING count(*) > 1`,
  },
  {
    promise: 'P3',
    what: 'a line differs from its hold in product, quantity, price or currency',
    sql: `SELECT l.order_id || '/' || l.hold_id AS id FROM order_lines l
      JOIN holds h ON h.id = l.hold_id JOIN orders o ON o.id = l.order_id
      WHERE (l.product_id, l.quantity, l.unit_price_minor, o.currency)
        <> (h.product_id, h.quantity, h.unit_price_minor, h.currency)`,
  },
  {
    promise: 'P3',
    what: 'an order’s total is not the sum of its lines',
    sql: `SELECT o.id::text FROM orders o
      LEFT JOIN (SELECT order_id, sum(quantity::numeric * unit_price_minor) AS minor FROM order_lines
        GROUP BY order_id) l ON l.order_id = o.id
      WHERE l.minor IS NULL OR o.total_minor <> l.minor`,
  },
  {
    promise: 'P9',
    what: 'an order has another customer’s hold',
    sql: `SELECT h.id::text FROM holds h JOIN orders o ON o.id = h.order_id
      WHERE h.customer_id <> '' AND h.customer_id <> o.customer_id`,
  },
];

const KEYS: readonly Check[] = [
  {
    promise: 'P4',
    what: 'a key has several holds',
    sql: `SELECT min(id::text) AS id FROM holds WHERE idempotency_key IS NOT NULL
      GROUP BY product_id, customer_id, idempotency_key HAVING count(*) > 1`,
  },
  {
    promise: 'P4',
    what: 'a key has several stock adjustments',
    sql: `SELECT min(id::text) AS id FROM stock_adjustments WHERE idempotency_key IS NOT NULL
      GROUP BY product_id, idempotency_key HAVING count(*) > 1`,
  },
  {
    promise: 'P4',
    what: 'an order’s id is not the one that its customer and key make',
    // UUIDv8 of SHA-256(["customer","key"]), as database/ids.ts: the bits of version and variant are fixed.
    sql: `SELECT o.id::text FROM orders o, LATERAL (
        SELECT sha256(convert_to('[' || to_json(customer_id) || ',' || to_json(idempotency_key) || ']', 'UTF8')) AS d) k
      WHERE o.idempotency_key IS NOT NULL AND o.id <> encode(substring(
        set_byte(set_byte(d, 6, get_byte(d, 6) & 15 | 128), 8, get_byte(d, 8) & 63 | 128) FROM 1 FOR 16), 'hex')::uuid`,
  },
];

const ORDERS_AND_PAYMENTS: readonly Check[] = [
  {
    promise: 'P5',
    what: 'an order’s status and its times or payment disagree',
    sql: `SELECT id::text FROM orders WHERE (cancelled_at IS NULL) <> (cancelled_by IS NULL) OR NOT CASE status
      WHEN 'PENDING_PAYMENT' THEN paid_at IS NULL AND cancelled_at IS NULL AND payment_event_id IS NULL
      WHEN 'CANCELLED' THEN paid_at IS NULL AND cancelled_at IS NOT NULL AND payment_event_id IS NULL
      WHEN 'PAID' THEN paid_at IS NOT NULL AND payment_event_id IS NOT NULL
      WHEN 'REFUND_DUE' THEN paid_at IS NULL AND payment_event_id IS NOT NULL
      WHEN 'REFUNDED' THEN payment_event_id IS NOT NULL
      ELSE false END`,
  },
  {
    promise: 'P5',
    what: 'an event’s outcome and its settlement disagree',
    sql: `SELECT provider || ':' || event_id AS id FROM payment_events WHERE NOT CASE
      WHEN outcome IN ('APPLIED', 'IGNORED') THEN settled_at IS NOT NULL
      WHEN outcome IN ('PARKED', 'AMOUNT_MISMATCH') THEN settled_at IS NULL
      ELSE outcome = 'REFUND_DUE' AND type = 'payment.succeeded' END`,
  },
  {
    promise: 'P5',
    what: 'several successes were applied to one order',
    sql: `SELECT order_id::text AS id FROM payment_events WHERE type = 'payment.succeeded' AND outcome = 'APPLIED'
      GROUP BY order_id HAVING count(*) > 1`,
  },
  {
    promise: 'P5',
    what: 'one payment was judged twice for an order',
    sql: `SELECT order_id::text AS id FROM payment_events
      WHERE type = 'payment.succeeded' AND outcome IN ('APPLIED', 'REFUND_DUE') AND payment_id IS NOT NULL
      GROUP BY order_id, provider, payment_id HAVING count(*) > 1`,
  },
  {
    promise: 'P5',
    what: 'a paid, refund-due or refunded order has no success of its amount that made it so',
    sql: `SELECT o.id::text FROM orders o WHERE o.status IN ('PAID', 'REFUND_DUE', 'REFUNDED') AND NOT EXISTS (
      SELECT FROM payment_events e WHERE e.provider = o.payment_provider AND e.event_id = o.payment_event_id
        AND e.order_id = o.id AND e.type = 'payment.succeeded' AND e.payment_id IS NOT DISTINCT FROM o.payment_id
        AND e.amount_minor = o.total_minor AND e.currency = o.currency
        AND e.outcome = CASE WHEN o.paid_at IS NULL THEN 'REFUND_DUE' ELSE 'APPLIED' END)`,
  },
  {
    promise: 'P5',
    what: 'a failure was applied, and no order was cancelled by it',
    sql: `SELECT e.provider || ':' || e.event_id AS id FROM payment_events e LEFT JOIN orders o ON o.id = e.order_id
      WHERE e.type = 'payment.failed' AND e.outcome = 'APPLIED' AND o.cancelled_by IS DISTINCT FROM 'PAYMENT_FAILED'`,
  },
  {
    promise: 'P5',
    what: 'an order that a failure cancelled has not exactly one applied failure',
    sql: `SELECT o.id::text FROM orders o WHERE o.cancelled_by = 'PAYMENT_FAILED' AND 1 <> (
      SELECT count(*) FROM payment_events e
      WHERE e.order_id = o.id AND e.type = 'payment.failed' AND e.outcome = 'APPLIED')`,
  },
  {
    promise: 'P5',
    what: 'the applied refunds of an order are not as many as its refunded payments',
    sql: `SELECT o.id::text FROM orders o
      JOIN (SELECT order_id, count(*) FILTER (WHERE type = 'payment.refunded' AND outcome = 'APPLIED') AS refunds,
          count(*) FILTER (WHERE outcome = 'REFUND_DUE' AND settled_at IS NOT NULL) AS settled
        FROM payment_events GROUP BY order_id) e ON e.order_id = o.id
      WHERE e.refunds <> e.settled + CASE WHEN o.status = 'REFUNDED' AND o.paid_at IS NOT NULL THEN 1 ELSE 0 END`,
  },
];

const MONEY: readonly Check[] = [
  {
    promise: 'P6',
    what: 'a success was judged for an order that does not exist',
    sql: `SELECT e.provider || ':' || e.event_id AS id FROM payment_events e LEFT JOIN orders o ON o.id = e.order_id
      WHERE e.type = 'payment.succeeded' AND e.outcome IN ('APPLIED', 'REFUND_DUE', 'IGNORED') AND o.id IS NULL`,
  },
  {
    promise: 'P6',
    what: 'a success was applied, and its order is not paid by it',
    sql: `SELECT e.provider || ':' || e.event_id AS id FROM payment_events e JOIN orders o ON o.id = e.order_id
      WHERE e.type = 'payment.succeeded' AND e.outcome = 'APPLIED' AND NOT (o.status IN ('PAID', 'REFUNDED')
        AND o.paid_at IS NOT NULL AND (o.payment_provider, o.payment_event_id) = (e.provider, e.event_id))`,
  },
  {
    promise: 'P6',
    what: 'a success was ignored that repeats no payment of its order',
    sql: `SELECT e.provider || ':' || e.event_id AS id FROM payment_events e
      WHERE e.type = 'payment.succeeded' AND e.outcome = 'IGNORED' AND NOT EXISTS (
        SELECT FROM payment_events s WHERE s.order_id = e.order_id AND s.type = 'payment.succeeded'
          AND s.provider = e.provider AND s.payment_id = e.payment_id AND s.outcome IN ('APPLIED', 'REFUND_DUE'))`,
  },
  {
    promise: 'P6',
    what: 'a refund is due, and its event counts as settled, or the other way round',
    sql: `SELECT o.id::text FROM orders o
      JOIN payment_events e ON e.provider = o.payment_provider AND e.event_id = o.payment_event_id
      WHERE o.paid_at IS NULL AND e.outcome = 'REFUND_DUE' AND (e.settled_at IS NULL) <> (o.status = 'REFUND_DUE')`,
  },
  {
    promise: 'P6',
    what: 'a refund or a success has its order’s amount, and is called a mismatch',
    sql: `SELECT e.provider || ':' || e.event_id AS id FROM payment_events e JOIN orders o ON o.id = e.order_id
      WHERE e.outcome = 'AMOUNT_MISMATCH' AND e.amount_minor = o.total_minor AND e.currency = o.currency`,
  },
  {
    promise: 'P6',
    what: 'an event is parked for a live hold that it pays exactly',
    sql: `SELECT e.provider || ':' || e.event_id AS id FROM payment_events e JOIN holds h ON h.id::text = e.reference
      WHERE e.outcome = 'PARKED' AND e.type = 'payment.succeeded' AND h.status = 'ACTIVE'
        AND e.amount_minor = h.quantity::numeric * h.unit_price_minor AND e.currency = h.currency`,
  },
  {
    promise: 'P6',
    what: 'an event is still parked though what it waited for has long come',
    sql: `SELECT r.id FROM (${ripe()}) r, (${lastSignOfLife()}) l WHERE r.since < l.at - ${SWEEP_GRACE}`,
  },
];

/**
 * Parked events that would be settled if they were judged now, and since when: their order exists or their hold is over; a
 * refund waits for the success it belongs to.
 */
export function ripe(): string {
  return `SELECT e.provider || ':' || e.event_id AS id,
      greatest(e.received_at, CASE WHEN o.id IS NULL THEN coalesce(h.closed_at, h.expires_at)
        WHEN e.type = 'payment.refunded' THEN s.received_at ELSE o.created_at END) AS since
    FROM payment_events e
      LEFT JOIN holds h ON h.id::text = e.reference
      LEFT JOIN orders o ON o.id::text = coalesce(h.order_id::text, e.reference)
      LEFT JOIN payment_events s ON e.type = 'payment.refunded' AND s.order_id = o.id AND s.type = 'payment.succeeded'
        AND (s.provider, s.event_id) = (o.payment_provider, o.payment_event_id)
    WHERE e.outcome = 'PARKED' AND CASE WHEN e.type = 'payment.refunded'
      THEN s.event_id IS NOT NULL AND (e.payment_id IS NULL OR s.payment_id IS NULL
        OR (e.provider, e.payment_id) = (s.provider, s.payment_id))
      ELSE o.id IS NOT NULL OR h.status <> 'ACTIVE' OR h.expires_at <= now() END`;
}

/** When anything happened last: where no server runs, the sweep is late for nothing. Not in the future: clocks are set back. */
function lastSignOfLife(): string {
  return `SELECT least(now(), greatest((SELECT max(received_at) FROM payment_events), (SELECT max(created_at) FROM orders),
    (SELECT max(closed_at) FROM holds), (SELECT max(created_at) FROM holds))) AS at`;
}

export const CHECKS: readonly Check[] = [...STOCK, ...HOLDS, ...KEYS, ...ORDERS_AND_PAYMENTS, ...MONEY];

/** No violations: open cases that an operator has to close (the last three: that the sweep will close). */
export const OPEN = {
  parkedUnknown: `SELECT count(*)::int AS n FROM payment_events e WHERE e.outcome = 'PARKED'
    AND NOT EXISTS (SELECT FROM orders o WHERE o.id::text = e.reference)
    AND NOT EXISTS (SELECT FROM holds h WHERE h.id::text = e.reference)`,
  parkedWaiting: `SELECT count(*)::int AS n FROM payment_events e WHERE e.outcome = 'PARKED'
    AND (EXISTS (SELECT FROM orders o WHERE o.id::text = e.reference)
      OR EXISTS (SELECT FROM holds h WHERE h.id::text = e.reference))`,
  amountMismatches: `SELECT count(*)::int AS n FROM payment_events WHERE outcome = 'AMOUNT_MISMATCH'`,
  refundDuePayments: `SELECT count(*)::int AS n FROM payment_events WHERE outcome = 'REFUND_DUE' AND settled_at IS NULL`,
  refundDueOrders: `SELECT count(*)::int AS n FROM orders WHERE status = 'REFUND_DUE'`,
  parkedForSweep: `SELECT count(*)::int AS n FROM (${ripe()}) r`,
  overdueHolds: `SELECT count(*)::int AS n FROM holds WHERE status = 'ACTIVE' AND expires_at <= now()`,
  overdueOrders: `SELECT count(*)::int AS n FROM orders WHERE status = 'PENDING_PAYMENT' AND payment_due_at <= now()`,
} as const;
