/** How outcomes are logged and counted, once their transaction is committed. */
import { Busy, CallerError, Unavailable } from '../domain/errors';
import type { JudgedEvent, Order } from '../domain/records';
import type { OrderStatus } from '../domain/statuses';
import type { Logger } from '../telemetry/logger';
import type { Answer } from '../domain/refusals';
import type { Dependencies } from './dependencies';
import type { Settled } from './order-settlement';

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

type Output = Pick<Dependencies, 'log' | 'metrics'>;

/** One line and one count for a status that an order has come to. */
export function logOrder(
  { log, metrics }: Output,
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

export function logSettled(output: Output, { order, statusesReached, events }: Settled): void {
  for (const event of events) logEvent(output.log, event);
  if (order) for (const status of statusesReached) logOrder(output, status, order);
}

function logEvent(log: Logger, payment: JudgedEvent): void {
  const line = LINE_OF_OUTCOME[payment.outcome];
  const { provider, eventId, type, reference, outcome, orderId } = payment;
  log.info({ event: line, provider, eventId, type, reference, outcome, orderId }, line);
}

/** Counts every call of `work` by its answer's label or by how it failed, with the time it took. */
export function measured<Args extends readonly unknown[], Result>(
  work: (...args: Args) => Promise<Result>,
  labelOf: (result: Result) => string,
  count: (label: string, seconds: number) => void,
): (...args: Args) => Promise<Result> {
  return async (...args) => {
    const startedAt = performance.now();
    const secondsSince = () => (performance.now() - startedAt) / 1_000;
    try {
      const result = await work(...args);
      count(labelOf(result), secondsSince());
      return result;
    } catch (error) {
      count(labelOfFailure(error), secondsSince());
      throw error;
    }
  };
}

export function labelOfAnswer(answer: Answer<unknown>): string {
  if (answer.granted) return answer.replay ? 'REPLAYED' : 'GRANTED';
  return answer.refusals[0]!.code;
}

export function labelOfFailure(error: unknown): string {
  if (error instanceof Busy) return 'BUSY';
  if (error instanceof Unavailable) return 'SERVICE_UNAVAILABLE';
  return error instanceof CallerError ? error.code : 'INTERNAL_SERVER_ERROR';
}
