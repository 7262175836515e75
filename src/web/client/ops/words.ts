/** Figures, ages, moments and outcomes in words, for the operators' page. */
import { RequestFailed } from '../api/ask';
import type { MomentKind, PaymentOutcome, TimelineQuery } from '../generated/operators/graphql';

/** Why the server refused a token, with the error code. */
export function refusedTokenInWords({ code, message }: RequestFailed): string {
  return code === 'FORBIDDEN'
    ? 'FORBIDDEN: this is a customer’s token. The operators’ page needs one with the role admin.'
    : `UNAUTHENTICATED: ${message}. Get a new one.`;
}

export function failureInWords(error: unknown): string {
  const code = error instanceof RequestFailed ? error.code : '';
  switch (code) {
    case 'OFFLINE':
      return 'The server does not answer.';
    case 'SERVICE_UNAVAILABLE':
      return 'The server answers, but its database does not.';
    case 'RATE_LIMITED':
      return 'The server limits how often this page may ask.';
    case 'BAD_USER_INPUT':
      return 'This cannot be an id.';
    default:
      return 'The server failed to answer. See its log.';
  }
}

const whole = new Intl.NumberFormat();
const fine = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const coarse = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);

/** `0`, `0.25`, `7.5`, `1,204`. */
export function rate(value: number): string {
  if (value >= 100) return whole.format(Math.round(value));
  return (value >= 10 ? coarse : fine).format(value);
}

/** `850 ms`, `4.2 s`, `3 min`, `5 h`, `2 days`. */
export function span(seconds: number): string {
  if (seconds < 1) return `${rate(seconds * 1_000)} ms`;
  if (seconds < 90) return `${coarse.format(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3_600) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** `14:03:22.118`; with the date unless it is today. */
export function momentInWords(iso: string): string {
  const at = new Date(iso);
  const time = at.toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    fractionalSecondDigits: 3,
    hour12: false,
  });
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? time : `${at.toLocaleDateString(undefined, { dateStyle: 'medium' })}, ${time}`;
}

export const UNITS = {
  available: 'Available',
  held: 'Held',
  awaitingPayment: 'Awaiting payment',
  sold: 'Sold',
} as const;

export const REPLAYED: Record<PaymentOutcome, string> = {
  APPLIED: 'applied to its order',
  IGNORED: 'ignored: it changes nothing and is settled',
  REFUND_DUE: 'paid, but no units are available: refund it at the provider',
  PARKED: 'still parked: its hold or order is missing or still undecided',
  AMOUNT_MISMATCH: 'still the wrong amount: refund it at the provider',
};

type Moment = NonNullable<TimelineQuery['timeline']>['moments'][number];

const KINDS: Record<MomentKind, string> = {
  HOLD_GRANTED: 'Hold granted',
  HOLD_RELEASED: 'Hold released by its shopper',
  HOLD_EXPIRED: 'Hold expired',
  ORDER_PLACED: 'Order placed',
  ORDER_CANCELLED: 'Order cancelled',
  ORDER_PAID: 'Order paid',
  ORDER_REFUNDED: 'Order refunded',
  PAYMENT_EVENT_RECEIVED: 'Payment event received',
  PAYMENT_EVENT_SETTLED: 'Payment event settled',
};

export const kindInWords = ({ kind }: Pick<Moment, 'kind'>): string => KINDS[kind];

/** `3 units taken`, `3 units given back`. */
export function unitsMoved(units: number): string {
  const many = Math.abs(units) === 1 ? '1 unit' : `${count(Math.abs(units))} units`;
  return `${many} ${units < 0 ? 'taken' : 'given back'}`;
}
