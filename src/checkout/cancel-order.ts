/** cancelOrder: cancels an unpaid order for its shopper. */
import { isId } from '../database/ids';
import { findOrders, lockOrder } from '../database/orders';
import { readClock } from '../database/clock';
import type { Order } from '../domain/records';
import { granted, refusal, refused, replayed, type Answer } from '../domain/refusals';
import { isOwn, type Caller, type Dependencies } from './dependencies';
import { logOrder } from './outcomes';
import { cancelUnpaid, lockStocksOf } from './cancel-unpaid';

/**
 * Cancels an unpaid order and gives its units back; cancelling a cancelled one again is a replay. A payment that comes later
 * does not revive the order, but is REFUND_DUE.
 * Refusals: ORDER_NOT_FOUND, ORDER_NOT_CANCELLABLE. Locks: the order → its stock rows → its holds.
 */
export async function cancelOrder(
  deps: Dependencies,
  { orderId }: { readonly orderId: string },
  caller: Caller,
): Promise<Answer<Order>> {
  const notFound = refused(refusal('ORDER_NOT_FOUND', { field: ['orderId'] }));
  const id = orderId.toLowerCase();
  const peeked = isId(id) ? (await deps.database.read((em) => findOrders(em, [id])))[0] : undefined;
  if (!peeked || !isOwn(caller, peeked)) return notFound;

  const answer = await deps.database.inTransaction('cancelOrder', async ({ em, rollBack }): Promise<Answer<Order>> => {
    const order = await lockOrder(em, id);
    if (order?.status !== 'PENDING_PAYMENT') {
      rollBack();
      if (!order) return notFound;
      return order.status === 'CANCELLED'
        ? replayed(order)
        : refused(refusal('ORDER_NOT_CANCELLABLE', { field: ['orderId'] }));
    }
    const lines = await lockStocksOf(em, id);
    const [cancelled] = await cancelUnpaid(em, [order], lines, 'CUSTOMER', await readClock(em));
    return granted(cancelled!);
  });

  if (answer.granted && !answer.replay) logOrder(deps, 'CANCELLED', answer.value);
  return answer;
}
