/** What payment events do to holds and orders: steps shared by the webhook, createOrder, releaseHold, replay and the sweep. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { consumeHolds, findHolds, linkToOrder, lockHolds } from '../database/holds';
import { isId } from '../database/ids';
import { findHoldsOf, findLines, insertOrders, lockOrder, lockOrderIds, updateOrder } from '../database/orders';
import { byArrival, findParked, findPaymentsOf, lockEvent, lockParked, updateEvent } from '../database/payment-events';
import { readClock } from '../database/statement';
import { Restart } from '../database/transaction';
import { judgePayment, type PaymentVerdict } from '../domain/judge-payment';
import { lineTotal } from '../domain/money';
import { linesOf } from '../domain/place-orders';
import { isLive, type Hold, type Order, type PaymentEvent } from '../domain/records';
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
  readonly events: readonly PaymentEvent[];
}

/** What happened had nothing to do with an order. */
export const NO_ORDER = { order: null, cameTo: [] } as const;

/**
 * Judges one event by what its reference names now, applies it, and then the parked events that waited for that.
 * `isNew`: its row was inserted by this transaction. Otherwise the row is locked here, last of all, and is left alone when
 * somebody else has settled it.
 *
 * Locks: order (its id, when there is none yet) → stock (if units move) → holds → parked events. Throws `Restart` when an
 * earlier lock turns out to be needed.
 */
export async function settleEvent(
  em: EntityManager,
  event: PaymentEvent,
  isNew: boolean,
  settling: Settling,
): Promise<Settled> {
  const { reference } = event;
  if (!isId(reference)) return settleUnknown(em, event, isNew);
  let order = await lockOrder(em, reference);
  if (!order) {
    await lockOrderIds(em, [reference]);
    order = await lockOrder(em, reference);
  }
  const hold = order ? undefined : (await findHolds(em, [reference]))[0];
  if (hold?.orderId) order = await lockOrder(em, hold.orderId);
  if (order) {
    const scene = await sceneOf(em, order, settling);
    return scene.settle(isNew ? [event] : await stillOpen(em, event));
  }
  if (!hold) return settleUnknown(em, event, isNew);
  // The hold names an order that is not to be seen yet: two shards of one commit become visible one after the other.
  if (hold.orderId) throw new Restart('the order of a hold is not visible yet');
  return settleForHold(em, hold, event, isNew, settling);
}

/** What it speaks of may still come, so it stays parked; but what is no money now will be none then. */
async function settleUnknown(em: EntityManager, event: PaymentEvent, isNew: boolean): Promise<Settled> {
  const verdict = judgePayment(event, { kind: 'unknown' });
  if (!isNew || verdict.move !== 'none' || verdict.outcome === 'PARKED') return { ...NO_ORDER, events: [event] };
  const judged = judgedAs(event, verdict.outcome, null, event.receivedAt);
  await updateEvent(em, judged);
  return { ...NO_ORDER, events: [judged] };
}

/** A row that somebody else may settle at the same time: nothing is left to judge when they have. */
async function stillOpen(em: EntityManager, event: PaymentEvent): Promise<PaymentEvent[]> {
  const locked = await lockEvent(em, event);
  return locked && (locked.outcome === 'PARKED' || locked.outcome === 'AMOUNT_MISMATCH') ? [locked] : [];
}

async function settleForHold(
  em: EntityManager,
  peeked: Hold,
  event: PaymentEvent,
  isNew: boolean,
  settling: Settling,
): Promise<Settled> {
  if (settling.movesUnits) await lockStocks(em, [peeked.productId]);
  const [hold] = await lockHolds(em, peeked.productId, [peeked.id]);
  if (hold!.orderId) throw new Restart('the hold became an order');
  const at = await readClock(em);
  const live = isLive(hold!, at);
  const [open] = isNew ? [event] : await stillOpen(em, event);
  if (!open) return { ...NO_ORDER, events: [] };
  const verdict = judgePayment(open, {
    kind: 'hold',
    live,
    totalMinor: lineTotal(hold!.quantity, hold!.unitPriceMinor),
    currency: hold!.currency,
  });
  if (verdict.move === 'none') {
    const judged = judgedAs(open, verdict.outcome, null, at);
    await updateEvent(em, judged);
    return { ...NO_ORDER, events: [judged] };
  }
  if (!live && !settling.movesUnits) {
    settling.movesUnits = true;
    throw new Restart('a late payment takes units again');
  }
  return placeByPayment(em, hold!, open, live, at, settling);
}

/** A payment came before the shopper: its order is placed for the hold's customer, and is PAID or REFUND_DUE at once. */
async function placeByPayment(
  em: EntityManager,
  hold: Hold,
  event: PaymentEvent,
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
    totalMinor: lineTotal(hold.quantity, hold.unitPriceMinor),
    currency: hold.currency,
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
  const settled = await new Scene(em, at, order, [hold], settling, [judged]).settle([]);
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
  return new Scene(em, at, order, holds, settling).settle([]);
}

/** A hold has ended without an order: what was parked for it is judged by that. The caller has locked the hold. */
export async function settleParkedForEnded(em: EntityManager, hold: Hold, at: Date): Promise<readonly PaymentEvent[]> {
  const judged: PaymentEvent[] = [];
  for (const event of await lockParked(em, await findParked(em, [hold.id]))) {
    const verdict = judgePayment(event, {
      kind: 'hold',
      live: false,
      totalMinor: lineTotal(hold.quantity, hold.unitPriceMinor),
      currency: hold.currency,
    });
    if (verdict.move !== 'none' || verdict.outcome === 'PARKED') continue;
    judged.push(judgedAs(event, verdict.outcome, null, at));
    await updateEvent(em, judged.at(-1)!);
  }
  return judged;
}

/** Cancels an unpaid order and gives its units back. The caller has locked the order and the stock rows. */
export async function cancelUnpaid(em: EntityManager, order: Order, by: Canceller, at: Date): Promise<Order> {
  const cancelled: Order = {
    ...order,
    status: moveOrder(order.status, 'CANCELLED'),
    cancelledAt: at,
    cancelledBy: by,
  };
  await giveBack(em, await findHoldsOf(em, order.id), at);
  await updateOrder(em, cancelled);
  return cancelled;
}

/** Locks, in their order, the stock rows of everything that an order consists of. */
export async function lockStocksOf(em: EntityManager, orderId: string): Promise<void> {
  const lines = await findLines(em, [orderId]);
  await lockStocks(
    em,
    lines.map((line) => line.productId),
  );
}

async function sceneOf(em: EntityManager, order: Order, settling: Settling): Promise<Scene> {
  if (settling.movesUnits) await lockStocksOf(em, order.id);
  const at = await readClock(em);
  return new Scene(em, at, order, null, settling, [], await findPaymentsOf(em, order.id));
}

/** One locked order, and the events that are applied to it one after another. */
class Scene {
  private readonly found: Order;
  private readonly cameTo: OrderStatus[] = [];

  constructor(
    private readonly em: EntityManager,
    private readonly at: Date,
    private order: Order,
    /** null: not read yet. */
    private holds: readonly Hold[] | null,
    private readonly settling: Settling,
    /** Events judged in this transaction, and not written yet. */
    private readonly judged: PaymentEvent[] = [],
    /** Successes judged for the order, now or before. */
    private payments: readonly PaymentEvent[] = [...judged],
  ) {
    this.found = order;
  }

  /** Applies these events, then whatever was parked until now, in the order of arrival; writes all of it. */
  async settle(events: readonly PaymentEvent[]): Promise<Settled> {
    let waiting = await this.applyAll(events);
    const isNewOrder = events.length === 0;
    if (isNewOrder || this.judged.some((event) => event.outcome === 'APPLIED' || event.outcome === 'REFUND_DUE')) {
      const known = [...waiting, ...this.judged];
      const parked = (await this.lockParked()).filter((event) => !known.some((other) => isSame(event, other)));
      if (parked.length > 0) waiting = await this.applyAll([...waiting, ...parked].sort(byArrival));
    }
    waiting = waiting.map((event) => ({ ...event, orderId: this.order.id }));
    if (this.order !== this.found) await updateOrder(this.em, this.order);
    for (const event of [...this.judged, ...waiting]) await updateEvent(this.em, event);
    return { order: this.order, cameTo: this.cameTo, events: [...this.judged, ...waiting] };
  }

  /** Until nothing more applies: a refund that came first follows its success. Answers what stays parked. */
  private async applyAll(events: readonly PaymentEvent[]): Promise<PaymentEvent[]> {
    let waiting = [...events];
    for (let progress = true; progress && waiting.length > 0;) {
      const before = waiting.length;
      const next: PaymentEvent[] = [];
      for (const event of waiting) if (!(await this.apply(event))) next.push(event);
      waiting = next;
      progress = waiting.length < before;
    }
    return waiting;
  }

  /** Answers false when the event stays parked. */
  private async apply(event: PaymentEvent): Promise<boolean> {
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

  private async move(event: PaymentEvent, verdict: PaymentVerdict): Promise<PaymentOutcome> {
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
        this.order = await cancelUnpaid(this.em, order, 'PAYMENT_FAILED', at);
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
  private settleOwed(payments: readonly PaymentEvent[]): void {
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

  private async lockParked(): Promise<PaymentEvent[]> {
    const holdIds = (
      this.holds ?? (await findLines(this.em, [this.order.id])).map((line) => ({ id: line.holdId }))
    ).map((hold) => hold.id);
    return lockParked(this.em, await findParked(this.em, [this.order.id, ...holdIds]));
  }
}

function judgedAs(event: PaymentEvent, outcome: PaymentOutcome, order: Order | null, at: Date): PaymentEvent {
  const isSettled = outcome === 'APPLIED' || outcome === 'IGNORED';
  return { ...event, outcome, orderId: order?.id ?? event.orderId, settledAt: isSettled ? at : null };
}

function paidWith(event: PaymentEvent) {
  return { paymentProvider: event.provider, paymentEventId: event.eventId, paymentId: event.paymentId };
}

function isPayment(event: PaymentEvent): boolean {
  return event.outcome === 'APPLIED' || event.outcome === 'REFUND_DUE';
}

function isSame(a: PaymentEvent, b: PaymentEvent): boolean {
  return a.provider === b.provider && a.eventId === b.eventId;
}
