/** Each rule of docs/design.md#payment-events. */
import { judgePayment, type PaymentVerdict, type Situation } from '../../src/domain/judge-payment';
import type { Order, PaymentEvent } from '../../src/domain/records';
import type { Canceller, OrderStatus } from '../../src/domain/statuses';

const AT = new Date('2026-11-22T10:00:00Z');

function event(type: string, more: Partial<PaymentEvent> = {}): PaymentEvent {
  return {
    provider: 'standard',
    eventId: 'evt',
    type: `payment.${type}`,
    reference: 'o',
    amountMinor: 1_000,
    currency: 'USD',
    paymentId: 'pay',
    payload: {},
    outcome: 'PARKED',
    orderId: null,
    receivedAt: AT,
    settledAt: null,
    ...more,
  };
}

function order(status: OrderStatus, more: Partial<Order> = {}): Order {
  const isPaid = status === 'PAID' || status === 'REFUND_DUE' || status === 'REFUNDED';
  return {
    id: 'o',
    customerId: '',
    status,
    totalMinor: 1_000,
    currency: 'USD',
    idempotencyKey: null,
    placedBy: 'CUSTOMER',
    paymentDueAt: AT,
    createdAt: AT,
    paidAt: isPaid ? AT : null,
    cancelledAt: status === 'CANCELLED' ? AT : null,
    cancelledBy: status === 'CANCELLED' ? 'PAYMENT_WINDOW' : null,
    paymentProvider: isPaid ? 'standard' : null,
    paymentEventId: isPaid ? 'first' : null,
    paymentId: isPaid ? 'pay' : null,
    ...more,
  };
}

const first = event('succeeded', { eventId: 'first', outcome: 'APPLIED', orderId: 'o', settledAt: AT });
const extra = event('succeeded', { eventId: 'extra', paymentId: 'pay 2', outcome: 'REFUND_DUE', orderId: 'o' });
const cancelledBy = (by: Canceller) => order('CANCELLED', { cancelledBy: by });
const ofOrder = (of: Order, ...payments: PaymentEvent[]): Situation => ({ kind: 'order', order: of, payments });
const ofHold = (live: boolean): Situation => ({ kind: 'hold', live, totalMinor: 1_000, currency: 'USD' });
const unknown: Situation = { kind: 'unknown' };
const nothing = (outcome: string) => ({ move: 'none', outcome }) as PaymentVerdict;

const paid = ofOrder(order('PAID'), first);
const unpaid = ofOrder(order('PENDING_PAYMENT'));

test.each<[string, PaymentEvent, Situation, PaymentVerdict]>([
  // A success.
  ['a success without its order', event('succeeded'), unknown, nothing('PARKED')],
  ['a success for a live hold', event('succeeded'), ofHold(true), { move: 'place' }],
  ['a success for an ended hold', event('succeeded'), ofHold(false), { move: 'place' }],
  ['another amount for a live hold', event('succeeded', { amountMinor: 999 }), ofHold(true), nothing('PARKED')],
  [
    'another amount for an ended hold',
    event('succeeded', { amountMinor: 999 }),
    ofHold(false),
    nothing('AMOUNT_MISMATCH'),
  ],
  ['another currency for a live hold', event('succeeded', { currency: 'EUR' }), ofHold(true), nothing('PARKED')],
  ['a success for an unpaid order', event('succeeded'), unpaid, { move: 'pay' }],
  ['another amount', event('succeeded', { amountMinor: 1_001 }), unpaid, nothing('AMOUNT_MISMATCH')],
  ['another currency', event('succeeded', { currency: 'EUR' }), unpaid, nothing('AMOUNT_MISMATCH')],
  ['no amount, for nothing known', event('succeeded', { amountMinor: null }), unknown, nothing('AMOUNT_MISMATCH')],
  ['no currency, for a live hold', event('succeeded', { currency: null }), ofHold(true), nothing('AMOUNT_MISMATCH')],
  ['after the payment window', event('succeeded'), ofOrder(cancelledBy('PAYMENT_WINDOW')), { move: 'revive' }],
  ['after a failure', event('succeeded'), ofOrder(cancelledBy('PAYMENT_FAILED')), { move: 'revive' }],
  ['after the shopper cancelled', event('succeeded'), ofOrder(cancelledBy('CUSTOMER')), { move: 'refundDue' }],
  ['the same payment again', event('succeeded', { eventId: 'copy' }), paid, nothing('IGNORED')],
  ['the same payment id of another provider', event('succeeded', { provider: 'stripe' }), paid, nothing('REFUND_DUE')],
  ['a second payment', event('succeeded', { paymentId: 'pay 2' }), paid, nothing('REFUND_DUE')],
  ['a second payment without an id', event('succeeded', { paymentId: null }), paid, nothing('REFUND_DUE')],
  [
    'a second payment again',
    event('succeeded', { eventId: 'x', paymentId: 'pay 2' }),
    ofOrder(order('PAID'), first, extra),
    nothing('IGNORED'),
  ],
  [
    'a second payment of another amount',
    event('succeeded', { paymentId: 'pay 2', amountMinor: 1 }),
    paid,
    nothing('AMOUNT_MISMATCH'),
  ],
  [
    'a payment of an order to be refunded',
    event('succeeded', { paymentId: 'pay 2' }),
    ofOrder(order('REFUND_DUE'), first),
    nothing('REFUND_DUE'),
  ],
  [
    'a payment of a refunded order',
    event('succeeded', { paymentId: 'pay 2' }),
    ofOrder(order('REFUNDED'), first),
    nothing('REFUND_DUE'),
  ],
  // A failure. It has no say about amounts.
  ['a failure without its order', event('failed'), unknown, nothing('PARKED')],
  ['a failure for a live hold', event('failed'), ofHold(true), nothing('PARKED')],
  ['a failure for an ended hold', event('failed'), ofHold(false), nothing('IGNORED')],
  ['a failure for an unpaid order', event('failed', { amountMinor: null }), unpaid, { move: 'cancel' }],
  ['a failure for a paid order', event('failed'), paid, nothing('IGNORED')],
  ['a failure for a cancelled order', event('failed'), ofOrder(cancelledBy('CUSTOMER')), nothing('IGNORED')],
  // A refund.
  ['a refund without its order', event('refunded'), unknown, nothing('PARKED')],
  ['a refund for a live hold', event('refunded'), ofHold(true), nothing('PARKED')],
  ['a refund before its success', event('refunded'), unpaid, nothing('PARKED')],
  ['a refund for a cancelled order', event('refunded'), ofOrder(cancelledBy('CUSTOMER')), nothing('PARKED')],
  ['a refund of the order’s payment', event('refunded'), paid, { move: 'refund' }],
  ['a refund without a payment id', event('refunded', { paymentId: null }), paid, { move: 'refund' }],
  ['a refund of another amount', event('refunded', { amountMinor: 999 }), paid, nothing('AMOUNT_MISMATCH')],
  [
    'a refund of a payment that is still on its way',
    event('refunded', { paymentId: 'pay 2' }),
    paid,
    nothing('PARKED'),
  ],
  ['a refund of an order to be refunded', event('refunded'), ofOrder(order('REFUND_DUE'), first), { move: 'refund' }],
  [
    'a refund of a second payment',
    event('refunded', { paymentId: 'pay 2' }),
    ofOrder(order('PAID'), first, extra),
    { move: 'settle', payments: [extra] },
  ],
  [
    'a refund of a second payment again',
    event('refunded', { paymentId: 'pay 2' }),
    ofOrder(order('PAID'), first, { ...extra, settledAt: AT }),
    nothing('IGNORED'),
  ],
  ['a refund of a refunded order', event('refunded'), ofOrder(order('REFUNDED'), first), nothing('IGNORED')],
  [
    'an unnamed refund after the order’s own',
    event('refunded', { paymentId: null }),
    ofOrder(order('REFUNDED'), first, { ...extra, paymentId: null }),
    { move: 'settle', payments: [{ ...extra, paymentId: null }] },
  ],
  // Anything else.
  ['an unknown type', event('disputed'), paid, nothing('IGNORED')],
])('%s', (_, message, situation, verdict) => {
  expect(judgePayment(message, situation)).toEqual(verdict);
});
