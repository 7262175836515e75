/** Time passes for rows, not for tests: what is to be over is moved into the past in SQL, whole, so that it stays plausible. */
import type { Sql } from './database';

/** Holds whose time is up, and whose bookkeeping nobody has done. Later ones of the call are overdue for less long. */
export async function expire(sql: Sql, ...holdIds: readonly string[]): Promise<void> {
  await sql(
    `WITH due AS MATERIALIZED (
       SELECT id, now() - interval '1 minute' + n * interval '1 millisecond' AS at
       FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n))
     UPDATE holds SET created_at = created_at - (expires_at - due.at), expires_at = due.at FROM due
     WHERE holds.id = due.id AND status = 'ACTIVE'`,
    [holdIds],
  );
}

/** An order whose payment window has passed. Its holds were consumed as much earlier. */
export async function makeOrderOverdue(sql: Sql, orderId: string): Promise<void> {
  await sql(
    `WITH t AS MATERIALIZED (SELECT now() - interval '1 second' AS at)
     UPDATE orders SET created_at = created_at - (payment_due_at - at), payment_due_at = at FROM t WHERE id = $1`,
    [orderId],
  );
}

/** A hold that ends in this many milliseconds of the database's time. */
export async function expireIn(sql: Sql, holdId: string, ms: number): Promise<void> {
  await sql(
    `WITH t AS MATERIALIZED (SELECT clock_timestamp() + $2 * interval '1 millisecond' AS at)
     UPDATE holds SET created_at = created_at - (expires_at - at), expires_at = at FROM t WHERE id = $1`,
    [holdId, ms],
  );
}

/** A hold that ends at this very moment of the database's clock, which has passed when this returns. */
export async function expireNow(sql: Sql, holdId: string): Promise<void> {
  await expireIn(sql, holdId, 0);
  await untilPast(sql, `(SELECT expires_at FROM holds WHERE id = '${holdId}')`);
}

/** A sale that ends at this very moment, which has passed when this returns. */
export async function endSaleNow(sql: Sql, productId: string): Promise<void> {
  await sql('UPDATE products SET sale_ends_at = clock_timestamp() WHERE id = $1', [productId]);
  await untilPast(sql, `(SELECT sale_ends_at FROM products WHERE id = '${productId}')`);
}

/** Stored times have whole milliseconds, so two of them decide nothing. */
async function untilPast(sql: Sql, time: string): Promise<void> {
  const isPast = `SELECT clock_timestamp() > ${time} + interval '2 milliseconds' AS yes`;
  for (let tries = 0; tries < 1_000; tries += 1) if ((await sql<{ yes: boolean }>(isPast))[0]!.yes) return;
  throw new Error(`${time} does not pass`);
}

/** A payment event that arrived so many seconds ago. */
export async function receivedAgo(sql: Sql, eventId: string, seconds: number): Promise<void> {
  await sql(
    `WITH t AS MATERIALIZED (SELECT now() AS at)
     UPDATE payment_events SET received_at = at - $2 * interval '1 second',
       settled_at = CASE WHEN settled_at IS NOT NULL THEN at END FROM t WHERE event_id = $1`,
    [eventId, seconds],
  );
}

export async function databaseTime(sql: Sql): Promise<Date> {
  const [row] = await sql<{ at: Date }>('SELECT clock_timestamp() AS at');
  return row!.at;
}
