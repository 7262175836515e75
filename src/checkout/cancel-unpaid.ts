/** Cancels unpaid orders: for cancelOrder, a failed payment and the sweep. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { findLines, markCancelled, updateOrder } from '../database/orders';
import type { Order, OrderLine } from '../domain/records';
import { moveOrder, type Canceller } from '../domain/statuses';
import { giveBack, lockStocks } from './stock-keeper';

/**
 * Cancels unpaid orders and gives the units of their lines back, in two round trips. The caller has locked the orders and their
 * stock rows.
 */
export async function cancelUnpaid(
  em: EntityManager,
  orders: readonly Order[],
  lines: readonly OrderLine[],
  by: Canceller,
  at: Date,
): Promise<Order[]> {
  const cancelled = orders.map((order): Order => {
    return { ...order, status: moveOrder(order.status, 'CANCELLED'), cancelledAt: at, cancelledBy: by };
  });
  const units = lines.map((line) => ({ id: line.holdId, productId: line.productId }));
  const ids = orders.map((order) => order.id);
  // For one order, a statement with its id names its shard.
  const marking = ids.length === 1 ? () => updateOrder(em, cancelled[0]!) : () => markCancelled(em, ids, by, at);
  await Promise.all([giveBack(em, units, at), marking()]);
  return cancelled;
}

/** Locks the stock rows of an order's products, in ascending id, and returns the order's lines. */
export async function lockStocksOf(em: EntityManager, orderId: string): Promise<OrderLine[]> {
  const lines = await findLines(em, [orderId]);
  await lockStocks(
    em,
    lines.map((line) => line.productId),
  );
  return lines;
}
