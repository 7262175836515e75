/** recordPaymentEvent: stores a provider's event once, and applies it in the same transaction. */
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
import { Batcher, type Concurrency } from './batcher';
import type { Dependencies } from './dependencies';
import { logSettled } from './outcomes';
import { NO_ORDER, type Settled, type SettlementPlan } from './order-settlement';
import { settleEvents } from './settle-payment';

export type Recorded =
  | { readonly kind: 'recorded' | 'duplicate'; readonly event: PaymentEvent }
  /** The id is known with another content: nothing was changed. */
  | { readonly kind: 'conflict' };

export type RecordPaymentEvent = (deps: Dependencies, provider: string, message: PaymentMessage) => Promise<Recorded>;

type Received = Omit<PaymentEvent, 'receivedAt' | 'outcome' | 'orderId' | 'settledAt'>;

/** What is found without a lock: the event itself, or the order that it names, or neither. */
interface Lookup {
  readonly earlier: PaymentEvent | null;
  readonly order: Order | null;
}

/** Batches share no lock: while one is committed, the next can be written. */
const TWO_AT_A_TIME: Concurrency = { batches: 2 };

/** See `isOnFastPath`. */
interface FastEvent {
  readonly event: Received;
  readonly order: Order;
}

/**
 * Stores an event and applies it. Its row and its effect commit together: when this answers, both are durable. A copy of the
 * event, even a simultaneous one, is a duplicate without effect, answered with the event's current outcome. Throws `Busy` and
 * `Unavailable`; then the provider sends the event again.
 *
 * The fast path is a success for an unpaid order with the right amount and nothing parked for it: it moves no units, so such
 * events share transactions. Every other event has a separate transaction.
 * Locks: the event's own new row → order (its id, when there is none yet) → stock (if units move) → holds → parked events.
 */
export function recordPaymentEvents(shared: Dependencies): RecordPaymentEvent {
  const lookups = new Batcher<Received, Lookup>((events) => lookUp(shared, events), {
    ...TWO_AT_A_TIME,
    spanName: 'batch.read',
  });
  const commits = new Batcher<FastEvent, PaymentEvent | null>(
    (events) => recordTogether(shared, events),
    TWO_AT_A_TIME,
  );
  return async (deps, provider, message) => {
    const { eventId, type, amountMinor, currency, paymentId, payload } = message;
    const reference = canonical(message.reference);
    const event: Received = { provider, eventId, type, reference, amountMinor, currency, paymentId, payload };
    deps.log.info({ event: 'payment.received', provider, eventId, type, reference }, 'payment.received');
    const { earlier, order } = await lookups.submit(event);
    if (earlier) return compare(deps, event, earlier);
    // On Citus events are on different workers, and a shared transaction would only make them wait for each other.
    if (order && !deps.database.isDistributed && isOnFastPath(event, order)) {
      const recorded = await commits.submit({ event, order });
      if (recorded) {
        logSettled(deps, { order, statusesReached: ['PAID'], events: [recorded] });
        return { kind: 'recorded', event: recorded };
      }
    }
    return recordAlone(deps, event);
  };
}

export function labelOfRecorded(recorded: Recorded): string {
  return recorded.kind === 'recorded' ? recorded.event.outcome : recorded.kind.toUpperCase();
}

/** Without a lock: an event's row is never deleted and its content never changes; an order is read again under its lock. */
async function lookUp({ database }: Dependencies, events: readonly Received[]): Promise<readonly Lookup[]> {
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

function isOnFastPath(event: Received, order: Order): boolean {
  if (event.type !== 'payment.succeeded' || order.status !== 'PENDING_PAYMENT') return false;
  return judgePayment(event, { kind: 'order', order, payments: [] }).move === 'pay';
}

/** Events that have left the fast path, as their locks showed: the batch is rolled back and runs again without them. */
class OffFastPath extends Error {
  override readonly name = 'OffFastPath';
  constructor(readonly events: ReadonlySet<FastEvent>) {
    super('some events have left the fast path');
  }
}

/** null for each event that has to be recorded alone. A bad event, or one that waits for a lock, does not delay the others. */
async function recordTogether(deps: Dependencies, events: readonly FastEvent[]): Promise<(PaymentEvent | null)[]> {
  // A second event for the same order must see what the first one did, and a copy of an event is a duplicate of it.
  const taken = new Set<string>();
  let together = events.filter(({ event, order }) => {
    const names = [`order ${order.id}`, `event ${keyOf(event)}`];
    if (names.some((name) => taken.has(name))) return false;
    names.forEach((name) => taken.add(name));
    return true;
  });
  while (together.length > 0) {
    try {
      const recorded = await commitTogether(deps, together);
      return events.map((fast) => recorded.get(fast) ?? null);
    } catch (error) {
      if (error instanceof Busy && events.length > 1) break;
      if (!(error instanceof OffFastPath)) throw error;
      together = together.filter((fast) => !error.events.has(fast));
    }
  }
  return events.map(() => null);
}

async function commitTogether(deps: Dependencies, events: readonly FastEvent[]): Promise<Map<FastEvent, PaymentEvent>> {
  return deps.database.inTransaction('recordPaymentEvents', async ({ em, rollBack }) => {
    const ids = events.map(({ order }) => order.id);
    const [inserted, orders, parked, at] = await Promise.all([
      insertEvents(
        em,
        events.map(({ event, order }) => ({ ...event, outcome: 'APPLIED' as const, orderId: order.id })),
      ),
      lockFreeOrders(em, ids),
      findReferencesOfParked(em, ids),
      readClock(em),
    ]);
    const insertedOf = new Map(inserted.map((event) => [keyOf(event), event]));
    const fresh = events.filter(({ event }) => insertedOf.has(keyOf(event)));
    if (fresh.length === 0) {
      rollBack();
      return new Map<FastEvent, PaymentEvent>();
    }
    const locked = new Map(orders.map((order) => [order.id, order]));
    const others = fresh.filter(({ event, order }) => {
      const now = locked.get(order.id);
      return !now || parked.has(order.id) || !isOnFastPath(event, now);
    });
    if (others.length > 0) throw new OffFastPath(new Set(others));
    await markPaid(
      em,
      fresh.map(({ event, order }) => ({ orderId: order.id, ...event })),
      at,
    );
    return new Map(fresh.map((fast) => [fast, insertedOf.get(keyOf(fast.event))!]));
  });
}

async function recordAlone(deps: Dependencies, event: Received): Promise<Recorded> {
  const plan: SettlementPlan = { movesUnits: false, newOrderId: newId() };
  const isKnownType = isPaymentType(event.type);
  const result = await deps.database.inTransaction('recordPaymentEvent', async ({ em, rollBack }) => {
    const outcome = isKnownType ? 'PARKED' : 'IGNORED';
    const inserted = await insertEvent(em, { ...event, outcome, orderId: null, settledAt: null });
    if (!inserted) {
      rollBack();
      return { earlier: await findEvent(em, event) };
    }
    await failpoint('webhook-after-insert', event.eventId);
    return { inserted, settled: isKnownType ? await settleEvents(em, [inserted], true, plan) : null };
  });
  if ('earlier' in result) return result.earlier ? compare(deps, event, result.earlier) : { kind: 'conflict' };
  logSettled(deps, result.settled ?? { ...NO_ORDER, events: [result.inserted] });
  return { kind: 'recorded', event: judgedOf(result.inserted, result.settled) };
}

function compare({ log }: Dependencies, event: Received, earlier: PaymentEvent): Recorded {
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
