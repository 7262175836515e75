/** What happened to a hold or an order, as far as its rows remember: one moment after the other, and the units that moved. */
import { refundsPaymentOf } from './judge-payment';
import { statusOf, type Hold, type Order, type PaymentEvent } from './records';

/** In the order in which they happen when they happen at the same time. */
export const MOMENT_KINDS = [
  'HOLD_GRANTED',
  'HOLD_RELEASED',
  'HOLD_EXPIRED',
  'PAYMENT_EVENT_RECEIVED',
  'ORDER_PLACED',
  'ORDER_CANCELLED',
  'ORDER_PAID',
  'ORDER_REFUNDED',
  'PAYMENT_EVENT_SETTLED',
] as const;
export type MomentKind = (typeof MOMENT_KINDS)[number];

/** An event that was settled within this time did not wait: the transaction that stored it has judged it, after its locks. */
const AT_ONCE_MS = 1_000;

/** A payment event without the provider's whole message. */
export type TimelineEvent = Omit<PaymentEvent, 'payload'>;

/** What is stored of one hold, or of an order with the holds that it was made of, in one snapshot. */
export interface History {
  /** The database's time of the snapshot. */
  readonly at: Date;
  readonly order: Order | null;
  readonly holds: readonly Hold[];
  readonly events: readonly TimelineEvent[];
}

export interface Moment {
  readonly at: Date;
  readonly kind: MomentKind;
  /** How far `available` moved, over all products: below 0 taken, above 0 given back. */
  readonly units: number;
  readonly hold: Hold | null;
  readonly event: TimelineEvent | null;
}

/**
 * In the order of time. An expired hold's units count from `expiresAt` on, when the next shopper could take them, not from
 * the bookkeeping. Rows do not remember everything: an order's latest cancellation and payment stand for all.
 */
export function timelineOf({ at, order, holds, events }: History): Moment[] {
  const moments = [
    ...holds.flatMap((hold) => momentsOfHold(hold, at)),
    ...(order ? momentsOfOrder(order, holds, events) : []),
    ...events.flatMap(momentsOfEvent),
  ];
  return moments.sort(
    (a, b) => a.at.getTime() - b.at.getTime() || MOMENT_KINDS.indexOf(a.kind) - MOMENT_KINDS.indexOf(b.kind),
  );
}

function moment(kind: MomentKind, at: Date, more: Partial<Pick<Moment, 'units' | 'hold' | 'event'>> = {}): Moment {
  return { kind, at, units: 0, hold: null, event: null, ...more };
}

function momentsOfHold(hold: Hold, at: Date): Moment[] {
  const granted = moment('HOLD_GRANTED', hold.createdAt, { units: -hold.quantity, hold });
  const ended = { units: hold.quantity, hold };
  switch (statusOf(hold, at)) {
    case 'RELEASED':
      return [granted, moment('HOLD_RELEASED', hold.closedAt!, ended)];
    case 'EXPIRED':
      return [granted, moment('HOLD_EXPIRED', hold.expiresAt, ended)];
    default:
      return [granted];
  }
}

function momentsOfOrder(order: Order, holds: readonly Hold[], events: readonly TimelineEvent[]): Moment[] {
  const { createdAt, cancelledAt, paidAt } = order;
  const all = unitsOf(holds);
  // A payment that came too late has to take again what was given back: by the order, or by a hold before it.
  const takenAgain = cancelledAt ? all : unitsOf(holds.filter(({ status }) => status !== 'CONSUMED'));
  const refund = order.status === 'REFUNDED' ? refundOf(order, events) : undefined;
  return [
    moment('ORDER_PLACED', createdAt),
    ...(cancelledAt ? [moment('ORDER_CANCELLED', cancelledAt, { units: all })] : []),
    ...(paidAt ? [moment('ORDER_PAID', paidAt, { units: takenAgain === 0 ? 0 : -takenAgain })] : []),
    ...(refund ? [moment('ORDER_REFUNDED', refund.settledAt!)] : []),
  ];
}

function momentsOfEvent(event: TimelineEvent): Moment[] {
  const { receivedAt, settledAt } = event;
  const received = moment('PAYMENT_EVENT_RECEIVED', receivedAt, { event });
  const hasWaited = settledAt !== null && settledAt.getTime() > receivedAt.getTime() + AT_ONCE_MS;
  return hasWaited ? [received, moment('PAYMENT_EVENT_SETTLED', settledAt, { event })] : [received];
}

/** The refund that made the order REFUNDED: the first that was applied to the order's own payment. */
function refundOf(order: Order, events: readonly TimelineEvent[]): TimelineEvent | undefined {
  return events
    .filter(({ type, outcome }) => type === 'payment.refunded' && outcome === 'APPLIED')
    .filter((event) => refundsPaymentOf(event, order))
    .sort((a, b) => a.settledAt!.getTime() - b.settledAt!.getTime())[0];
}

function unitsOf(holds: readonly Hold[]): number {
  return holds.reduce((sum, { quantity }) => sum + quantity, 0);
}
