/** replayPaymentEvent: an operator has an open event judged again. */
import { newId } from '../database/ids';
import { findEvent } from '../database/payment-events';
import type { PaymentEvent } from '../domain/records';
import { granted, refusal, refused, replayed, type Answer } from '../domain/refusals';
import type { Checkout } from './checkout';
import { logSettled } from './payment-log';
import { settleEvents, type Settling } from './settle-payment';

/**
 * Judges a PARKED or AMOUNT_MISMATCH event by how things stand now; every other event is answered as it is.
 * Refusal: PAYMENT_EVENT_NOT_FOUND. Locks: order → stock (if units move) → holds → the event.
 */
export async function replayPaymentEvent(
  checkout: Checkout,
  key: { readonly provider: string; readonly eventId: string },
): Promise<Answer<PaymentEvent>> {
  const settling: Settling = { movesUnits: false, newOrderId: newId() };
  const result = await checkout.database.inTransaction('replayPaymentEvent', async ({ em, rollBack }) => {
    const event = await findEvent(em, key);
    if (event?.outcome !== 'PARKED' && event?.outcome !== 'AMOUNT_MISMATCH') {
      rollBack();
      return { event, settled: null };
    }
    const settled = await settleEvents(em, [event], false, settling);
    return { event: await findEvent(em, key), settled };
  });
  if (!result.event) return refused(refusal('PAYMENT_EVENT_NOT_FOUND', { field: ['eventId'] }));
  if (!result.settled) return replayed(result.event);
  logSettled(checkout, result.settled);
  return granted(result.event);
}
