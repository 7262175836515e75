/** The stored records (docs/design.md#what-is-stored) as plain data that may leave a transaction. Times are the database's. */
import type { Canceller, HoldStatus, OrderStatus, PaymentOutcome, Placer } from './statuses';

export interface Product {
  readonly id: string;
  readonly sku: string;
  readonly name: string;
  readonly description: string | null;
  readonly priceMinor: number;
  readonly currency: string;
  /** null: no limit. */
  readonly maxPerCustomer: number | null;
  readonly saleStartsAt: Date | null;
  readonly saleEndsAt: Date | null;
  /** Whether lists show it. An unlisted product is found by id or SKU, and can be bought. */
  readonly listed: boolean;
}

export interface Hold {
  readonly id: string;
  readonly productId: string;
  readonly quantity: number;
  readonly unitPriceMinor: number;
  readonly currency: string;
  /** '' is anonymous. */
  readonly customerId: string;
  /** As stored: an overdue hold is ACTIVE until it is closed. */
  readonly status: HoldStatus;
  readonly idempotencyKey: string | null;
  readonly orderId: string | null;
  readonly expiresAt: Date;
  readonly createdAt: Date;
  readonly closedAt: Date | null;
  /** The hold's units are out of `available` exactly while this is null. */
  readonly givenBackAt: Date | null;
}

export interface Order {
  readonly id: string;
  readonly customerId: string;
  readonly status: OrderStatus;
  readonly totalMinor: number;
  readonly currency: string;
  readonly idempotencyKey: string | null;
  readonly placedBy: Placer;
  readonly paymentDueAt: Date;
  readonly createdAt: Date;
  readonly paidAt: Date | null;
  readonly cancelledAt: Date | null;
  readonly cancelledBy: Canceller | null;
  /** The success that made the order PAID or REFUND_DUE, and its payment. */
  readonly paymentProvider: string | null;
  readonly paymentEventId: string | null;
  readonly paymentId: string | null;
}

export interface OrderLine {
  readonly orderId: string;
  readonly holdId: string;
  readonly productId: string;
  readonly quantity: number;
  readonly unitPriceMinor: number;
}

export interface PaymentEvent {
  readonly provider: string;
  readonly eventId: string;
  readonly type: string;
  readonly reference: string;
  /** null: the message had no usable amount. */
  readonly amountMinor: number | null;
  readonly currency: string | null;
  readonly paymentId: string | null;
  readonly payload: Record<string, unknown>;
  readonly outcome: PaymentOutcome;
  readonly orderId: string | null;
  readonly receivedAt: Date;
  /** null while the event is open: an operator or a later event has to settle it. */
  readonly settledAt: Date | null;
}

/** An event without its payload, which may be large and decides nothing. */
export type JudgedEvent = Omit<PaymentEvent, 'payload'>;

/** Live: active, and the database's time is before `expiresAt`. */
export function isLive(hold: Pick<Hold, 'status' | 'expiresAt'>, at: Date): boolean {
  return hold.status === 'ACTIVE' && at.getTime() < hold.expiresAt.getTime();
}

/** Overdue: expired in every respect but the bookkeeping. */
export function isOverdue(hold: Pick<Hold, 'status' | 'expiresAt'>, at: Date): boolean {
  return hold.status === 'ACTIVE' && !isLive(hold, at);
}

/** The hold's status as a client sees it. */
export function statusOf(hold: Pick<Hold, 'status' | 'expiresAt'>, at: Date): HoldStatus {
  return isOverdue(hold, at) ? 'EXPIRED' : hold.status;
}
