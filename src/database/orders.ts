/** Statements on `orders` and `order_lines`. Each that locks or writes names its shard, the order's id. */
import { LockMode, type EntityManager } from '@mikro-orm/postgresql';
import type { Hold, Order, OrderLine } from '../domain/records';
import { Columns, type Row } from './columns';
import { HoldRow, OrderLineRow, OrderRow } from './entities';
import { run, runQuery, sql } from '../postgres/statement';

export const orderColumns = new Columns<Order>(OrderRow);
const lineColumns = new Columns<OrderLine>(OrderLineRow);

/** Locks one order until the transaction ends, and returns it. */
export async function lockOrder(em: EntityManager, id: string): Promise<Order | null> {
  return em.findOne(OrderRow, { id }, { lockMode: LockMode.PESSIMISTIC_WRITE, disableIdentityMap: true });
}

/**
 * Locks ids of orders that may not exist yet (advisory locks, until the transaction ends), so that placing an order and looking
 * for it exclude each other. Otherwise a payment could be parked for an order that is being placed, and neither would see the
 * other. Taken before the stock rows. Only an id derived from a key can be known before its order exists.
 */
export async function lockOrderIds(em: EntityManager, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await run(
    em,
    sql`/* order ids */ SELECT pg_advisory_xact_lock(hashtextextended(id, 0)) FROM unnest(${[...ids].sort()}::text[]) AS o (id)`,
  );
}

/** Locks the ids that are free as `lockOrderIds` does, and returns them. */
export async function lockFreeOrderIds(em: EntityManager, ids: readonly string[]): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const rows = await run<{ id: string }>(
    em,
    sql`/* free order ids */ SELECT id FROM unnest(${[...ids].sort()}::text[]) AS o (id)
      WHERE pg_try_advisory_xact_lock(hashtextextended(id, 0))`,
  );
  return new Set(rows.map((row) => row.id));
}

/** Locks the orders that are free (SKIP LOCKED), in ascending id, and returns them. */
export async function lockFreeOrders(em: EntityManager, ids: readonly string[]): Promise<Order[]> {
  const query = em
    .createQueryBuilder(OrderRow)
    .select('*')
    .where('id = ANY (?::uuid[])', [[...ids]])
    .orderBy({ id: 'asc' })
    .setLockMode(LockMode.PESSIMISTIC_PARTIAL_WRITE);
  const rows = await runQuery<Row>(em, query);
  return rows.map((row) => orderColumns.read(row));
}

/** PENDING_PAYMENT → PAID, many orders in one statement. The caller has locked them. */
export async function markPaid(
  em: EntityManager,
  payments: readonly { orderId: string; provider: string; eventId: string; paymentId: string | null }[],
  at: Date,
): Promise<void> {
  const ids = payments.map((payment) => payment.orderId);
  const own = sql`array_position(${ids}::uuid[], id)`;
  // By ids alone, see holds.ts: there are more unpaid orders, too, than PostgreSQL expects.
  await run(
    em,
    sql`/* markPaid */
      UPDATE orders SET status = 'PAID', paid_at = ${at},
        payment_provider = (${payments.map((payment) => payment.provider)}::text[])[${own}],
        payment_event_id = (${payments.map((payment) => payment.eventId)}::text[])[${own}],
        payment_id = (${payments.map((payment) => payment.paymentId)}::text[])[${own}]
      WHERE id = ANY (${ids}::uuid[]) AND paid_at IS NULL AND cancelled_at IS NULL`,
  );
}

/** Not locked: to answer a replay, or to show them. */
export async function findOrders(em: EntityManager, ids: readonly string[]): Promise<Order[]> {
  if (ids.length === 0) return [];
  const rows = await run<Row>(em, sql`/* find orders */ SELECT * FROM orders WHERE id = ANY (${ids}::uuid[])`);
  return rows.map((row) => orderColumns.read(row));
}

/** An order's lines never change. No entities are made of the rows: a page of orders may have thousands. */
export async function findLines(em: EntityManager, orderIds: readonly string[]): Promise<OrderLine[]> {
  if (orderIds.length === 0) return [];
  const rows = await run<Row>(
    em,
    sql`/* lines */
      SELECT ${lineColumns.of('order_lines')} FROM order_lines WHERE order_id = ANY (${orderIds}::uuid[]) ORDER BY hold_id`,
  );
  return rows.map((row) => lineColumns.read(row));
}

/** The holds that an order was made of, not locked. */
export async function findHoldsOf(em: EntityManager, orderId: string): Promise<Hold[]> {
  const lines = await findLines(em, [orderId]);
  return em.find(
    HoldRow,
    { productId: { $in: lines.map((line) => line.productId) }, id: { $in: lines.map((line) => line.holdId) } },
    { disableIdentityMap: true },
  );
}

/** New orders with their lines, in two statements. */
export async function insertOrders(
  em: EntityManager,
  orders: readonly Order[],
  lines: readonly OrderLine[],
): Promise<void> {
  if (orders.length === 1) {
    // By its values a statement names its shard.
    await Promise.all([
      em.insertMany(OrderRow, orders as OrderRow[]),
      em.insertMany(OrderLineRow, lines as OrderLineRow[]),
    ]);
    return;
  }
  const column = <T>(valueOf: (order: Order) => T) => orders.map(valueOf);
  const ofLine = <T>(valueOf: (line: OrderLine) => T) => lines.map(valueOf);
  // In ascending id: two batches that write the same ids (one key, used for two carts) wait for each other in one order.
  const insertion = run(
    em,
    sql`/* insertOrders */
      INSERT INTO orders (id, customer_id, status, total_minor, currency, idempotency_key, placed_by, payment_due_at,
        created_at, paid_at, cancelled_at, cancelled_by, payment_provider, payment_event_id, payment_id)
      SELECT * FROM unnest(${column((o) => o.id)}::uuid[], ${column((o) => o.customerId)}::text[],
        ${column((o) => o.status)}::text[], ${column((o) => o.totalMinor)}::bigint[],
        ${column((o) => o.currency)}::text[], ${column((o) => o.idempotencyKey)}::text[],
        ${column((o) => o.placedBy)}::text[], ${column((o) => o.paymentDueAt)}::timestamptz[],
        ${column((o) => o.createdAt)}::timestamptz[], ${column((o) => o.paidAt)}::timestamptz[],
        ${column((o) => o.cancelledAt)}::timestamptz[], ${column((o) => o.cancelledBy)}::text[],
        ${column((o) => o.paymentProvider)}::text[], ${column((o) => o.paymentEventId)}::text[],
        ${column((o) => o.paymentId)}::text[]) AS o (id)
      ORDER BY o.id`,
  );
  const insertionOfLines = run(
    em,
    sql`/* insertLines */
      INSERT INTO order_lines (order_id, hold_id, product_id, quantity, unit_price_minor)
      SELECT * FROM unnest(${ofLine((l) => l.orderId)}::uuid[], ${ofLine((l) => l.holdId)}::uuid[],
        ${ofLine((l) => l.productId)}::uuid[], ${ofLine((l) => l.quantity)}::int[],
        ${ofLine((l) => l.unitPriceMinor)}::bigint[])`,
  );
  await Promise.all([insertion, insertionOfLines]);
}

/** Writes what a move changed. The caller has locked the order. */
export async function updateOrder(em: EntityManager, order: Order): Promise<void> {
  const { id, status, paidAt, cancelledAt, cancelledBy, paymentProvider, paymentEventId, paymentId } = order;
  await em.nativeUpdate(
    OrderRow,
    { id },
    { status, paidAt, cancelledAt, cancelledBy, paymentProvider, paymentEventId, paymentId },
  );
}

/** PENDING_PAYMENT → CANCELLED, many orders in one statement. The caller has locked them. */
export async function markCancelled(
  em: EntityManager,
  orderIds: readonly string[],
  by: NonNullable<Order['cancelledBy']>,
  at: Date,
): Promise<void> {
  await run(
    em,
    sql`/* markCancelled */
      UPDATE orders SET status = 'CANCELLED', cancelled_at = ${at}, cancelled_by = ${by}
      WHERE id = ANY (${orderIds}::uuid[]) AND paid_at IS NULL AND cancelled_at IS NULL`,
  );
}

/** Unpaid orders whose payment window has passed, by ascending id from `after` on. Not locked: the cancellation reads them again. */
export async function findUnpaid(em: EntityManager, after: string, limit: number): Promise<string[]> {
  const rows = await run<{ id: string }>(
    em,
    sql`/* sweep: unpaid orders */
      SELECT id FROM orders
      WHERE status = 'PENDING_PAYMENT' AND payment_due_at <= statement_timestamp()
        AND id > coalesce(nullif(${after}, '')::uuid, '00000000-0000-0000-0000-000000000000')
      ORDER BY id LIMIT ${limit}`,
  );
  return rows.map((row) => row.id);
}
