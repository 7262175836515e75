/**
 * A sequential specification of the checkout, written from docs/design.md without sharing code with src/. The model compares
 * one client with it; the rounds search for a serial order of it that explains what several clients saw at once.
 */

export const PRICE_MINOR = 1_000;

/** Requests of clients and, below, events that happen by themselves. */
export type Op =
  | { kind: 'hold'; product: string; quantity: number; customer: string; key: string | null }
  | { kind: 'release'; hold: string; customer: string }
  | { kind: 'order'; holds: readonly string[]; customer: string; key: string | null; keyedId: string | null }
  | { kind: 'cancel'; order: string; customer: string }
  | { kind: 'adjust'; product: string; delta: number; key: string }
  | { kind: 'event'; id: string; type: EventType; reference: string; amount: number | null; payment: string | null }
  | { kind: 'replay'; event: string }
  | { kind: 'expire'; hold: string }
  | { kind: 'sweepOrder'; order: string }
  | { kind: 'sweepEvent'; event: string };
export type EventType = 'succeeded' | 'failed' | 'refunded';

/** `code`: `ok`, or the refusals' codes. `status`: an order's, or an event's outcome. */
export interface Reply {
  readonly code: string;
  readonly id?: string | null;
  readonly status?: string;
  readonly isDuplicate?: boolean;
}

export interface HoldState {
  product: string;
  quantity: number;
  customer: string;
  key: string | null;
  /** An overdue hold is EXPIRED, whether or not a sweep has recorded it. */
  status: 'ACTIVE' | 'CONSUMED' | 'RELEASED' | 'EXPIRED';
  /** Whether its units are out of the available stock. */
  isOut: boolean;
  order: string | null;
}
export interface OrderState {
  customer: string;
  holds: string[];
  status: 'PENDING_PAYMENT' | 'PAID' | 'CANCELLED' | 'REFUND_DUE' | 'REFUNDED';
  cancelledBy: string | null;
  /** The event that made it PAID or REFUND_DUE. */
  paidBy: string | null;
  isByPayment: boolean;
}
export interface EventState {
  type: EventType;
  reference: string;
  amount: number | null;
  payment: string | null;
  outcome: string;
  order: string | null;
  isSettled: boolean;
}
export interface State {
  products: Record<string, { total: number; limit: number | null; adjusted: Record<string, number> }>;
  holds: Record<string, HoldState>;
  orders: Record<string, OrderState>;
  /** In the order of their arrival. */
  events: Record<string, EventState>;
}

export const emptyState = (): State => ({ products: {}, holds: {}, orders: {}, events: {} });

/** Applies the operation. Returns false when the promises do not allow this reply. */
export function step(s: State, op: Op, reply: Reply): boolean {
  const says = (code: string, more: Partial<Reply> = {}) =>
    reply.code === code && Object.entries(more).every(([name, value]) => reply[name as keyof Reply] === value);
  switch (op.kind) {
    case 'hold':
      return stepHold(s, op, reply, says);
    case 'order':
      return stepOrder(s, op, reply, says);
    case 'release': {
      const hold = s.holds[op.hold];
      if (!hold || !mayTouch(hold, op.customer)) return says('HOLD_NOT_FOUND');
      if (hold.status === 'CONSUMED') return says('HOLD_ALREADY_USED');
      if (hold.status === 'EXPIRED') return says('HOLD_EXPIRED');
      if (hold.status === 'ACTIVE') {
        Object.assign(hold, { status: 'RELEASED', isOut: false });
        settleParked(s, [op.hold]);
      }
      return says('ok', { id: op.hold });
    }
    case 'cancel': {
      const order = s.orders[op.order];
      if (!order || !mayTouch(order, op.customer)) return says('ORDER_NOT_FOUND');
      if (order.status === 'PENDING_PAYMENT') cancel(s, order, 'CUSTOMER');
      if (order.status !== 'CANCELLED') return says('ORDER_NOT_CANCELLABLE');
      return says('ok', { id: op.order, status: 'CANCELLED' });
    }
    case 'adjust': {
      const product = s.products[op.product]!;
      const earlier = product.adjusted[op.key];
      if (earlier !== undefined) return says(earlier === op.delta ? 'ok' : 'IDEMPOTENCY_KEY_REUSED');
      if (availableOf(s, op.product) + op.delta < 0) return says('STOCK_BELOW_COMMITTED');
      product.total += op.delta;
      product.adjusted[op.key] = op.delta;
      return says('ok');
    }
    case 'event': {
      const { id, type, reference, amount, payment } = op;
      const earlier = s.events[id];
      if (earlier) {
        const isSame = JSON.stringify([earlier.type, earlier.reference, earlier.amount, earlier.payment]);
        if (isSame !== JSON.stringify([type, reference, amount, payment])) return says('CONFLICT');
        return says('ok', { isDuplicate: true, status: earlier.outcome });
      }
      s.events[id] = { type, reference, amount, payment, outcome: 'PARKED', order: null, isSettled: false };
      judge(s, id, reply.id ?? null);
      return says('ok', { isDuplicate: false, status: s.events[id].outcome });
    }
    case 'replay':
      if (!s.events[op.event]) return says('PAYMENT_EVENT_NOT_FOUND');
      judgeAgain(s, op.event);
      return says('ok', { status: s.events[op.event]!.outcome });
    case 'expire': {
      const hold = s.holds[op.hold];
      if (hold?.status === 'ACTIVE') Object.assign(hold, { status: 'EXPIRED', isOut: false });
      return true;
    }
    case 'sweepOrder': {
      const order = s.orders[op.order]!;
      if (order.status === 'PENDING_PAYMENT') cancel(s, order, 'PAYMENT_WINDOW');
      return true;
    }
    case 'sweepEvent':
      if (s.events[op.event]?.outcome === 'PARKED') judgeAgain(s, op.event);
      return true;
  }
}

type Says = (code: string, more?: Partial<Reply>) => boolean;

function stepHold(s: State, op: Op & { kind: 'hold' }, reply: Reply, says: Says): boolean {
  const { product, quantity, customer, key } = op;
  const own = Object.entries(s.holds).filter(([, hold]) => hold.product === product && hold.customer === customer);
  const earlier = key === null ? undefined : own.find(([, hold]) => hold.key === key);
  if (earlier)
    return earlier[1].quantity === quantity ? says('ok', { id: earlier[0] }) : says('IDEMPOTENCY_KEY_REUSED');
  const { limit } = s.products[product]!;
  if (limit !== null && customer === '') return says('CUSTOMER_REQUIRED');
  if (exceeds(s, product, customer, quantity)) return says('LIMIT_PER_CUSTOMER');
  if (quantity > availableOf(s, product)) return says('OUT_OF_STOCK');
  if (reply.code !== 'ok' || !reply.id || s.holds[reply.id]) return false;
  s.holds[reply.id] = { product, quantity, customer, key, status: 'ACTIVE', isOut: true, order: null };
  return true;
}

function stepOrder(s: State, op: Op & { kind: 'order' }, reply: Reply, says: Says): boolean {
  const named = [...new Set(op.holds)];
  const known = op.keyedId === null ? undefined : s.orders[op.keyedId];
  if (known) {
    const isSame = known.holds.length === named.length && named.every((id) => known.holds.includes(id));
    return isSame ? says('ok', { id: op.keyedId, status: known.status }) : says('IDEMPOTENCY_KEY_REUSED');
  }
  const only = named.length === 1 ? s.holds[named[0]!] : undefined;
  const placed = only?.order && mayTouch(only, op.customer) ? s.orders[only.order] : undefined;
  if (placed?.isByPayment) return says('ok', { id: only!.order, status: placed.status });
  const codes = named.flatMap((id) => {
    const hold = s.holds[id];
    if (!hold || !mayTouch(hold, op.customer)) return ['HOLD_NOT_FOUND'];
    if (hold.order !== null) return ['HOLD_ALREADY_USED'];
    return hold.status === 'ACTIVE' ? [] : [`HOLD_${hold.status}`];
  });
  if (codes.length > 0) return says(codes.join());
  if (reply.code !== 'ok' || !reply.id || s.orders[reply.id]) return false;
  if (op.keyedId !== null && reply.id !== op.keyedId) return false;
  for (const id of named) Object.assign(s.holds[id]!, { status: 'CONSUMED', order: reply.id });
  const order = newOrder(op.customer, named);
  s.orders[reply.id] = order;
  settleParked(s, [reply.id, ...named]);
  return says('ok', { status: order.status });
}

const newOrder = (customer: string, holds: string[]): OrderState => ({
  customer,
  holds,
  status: 'PENDING_PAYMENT',
  cancelledBy: null,
  paidBy: null,
  isByPayment: false,
});

const mayTouch = (record: { customer: string }, customer: string) =>
  record.customer === '' || record.customer === customer;

export function availableOf(s: State, product: string): number {
  return s.products[product]!.total - unitsOut(s, (hold) => hold.product === product);
}

function unitsOut(s: State, isMeant: (hold: HoldState) => boolean): number {
  return Object.values(s.holds).reduce((sum, hold) => sum + (hold.isOut && isMeant(hold) ? hold.quantity : 0), 0);
}

function exceeds(s: State, product: string, customer: string, quantity: number): boolean {
  const { limit } = s.products[product]!;
  if (limit === null || customer === '') return false;
  return unitsOut(s, (hold) => hold.product === product && hold.customer === customer) + quantity > limit;
}

function cancel(s: State, order: OrderState, by: string): void {
  Object.assign(order, { status: 'CANCELLED', cancelledBy: by });
  for (const id of order.holds) s.holds[id]!.isOut = false;
}

/** Takes all units or none, within the limit. */
function takeAgain(s: State, holds: readonly HoldState[]): boolean {
  const sums: Record<string, number> = {};
  for (const { product, customer, quantity } of holds) {
    sums[product] = (sums[product] ?? 0) + quantity;
    const own = holds.filter((other) => other.product === product && other.customer === customer);
    const wanted = own.reduce((sum, hold) => sum + hold.quantity, 0);
    if (exceeds(s, product, customer, wanted)) return false;
  }
  if (Object.entries(sums).some(([product, units]) => units > availableOf(s, product))) return false;
  for (const hold of holds) hold.isOut = true;
  return true;
}

const totalOf = (s: State, holds: readonly string[]) =>
  holds.reduce((sum, id) => sum + s.holds[id]!.quantity * PRICE_MINOR, 0);

/** Judges an event by what it refers to, and then the events that waited for it. `newId`: of an order that it may place. */
function judge(s: State, eventId: string, newId: string | null): void {
  const event = s.events[eventId]!;
  const { type, reference, amount } = event;
  const orderId = s.orders[reference] ? reference : (s.holds[reference]?.order ?? null);
  if (amount === null && type !== 'failed') return end(event, 'AMOUNT_MISMATCH', orderId);
  if (orderId !== null) {
    judgeForOrder(s, eventId, orderId);
    if (event.outcome === 'APPLIED' || event.outcome === 'REFUND_DUE') {
      settleParked(s, [orderId, ...s.orders[orderId]!.holds]);
    }
    return;
  }
  const hold = s.holds[reference];
  if (!hold || type === 'refunded') return;
  const isLive = hold.status === 'ACTIVE';
  if (type === 'failed') return isLive ? undefined : end(event, 'IGNORED', null);
  if (amount !== totalOf(s, [reference])) return isLive ? undefined : end(event, 'AMOUNT_MISMATCH', null);
  if (newId === null) return; // the reply does not say so: a mismatch
  const isPaid = isLive || takeAgain(s, [hold]);
  Object.assign(hold, { order: newId, ...(isLive && { status: 'CONSUMED' }) });
  const status = isPaid ? 'PAID' : 'REFUND_DUE';
  s.orders[newId] = { ...newOrder(hold.customer, [reference]), status, paidBy: eventId, isByPayment: true };
  end(event, isPaid ? 'APPLIED' : 'REFUND_DUE', newId);
  settleParked(s, [newId, reference]);
}

function end(event: EventState, outcome: string, order: string | null): void {
  Object.assign(event, { outcome, order, isSettled: outcome === 'APPLIED' || outcome === 'IGNORED' });
}

function judgeForOrder(s: State, eventId: string, orderId: string): void {
  const [event, order] = [s.events[eventId]!, s.orders[orderId]!];
  const { type, amount, payment } = event;
  if (type === 'failed') {
    if (order.status !== 'PENDING_PAYMENT') return end(event, 'IGNORED', orderId);
    cancel(s, order, 'PAYMENT_FAILED');
    return end(event, 'APPLIED', orderId);
  }
  if (amount !== totalOf(s, order.holds)) return end(event, 'AMOUNT_MISMATCH', orderId);
  const successes = Object.entries(s.events).filter(
    ([id, other]) =>
      id !== eventId &&
      other.type === 'succeeded' &&
      other.order === orderId &&
      ['APPLIED', 'REFUND_DUE'].includes(other.outcome),
  );
  if (type === 'succeeded') {
    if (payment !== null && successes.some(([, other]) => other.payment === payment)) {
      return end(event, 'IGNORED', orderId);
    }
    if (order.status !== 'PENDING_PAYMENT' && order.status !== 'CANCELLED') return end(event, 'REFUND_DUE', orderId);
    const holds = order.holds.map((id) => s.holds[id]!);
    const isPaid = order.status === 'PENDING_PAYMENT' || (order.cancelledBy !== 'CUSTOMER' && takeAgain(s, holds));
    Object.assign(order, { status: isPaid ? 'PAID' : 'REFUND_DUE', paidBy: eventId });
    return end(event, isPaid ? 'APPLIED' : 'REFUND_DUE', orderId);
  }
  if (order.status === 'PENDING_PAYMENT' || order.status === 'CANCELLED') return;
  const second = successes.filter(
    ([id, other]) => id !== order.paidBy && payment !== null && other.payment === payment,
  );
  if (second.length > 0) {
    const open = second.filter(([, other]) => !other.isSettled);
    for (const [, other] of open) other.isSettled = true;
    return end(event, open.length > 0 ? 'APPLIED' : 'IGNORED', orderId);
  }
  const own = s.events[order.paidBy!]!;
  // Another payment's refund waits for that payment (docs/design.md#payment-events).
  if (payment !== null && own.payment !== null && payment !== own.payment) return;
  if (order.status === 'REFUNDED') {
    const unnamed = successes.find(([id, other]) => id !== order.paidBy && other.payment === null && !other.isSettled);
    if (payment !== null || !unnamed) return end(event, 'IGNORED', orderId);
    unnamed[1].isSettled = true;
    return end(event, 'APPLIED', orderId);
  }
  order.status = 'REFUNDED';
  own.isSettled = true;
  end(event, 'APPLIED', orderId);
}

/** Applies events parked under these ids in their order of arrival, until nothing changes. */
function settleParked(s: State, references: readonly string[]): void {
  for (let hasMoved = true; hasMoved;) {
    hasMoved = false;
    for (const [id, event] of Object.entries(s.events)) {
      if (event.outcome !== 'PARKED' || !references.includes(event.reference)) continue;
      const orderId = s.orders[event.reference] ? event.reference : (s.holds[event.reference]?.order ?? null);
      if (orderId !== null) judgeForOrder(s, id, orderId);
      else judge(s, id, null);
      hasMoved ||= event.outcome !== 'PARKED';
    }
  }
}

function judgeAgain(s: State, eventId: string): void {
  const { outcome } = s.events[eventId]!;
  if (outcome === 'PARKED' || outcome === 'AMOUNT_MISMATCH') judge(s, eventId, null);
}

export interface Call {
  readonly op: Op;
  readonly reply: Reply;
  /** Interval on one clock. For events that happen by themselves, from the earliest to the latest possible moment. */
  readonly from: number;
  readonly until: number;
  /** Optional: a sweep may leave busy objects to the next one. */
  readonly isOptional?: boolean;
}

/**
 * A serial order of the calls, respecting real time, after which the state is `end`; null when there is none. `end` is
 * compared by `sameState`.
 */
export function explain(start: State, calls: readonly Call[], end: State): readonly Call[] | null {
  const wanted = canonical(end);
  const seen = new Set<string>();
  const all = 2 ** calls.length - 1;
  const search = (state: State, done: number, order: readonly Call[]): readonly Call[] | null => {
    const shape = canonical(state);
    if (done === all && shape === wanted) return order;
    const memo = `${done} ${shape} ${Object.keys(state.events).join()}`; // what is parked applies in its order of arrival
    if (seen.has(memo)) return null;
    seen.add(memo);
    const open = calls.filter((_, index) => !(done & (1 << index)));
    const firstEnd = Math.min(...open.map((call) => call.until));
    for (const call of open) {
      if (call.from > firstEnd) continue;
      const next = structuredClone(state);
      const now = done | (1 << calls.indexOf(call));
      if (step(next, call.op, call.reply)) {
        const found = search(next, now, [...order, call]);
        if (found) return found;
      }
      if (call.isOptional) {
        const found = search(state, now, order);
        if (found) return found;
      }
    }
    return null;
  };
  return search(start, 0, []);
}

/** Two states are the same when they print the same. The order of events counts only where it had an effect. */
export function canonical({ products, holds, orders, events }: State): string {
  const sorted = <T>(record: Record<string, T>) => Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([
    sorted(products).map(([id, { total, limit }]) => [id, total, limit]),
    sorted(holds).map(([id, { status, isOut, order }]) => [id, status, isOut, order]),
    sorted(orders).map(([id, order]) => [id, order.status, order.cancelledBy, order.paidBy, [...order.holds].sort()]),
    sorted(events).map(([id, { outcome, order, isSettled }]) => [
      id,
      outcome,
      isSettled,
      outcome === 'APPLIED' || outcome === 'REFUND_DUE' ? order : null,
    ]),
  ]);
}
