/** Statements on `orders` and `order_lines`. Each that locks or writes names its shard, the order's id. */
import { LockMode, type EntityManager } from '@mikro-orm/postgresql';
import type { Hold, Order, OrderLine } from '../domain/records';
import { HoldRow, OrderLineRow, OrderRow } from './entities';
import { run, sql, time, timeOrNull } from './statement';

/** A row of `orders` as PostgreSQL gives it, as such or in JSON. */
export interface StoredOrder {
  id: string;
  customer_id: string;
  status: Order['status'];
  total_minor: number | string;
  currency: string;
  idempotency_key: string | null;
  placed_by: Order['placedBy'];
  payment_due_at: string;
  created_at: string;
  paid_at: string | null;
  cancelled_at: string | null;
  cancelled_by: Order['cancelledBy'];
  payment_provider: string | null;
  payment_event_id: string | null;
  payment_id: string | null;
}

export function orderFrom(row: StoredOrder): Order {
  return {
    id: row.id,
    customerId: row.customer_id,
    status: row.status,
    totalMinor: Number(row.total_minor),
    currency: row.currency,
    idempotencyKey: row.idempotency_key,
    placedBy: row.placed_by,
    paymentDueAt: time(row.payment_due_at),
    createdAt: time(row.created_at),
    paidAt: timeOrNull(row.paid_at),
    cancelledAt: timeOrNull(row.cancelled_at),
    cancelledBy: row.cancelled_by,
    paymentProvider: row.payment_provider,
    paymentEventId: row.payment_event_id,
    paymentId: row.payment_id,
  };
}

/** Locks one order until the transaction ends, and answers it as it is now. */
export async function lockOrder(em: EntityManager, id: string): Promise<Order | null> {
  return em.findOne(OrderRow, { id }, { lockMode: LockMode.PESSIMISTIC_WRITE, disableIdentityMap: true });
}

/** Locks those of the orders that nobody else has locked, in ascending id. Waits for none. */
export async function lockFreeOrders(em: EntityManager, ids: readonly string[]): Promise<Order[]> {
  const rows = await em
    .createQueryBuilder(OrderRow)
    .select('*')
    .where({ id: { $in: [...ids] } })
    .orderBy({ id: 'asc' })
    .setLockMode(LockMode.PESSIMISTIC_PARTIAL_WRITE)
    .execute<StoredOrder[]>('all', false);
  return rows.map(orderFrom);
}

/** PENDING_PAYMENT → PAID, many orders in one statement. The caller has locked them. */
export async function markPaid(
  em: EntityManager,
  payments: readonly { orderId: string; provider: string; eventId: string; paymentId: string | null }[],
  at: Date,
): Promise<void> {
  await run(
    em,
    sql`/* markPaid */
      UPDATE orders SET status = 'PAID', paid_at = ${at}, payment_provider = p.provider,
        payment_event_id = p.event_id, payment_id = p.payment_id
      FROM unnest(${payments.map((p) => p.orderId)}::uuid[], ${payments.map((p) => p.provider)}::text[],
        ${payments.map((p) => p.eventId)}::text[], ${payments.map((p) => p.paymentId)}::text[])
        AS p (order_id, provider, event_id, payment_id)
      WHERE orders.id = p.order_id AND orders.status = 'PENDING_PAYMENT'`,
  );
}

/** Not locked: to answer a replay, or to show them. */
export async function findOrders(em: EntityManager, ids: readonly string[]): Promise<Order[]> {
  if (ids.length === 0) return [];
  const rows = await run<StoredOrder>(em, sql`/* find orders */ SELECT * FROM orders WHERE id = ANY (${ids}::uuid[])`);
  return rows.map(orderFrom);
}

/** An order's lines never change. */
export async function findLines(em: EntityManager, orderIds: readonly string[]): Promise<OrderLine[]> {
  if (orderIds.length === 0) return [];
  return em.find(
    OrderLineRow,
    { orderId: { $in: [...orderIds] } },
    { orderBy: { holdId: 'asc' }, disableIdentityMap: true },
  );
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

/** In ascending id: two batches that write the same ids (one key, used for two carts) wait for each other in one order. */
export async function insertOrders(
  em: EntityManager,
  orders: readonly Order[],
  lines: readonly OrderLine[],
): Promise<void> {
  await em.insertMany(OrderRow, orders.toSorted((a, b) => (a.id < b.id ? -1 : 1)) as OrderRow[]);
  await em.insertMany(OrderLineRow, lines as OrderLineRow[]);
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

/** Unpaid orders whose payment window has passed, by ascending id from `after` on. Not locked: who cancels looks again. */
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
