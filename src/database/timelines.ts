/** The history of a hold, an order or a payment event's reference, in one statement. */
import type { EntityManager } from '@mikro-orm/postgresql';
import type { History } from '../domain/timeline';
import type { Row } from './columns';
import { holdColumns } from './holds';
import { isId } from './ids';
import { orderColumns } from './orders';
import { eventColumns } from './payment-events';
import { run, sql, time } from '../postgres/statement';

/** The latest are read; a provider sends a handful for one order. */
const MAX_EVENTS = 200;

/**
 * What is stored of a hold or an order: its holds, its order, and the payment events that speak of either, at most the latest
 * 200. For an unknown reference, the events parked under it. null: there is nothing. One snapshot.
 *
 * Table by table, each by what the one before found: so no two are joined that Citus has on different workers. Events are
 * found by their order, among those that are open, and since the first hold was granted: each has an index, which one OR of
 * the three would not use. (That the last range ends at all makes PostgreSQL expect it to be short.)
 * It is wider by two hours at both ends: clocks are set back.
 */
export async function readHistory(em: EntityManager, reference: string): Promise<History | null> {
  const id = isId(reference) ? reference.toLowerCase() : null;
  const [row] = await run<{ at: string; found_order: Row | null; holds: Row[]; events: Row[] }>(
    em,
    sql`/* timeline */
      WITH own AS MATERIALIZED (SELECT order_id FROM holds WHERE id = ${id}::uuid),
        found_order AS MATERIALIZED (SELECT * FROM orders WHERE id IN (SELECT order_id FROM own UNION ALL SELECT ${id}::uuid)),
        lines AS MATERIALIZED (SELECT hold_id FROM order_lines WHERE order_id IN (SELECT id FROM found_order)),
        parts AS MATERIALIZED (
          SELECT * FROM holds WHERE id IN (SELECT hold_id FROM lines UNION ALL SELECT ${id}::uuid)),
        names AS MATERIALIZED (
          SELECT ${reference}::text AS name UNION SELECT id::text FROM parts UNION SELECT id::text FROM found_order),
        of_order AS MATERIALIZED (
          SELECT provider, event_id FROM payment_events WHERE order_id IN (SELECT id FROM found_order)),
        open AS MATERIALIZED (
          SELECT provider, event_id FROM payment_events
          WHERE settled_at IS NULL AND reference IN (SELECT name FROM names)),
        since AS MATERIALIZED (
          SELECT provider, event_id FROM payment_events
          WHERE received_at BETWEEN (SELECT min(created_at) FROM parts) - interval '2 hours'
              AND statement_timestamp() + interval '2 hours'
            AND reference IN (SELECT name FROM names)),
        latest AS MATERIALIZED (
          SELECT ${eventColumns.of('payment_events')} FROM payment_events
          WHERE (provider, event_id) IN (SELECT * FROM of_order UNION SELECT * FROM open UNION SELECT * FROM since)
          ORDER BY received_at DESC LIMIT ${MAX_EVENTS})
      SELECT date_trunc('milliseconds', statement_timestamp()) AS at,
        (SELECT to_json(s) FROM found_order s) AS found_order,
        (SELECT coalesce(json_agg(p ORDER BY p.created_at, p.id), '[]') FROM parts p) AS holds,
        (SELECT coalesce(json_agg(t ORDER BY t.received_at, t.event_id), '[]') FROM latest t) AS events`,
  );
  const { at, found_order: order, holds, events } = row!;
  if (!order && holds.length === 0 && events.length === 0) return null;
  return {
    at: time(at),
    order: order && orderColumns.read(order),
    holds: holds.map((row) => holdColumns.read(row)),
    events: events.map((row) => eventColumns.read(row)),
  };
}
