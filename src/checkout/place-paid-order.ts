/** Places the order of a hold that was paid before it was ordered. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { consumeHolds, linkToOrder } from '../database/holds';
import { insertOrders } from '../database/orders';
import { linesOf, totalOf } from '../domain/place-orders';
import type { Hold, JudgedEvent, Order } from '../domain/records';
import { judgedAs, OrderSettlement, paidWith, type Settled, type SettlementPlan } from './order-settlement';
import { takeAgain } from './stock-keeper';

/**
 * Places the order of a hold that a payment pays before the shopper orders it: for the hold's customer, PAID or REFUND_DUE at
 * once. The caller has locked the hold and, unless it is live, the stock row. What was parked for the hold is applied too.
 */
export async function placePaidOrder(
  em: EntityManager,
  hold: Hold,
  event: JudgedEvent,
  live: boolean,
  at: Date,
  plan: SettlementPlan,
): Promise<Settled> {
  const orderId = plan.newOrderId;
  const isPaid = live || (await takeAgain(em, [hold], orderId));
  const order: Order = {
    id: orderId,
    customerId: hold.customerId,
    status: isPaid ? 'PAID' : 'REFUND_DUE',
    ...totalOf(hold),
    idempotencyKey: null,
    placedBy: 'PAYMENT',
    paymentDueAt: at,
    createdAt: at,
    paidAt: isPaid ? at : null,
    cancelledAt: null,
    cancelledBy: null,
    ...paidWith(event),
  };
  await insertOrders(em, [order], linesOf(order, [hold]));
  if (live) await consumeHolds(em, [{ ...hold, orderId }], at);
  else if (!isPaid) await linkToOrder(em, hold, orderId);
  const judged = judgedAs(event, isPaid ? 'APPLIED' : 'REFUND_DUE', order, at);
  const settled = await new OrderSettlement(em, at, order, [hold], plan, [judged]).settle([]);
  return { ...settled, statusesReached: [order.status, ...settled.statusesReached] };
}
