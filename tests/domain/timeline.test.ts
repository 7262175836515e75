/** A hold's or an order's life, told from its rows: each moment in its turn, and the units always add up to where they are. */
import type { Hold, Order } from '../../src/domain/records';
import { timelineOf, type History, type TimelineEvent } from '../../src/domain/timeline';

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));

const aHold: Hold = {
  id: 'h',
  productId: 'p',
  quantity: 2,
  unitPriceMinor: 500,
  currency: 'USD',
  customerId: '',
  status: 'ACTIVE',
  idempotencyKey: null,
  orderId: null,
  expiresAt: at(20),
  createdAt: at(0),
  closedAt: null,
  givenBackAt: null,
};
const anOrder: Order = {
  id: 'o',
  customerId: '',
  status: 'PENDING_PAYMENT',
  totalMinor: 1_000,
  currency: 'USD',
  idempotencyKey: null,
  placedBy: 'CUSTOMER',
  paymentDueAt: at(40),
  createdAt: at(10),
  paidAt: null,
  cancelledAt: null,
  cancelledBy: null,
  paymentProvider: null,
  paymentEventId: null,
  paymentId: null,
};
const anEvent: TimelineEvent = {
  provider: 'standard',
  eventId: 'e',
  type: 'payment.succeeded',
  reference: 'o',
  amountMinor: 1_000,
  currency: 'USD',
  paymentId: 'pay',
  outcome: 'APPLIED',
  orderId: 'o',
  receivedAt: at(12),
  settledAt: at(12),
};
const consumed: Hold = { ...aHold, status: 'CONSUMED', closedAt: at(10), orderId: 'o' };
const paidBy = { paymentProvider: 'standard', paymentEventId: 'e', paymentId: 'pay' };

const told = (history: Partial<History>) =>
  timelineOf({ at: at(60), order: null, holds: [], events: [], ...history }).map(
    ({ at: time, kind, units }) => `${time.getUTCSeconds()} ${kind} ${units}`,
  );
/** Where the units are in the end, as a change of what was available before. */
const taken = (history: Partial<History>) =>
  timelineOf({ at: at(60), order: null, holds: [], events: [], ...history }).reduce((sum, { units }) => sum + units, 0);

describe('a hold', () => {
  test('a hold takes its units and gives them back when it is released', () => {
    const released: Hold = { ...aHold, status: 'RELEASED', closedAt: at(5), givenBackAt: at(5) };
    expect(told({ holds: [released] })).toEqual(['0 HOLD_GRANTED -2', '5 HOLD_RELEASED 2']);
  });

  test('expires when its time is up, swept or not, and not before', () => {
    const swept: Hold = { ...aHold, status: 'EXPIRED', closedAt: at(33), givenBackAt: at(33) };
    for (const hold of [swept, aHold]) {
      expect(told({ holds: [hold] })).toEqual(['0 HOLD_GRANTED -2', '20 HOLD_EXPIRED 2']);
    }
    expect(told({ at: at(19), holds: [aHold] })).toEqual(['0 HOLD_GRANTED -2']);
  });
});

describe('an order', () => {
  test('an order is paid and refunded without moving a unit', () => {
    const order: Order = { ...anOrder, ...paidBy, status: 'REFUNDED', paidAt: at(12) };
    const refund = { ...anEvent, eventId: 'r', type: 'payment.refunded', receivedAt: at(30), settledAt: at(35) };
    expect(told({ order, holds: [consumed], events: [anEvent, refund] })).toEqual([
      '0 HOLD_GRANTED -2',
      '10 ORDER_PLACED 0',
      '12 PAYMENT_EVENT_RECEIVED 0',
      '12 ORDER_PAID 0',
      '30 PAYMENT_EVENT_RECEIVED 0',
      '35 ORDER_REFUNDED 0',
      '35 PAYMENT_EVENT_SETTLED 0',
    ]);
  });

  test('a cancelled order gives all of its units back, and a late payment takes them again', () => {
    const other: Hold = { ...consumed, id: 'h2', quantity: 3 };
    const order: Order = { ...anOrder, status: 'CANCELLED', cancelledAt: at(40), cancelledBy: 'PAYMENT_WINDOW' };
    expect(told({ order, holds: [consumed, other] }).slice(-1)).toEqual(['40 ORDER_CANCELLED 5']);
    const revived: Order = { ...order, ...paidBy, status: 'PAID', paidAt: at(50) };
    expect(told({ order: revived, holds: [consumed, other] }).slice(-1)).toEqual(['50 ORDER_PAID -5']);
    expect([taken({ order, holds: [consumed, other] }), taken({ order: revived, holds: [consumed, other] })]).toEqual([
      0, -5,
    ]);
  });

  test('an order that a payment placed of an ended hold has its units only when it is PAID', () => {
    const ended: Hold = { ...aHold, status: 'EXPIRED', closedAt: at(20), orderId: 'o' };
    const placed: Order = { ...anOrder, ...paidBy, placedBy: 'PAYMENT', createdAt: at(30), paymentDueAt: at(30) };
    const paid: Order = { ...placed, status: 'PAID', paidAt: at(30) };
    expect(told({ order: paid, holds: [ended] }).slice(-3)).toEqual([
      '20 HOLD_EXPIRED 2',
      '30 ORDER_PLACED 0',
      '30 ORDER_PAID -2',
    ]);
    const owed: Order = { ...placed, status: 'REFUND_DUE' };
    expect(taken({ order: owed, holds: [{ ...ended, givenBackAt: at(20) }] })).toBe(0);
  });

  test('the refund of another payment does not show in the history as the order’s', () => {
    const order: Order = { ...anOrder, ...paidBy, status: 'PAID', paidAt: at(12) };
    const other = { ...anEvent, eventId: 'r', type: 'payment.refunded', paymentId: 'second' };
    expect(told({ order, events: [other] })).not.toContainEqual(expect.stringContaining('ORDER_REFUNDED'));
    const refunded: Order = { ...order, status: 'REFUNDED' };
    expect(told({ order: refunded, events: [other] })).not.toContainEqual(expect.stringContaining('ORDER_REFUNDED'));
  });
});

test('an event that waited is told twice: when it came, and when it was settled', () => {
  const waited = { ...anEvent, receivedAt: at(3), settledAt: at(10) };
  expect(told({ events: [waited] })).toEqual(['3 PAYMENT_EVENT_RECEIVED 0', '10 PAYMENT_EVENT_SETTLED 0']);
  expect(told({ events: [{ ...anEvent, settledAt: new Date(at(12).getTime() + 40) }] })).toHaveLength(1);
  const open = { ...anEvent, outcome: 'PARKED' as const, settledAt: null };
  expect(told({ events: [open] })).toEqual(['12 PAYMENT_EVENT_RECEIVED 0']);
});
