/** The log lines of what payment events did, written once their transaction is committed. */
import type { PaymentEvent } from '../domain/records';
import type { Logger } from '../telemetry/logger';
import type { Settled } from './settle-payment';

const LINE_OF = {
  APPLIED: 'payment.settled',
  IGNORED: 'payment.settled',
  AMOUNT_MISMATCH: 'payment.settled',
  PARKED: 'payment.parked',
  REFUND_DUE: 'payment.refund_due',
} as const;

export function logSettled(log: Logger, { order, events }: Settled): void {
  for (const event of events) logEvent(log, event);
  if (!order || events.length === 0) return;
  const { id: orderId, cancelledBy: by } = order;
  if (order.status === 'PAID') log.info({ event: 'order.paid', orderId }, 'order.paid');
  if (order.status === 'CANCELLED') log.info({ event: 'order.cancelled', orderId, by }, 'order.cancelled');
}

function logEvent(log: Logger, payment: PaymentEvent): void {
  const line = LINE_OF[payment.outcome];
  const { provider, eventId, type, reference, outcome, orderId } = payment;
  log.info({ event: line, provider, eventId, type, reference, outcome, orderId }, line);
}
