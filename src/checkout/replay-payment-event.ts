/** replayPaymentEvent: judges an open payment event again, for an operator. */
import { newId } from '../database/ids';
import { findEvent } from '../database/payment-events';
import type { PaymentEvent } from '../domain/records';
import { granted, refusal, refused, replayed, type Answer } from '../domain/refusals';
import type { Dependencies } from './dependencies';
import { logSettled } from './outcomes';
import type { SettlementPlan } from './order-settlement';
import { settleEvents } from './settle-payment';

/**
 * Judges a PARKED or AMOUNT_MISMATCH event by the current state; every other event is answered unchanged.
 * Refusal: PAYMENT_EVENT_NOT_FOUND. Locks: order → stock (if units move) → holds → the event.
 */
export async function replayPaymentEvent(
  deps: Dependencies,
  key: { readonly provider: string; readonly eventId: string },
): Promise<Answer<PaymentEvent>> {
  const plan: SettlementPlan = { movesUnits: false, newOrderId: newId() };
  const result = await deps.database.inTransaction('replayPaymentEvent', async ({ em, rollBack }) => {
    const event = await findEvent(em, key);
    if (event?.outcome !== 'PARKED' && event?.outcome !== 'AMOUNT_MISMATCH') {
      rollBack();
      return { event, settled: null };
    }
    const settled = await settleEvents(em, [event], false, plan);
    return { event: await findEvent(em, key), settled };
  });
  if (!result.event) return refused(refusal('PAYMENT_EVENT_NOT_FOUND', { field: ['eventId'] }));
  if (!result.settled) return replayed(result.event);
  logSettled(deps, result.settled);
  return granted(result.event);
}
