/** recordPaymentEvent: remembers what a provider reports, once, and applies it in the same transaction. */
import { isId, newId } from '../database/ids';
import { findEvent, insertEvent } from '../database/payment-events';
import { isPaymentType } from '../domain/judge-payment';
import { repeats, type PaymentMessage } from '../domain/payment-message';
import type { PaymentEvent } from '../domain/records';
import type { Checkout } from './checkout';
import { logSettled } from './payment-log';
import { settleEvent, type Settled, type Settling } from './settle-payment';

export type Recorded =
  | { readonly kind: 'recorded' | 'duplicate'; readonly event: PaymentEvent }
  /** The same id came before with another content: nothing was changed. */
  | { readonly kind: 'conflict' };

/**
 * The event's row and its effect commit together: when this answers, both are durable, and a copy of the event, even one
 * that comes at the same moment, is a duplicate without effect that answers with the event's outcome as it stands.
 *
 * Throws `Busy` and `Unavailable`; then the provider sends it again.
 * Locks: the event's own new row → order → stock (if units move) → holds → parked events.
 */
export async function recordPaymentEvent(
  checkout: Checkout,
  provider: string,
  received: PaymentMessage,
): Promise<Recorded> {
  const { database, log } = checkout;
  const message = { ...received, reference: canonical(received.reference) };
  const settling: Settling = { movesUnits: false, newOrderId: newId() };
  const { eventId, type } = message;
  log.info({ event: 'payment.received', provider, eventId, type, reference: message.reference }, 'payment.received');

  const result = await database.inTransaction('recordPaymentEvent', async ({ em, rollBack }) => {
    const event = await insertEvent(em, {
      provider,
      eventId,
      type,
      reference: message.reference,
      amountMinor: message.amountMinor,
      currency: message.currency,
      paymentId: message.paymentId,
      payload: message.payload,
      outcome: isPaymentType(type) ? 'PARKED' : 'IGNORED',
      orderId: null,
      settledAt: null,
    });
    if (!event) {
      rollBack();
      return { earlier: await findEvent(em, { provider, eventId }) };
    }
    return { event, settled: isPaymentType(type) ? await settleEvent(em, event, true, settling) : null };
  });

  if ('earlier' in result) {
    if (!result.earlier || !repeats(message, result.earlier)) return { kind: 'conflict' };
    log.info({ event: 'payment.duplicate', provider, eventId, outcome: result.earlier.outcome }, 'payment.duplicate');
    return { kind: 'duplicate', event: result.earlier };
  }
  logSettled(log, result.settled ?? { order: null, events: [result.event] });
  return { kind: 'recorded', event: judgedOf(result.event, result.settled) };
}

/** The event as its transaction left it. */
function judgedOf(event: PaymentEvent, settled: Settled | null): PaymentEvent {
  return settled?.events.find((other) => other.eventId === event.eventId && other.provider === event.provider) ?? event;
}

/** UUIDs are compared as text where parked events are looked up. */
function canonical(reference: string): string {
  return isId(reference) ? reference.toLowerCase() : reference;
}
