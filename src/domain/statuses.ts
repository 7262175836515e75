/** The state machines' statuses and legal moves (docs/design.md#statuses), the same in GraphQL, TypeScript and SQL. */

export const HOLD_STATUSES = ['ACTIVE', 'CONSUMED', 'RELEASED', 'EXPIRED'] as const;
export type HoldStatus = (typeof HOLD_STATUSES)[number];

export const ORDER_STATUSES = ['PENDING_PAYMENT', 'PAID', 'CANCELLED', 'REFUND_DUE', 'REFUNDED'] as const;
export type OrderStatus = (typeof ORDER_STATUSES)[number];

export const PAYMENT_OUTCOMES = ['APPLIED', 'PARKED', 'IGNORED', 'AMOUNT_MISMATCH', 'REFUND_DUE'] as const;
export type PaymentOutcome = (typeof PAYMENT_OUTCOMES)[number];

export const SALE_STATUSES = ['UPCOMING', 'ON_SALE', 'FULLY_HELD', 'SOLD_OUT', 'ENDED'] as const;
export type SaleStatus = (typeof SALE_STATUSES)[number];

/** Who cancelled an order. What its shopper cancelled is never revived by a late payment. */
export const CANCELLERS = ['CUSTOMER', 'PAYMENT_FAILED', 'PAYMENT_WINDOW'] as const;
export type Canceller = (typeof CANCELLERS)[number];

/** Who placed an order: its shopper, or a payment that came before the shopper did. */
export const PLACERS = ['CUSTOMER', 'PAYMENT'] as const;
export type Placer = (typeof PLACERS)[number];

/** A hold closes once. */
export const HOLD_MOVES: Record<HoldStatus, readonly HoldStatus[]> = {
  ACTIVE: ['CONSUMED', 'RELEASED', 'EXPIRED'],
  CONSUMED: [],
  RELEASED: [],
  EXPIRED: [],
};

export const ORDER_MOVES: Record<OrderStatus, readonly OrderStatus[]> = {
  PENDING_PAYMENT: ['PAID', 'CANCELLED'],
  CANCELLED: ['PAID', 'REFUND_DUE'],
  PAID: ['REFUNDED'],
  REFUND_DUE: ['REFUNDED'],
  REFUNDED: [],
};

/**
 * Moves an order. Throws on a move that the state machine does not name: that is a bug in the caller, never a refusal.
 */
export function moveOrder(from: OrderStatus, to: OrderStatus): OrderStatus {
  if (!ORDER_MOVES[from].includes(to)) throw new Error(`an order cannot go from ${from} to ${to}`);
  return to;
}
