/** Applies payment events to one locked order. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { findHoldsOf, findLines, updateOrder } from '../database/orders';
import { byArrival, findParked, lockParked, updateEvents } from '../database/payment-events';
import { judgePayment, type PaymentVerdict } from '../domain/judge-payment';
import type { Hold, JudgedEvent, Order, OrderLine } from '../domain/records';
import { moveOrder, type OrderStatus, type PaymentOutcome } from '../domain/statuses';
import { Restart } from '../postgres/transaction';
import { cancelUnpaid } from './cancel-unpaid';
import { takeAgain } from './stock-keeper';

/** Kept by the caller over the re-runs of one transaction. */
export interface SettlementPlan {
  /** The stock rows are locked from the start, because an earlier attempt found that units have to move. */
  movesUnits: boolean;
  /** The id of an order that a payment places, chosen before the first attempt. */
  readonly newOrderId: string;
}

/** What a transaction did, for the log and the metrics once it is committed. */
export interface Settled {
  readonly order: Order | null;
  /** The statuses that the order reached, in order. */
  readonly statusesReached: readonly OrderStatus[];
  /** Every event that was judged, in its new state. */
  readonly events: readonly JudgedEvent[];
}

/** No order was involved. */
export const NO_ORDER = { order: null, statusesReached: [] } as const;

/** One locked order, and the events that are applied to it one after another. */
export class OrderSettlement {
  private readonly found: Order;
  private readonly statusesReached: OrderStatus[] = [];
  private ownLines: OrderLine[] | null = null;

  constructor(
    private readonly em: EntityManager,
    private readonly at: Date,
    private order: Order,
    /** null: not read yet. */
    private holds: readonly Hold[] | null,
    private readonly plan: SettlementPlan,
    /** Events judged in this transaction, and not written yet. */
    private readonly judged: JudgedEvent[] = [],
    /** Successes judged for the order, now or before. */
    private payments: readonly JudgedEvent[] = [...judged],
  ) {
    this.found = order;
  }

  /** Applies these events, then the parked ones in the order of arrival, and writes all of them. */
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
    return { order: this.order, statusesReached: this.statusesReached, events: [...this.judged, ...waiting] };
  }

  /** Repeats until nothing more applies, as a refund may come before its success. Returns what stays parked. */
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

  /** Returns false when the event stays parked. */
  private async apply(event: JudgedEvent): Promise<boolean> {
    const payments = this.payments.filter((payment) => !isSame(payment, event));
    const verdict = judgePayment(event, { kind: 'order', order: this.order, payments });
    if (verdict.move === 'none' && verdict.outcome === 'PARKED') return false;
    const before = this.order;
    const outcome = await this.move(event, verdict);
    if (this.order !== before) this.statusesReached.push(this.order.status);
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
      case 'refundDue':
        this.order = { ...order, ...paidWith(event), status: moveOrder(order.status, 'REFUND_DUE') };
        return 'REFUND_DUE';
      case 'cancel':
        this.needUnits();
        [this.order] = (await cancelUnpaid(this.em, [order], await this.lines(), 'PAYMENT_FAILED', at)) as [Order];
        return 'APPLIED';
      case 'refund':
        this.order = { ...order, status: moveOrder(order.status, 'REFUNDED') };
        this.settleRefunded(
          this.payments.filter(
            (payment) => payment.eventId === order.paymentEventId && payment.provider === order.paymentProvider,
          ),
        );
        return 'APPLIED';
      case 'settle':
        this.settleRefunded(verdict.payments);
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

  /** The money of these payments was given back: they are no longer open. */
  private settleRefunded(payments: readonly JudgedEvent[]): void {
    for (const payment of payments.filter((due) => due.outcome === 'REFUND_DUE' && due.settledAt === null)) {
      const settled = { ...payment, settledAt: this.at };
      this.payments = this.payments.map((other) => (isSame(other, payment) ? settled : other));
      const own = this.judged.findIndex((other) => isSame(other, payment));
      if (own >= 0) this.judged[own] = settled;
      else this.judged.push(settled);
    }
  }

  private needUnits(): void {
    if (this.plan.movesUnits) return;
    this.plan.movesUnits = true;
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

export function judgedAs(event: JudgedEvent, outcome: PaymentOutcome, order: Order | null, at: Date): JudgedEvent {
  const isSettled = outcome === 'APPLIED' || outcome === 'IGNORED';
  return { ...event, outcome, orderId: order?.id ?? event.orderId, settledAt: isSettled ? at : null };
}

/** The order's columns that name the payment. */
export function paidWith(event: JudgedEvent) {
  return { paymentProvider: event.provider, paymentEventId: event.eventId, paymentId: event.paymentId };
}

function isPayment(event: JudgedEvent): boolean {
  return event.outcome === 'APPLIED' || event.outcome === 'REFUND_DUE';
}

function isSame(a: JudgedEvent, b: JudgedEvent): boolean {
  return a.provider === b.provider && a.eventId === b.eventId;
}
