/** One hold's or order's rows, to be told as a timeline: whatever its id names, in one statement. */
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Order } from '../domain/records';
import type { Story, TimelineEvent } from '../domain/timeline';
import { holdFrom, type StoredHold } from './holds';
import { isId } from './ids';
import { run, sql, time, timeOrNull } from './statement';

/** The latest are read; a provider sends a handful for one order. */
const MAX_EVENTS = 200;

/** Rows as PostgreSQL puts them into JSON. */
interface StoredOrder {
  id: string;
  customer_id: string;
  status: Order['status'];
  total_minor: number;
  currency: string;
  idempotency_key: string | null;
  placed_by: Order['placedBy'];
  payment_due_at: string;
  created_at: string;
  paid_at: string | null;
  cancelled_at: string | null;
  cancelled_by: Order['cancelledBy'];
  payment_provider: string | null;
  payment_event_id: string | null;
  payment_id: string | null;
}
interface StoredEvent {
  provider: string;
  event_id: string;
  type: string;
  reference: string;
  amount_minor: number | null;
  currency: string | null;
  payment_id: string | null;
  outcome: TimelineEvent['outcome'];
  order_id: string | null;
  received_at: string;
  settled_at: string | null;
}

/**
 * What is stored of a hold or an order: its holds, its order, and the payment events that speak of either, at most the latest
 * 200. Of a reference that nobody knows, the events that wait under it. null: nothing at all. One snapshot.
 *
 * Events are found by their order, among those that are open, and since the first hold was granted: each has an index, which
 * one OR of the three would not use. (That the last range ends at all makes PostgreSQL expect it to be short.)
 */
export async function readStory(em: EntityManager, reference: string): Promise<Story | null> {
  const id = isId(reference) ? reference.toLowerCase() : null;
  const [row] = await run<{ at: string; story: StoredOrder | null; holds: StoredHold[]; events: StoredEvent[] }>(
    em,
    sql`/* timeline */
      WITH named AS (
        SELECT coalesce((SELECT id FROM orders WHERE id = ${id}::uuid), (SELECT order_id FROM holds WHERE id = ${id}::uuid))
          AS order_id),
      parts AS (
        SELECT h.* FROM holds h
        WHERE h.id = ANY (ARRAY(SELECT l.hold_id FROM order_lines l, named n WHERE l.order_id = n.order_id) || ${id}::uuid)),
      spoken AS (
        SELECT array_agg(reference) AS names FROM (
          SELECT ${reference}::text AS reference UNION SELECT id::text FROM parts UNION SELECT order_id::text FROM named) r),
      told AS (
        SELECT e.provider, e.event_id, e.type, e.reference, e.amount_minor, e.currency, e.payment_id, e.outcome, e.order_id,
          e.received_at, e.settled_at
        FROM payment_events e
          JOIN (
            SELECT provider, event_id FROM payment_events WHERE order_id = (SELECT order_id FROM named)
            UNION
            SELECT provider, event_id FROM payment_events
            WHERE settled_at IS NULL AND reference = ANY ((SELECT names FROM spoken)::text[])
            UNION
            SELECT provider, event_id FROM payment_events
            WHERE received_at BETWEEN (SELECT min(created_at) FROM parts) AND statement_timestamp()
              AND reference = ANY ((SELECT names FROM spoken)::text[])) own
            ON own.provider = e.provider AND own.event_id = e.event_id
        ORDER BY e.received_at DESC LIMIT ${MAX_EVENTS})
      SELECT date_trunc('milliseconds', statement_timestamp()) AS at,
        (SELECT to_json(o) FROM orders o WHERE o.id = (SELECT order_id FROM named)) AS story,
        (SELECT coalesce(json_agg(p ORDER BY p.created_at, p.id), '[]') FROM parts p) AS holds,
        (SELECT coalesce(json_agg(t ORDER BY t.received_at, t.event_id), '[]') FROM told t) AS events`,
  );
  const { at, story, holds, events } = row!;
  if (!story && holds.length === 0 && events.length === 0) return null;
  return {
    at: time(at),
    order: story && orderFrom(story),
    holds: holds.map(holdFrom),
    events: events.map(eventFrom),
  };
}

function orderFrom(row: StoredOrder): Order {
  return {
    id: row.id,
    customerId: row.customer_id,
    status: row.status,
    totalMinor: row.total_minor,
    currency: row.currency,
    idempotencyKey: row.idempotency_key,
    placedBy: row.placed_by,
    paymentDueAt: time(row.payment_due_at),
    createdAt: time(row.created_at),
    paidAt: timeOrNull(row.paid_at),
    cancelledAt: timeOrNull(row.cancelled_at),
    cancelledBy: row.cancelled_by,
    paymentProvider: row.payment_provider,
    paymentEventId: row.payment_event_id,
    paymentId: row.payment_id,
  };
}

function eventFrom(row: StoredEvent): TimelineEvent {
  return {
    provider: row.provider,
    eventId: row.event_id,
    type: row.type,
    reference: row.reference,
    amountMinor: row.amount_minor,
    currency: row.currency,
    paymentId: row.payment_id,
    outcome: row.outcome,
    orderId: row.order_id,
    receivedAt: time(row.received_at),
    settledAt: timeOrNull(row.settled_at),
  };
}
