/** cancelOrder: a shopper takes an unpaid order back. */
import { isId } from '../database/ids';
import { findOrders, lockOrder } from '../database/orders';
import { readClock } from '../database/clock';
import type { Order } from '../domain/records';
import { granted, refusal, refused, replayed, type Answer } from '../domain/refusals';
import { isOwn, type Caller, type Checkout } from './checkout';
import { logOrder } from './payment-log';
import { cancelUnpaid, lockStocksOf } from './settle-payment';

/**
 * Cancels an unpaid order and gives its units back; of a cancelled one it is a replay. A payment that comes later finds it
 * cancelled by its shopper, and becomes REFUND_DUE.
 * Refusals: ORDER_NOT_FOUND, ORDER_NOT_CANCELLABLE. Locks: the order → its stock rows → its holds.
 */
export async function cancelOrder(checkout: Checkout, caller: Caller, orderId: string): Promise<Answer<Order>> {
  const notFound = refused(refusal('ORDER_NOT_FOUND', { field: ['orderId'] }));
  const id = orderId.toLowerCase();
  const peeked = isId(id) ? (await checkout.database.read((em) => findOrders(em, [id])))[0] : undefined;
  if (!peeked || !isOwn(caller, peeked)) return notFound;

  const answer = await checkout.database.inTransaction(
    'cancelOrder',
    async ({ em, rollBack }): Promise<Answer<Order>> => {
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
    },
  );

  if (answer.granted && !answer.replay) logOrder(checkout, 'CANCELLED', answer.value);
  return answer;
}
