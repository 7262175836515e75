/** One shopper: arrives, browses, holds, and then orders and pays or not, as chance and the shares decide. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, type Client, Unanswered, WrongAnswer, type PaymentAnswer } from './client';
import type { Random } from '../load/random';
import type { History, KnownEvent, KnownHold, KnownOrder, Money, PaymentType } from './history';
import type { Plan, Story } from './plan';
import type { RehearsedProduct } from './shop';
import type { Step, Tally } from './tally';

/** Shares of further behaviour of a real crowd. */
const habits = {
  /** Orders a second product together with the first. */
  secondProduct: 0.2,
  /** Wants two units. */
  twoUnits: 0.1,
  /** Requests more units of a limited product than one customer may have. */
  greedy: 0.05,
  /** Stays anonymous where no limit requires a customer. */
  anonymous: 0.3,
  /** Sends createHold twice at once with the same key, like a double click. */
  doubleClick: 0.05,
  /** Returns after OUT_OF_STOCK, because units may come back. */
  returns: 0.4,
} as const;
/** Bounds the number of requests of shoppers who find nothing. */
const mostReturns = 3;
/** Mean milliseconds between actions in a sale of at least half a minute; shorter in a shorter sale. */
const thinkMs = { browse: 400, order: 800, pay: 1_500, late: 2_500, comeBack: 4_000 } as const;
const longestThink = 4;
const unhurriedSeconds = 30;
/** How long after its end an expired hold is paid, so that small clock differences do not matter. */
const afterExpiryMs = 300;

const browse = `query RehearseBrowse($id: ID!) {
  product(id: $id) { id name price { amountMinor currency } availableStock saleStatus }
}`;
const createHold = `mutation RehearseHold($input: CreateHoldInput!) {
  createHold(input: $input) {
    hold { id quantity createdAt expiresAt total { amountMinor currency } }
    userErrors { code message retryAfterMs }
  }
}`;
const releaseHold = `mutation RehearseRelease($input: ReleaseHoldInput!) {
  releaseHold(input: $input) { hold { id status } userErrors { code message retryAfterMs } }
}`;
const orderFields = `order { id status createdAt paymentDueAt total { amountMinor currency } }
    userErrors { code message retryAfterMs }`;
const createOrder = `mutation RehearseOrder($input: CreateOrderInput!) {
  createOrder(input: $input) { ${orderFields} }
}`;
const cancelOrder = `mutation RehearseCancel($input: CancelOrderInput!) {
  cancelOrder(input: $input) { ${orderFields} }
}`;

interface HoldAnswer {
  readonly id: string;
  readonly quantity: number;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly total: Money;
}

interface OrderAnswer {
  readonly id: string;
  readonly status: string;
  readonly createdAt: string;
  readonly paymentDueAt: string;
  readonly total: Money;
}

/** Shared by all shoppers of a rehearsal. */
export interface Sale {
  readonly plan: Plan;
  readonly runId: string;
  readonly products: readonly RehearsedProduct[];
  readonly client: Client;
  readonly tally: Tally;
  readonly history: History;
  signIn(customer: string): Promise<string>;
}

export class Shopper {
  private readonly id: string;
  private token: string | null = null;
  private keys = 0;
  /** When the next request was meant to be sent: the arrival, or the end of a pause. */
  private dueMs: number | null = null;

  constructor(
    private readonly sale: Sale,
    index: number,
    private readonly random: Random,
  ) {
    this.id = `rehearsal-${sale.runId}-${index}`;
  }

  /** Never throws: errors are counted, and the shopper leaves. */
  async visit(intendedMs: number): Promise<void> {
    const { tally } = this.sale;
    tally.arrivals.push(intendedMs);
    tally.lateness.push(Math.max(0, tally.nowMs() - intendedMs));
    try {
      await this.shop(intendedMs);
    } catch (error) {
      if (error instanceof Unanswered) tally.unanswered.add(error.message);
      else if (error instanceof WrongAnswer) tally.wrongAnswers.add(error.message);
      else tally.wrongAnswers.add(`${this.id}: ${(error as Error).stack ?? String(error)}`);
    } finally {
      tally.left += 1;
    }
  }

  private async shop(intendedMs: number): Promise<void> {
    const { random, sale } = this;
    const wanted = this.wanted();
    const isAnonymous = random.isTrue(habits.anonymous) && wanted.every((product) => product.maxPerCustomer === null);
    if (!isAnonymous) this.token = await sale.signIn(this.id);
    const story = random.pick(sale.plan.shares);
    await sale.client.query(browse, { id: wanted[0]!.id }, { step: 'browse', intendedMs, token: this.token });
    await this.think('browse');
    const holds: KnownHold[] = [];
    for (const product of wanted) holds.push(...(await this.hold(product)));
    if (holds.length === 0) return;
    sale.tally.stories.add(story);
    await this.live(story, holds);
  }

  /** The first product is the most popular one. */
  private wanted(): RehearsedProduct[] {
    const { products } = this.sale;
    const weights = Object.fromEntries(products.map((_, index) => [index, 1 / (index + 1)]));
    const first = this.random.pick(weights);
    const wantsMore = this.random.isTrue(habits.secondProduct);
    const second = this.random.pick(weights);
    return [...new Set(wantsMore ? [first, second] : [first])].map((index) => products[Number(index)]!);
  }

  /** A hold, or null. A shopper who finds nothing may return some times, while shoppers still arrive. */
  private async hold(product: RehearsedProduct): Promise<KnownHold[]> {
    const { random, sale } = this;
    const isGreedy = product.maxPerCustomer !== null && random.isTrue(habits.greedy);
    const units = random.isTrue(habits.twoUnits) ? 2 : 1;
    const quantity = isGreedy ? product.maxPerCustomer! + 1 : Math.min(units, product.total);
    const clicks = random.isTrue(habits.doubleClick) ? 2 : 1;
    for (let visit = 0; ; visit++) {
      const answer = await this.click(product, quantity, clicks);
      if (answer.granted) return [answer.value];
      this.expectRefusal('createHold', answer, isGreedy ? ['LIMIT_PER_CUSTOMER', 'OUT_OF_STOCK'] : ['OUT_OF_STOCK']);
      const isSoldOut = answer.codes.includes('OUT_OF_STOCK');
      const comesBack = isSoldOut && visit < mostReturns && random.isTrue(habits.returns);
      if (!comesBack) return [];
      await this.think('comeBack');
      if (sale.tally.nowMs() > sale.plan.durationSeconds * 1_000) return [];
    }
  }

  private async click(product: RehearsedProduct, quantity: number, clicks: number): Promise<Answer<KnownHold>> {
    const { history, tally } = this.sale;
    const input = { productId: product.id, quantity, idempotencyKey: this.newKey() };
    const sentMs = tally.nowMs();
    const intendedMs = this.takeDue();
    const answers = await Promise.all(
      Array.from({ length: clicks }, () => this.change<HoldAnswer>(createHold, input, 'hold', intendedMs)),
    );
    const granted = answers.flatMap((answer) => (answer.granted ? [answer.value] : []));
    const [hold] = granted;
    if (!hold) {
      const [refused] = answers as (Answer<never> & { granted: false })[];
      tally.refused(refused!.codes);
      return refused!;
    }
    tally.grants.push(tally.nowMs());
    tally.replays += granted.length - 1;
    if (granted.some((other) => other.id !== hold.id)) {
      tally.keyConflicts.add(`createHold, one key: ${granted.map((other) => other.id).join(' and ')}`);
    }
    if (hold.quantity !== quantity) throw new WrongAnswer(`asked for ${quantity} units, granted ${hold.quantity}`);
    const until = sentMs + Date.parse(hold.expiresAt) - Date.parse(hold.createdAt);
    return { granted: true, value: history.hold({ ...hold, productId: product.id }, until) };
  }

  private async live(story: Story, holds: KnownHold[]): Promise<void> {
    switch (story) {
      case 'onTime':
        return this.payOnTime(holds);
      case 'early':
        return this.payEarly(holds);
      case 'late':
        return this.payLate(holds);
      case 'duplicate':
        return this.payTwice(holds);
      case 'failed':
        return this.failThenPay(holds);
      case 'refund':
        return this.refund(holds);
      case 'mismatch':
        return this.payWrongly(holds);
      case 'release':
        await this.think('order');
        return this.release(holds);
      case 'never':
        if (this.random.isTrue(0.5)) await this.order(holds);
    }
  }

  private async payOnTime(holds: KnownHold[]): Promise<void> {
    const order = await this.order(holds);
    if (!order) return;
    await this.think('pay');
    await this.report('payment.succeeded', order.id, holds);
  }

  /** The success refers to a hold: before the order, at the same time, or of a shopper who never orders. */
  private async payEarly(holds: KnownHold[]): Promise<void> {
    const when = this.random.pick({ before: 5, together: 3, instead: holds.length === 1 ? 2 : 0 });
    const pay = () => this.report('payment.succeeded', holds[0]!.id, holds);
    if (when === 'together') {
      await this.think('order');
      await Promise.all([this.placeOrder(holds), pay()]);
      return;
    }
    await this.think('pay');
    await pay();
    if (when === 'before') await this.order(holds);
  }

  private async payLate(holds: KnownHold[]): Promise<void> {
    const { plan, tally } = this.sale;
    const [hold] = holds;
    const endsMs = hold!.claims[0]!.untilMs + afterExpiryMs;
    const canExpire = holds.length === 1 && endsMs < plan.durationSeconds * 1_000;
    const after = this.random.pick({ cancelled: 1, released: holds.length === 1 ? 1 : 0, expired: canExpire ? 2 : 0 });
    if (after === 'expired') {
      await sleep(Math.max(0, endsMs - tally.nowMs()));
      await this.report('payment.succeeded', hold!.id, holds);
    } else if (after === 'released') {
      await this.think('order');
      await this.release(holds);
      await this.think('late');
      await this.report('payment.succeeded', hold!.id, holds);
    } else {
      const order = await this.order(holds);
      if (!order) return;
      await this.think('order');
      await this.cancel(order);
      await this.think('late');
      await this.report('payment.succeeded', order.id, holds);
    }
  }

  private async payTwice(holds: KnownHold[]): Promise<void> {
    const order = await this.order(holds);
    if (!order) return;
    await this.think('pay');
    const event = this.newEvent('payment.succeeded', order.id, holds);
    await Promise.all([this.send(event), this.send(event), this.send(event)]);
    await this.think('late');
    const again = this.random.pick({ sameEvent: 2, samePayment: 1, anotherPayment: 1 });
    if (again === 'sameEvent') await this.send(event);
    else if (again === 'samePayment')
      await this.report('payment.succeeded', order.id, holds, { paymentId: event.paymentId });
    else await this.report('payment.succeeded', order.id, holds);
  }

  private async failThenPay(holds: KnownHold[]): Promise<void> {
    const isBeforeOrder = this.random.isTrue(0.4);
    if (isBeforeOrder) {
      await this.think('order');
      await this.report('payment.failed', holds[0]!.id, holds);
    }
    const order = await this.order(holds);
    if (!order) return;
    if (!isBeforeOrder) {
      await this.think('pay');
      await this.report('payment.failed', order.id, holds);
    }
    await this.think('late');
    await this.report('payment.succeeded', order.id, holds);
  }

  private async refund(holds: KnownHold[]): Promise<void> {
    const order = await this.order(holds);
    if (!order) return;
    await this.think('pay');
    const success = this.newEvent('payment.succeeded', order.id, holds);
    const refund = this.newEvent('payment.refunded', order.id, holds, { paymentId: success.paymentId });
    const inOrder = this.random.isTrue(0.5) ? [success, refund] : [refund, success];
    for (const event of inOrder) {
      await this.send(event);
      await this.think('pay');
    }
  }

  private async payWrongly(holds: KnownHold[]): Promise<void> {
    const order = await this.order(holds);
    if (!order) return;
    await this.think('pay');
    await this.report('payment.succeeded', order.id, holds, { tooLittleMinor: 1 });
  }

  private async release(holds: readonly KnownHold[]): Promise<void> {
    const { history, tally } = this.sale;
    for (const hold of holds) {
      hold.releaseAsked = true;
      history.mayEnd([hold]);
      const answer = await this.change<{ id: string }>(releaseHold, { holdId: hold.id }, 'release');
      this.expectRefusal('releaseHold', answer, ['HOLD_EXPIRED']);
      hold.released = answer.granted;
      if (answer.granted) tally.released += 1;
      else tally.refused(answer.codes);
    }
  }

  private async order(holds: readonly KnownHold[]): Promise<KnownOrder | null> {
    await this.think('order');
    return this.placeOrder(holds);
  }

  private async placeOrder(holds: readonly KnownHold[]): Promise<KnownOrder | null> {
    const { history, tally } = this.sale;
    for (const hold of holds) hold.orderAsked = true;
    const sentMs = tally.nowMs();
    const input = { holdIds: holds.map((hold) => hold.id), idempotencyKey: this.newKey() };
    const answer = await this.change<OrderAnswer>(createOrder, input, 'order');
    this.expectRefusal('createOrder', answer, ['HOLD_EXPIRED']);
    if (!answer.granted) {
      tally.refused(answer.codes);
      return null;
    }
    const { id, status, total, createdAt, paymentDueAt } = answer.value;
    tally.orders += 1;
    const due = totalOf(holds);
    if (total.amountMinor !== due.amountMinor || total.currency !== due.currency) {
      throw new WrongAnswer(`the order ${id} costs ${total.amountMinor}, its holds ${due.amountMinor}`);
    }
    const until = status === 'PAID' ? Infinity : sentMs + Date.parse(paymentDueAt) - Date.parse(createdAt);
    return history.order({ id, holds, total, paymentDueAt, cancelAsked: false, cancelled: false }, until);
  }

  private async cancel(order: KnownOrder): Promise<void> {
    const { history, tally } = this.sale;
    order.cancelAsked = true;
    history.mayEnd(order.holds);
    const answer = await this.change<OrderAnswer>(cancelOrder, { orderId: order.id }, 'cancel');
    this.expectRefusal('cancelOrder', answer, []);
    order.cancelled = true;
    tally.cancelled += 1;
  }

  private report(
    type: PaymentType,
    reference: string,
    holds: readonly KnownHold[],
    more?: More,
  ): Promise<PaymentAnswer> {
    return this.send(this.newEvent(type, reference, holds, more));
  }

  private newEvent(
    type: PaymentType,
    reference: string,
    holds: readonly KnownHold[],
    { paymentId, tooLittleMinor = 0 }: More = {},
  ): KnownEvent {
    const { amountMinor, currency } = totalOf(holds);
    const eventId = `evt-${this.newKey()}`;
    return {
      eventId,
      type,
      reference,
      amount: { amountMinor: amountMinor - tooLittleMinor, currency },
      paymentId: paymentId ?? `pay-${eventId}`,
      holds,
      isWrongAmount: tooLittleMinor !== 0,
      acknowledged: false,
    };
  }

  private async send(event: KnownEvent): Promise<PaymentAnswer> {
    const { client, history, tally } = this.sale;
    const { eventId, type, reference, amount, paymentId, holds } = event;
    history.events.add(event);
    if (type === 'payment.failed') history.mayEnd(holds);
    const answer = await client.deliver(
      {
        event_id: eventId,
        type,
        timestamp: new Date().toISOString(),
        data: { reference, amount_minor: amount.amountMinor, currency: amount.currency, payment_id: paymentId },
      },
      { step: 'pay', intendedMs: this.takeDue() },
    );
    event.acknowledged = true;
    if (answer.duplicate) tally.replays += 1;
    else tally.outcomes.add(answer.outcome);
    if (type === 'payment.succeeded' && answer.outcome === 'APPLIED') history.sold(holds);
    return answer;
  }

  /** The contract does not allow this refusal here, so a promise is broken. */
  private expectRefusal(mutation: string, answer: Answer<unknown>, allowed: readonly string[]): void {
    if (!answer.granted && !answer.codes.every((code) => allowed.includes(code))) {
      throw new WrongAnswer(`${mutation} was refused: ${answer.codes.join()}`);
    }
  }

  private change<T>(query: string, input: object, step: Step, intendedMs = this.takeDue()): Promise<Answer<T>> {
    return this.sale.client.mutate<T>(query, input, { step, intendedMs, token: this.token });
  }

  private async think(about: keyof typeof thinkMs): Promise<void> {
    const meanMs = thinkMs[about] * Math.min(1, this.sale.plan.durationSeconds / unhurriedSeconds);
    const pauseMs = Math.min(this.random.exponential(meanMs), longestThink * meanMs);
    this.dueMs = this.sale.tally.nowMs() + pauseMs;
    await sleep(pauseMs);
  }

  /** The moment from which the shopper waits. A late timer of this busy process counts as waiting. */
  private takeDue(): number {
    const dueMs = this.dueMs ?? this.sale.tally.nowMs();
    this.dueMs = null;
    return dueMs;
  }

  /** Anonymous keys must be unguessable in production; here they only have to be new. */
  private newKey(): string {
    return `${this.id}-${++this.keys}`;
  }
}

interface More {
  /** Of an earlier payment; if omitted, it is a payment of its own. */
  readonly paymentId?: string;
  readonly tooLittleMinor?: number;
}

function totalOf(holds: readonly KnownHold[]): Money {
  const amountMinor = holds.reduce((sum, hold) => sum + hold.total.amountMinor, 0);
  return { amountMinor, currency: holds[0]!.total.currency };
}
