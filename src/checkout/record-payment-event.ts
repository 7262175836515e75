/** recordPaymentEvent: remembers what a provider reports, once, and applies it in the same transaction. */
import { failpoint } from '../postgres/failpoints';
import { isId, newId } from '../database/ids';
import { findOrders, lockFreeOrders, markPaid } from '../database/orders';
import {
  findEvent,
  findEvents,
  findReferencesOfParked,
  insertEvent,
  insertEvents,
  keyOf,
} from '../database/payment-events';
import { readClock } from '../database/clock';
import { Busy } from '../domain/errors';
import { isPaymentType, judgePayment } from '../domain/judge-payment';
import { repeats, type PaymentMessage } from '../domain/payment-message';
import type { Order, PaymentEvent } from '../domain/records';
import { inRequest, type Checkout } from './checkout';
import { GroupCommit, MAX_BATCH, type Lanes } from './group-commit';
import { measured } from './measure';
import { logSettled } from './payment-log';
import { NO_ORDER, settleEvents, type Settled, type Settling } from './settle-payment';

export type Recorded =
  | { readonly kind: 'recorded' | 'duplicate'; readonly event: PaymentEvent }
  /** The same id came before with another content: nothing was changed. */
  | { readonly kind: 'conflict' };

/** The request's id is for the log. */
export type RecordPaymentEvent = (provider: string, message: PaymentMessage, requestId?: string) => Promise<Recorded>;

type Received = Omit<PaymentEvent, 'receivedAt' | 'outcome' | 'orderId' | 'settledAt'>;

/** What an unlocked look finds: the event itself, or the order that it names, or neither. */
interface Peeked {
  readonly earlier: PaymentEvent | null;
  readonly order: Order | null;
}

/** They wait for no common lock: while one batch is being committed, the next one can be written. */
const TWO_AT_A_TIME: Lanes = { lanes: 2, maxBatch: MAX_BATCH };

interface Plain {
  readonly event: Received;
  readonly order: Order;
}

/**
 * Remembers an event and applies it. Its row and its effect commit together: when this answers, both are durable, and a copy
 * of the event, even one that comes at the same moment, is a duplicate without effect that answers with the event's outcome
 * as it stands. Throws `Busy` and `Unavailable`; then the provider sends it again.
 *
 * Most events are plain: a success for an unpaid order, with the right amount and nothing parked for it. They move no units,
 * and share transactions. Every other has one of its own.
 * Locks: the event's own new row → order (its id, when there is none yet) → stock (if units move) → holds → parked events.
 */
export function recordPaymentEventOf(checkout: Checkout): RecordPaymentEvent {
  const peeks = new GroupCommit<Received, Peeked>((_, events) => peek(checkout, events), TWO_AT_A_TIME);
  const commits = new GroupCommit<Plain, PaymentEvent | null>(
    (_, plains) => recordTogether(checkout, plains),
    TWO_AT_A_TIME,
  );
  const recordPaymentEvent: RecordPaymentEvent = async (provider, message, requestId) => {
    const own = inRequest(checkout, requestId);
    const { eventId, type, amountMinor, currency, paymentId, payload } = message;
    const reference = canonical(message.reference);
    const event: Received = { provider, eventId, type, reference, amountMinor, currency, paymentId, payload };
    own.log.info({ event: 'payment.received', provider, eventId, type, reference }, 'payment.received');
    const { earlier, order } = await peeks.submit('', event);
    if (earlier) return compare(own, event, earlier);
    // Where each is on a worker of its own, sharing a transaction would only make them wait for each other.
    if (order && !checkout.database.isDistributed && isPlain(event, order)) {
      const recorded = await commits.submit('', { event, order });
      if (recorded) {
        logSettled(own, { order, cameTo: ['PAID'], events: [recorded] });
        return { kind: 'recorded', event: recorded };
      }
    }
    return recordAlone(own, event);
  };
  return measured(recordPaymentEvent, labelOfRecorded, (outcome) => checkout.metrics.paymentEvent(outcome));
}

function labelOfRecorded(recorded: Recorded): string {
  return recorded.kind === 'recorded' ? recorded.event.outcome : recorded.kind.toUpperCase();
}

/** A row once there never goes away, and what its event says never changes; an order is looked at again under its lock. */
async function peek({ database }: Checkout, events: readonly Received[]): Promise<readonly Peeked[]> {
  const references = events.map((event) => event.reference).filter(isId);
  const [earlier, orders] = await Promise.all([
    database.read((em) => findEvents(em, events)),
    database.read((em) => findOrders(em, [...new Set(references)])),
  ]);
  const earlierOf = new Map(earlier.map((event) => [keyOf(event), event]));
  const orderOf = new Map(orders.map((order) => [order.id, order]));
  return events.map((event) => ({
    earlier: earlierOf.get(keyOf(event)) ?? null,
    order: orderOf.get(event.reference) ?? null,
  }));
}

function isPlain(event: Received, order: Order): boolean {
  if (event.type !== 'payment.succeeded' || order.status !== 'PENDING_PAYMENT') return false;
  return judgePayment(event, { kind: 'order', order, payments: [] }).move === 'pay';
}

/** What turned out not to be plain, once locked: everything is rolled back, and done again without it. */
class NotPlain extends Error {
  override readonly name = 'NotPlain';
  constructor(readonly plains: ReadonlySet<Plain>) {
    super('some events are not plain');
  }
}

/** null for each event that has to be recorded alone. One bad neighbour, or one that waits for a lock, holds up nobody. */
async function recordTogether(checkout: Checkout, plains: readonly Plain[]): Promise<(PaymentEvent | null)[]> {
  // A second event for the same order must see what the first one did, and a copy of an event is a duplicate of it.
  const taken = new Set<string>();
  let together = plains.filter(({ event, order }) => {
    const names = [`order ${order.id}`, `event ${keyOf(event)}`];
    if (names.some((name) => taken.has(name))) return false;
    names.forEach((name) => taken.add(name));
    return true;
  });
  while (together.length > 0) {
    try {
      const recorded = await commitPlain(checkout, together);
      return plains.map((plain) => recorded.get(plain) ?? null);
    } catch (error) {
      if (error instanceof Busy && plains.length > 1) break;
      if (!(error instanceof NotPlain)) throw error;
      together = together.filter((plain) => !error.plains.has(plain));
    }
  }
  return plains.map(() => null);
}

async function commitPlain(checkout: Checkout, plains: readonly Plain[]): Promise<Map<Plain, PaymentEvent>> {
  return checkout.database.inTransaction('recordPaymentEvents', async ({ em, rollBack }) => {
    const ids = plains.map(({ order }) => order.id);
    const [inserted, orders, parked, at] = await Promise.all([
      insertEvents(
        em,
        plains.map(({ event, order }) => ({ ...event, outcome: 'APPLIED' as const, orderId: order.id })),
      ),
      lockFreeOrders(em, ids),
      findReferencesOfParked(em, ids),
      readClock(em),
    ]);
    const insertedOf = new Map(inserted.map((event) => [keyOf(event), event]));
    const fresh = plains.filter(({ event }) => insertedOf.has(keyOf(event)));
    if (fresh.length === 0) {
      rollBack();
      return new Map<Plain, PaymentEvent>();
    }
    const locked = new Map(orders.map((order) => [order.id, order]));
    const others = fresh.filter(({ event, order }) => {
      const now = locked.get(order.id);
      return !now || parked.has(order.id) || !isPlain(event, now);
    });
    if (others.length > 0) throw new NotPlain(new Set(others));
    await markPaid(
      em,
      fresh.map(({ event, order }) => ({ orderId: order.id, ...event })),
      at,
    );
    return new Map(fresh.map((plain) => [plain, insertedOf.get(keyOf(plain.event))!]));
  });
}

async function recordAlone(checkout: Checkout, event: Received): Promise<Recorded> {
  const settling: Settling = { movesUnits: false, newOrderId: newId() };
  const isKnownType = isPaymentType(event.type);
  const result = await checkout.database.inTransaction('recordPaymentEvent', async ({ em, rollBack }) => {
    const outcome = isKnownType ? 'PARKED' : 'IGNORED';
    const inserted = await insertEvent(em, { ...event, outcome, orderId: null, settledAt: null });
    if (!inserted) {
      rollBack();
      return { earlier: await findEvent(em, event) };
    }
    await failpoint('webhook-after-insert', event.eventId);
    return { inserted, settled: isKnownType ? await settleEvents(em, [inserted], true, settling) : null };
  });
  if ('earlier' in result) return result.earlier ? compare(checkout, event, result.earlier) : { kind: 'conflict' };
  logSettled(checkout, result.settled ?? { ...NO_ORDER, events: [result.inserted] });
  return { kind: 'recorded', event: judgedOf(result.inserted, result.settled) };
}

function compare({ log }: Checkout, event: Received, earlier: PaymentEvent): Recorded {
  if (!repeats(event, earlier)) return { kind: 'conflict' };
  const { provider, eventId, outcome } = earlier;
  log.info({ event: 'payment.duplicate', provider, eventId, outcome }, 'payment.duplicate');
  return { kind: 'duplicate', event: earlier };
}

/** The event as its transaction left it. */
function judgedOf(event: PaymentEvent, settled: Settled | null): PaymentEvent {
  return { ...event, ...settled?.events.find((other) => keyOf(other) === keyOf(event)) };
}

/** UUIDs are compared as text where parked events are looked up. */
function canonical(reference: string): string {
  return isId(reference) ? reference.toLowerCase() : reference;
}
