/** Refusals, statuses, money and times in words, for the storefront. */
import type { Canceller, ErrorCode, OrderStatus, RefusalFragment, SaleStatus } from './generated/graphql';
import { RequestFailed } from './api/ask';

/** All codes, including those that only operators get, so that the compiler reports a missing one. */
const REFUSALS: Record<ErrorCode, string> = {
  OUT_OF_STOCK: 'Too late: there are not enough units left.',
  PRODUCT_NOT_FOUND: 'This product is no longer here.',
  SALE_NOT_STARTED: 'Not yet: the sale has not started.',
  SALE_ENDED: 'The sale has ended.',
  LIMIT_PER_CUSTOMER: 'That would be more than one customer may have.',
  CUSTOMER_REQUIRED: 'Sign in first: this one is limited for each customer.',
  HOLD_NOT_FOUND: 'This hold is not yours, or does not exist.',
  HOLD_EXPIRED: 'A hold ran out, and its units went back on sale.',
  HOLD_ALREADY_USED: 'This hold is already part of an order.',
  HOLD_RELEASED: 'This hold was released.',
  CURRENCY_MISMATCH: 'One order has one currency: order these holds separately.',
  ORDER_NOT_FOUND: 'This order is not yours, or does not exist.',
  ORDER_NOT_CANCELLABLE: 'This order can no longer be cancelled: a payment has arrived.',
  IDEMPOTENCY_KEY_REUSED: 'The same key was used for another request. Reload the page and try again.',
  BUSY: 'Too many shoppers want this right now. Nothing happened: try again.',
  SKU_TAKEN: 'Another product has this SKU.',
  STOCK_BELOW_COMMITTED: 'More units are held or sold already.',
  PAYMENT_EVENT_NOT_FOUND: 'There is no such payment event.',
};

export function refusalInWords({ code }: Pick<RefusalFragment, 'code'>): string {
  return REFUSALS[code];
}

const FAILURES: Record<string, string> = {
  OFFLINE: 'The shop cannot be reached. Try again: whatever was done already is not done twice.',
  SERVICE_UNAVAILABLE: 'The shop is catching its breath. Try again in a moment: nothing is done twice.',
  RATE_LIMITED: 'That was a lot at once. Try again in a moment.',
  UNAUTHENTICATED: 'Sign in again to do this.',
};

export function failureInWords(error: unknown): string {
  if (!(error instanceof RequestFailed)) return 'Something went wrong on this page. Reload it and try again.';
  return FAILURES[error.code] ?? 'Something went wrong in the shop. Try again.';
}

export const SALE_STATUS: Record<SaleStatus, string> = {
  UPCOMING: 'Coming up',
  ON_SALE: 'On sale',
  FULLY_HELD: 'All on hold',
  SOLD_OUT: 'Sold out',
  ENDED: 'Ended',
};

export const ORDER_STATUS: Record<OrderStatus, string> = {
  PENDING_PAYMENT: 'Waiting for payment',
  PAID: 'Paid',
  CANCELLED: 'Cancelled',
  REFUND_DUE: 'Refund due',
  REFUNDED: 'Refunded',
};

const CANCELLED_BY: Record<Canceller, string> = {
  CUSTOMER: 'You cancelled it.',
  OPERATOR: 'The shop cancelled it.',
  PAYMENT_FAILED: 'The payment failed, so it was cancelled.',
  PAYMENT_WINDOW: 'No payment came in time, so it was cancelled.',
};

const ORDER_STORY: Record<Exclude<OrderStatus, 'CANCELLED' | 'REFUND_DUE'>, string> = {
  PENDING_PAYMENT: 'Your units are set aside until the payment comes.',
  PAID: 'It is yours. Thank you!',
  REFUNDED: 'You have your money back.',
};

/** Where the order stands, and why. */
export function orderStory({ status, cancelledBy }: { status: OrderStatus; cancelledBy: Canceller | null }): string {
  switch (status) {
    case 'CANCELLED':
      return `${cancelledBy ? CANCELLED_BY[cancelledBy] : 'It was cancelled.'} The units are on sale again.`;
    case 'REFUND_DUE':
      return cancelledBy === 'CUSTOMER'
        ? 'Your payment came after you had cancelled. You get your money back.'
        : 'Your payment came, but the units were gone. You get your money back.';
    default:
      return ORDER_STORY[status];
  }
}

export interface Money {
  readonly amountMinor: number;
  readonly currency: string;
  readonly digits: number;
}

const formats = new Map<string, Intl.NumberFormat>();

/**
 * An exact amount in the reader's locale. The server gives the digits of the minor unit, because browsers know only the digits
 * usually shown, which differ for HUF, IDR and others. The amount is passed as text, because binary fractions are not exact.
 */
export function money({ amountMinor, currency, digits }: Money): string {
  const key = `${currency} ${digits}`;
  let format = formats.get(key);
  if (!format) {
    const shown = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    format = new Intl.NumberFormat(undefined, { style: 'currency', currency, ...shown });
    formats.set(key, format);
  }
  return format.format(`${amountMinor}E-${digits}` as Intl.StringNumericLiteral);
}

export const units = (count: number): string => (count === 1 ? '1 unit' : `${count} units`);

/** For reading: `1:05`, `2:03:09`, `1d 04:05:06`, `12 days`. */
export function clockTime(ms: number): string {
  const total = Math.max(0, Math.ceil(ms / 1_000));
  const two = (value: number) => String(value).padStart(2, '0');
  const [days, hours, minutes, seconds] = [
    Math.floor(total / 86_400),
    Math.floor(total / 3_600) % 24,
    Math.floor(total / 60) % 60,
    total % 60,
  ];
  if (days > 2) return `${days} days`;
  if (days > 0) return `${days}d ${two(hours)}:${two(minutes)}:${two(seconds)}`;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** For screen readers: `1 minute 5 seconds`. */
export function spokenTime(ms: number): string {
  const total = Math.max(0, Math.ceil(ms / 1_000));
  const part = (count: number, unit: string) => (count === 0 ? [] : [`${count} ${unit}${count === 1 ? '' : 's'}`]);
  const days = Math.floor(total / 86_400);
  if (days > 0) return [...part(days, 'day'), ...part(Math.floor(total / 3_600) % 24, 'hour')].join(' ');
  const parts = [
    ...part(Math.floor(total / 3_600), 'hour'),
    ...part(Math.floor(total / 60) % 60, 'minute'),
    ...part(total % 60, 'second'),
  ];
  return parts.join(' ') || 'no time';
}

export function dateInWords(iso: string): string {
  return new Date(iso).toLocaleString(undefined, { dateStyle: 'long', timeStyle: 'short' });
}
