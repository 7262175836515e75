/** Decides what a payment event does in a situation (docs/design.md#payment-events). Pure: the caller locks and writes. */
import type { JudgedEvent, Order } from './records';

export const PAYMENT_TYPES = ['payment.succeeded', 'payment.failed', 'payment.refunded'] as const;
export type PaymentType = (typeof PAYMENT_TYPES)[number];

export function isPaymentType(type: string): type is PaymentType {
  return (PAYMENT_TYPES as readonly string[]).includes(type);
}

type Message = Pick<JudgedEvent, 'provider' | 'eventId' | 'type' | 'amountMinor' | 'currency' | 'paymentId'>;

/** What the event's reference refers to now. */
export type Situation =
  | { readonly kind: 'unknown' }
  | {
      /** A hold from which no order was placed. */
      readonly kind: 'hold';
      readonly live: boolean;
      readonly totalMinor: number;
      readonly currency: string;
    }
  | {
      readonly kind: 'order';
      readonly order: Order;
      /** The successes already judged for this order, other than the event itself: APPLIED or REFUND_DUE. */
      readonly payments: readonly JudgedEvent[];
    };

export type PaymentVerdict =
  | { readonly move: 'none'; readonly outcome: 'PARKED' | 'IGNORED' | 'AMOUNT_MISMATCH' | 'REFUND_DUE' }
  /** Place an order of this hold alone: PAID when its units are out of `available` or can be taken again, else REFUND_DUE. */
  | { readonly move: 'place' }
  /** PENDING_PAYMENT → PAID. */
  | { readonly move: 'pay' }
  /** CANCELLED → PAID if its units can be taken again, else REFUND_DUE. */
  | { readonly move: 'revive' }
  /** CANCELLED by its shopper → REFUND_DUE. */
  | { readonly move: 'refundDue' }
  /** PENDING_PAYMENT → CANCELLED, units given back. */
  | { readonly move: 'cancel' }
  /** PAID or REFUND_DUE → REFUNDED. */
  | { readonly move: 'refund' }
  /** The refund of a payment that moved nothing: settles these events, the order stays as it is. */
  | { readonly move: 'settle'; readonly payments: readonly JudgedEvent[] };

const nothing = (outcome: (PaymentVerdict & { move: 'none' })['outcome']): PaymentVerdict => ({
  move: 'none',
  outcome,
});

/** The amount is judged before the status, so that events end alike in every order of arrival. */
export function judgePayment(event: Message, situation: Situation): PaymentVerdict {
  switch (event.type) {
    case 'payment.succeeded':
      return judgeSuccess(event, situation);
    case 'payment.failed':
      return judgeFailure(situation);
    case 'payment.refunded':
      return judgeRefund(event, situation);
    default:
      return nothing('IGNORED');
  }
}

function judgeSuccess(event: Message, situation: Situation): PaymentVerdict {
  if (!hasMoney(event)) return nothing('AMOUNT_MISMATCH');
  if (situation.kind === 'unknown') return nothing('PARKED');
  if (situation.kind === 'hold') {
    if (amountMatches(event, situation)) return { move: 'place' };
    // Another amount may pay an order of several holds, as long as this hold can still become part of one.
    return nothing(situation.live ? 'PARKED' : 'AMOUNT_MISMATCH');
  }
  const { order, payments } = situation;
  if (!amountMatches(event, order)) return nothing('AMOUNT_MISMATCH');
  if (payments.some((payment) => isSamePayment(event, payment))) return nothing('IGNORED');
  switch (order.status) {
    case 'PENDING_PAYMENT':
      return { move: 'pay' };
    case 'CANCELLED':
      return { move: order.cancelledBy === 'CUSTOMER' ? 'refundDue' : 'revive' };
    default:
      return nothing('REFUND_DUE');
  }
}

function judgeFailure(situation: Situation): PaymentVerdict {
  if (situation.kind === 'unknown') return nothing('PARKED');
  if (situation.kind === 'hold') return nothing(situation.live ? 'PARKED' : 'IGNORED');
  return situation.order.status === 'PENDING_PAYMENT' ? { move: 'cancel' } : nothing('IGNORED');
}

function judgeRefund(event: Message, situation: Situation): PaymentVerdict {
  if (!hasMoney(event)) return nothing('AMOUNT_MISMATCH');
  if (situation.kind !== 'order') return nothing('PARKED');
  const { order, payments } = situation;
  if (!amountMatches(event, order)) return nothing('AMOUNT_MISMATCH');
  if (order.status === 'PENDING_PAYMENT' || order.status === 'CANCELLED') return nothing('PARKED');

  const same = payments.filter((payment) => isSamePayment(event, payment) && !isPaymentOf(order, payment));
  if (same.length > 0) {
    const open = same.filter((payment) => payment.settledAt === null);
    return open.length > 0 ? { move: 'settle', payments: open } : nothing('IGNORED');
  }
  // A refund of another payment than the order's belongs to a success that has not arrived. Applied to the order's payment, it
  // would let that success be refunded a second time.
  if (!refundsPaymentOf(event, order)) return nothing('PARKED');
  if (order.status !== 'REFUNDED') return { move: 'refund' };
  const unnamed = payments.find(
    (payment) => payment.paymentId === null && payment.settledAt === null && !isPaymentOf(order, payment),
  );
  return event.paymentId === null && unnamed ? { move: 'settle', payments: [unnamed] } : nothing('IGNORED');
}

function hasMoney(event: Message): boolean {
  return event.amountMinor !== null && event.currency !== null;
}

function amountMatches(event: Message, due: { totalMinor: number; currency: string }): boolean {
  return event.amountMinor === due.totalMinor && event.currency === due.currency;
}

/** An event without `paymentId` counts as a separate payment. */
function isSamePayment(event: Message, other: Pick<JudgedEvent, 'provider' | 'paymentId'>): boolean {
  return event.paymentId !== null && event.paymentId === other.paymentId && event.provider === other.provider;
}

/** Whether `payment` is the one that made the order PAID or REFUND_DUE. */
function isPaymentOf(order: Order, payment: Pick<JudgedEvent, 'provider' | 'eventId'>): boolean {
  return order.paymentProvider === payment.provider && order.paymentEventId === payment.eventId;
}

/** Whether a refund gives back the payment that made the order PAID or REFUND_DUE. */
export function refundsPaymentOf(event: Pick<Message, 'provider' | 'paymentId'>, order: Order): boolean {
  if (event.paymentId === null || order.paymentId === null) return true;
  return event.paymentId === order.paymentId && event.provider === order.paymentProvider;
}
