/** What payment events do to holds and orders: steps shared by the webhook, createOrder, releaseHold, replay and the sweep. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { consumeHolds, findHolds, linkToOrder, lockHolds } from '../database/holds';
import { isId } from '../database/ids';
import {
  findHoldsOf,
  findLines,
  insertOrders,
  lockOrder,
  lockOrderIds,
  markCancelled,
  updateOrder,
} from '../database/orders';
import {
  byArrival,
  findParked,
  findPaymentsOf,
  keyOf,
  lockOpen,
  lockParked,
  updateEvents,
} from '../database/payment-events';
import { readClock } from '../database/clock';
import { Restart } from '../postgres/transaction';
import { judgePayment, type PaymentVerdict } from '../domain/judge-payment';
import { lineTotal } from '../domain/money';
import { linesOf } from '../domain/place-orders';
import { isLive, type Hold, type JudgedEvent, type Order, type OrderLine } from '../domain/records';
import { moveOrder, type Canceller, type OrderStatus, type PaymentOutcome } from '../domain/statuses';
import { giveBack, lockStocks, takeAgain } from './stock-keeper';

/** How one transaction settles: kept by the caller over its re-runs. */
export interface Settling {
  /** Lock the stock rows from the start: an earlier attempt found that units have to move. */
  movesUnits: boolean;
  /** The id of an order that a payment places; chosen before the first attempt. */
  readonly newOrderId: string;
}

/** What happened, for the log, once it is committed. */
export interface Settled {
  readonly order: Order | null;
  /** The statuses that the order came to, in turn. */
  readonly cameTo: readonly OrderStatus[];
  /** Every event that was judged, as it stands now. */
  readonly events: readonly JudgedEvent[];
}

/** What happened had nothing to do with an order. */
export const NO_ORDER = { order: null, cameTo: [] } as const;

/**
 * Judges events of one reference by what it names now, applies them, and then the parked events that waited for that, at
 * most 1,000 of them. `isNew`: the one event's row was inserted by this transaction. Otherwise the rows are locked
 * here, last of all, and those are left alone that somebody else has settled.
 *
 * Locks: order (its id, when there is none yet) → stock (if units move) → holds → parked events. Throws `Restart` when an
 * earlier lock turns out to be needed.
 */
export async function settleEvents(
  em: EntityManager,
  events: readonly JudgedEvent[],
  isNew: boolean,
  settling: Settling,
): Promise<Settled> {
  const { reference } = events[0]!;
  if (!isId(reference)) return settleUnknown(em, events, isNew);
  let order = await lockOrder(em, reference);
  if (!order) {
    await lockOrderIds(em, [reference]);
    order = await lockOrder(em, reference);
  }
  const hold = order ? undefined : (await findHolds(em, [reference]))[0];
  if (hold?.orderId) order = await lockOrder(em, hold.orderId);
  if (order) {
    const settlement = await settlementOf(em, order, settling);
    return settlement.settle(isNew ? events : await lockOpen(em, events));
  }
  if (!hold) return settleUnknown(em, events, isNew);
  // The hold names an order that is not to be seen yet: two shards of one commit become visible one after the other.
  if (hold.orderId) throw new Restart('the order of a hold is not visible yet');
  return settleForHold(em, hold, events, isNew, settling);
}

/** What they speak of may still come, so they stay parked; but what is no money now will be none then. */
async function settleUnknown(em: EntityManager, events: readonly JudgedEvent[], isNew: boolean): Promise<Settled> {
  if (!isNew) return { ...NO_ORDER, events };
  const judged = events.map((event) => {
    const verdict = judgePayment(event, { kind: 'unknown' });
    if (verdict.move !== 'none' || verdict.outcome === 'PARKED') return event;
    return judgedAs(event, verdict.outcome, null, event.receivedAt);
  });
  await updateEvents(
    em,
    judged.filter((event, n) => event !== events[n]),
  );
  return { ...NO_ORDER, events: judged };
}

async function settleForHold(
  em: EntityManager,
  peeked: Hold,
  events: readonly JudgedEvent[],
  isNew: boolean,
  settling: Settling,
): Promise<Settled> {
  if (settling.movesUnits) await lockStocks(em, [peeked.productId]);
  const [hold] = await lockHolds(em, peeked.productId, [peeked.id]);
  if (hold!.orderId) throw new Restart('the hold became an order');
  const at = await readClock(em);
  const live = isLive(hold!, at);
  const judged: JudgedEvent[] = [];
  for (const event of isNew ? events : await lockOpen(em, events)) {
    const verdict = judgePayment(event, { kind: 'hold', live, ...totalOf(hold!) });
    if (verdict.move === 'none') {
      judged.push(judgedAs(event, verdict.outcome, null, at));
      continue;
    }
    if (!live && !settling.movesUnits) {
      settling.movesUnits = true;
      throw new Restart('a late payment takes units again');
    }
    await updateEvents(em, judged);
    const settled = await placeByPayment(em, hold!, event, live, at, settling);
    // What stayed parked so far is among those that the order settles.
    const isKnown = new Set(settled.events.map(keyOf));
    return { ...settled, events: [...judged.filter((other) => !isKnown.has(keyOf(other))), ...settled.events] };
  }
  await updateEvents(em, judged);
  return { ...NO_ORDER, events: judged };
}

const totalOf = (hold: Hold) => ({
  totalMinor: lineTotal(hold.quantity, hold.unitPriceMinor),
  currency: hold.currency,
});

/** A payment came before the shopper: its order is placed for the hold's customer, and is PAID or REFUND_DUE at once. */
async function placeByPayment(
  em: EntityManager,
  hold: Hold,
  event: JudgedEvent,
  live: boolean,
  at: Date,
  settling: Settling,
): Promise<Settled> {
  const orderId = settling.newOrderId;
  const isPaid = live || (await takeAgain(em, [hold], orderId));
  const order: Order = {
    id: orderId,
    customerId: hold.customerId,
    status: isPaid ? 'PAID' : 'REFUND_DUE',
    ...totalOf(hold),
    idempotencyKey: null,
    placedBy: 'PAYMENT',
    paymentDueAt: at,
    createdAt: at,
    paidAt: isPaid ? at : null,
    cancelledAt: null,
    cancelledBy: null,
    ...paidWith(event),
  };
  await insertOrders(em, [order], linesOf(order, [hold]));
  if (live) await consumeHolds(em, hold.productId, [{ id: hold.id, orderId }], at);
  else if (!isPaid) await linkToOrder(em, hold, orderId);
  const judged = judgedAs(event, isPaid ? 'APPLIED' : 'REFUND_DUE', order, at);
  const settled = await new OrderSettlement(em, at, order, [hold], settling, [judged]).settle([]);
  return { ...settled, cameTo: [order.status, ...settled.cameTo] };
}

/**
 * Applies what was parked for an order that this transaction has just placed. Throws `Restart` when units have to move and
 * the stock rows are not locked.
 */
export async function settleParkedFor(
  em: EntityManager,
  order: Order,
  holds: readonly Hold[],
  at: Date,
  settling: Settling,
): Promise<Settled> {
  return new OrderSettlement(em, at, order, holds, settling).settle([]);
}

/** A hold has ended without an order: what was parked for it is judged by that, at most 1,000. The caller has locked the hold. */
export async function settleParkedForEnded(em: EntityManager, hold: Hold, at: Date): Promise<readonly JudgedEvent[]> {
  const judged = (await lockParked(em, await findParked(em, [hold.id]))).flatMap((event) => {
    const verdict = judgePayment(event, { kind: 'hold', live: false, ...totalOf(hold) });
    if (verdict.move !== 'none' || verdict.outcome === 'PARKED') return [];
    return [judgedAs(event, verdict.outcome, null, at)];
  });
  await updateEvents(em, judged);
  return judged;
}

/**
 * Cancels unpaid orders and gives the units of their lines back, in two round trips. The caller has locked the orders and their
 * stock rows.
 */
export async function cancelUnpaid(
  em: EntityManager,
  orders: readonly Order[],
  lines: readonly OrderLine[],
  by: Canceller,
  at: Date,
): Promise<Order[]> {
  const cancelled = orders.map((order): Order => {
    return { ...order, status: moveOrder(order.status, 'CANCELLED'), cancelledAt: at, cancelledBy: by };
  });
  const units = lines.map((line) => ({ id: line.holdId, productId: line.productId }));
  const ids = orders.map((order) => order.id);
  // By its own id a statement names its shard.
  const marking = ids.length === 1 ? () => updateOrder(em, cancelled[0]!) : () => markCancelled(em, ids, by, at);
  await Promise.all([giveBack(em, units, at), marking()]);
  return cancelled;
}

/** Locks, in their order, the stock rows of everything that an order consists of, and answers its lines. */
export async function lockStocksOf(em: EntityManager, orderId: string): Promise<OrderLine[]> {
  const lines = await findLines(em, [orderId]);
  await lockStocks(
    em,
    lines.map((line) => line.productId),
  );
  return lines;
}

async function settlementOf(em: EntityManager, order: Order, settling: Settling): Promise<OrderSettlement> {
  if (settling.movesUnits) await lockStocksOf(em, order.id);
  const at = await readClock(em);
  return new OrderSettlement(em, at, order, null, settling, [], await findPaymentsOf(em, order.id));
}

/** One locked order, and the events that are applied to it one after another. */
class OrderSettlement {
  private readonly found: Order;
  private readonly cameTo: OrderStatus[] = [];
  private ownLines: OrderLine[] | null = null;

  constructor(
    private readonly em: EntityManager,
    private readonly at: Date,
    private order: Order,
    /** null: not read yet. */
    private holds: readonly Hold[] | null,
    private readonly settling: Settling,
    /** Events judged in this transaction, and not written yet. */
    private readonly judged: JudgedEvent[] = [],
    /** Successes judged for the order, now or before. */
    private payments: readonly JudgedEvent[] = [...judged],
  ) {
    this.found = order;
  }

  /** Applies these events, then whatever was parked until now, in the order of arrival; writes all of it. */
  async settle(events: readonly JudgedEvent[]): Promise<Settled> {
    let waiting = await this.applyAll(events);
    const isNewOrder = events.length === 0;
    if (isNewOrder || this.judged.some((event) => event.outcome === 'APPLIED' || event.outcome === 'REFUND_DUE')) {
      const known = [...waiting, ...this.judged];
      const parked = (await this.lockParked()).filter((event) => !known.some((other) => isSame(event, other)));
      if (parked.length > 0) waiting = await this.applyAll([...waiting, ...parked].sort(byArrival));
    }
    waiting = waiting.map((event) => ({ ...event, orderId: this.order.id }));
    if (this.order !== this.found) await updateOrder(this.em, this.order);
    await updateEvents(this.em, [...this.judged, ...waiting]);
    return { order: this.order, cameTo: this.cameTo, events: [...this.judged, ...waiting] };
  }

  /** Until nothing more applies: a refund that came first follows its success. Answers what stays parked. */
  private async applyAll(events: readonly JudgedEvent[]): Promise<JudgedEvent[]> {
    let waiting = [...events];
    for (let progress = true; progress && waiting.length > 0;) {
      const before = waiting.length;
      const next: JudgedEvent[] = [];
      for (const event of waiting) if (!(await this.apply(event))) next.push(event);
      waiting = next;
      progress = waiting.length < before;
    }
    return waiting;
  }

  /** Answers false when the event stays parked. */
  private async apply(event: JudgedEvent): Promise<boolean> {
    const payments = this.payments.filter((payment) => !isSame(payment, event));
    const verdict = judgePayment(event, { kind: 'order', order: this.order, payments });
    if (verdict.move === 'none' && verdict.outcome === 'PARKED') return false;
    const before = this.order;
    const outcome = await this.move(event, verdict);
    if (this.order !== before) this.cameTo.push(this.order.status);
    const judged = judgedAs(event, outcome, this.order, this.at);
    this.judged.push(judged);
    if (judged.type === 'payment.succeeded' && isPayment(judged)) this.payments = [...payments, judged];
    return true;
  }

  private async move(event: JudgedEvent, verdict: PaymentVerdict): Promise<PaymentOutcome> {
    const { order, at } = this;
    switch (verdict.move) {
      case 'none':
        return verdict.outcome;
      case 'pay':
        this.order = { ...order, ...paidWith(event), status: moveOrder(order.status, 'PAID'), paidAt: at };
        return 'APPLIED';
      case 'revive':
        if (await this.revives()) {
          this.order = { ...order, ...paidWith(event), status: moveOrder(order.status, 'PAID'), paidAt: at };
          return 'APPLIED';
        }
        this.order = { ...order, ...paidWith(event), status: moveOrder(order.status, 'REFUND_DUE') };
        return 'REFUND_DUE';
      case 'owe':
        this.order = { ...order, ...paidWith(event), status: moveOrder(order.status, 'REFUND_DUE') };
        return 'REFUND_DUE';
      case 'cancel':
        this.needUnits();
        [this.order] = (await cancelUnpaid(this.em, [order], await this.lines(), 'PAYMENT_FAILED', at)) as [Order];
        return 'APPLIED';
      case 'refund':
        this.order = { ...order, status: moveOrder(order.status, 'REFUNDED') };
        this.settleOwed(
          this.payments.filter(
            (payment) => payment.eventId === order.paymentEventId && payment.provider === order.paymentProvider,
          ),
        );
        return 'APPLIED';
      case 'settle':
        this.settleOwed(verdict.payments);
        return 'APPLIED';
      case 'place':
        throw new Error('an order is not placed twice');
    }
  }

  private async revives(): Promise<boolean> {
    this.needUnits();
    this.holds ??= await findHoldsOf(this.em, this.order.id);
    return takeAgain(this.em, this.holds, this.order.id);
  }

  /** The money of these payments has gone back: nobody has to act on them any more. */
  private settleOwed(payments: readonly JudgedEvent[]): void {
    for (const payment of payments.filter((owed) => owed.outcome === 'REFUND_DUE' && owed.settledAt === null)) {
      const settled = { ...payment, settledAt: this.at };
      this.payments = this.payments.map((other) => (isSame(other, payment) ? settled : other));
      const own = this.judged.findIndex((other) => isSame(other, payment));
      if (own >= 0) this.judged[own] = settled;
      else this.judged.push(settled);
    }
  }

  private needUnits(): void {
    if (this.settling.movesUnits) return;
    this.settling.movesUnits = true;
    throw new Restart('an event moves units');
  }

  private async lockParked(): Promise<JudgedEvent[]> {
    const holdIds = this.holds?.map((hold) => hold.id) ?? (await this.lines()).map((line) => line.holdId);
    return lockParked(this.em, await findParked(this.em, [this.order.id, ...holdIds]));
  }

  private async lines(): Promise<OrderLine[]> {
    return (this.ownLines ??= await findLines(this.em, [this.order.id]));
  }
}

function judgedAs(event: JudgedEvent, outcome: PaymentOutcome, order: Order | null, at: Date): JudgedEvent {
  const isSettled = outcome === 'APPLIED' || outcome === 'IGNORED';
  return { ...event, outcome, orderId: order?.id ?? event.orderId, settledAt: isSettled ? at : null };
}

function paidWith(event: JudgedEvent) {
  return { paymentProvider: event.provider, paymentEventId: event.eventId, paymentId: event.paymentId };
}

function isPayment(event: JudgedEvent): boolean {
  return event.outcome === 'APPLIED' || event.outcome === 'REFUND_DUE';
}

function isSame(a: JudgedEvent, b: JudgedEvent): boolean {
  return a.provider === b.provider && a.eventId === b.eventId;
}
