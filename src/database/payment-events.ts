/** Statements on `payment_events`. Each that locks or writes names its shard, the event's id. */
import type { EntityManager } from '@mikro-orm/postgresql';
import type { JudgedEvent, PaymentEvent } from '../domain/records';
import { isDistributed } from '../postgres/citus';
import { Columns, type Row } from './columns';
import { PaymentEventRow } from './entities';
import { run, sql, time } from '../postgres/statement';

/** Event ids are unique per provider only. */
export type EventKey = Pick<PaymentEvent, 'provider' | 'eventId'>;

/** As one text. A provider's name has no space. */
export const keyOf = ({ provider, eventId }: EventKey) => `${provider} ${eventId}`;

/**
 * Inserts new events with the database's time; APPLIED and IGNORED ones are settled at once. A concurrent copy waits here
 * until the first transaction has ended. Returns the events that were new. In ascending id, so that two transactions with the
 * same events cannot deadlock.
 */
export async function insertEvents(
  em: EntityManager,
  events: readonly Omit<PaymentEvent, 'receivedAt' | 'settledAt'>[],
): Promise<PaymentEvent[]> {
  const column = <T>(valueOf: (event: (typeof events)[number]) => T) => events.map(valueOf);
  const rows = await run<{ provider: string; event_id: string; received_at: string }>(
    em,
    sql`/* insertEvents */
      INSERT INTO payment_events (provider, event_id, type, reference, amount_minor, currency, payment_id, payload, outcome,
        order_id, received_at, settled_at)
      SELECT e.provider, e.event_id, e.type, e.reference, e.amount_minor, e.currency, e.payment_id, e.payload, e.outcome,
        e.order_id, c.at, CASE WHEN e.outcome IN ('APPLIED', 'IGNORED') THEN c.at END
      FROM (SELECT date_trunc('milliseconds', statement_timestamp()) AS at) c,
        unnest(${column((e) => e.provider)}::text[], ${column((e) => e.eventId)}::text[], ${column((e) => e.type)}::text[],
          ${column((e) => e.reference)}::text[], ${column((e) => e.amountMinor)}::bigint[],
          ${column((e) => e.currency)}::text[], ${column((e) => e.paymentId)}::text[],
          ${column((e) => JSON.stringify(e.payload))}::jsonb[], ${column((e) => e.outcome)}::text[],
          ${column((e) => e.orderId)}::uuid[])
        AS e (provider, event_id, type, reference, amount_minor, currency, payment_id, payload, outcome, order_id)
      ORDER BY e.event_id, e.provider
      ON CONFLICT (provider, event_id) DO NOTHING
      RETURNING provider, event_id, received_at`,
  );
  const byKey = new Map(events.map((event) => [keyOf(event), event]));
  return rows.map((row) => {
    const event = byKey.get(keyOf({ provider: row.provider, eventId: row.event_id }))!;
    const receivedAt = time(row.received_at);
    return { ...event, receivedAt, settledAt: isSettledAs(event.outcome) ? receivedAt : null };
  });
}

const isSettledAs = (outcome: PaymentEvent['outcome']) => outcome === 'APPLIED' || outcome === 'IGNORED';

/** Inserts one event; its key names the shard. null: it is known already. */
export async function insertEvent(
  em: EntityManager,
  event: Omit<PaymentEvent, 'receivedAt'>,
): Promise<PaymentEvent | null> {
  const { provider, eventId, type, reference, amountMinor, currency, paymentId, payload, outcome, orderId } = event;
  const [row] = await run<{ received_at: string }>(
    em,
    sql`/* insertEvent */
      INSERT INTO payment_events (provider, event_id, type, reference, amount_minor, currency, payment_id, payload, outcome,
        order_id, received_at, settled_at)
      VALUES (${provider}, ${eventId}, ${type}, ${reference}, ${amountMinor}, ${currency}, ${paymentId},
        ${JSON.stringify(payload)}::jsonb, ${outcome}, ${orderId}, date_trunc('milliseconds', statement_timestamp()),
        CASE WHEN ${isSettledAs(outcome)} THEN date_trunc('milliseconds', statement_timestamp()) END)
      ON CONFLICT (provider, event_id) DO NOTHING
      RETURNING received_at`,
  );
  if (!row) return null;
  const receivedAt = time(row.received_at);
  return { ...event, receivedAt, settledAt: isSettledAs(outcome) ? receivedAt : null };
}

export async function findEvents(em: EntityManager, keys: readonly EventKey[]): Promise<PaymentEvent[]> {
  const known = await run<{ provider: string; event_id: string }>(
    em,
    sql`/* known events */
      SELECT provider, event_id FROM payment_events
      WHERE event_id = ANY (${keys.map((key) => key.eventId)}::text[])
        AND provider = ANY (${[...new Set(keys.map((key) => key.provider))]}::text[])`,
  );
  // Nearly all events are new, so a second query for the known ones is rare.
  if (known.length === 0) return [];
  const some = known.map(({ provider, event_id: eventId }) => ({ provider, eventId }));
  return em.find(PaymentEventRow, { $or: some }, { disableIdentityMap: true });
}

/** The orders for which an event is parked, under their own id or that of one of their holds. */
export async function findReferencesOfParked(
  em: EntityManager,
  orderIds: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await run<{ order_id: string }>(
    em,
    sql`/* parked for orders */
      SELECT o.order_id
      FROM (SELECT unnest(${orderIds}::uuid[]) AS order_id) o
      WHERE EXISTS (SELECT FROM payment_events e WHERE e.outcome = 'PARKED' AND e.reference = o.order_id::text)
        OR EXISTS (SELECT FROM order_lines l JOIN payment_events e ON e.reference = l.hold_id::text
          WHERE l.order_id = o.order_id AND e.outcome = 'PARKED')`,
  );
  return new Set(rows.map((row) => row.order_id));
}

export async function findEvent(em: EntityManager, { provider, eventId }: EventKey): Promise<PaymentEvent | null> {
  return em.findOne(PaymentEventRow, { provider, eventId }, { disableIdentityMap: true });
}

/** The ids of these orders and holds that a parked event refers to. */
export async function findParkedReferences(
  em: EntityManager,
  references: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await run<{ reference: string }>(
    em,
    sql`/* parked references */ SELECT reference FROM payment_events
      WHERE outcome = 'PARKED' AND reference = ANY (${references}::text[])`,
  );
  return new Set(rows.map((row) => row.reference));
}

/** Events judged in one transaction at most; the sweep continues with the rest. */
export const MAX_JUDGED_AT_ONCE = 1_000;

/** All but the payload, which may be large, and which decides nothing. */
export const eventColumns = new Columns<JudgedEvent>(PaymentEventRow, ['payload']);

/** Parked events that refer to these orders or holds, in the order of arrival, at most 1,000, not locked. */
export async function findParked(em: EntityManager, references: readonly string[]): Promise<EventKey[]> {
  const rows = await run<{ provider: string; event_id: string }>(
    em,
    sql`/* find parked */ SELECT provider, event_id FROM payment_events
      WHERE outcome = 'PARKED' AND reference = ANY (${references}::text[])
      ORDER BY received_at, event_id LIMIT ${MAX_JUDGED_AT_ONCE}`,
  );
  return rows.map(({ provider, event_id: eventId }) => ({ provider, eventId }));
}

/**
 * Locks events in ascending id, and answers those that are still open (PARKED or AMOUNT_MISMATCH), in the order of their
 * arrival. One statement; on Citus, where each may be on another worker, one each.
 */
export async function lockOpen(em: EntityManager, events: readonly EventKey[]): Promise<JudgedEvent[]> {
  if (events.length === 0) return [];
  const own = new Set(events.map(keyOf));
  const locked: JudgedEvent[] = [];
  for (const some of isDistributed(em) ? ascending(events).map((event) => [event]) : [events]) {
    const rows = await run<Row>(em, {
      text: `/* lock events */ SELECT ${eventColumns.of('payment_events').text} FROM payment_events
        WHERE event_id = ANY (?::text[]) AND provider = ANY (?::text[])
        ORDER BY event_id, provider FOR UPDATE`,
      values: [some.map((event) => event.eventId), [...new Set(some.map((event) => event.provider))]],
    });
    locked.push(...rows.map((row) => eventColumns.read(row)));
  }
  // Two providers may have given the same id.
  return locked
    .filter((event) => own.has(keyOf(event)) && (event.outcome === 'PARKED' || event.outcome === 'AMOUNT_MISMATCH'))
    .sort(byArrival);
}

/** Locks parked events as `lockOpen` does, and answers those that are still parked. */
export async function lockParked(em: EntityManager, events: readonly EventKey[]): Promise<JudgedEvent[]> {
  return (await lockOpen(em, events)).filter((event) => event.outcome === 'PARKED');
}

function ascending(events: readonly EventKey[]): EventKey[] {
  return [...events].sort((a, b) =>
    a.eventId < b.eventId || (a.eventId === b.eventId && a.provider < b.provider) ? -1 : 1,
  );
}

/** The successes of an order that are APPLIED or REFUND_DUE. */
export async function findPaymentsOf(em: EntityManager, orderId: string): Promise<JudgedEvent[]> {
  const rows = await run<Row>(em, {
    text: `/* payments of an order */ SELECT ${eventColumns.of('payment_events').text} FROM payment_events
      WHERE order_id = ? AND type = 'payment.succeeded' AND outcome IN ('APPLIED', 'REFUND_DUE')`,
    values: [orderId],
  });
  return rows.map((row) => eventColumns.read(row));
}

/** Writes how events were judged. One statement; on Citus one each. The caller has locked them, or inserted them. */
export async function updateEvents(em: EntityManager, events: readonly JudgedEvent[]): Promise<void> {
  if (events.length === 0) return;
  if (isDistributed(em)) {
    for (const { provider, eventId, outcome, orderId, settledAt } of events) {
      await em.nativeUpdate(PaymentEventRow, { provider, eventId }, { outcome, orderId, settledAt });
    }
    return;
  }
  const column = <T>(valueOf: (event: JudgedEvent) => T) => events.map(valueOf);
  const ids = column((event) => event.eventId);
  // By ids in addition to the join: see holds.ts.
  await run(
    em,
    sql`/* updateEvents */
      UPDATE payment_events SET outcome = e.outcome, order_id = e.order_id, settled_at = e.settled_at
      FROM unnest(${column((event) => event.provider)}::text[], ${ids}::text[],
        ${column((event) => event.outcome)}::text[], ${column((event) => event.orderId)}::uuid[],
        ${column((event) => event.settledAt)}::timestamptz[]) AS e (provider, event_id, outcome, order_id, settled_at)
      WHERE payment_events.provider = e.provider AND payment_events.event_id = e.event_id
        AND payment_events.event_id = ANY (${ids}::text[])`,
  );
}

export function byArrival(a: JudgedEvent, b: JudgedEvent): number {
  return a.receivedAt.getTime() - b.receivedAt.getTime() || (a.eventId < b.eventId ? -1 : 1);
}

/** Parked events, with their reference as a UUID where it is one. */
const PARKED = `SELECT *,
    CASE WHEN reference ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN reference::uuid END AS id
  FROM payment_events WHERE outcome = 'PARKED'`;

/** Where the query below reads its rows on one server. */
const IN_TABLES = { first: '', events: `(${PARKED})`, holds: 'holds', orders: 'orders', successes: 'payment_events' };

/**
 * On Citus tables on different workers cannot be joined, so each is read by what the one before found. (On one server joins of
 * such results would have no index.)
 */
const TABLE_BY_TABLE: typeof IN_TABLES = {
  first: `WITH
    parked AS MATERIALIZED (${PARKED}),
    spoken_of AS MATERIALIZED (
      SELECT id, order_id, status, expires_at FROM holds WHERE id IN (SELECT id FROM parked)),
    ordered AS MATERIALIZED (
      SELECT id, status, payment_id FROM orders
      WHERE id IN (SELECT id FROM parked UNION ALL SELECT order_id FROM spoken_of)),
    paid AS MATERIALIZED (
      SELECT order_id, provider, payment_id, type FROM payment_events
      WHERE type = 'payment.succeeded' AND order_id IN (SELECT id FROM ordered))`,
  events: 'parked',
  holds: 'spoken_of',
  orders: 'ordered',
  successes: 'paid',
};

/**
 * A page of parked events that would no longer be parked if they were judged now: their order exists, or their hold has
 * ended. A refund counts only when its success has been applied; else it would come up again at every sweep.
 */
export async function findRipe(em: EntityManager, after: EventKey | null, limit: number): Promise<JudgedEvent[]> {
  const { first, events, holds, orders, successes } = isDistributed(em) ? TABLE_BY_TABLE : IN_TABLES;
  const rows = await run<Row>(em, {
    text: `/* sweep: parked events */ ${first}
      SELECT ${eventColumns.of('e').text}
      FROM ${events} e LEFT JOIN ${holds} h ON h.id = e.id LEFT JOIN ${orders} o ON o.id = coalesce(h.order_id, e.id)
      WHERE (e.provider, e.event_id) > (?, ?)
        AND CASE WHEN e.type = 'payment.refunded' THEN
          o.status IN ('PAID', 'REFUND_DUE', 'REFUNDED') AND (
            e.payment_id IS NULL OR o.payment_id IS NULL OR e.payment_id = o.payment_id
            OR EXISTS (SELECT FROM ${successes} s WHERE s.order_id = o.id AND s.payment_id = e.payment_id
              AND s.provider = e.provider AND s.type = 'payment.succeeded'))
          ELSE o.id IS NOT NULL OR (h.id IS NOT NULL AND (h.status <> 'ACTIVE' OR h.expires_at <= statement_timestamp()))
        END
      ORDER BY e.provider, e.event_id LIMIT ?`,
    values: [after?.provider ?? '', after?.eventId ?? '', limit],
  });
  return rows.map((row) => eventColumns.read(row));
}
