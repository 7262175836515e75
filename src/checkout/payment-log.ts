/** The log lines and counts of what became of orders and payment events, written once their transaction is committed. */
import type { JudgedEvent, Order } from '../domain/records';
import type { OrderStatus } from '../domain/statuses';
import type { Logger } from '../telemetry/logger';
import type { Checkout } from './checkout';
import type { Settled } from './settle-payment';

const LINE_OF_OUTCOME = {
  APPLIED: 'payment.settled',
  IGNORED: 'payment.settled',
  AMOUNT_MISMATCH: 'payment.settled',
  PARKED: 'payment.parked',
  REFUND_DUE: 'payment.refund_due',
} as const;

/** Where money has to go back, or went back, the event's own line says so. */
const LINE_OF_STATUS: Record<OrderStatus, string | null> = {
  PENDING_PAYMENT: 'order.created',
  PAID: 'order.paid',
  CANCELLED: 'order.cancelled',
  REFUND_DUE: null,
  REFUNDED: null,
};

type Room = Pick<Checkout, 'log' | 'metrics'>;

/** One line and one count for a status that an order has come to. */
export function logOrder(
  { log, metrics }: Room,
  status: OrderStatus,
  order: Pick<Order, 'id' | 'customerId' | 'totalMinor' | 'currency' | 'cancelledBy'>,
): void {
  metrics.order(status);
  const line = LINE_OF_STATUS[status];
  if (line === null) return;
  const { id, customerId, totalMinor, currency, cancelledBy } = order;
  const more = status === 'CANCELLED' ? { by: cancelledBy } : { customerId, totalMinor, currency };
  log.info({ event: line, orderId: id, ...more }, line);
}

export function logSettled(room: Room, { order, cameTo, events }: Settled): void {
  for (const event of events) logEvent(room.log, event);
  if (order) for (const status of cameTo) logOrder(room, status, order);
}

function logEvent(log: Logger, payment: JudgedEvent): void {
  const line = LINE_OF_OUTCOME[payment.outcome];
  const { provider, eventId, type, reference, outcome, orderId } = payment;
  log.info({ event: line, provider, eventId, type, reference, outcome, orderId }, line);
}
