/** Refusals: an expected "no" that the caller can act on. They are data, not exceptions, and nothing has moved. */

export const ERROR_CODES = [
  'OUT_OF_STOCK',
  'PRODUCT_NOT_FOUND',
  'SALE_NOT_STARTED',
  'SALE_ENDED',
  'LIMIT_PER_CUSTOMER',
  'CUSTOMER_REQUIRED',
  'HOLD_NOT_FOUND',
  'HOLD_EXPIRED',
  'HOLD_ALREADY_USED',
  'HOLD_RELEASED',
  'CURRENCY_MISMATCH',
  'ORDER_NOT_FOUND',
  'ORDER_NOT_CANCELLABLE',
  'IDEMPOTENCY_KEY_REUSED',
  'BUSY',
  'SKU_TAKEN',
  'STOCK_BELOW_COMMITTED',
  'PAYMENT_EVENT_NOT_FOUND',
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  /** Where in the input, as GraphQL paths go: `['holdIds', '1']`. */
  readonly field?: readonly string[];
  readonly retryAfterMs?: number;
  readonly stockReturnsAt?: Date | null;
}

/** `replay`: the same request was granted before. */
export interface Granted<T> {
  readonly granted: true;
  readonly value: T;
  readonly replay: boolean;
  readonly refusals: readonly [];
}

export interface Refused {
  readonly granted: false;
  readonly value: null;
  readonly replay: false;
  readonly refusals: readonly Refusal[];
}

/** What a use case answers: the object, or why it was refused. */
export type Answer<T> = Granted<T> | Refused;

export const granted = <T>(value: T): Granted<T> => ({ granted: true, value, replay: false, refusals: [] });
export const replayed = <T>(value: T): Granted<T> => ({ granted: true, value, replay: true, refusals: [] });
export const refused = (...refusals: Refusal[]): Refused => ({ granted: false, value: null, replay: false, refusals });

const MESSAGES: Record<ErrorCode, string> = {
  OUT_OF_STOCK: 'No available stock left for the product',
  PRODUCT_NOT_FOUND: 'There is no such product',
  SALE_NOT_STARTED: 'The sale of this product has not started yet',
  SALE_ENDED: 'The sale of this product has ended',
  LIMIT_PER_CUSTOMER: 'This is more of the product than one customer may have',
  CUSTOMER_REQUIRED: 'This product is limited per customer: sign in to hold it',
  HOLD_NOT_FOUND: 'There is no such hold',
  HOLD_EXPIRED: 'The hold has expired',
  HOLD_ALREADY_USED: 'The hold has already become an order',
  HOLD_RELEASED: 'The hold was released',
  CURRENCY_MISMATCH: 'An order has one currency, and this hold has another than the first',
  ORDER_NOT_FOUND: 'There is no such order',
  ORDER_NOT_CANCELLABLE: 'Only an order that was never paid can be cancelled',
  IDEMPOTENCY_KEY_REUSED: 'This idempotency key already names a different request: use a new key',
  BUSY: 'Too many requests want this at the same time: send the same request with the same key again',
  SKU_TAKEN: 'Another product has this SKU',
  STOCK_BELOW_COMMITTED: 'Fewer units would be left than are held or ordered already',
  PAYMENT_EVENT_NOT_FOUND: 'There is no such payment event',
};

/** A refusal with its code's one message. */
export function refusal(code: ErrorCode, details: Omit<Refusal, 'code' | 'message'> = {}): Refusal {
  return { code, message: MESSAGES[code], ...details };
}
