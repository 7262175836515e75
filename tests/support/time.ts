/** Time passes for rows, not for tests: what is to be over is moved into the past in SQL, whole, so that it stays plausible. */
import type { Sql } from './database';

/** Holds whose time is up, and whose bookkeeping nobody has done. Later ones of the call are overdue for less long. */
export async function expire(sql: Sql, ...holdIds: readonly string[]): Promise<void> {
  await expireEachIn(sql, holdIds, (n) => n + 1 - 60_000);
}

/** Values are worked out here: Citus takes no sum of a column and an interval in an UPDATE. */
async function moveHolds(sql: Sql, holds: readonly { readonly id: string; readonly expiresAt: Date }[]): Promise<void> {
  const ids = holds.map((hold) => hold.id);
  const rows = await sql<{ id: string; created_at: Date; expires_at: Date }>(
    `SELECT id, created_at, expires_at FROM holds WHERE id = ANY ($1::uuid[]) AND status = 'ACTIVE'`,
    [ids],
  );
  const moved = rows.map((row) => {
    const { expiresAt } = holds[ids.indexOf(row.id)]!;
    return { id: row.id, expiresAt, createdAt: earlier(row.created_at, row.expires_at, expiresAt) };
  });
  await sql(
    `UPDATE holds SET created_at = due.created_at, expires_at = due.expires_at
     FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS due (id, created_at, expires_at)
     WHERE holds.id = due.id AND status = 'ACTIVE'`,
    [moved.map((hold) => hold.id), moved.map((hold) => hold.createdAt), moved.map((hold) => hold.expiresAt)],
  );
}

/** As long before, as the end is moved. */
const earlier = (beginning: Date, end: Date, newEnd: Date) =>
  new Date(beginning.getTime() - (end.getTime() - newEnd.getTime()));

/** An order whose payment window has passed. Its holds were consumed as much earlier. */
export async function makeOrderOverdue(sql: Sql, orderId: string): Promise<void> {
  const [order] = await sql<{ created_at: Date; payment_due_at: Date; due: Date }>(
    `SELECT created_at, payment_due_at, now() - interval '1 second' AS due FROM orders WHERE id = $1`,
    [orderId],
  );
  const { created_at, payment_due_at, due } = order!;
  await sql('UPDATE orders SET created_at = $2, payment_due_at = $3 WHERE id = $1', [
    orderId,
    earlier(created_at, payment_due_at, due),
    due,
  ]);
}

/** A hold that ends in this many milliseconds of the database's time. */
export function expireIn(sql: Sql, holdId: string, ms: number): Promise<void> {
  return expireEachIn(sql, [holdId], () => ms);
}

/** Holds of which the n-th ends in so many milliseconds of the database's time. */
export async function expireEachIn(sql: Sql, holdIds: readonly string[], msOf: (n: number) => number): Promise<void> {
  const now = (await databaseTime(sql)).getTime();
  await moveHolds(
    sql,
    holdIds.map((id, n) => ({ id, expiresAt: new Date(now + msOf(n)) })),
  );
}

/** A hold that ends at this very moment of the database's clock, which has passed when this returns. */
export async function expireNow(sql: Sql, holdId: string): Promise<void> {
  await expireIn(sql, holdId, 0);
  await untilPast(sql, `(SELECT expires_at FROM holds WHERE id = '${holdId}')`);
}

/** A sale that ends at this very moment, which has passed when this returns. */
export async function endSaleNow(sql: Sql, productId: string): Promise<void> {
  await sql('UPDATE products SET sale_ends_at = $2 WHERE id = $1', [productId, await databaseTime(sql)]);
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
    `WITH t AS MATERIALIZED (SELECT now() AS at, now() - $2 * interval '1 second' AS ago)
     UPDATE payment_events SET received_at = t.ago,
       settled_at = CASE WHEN settled_at IS NOT NULL THEN t.at END FROM t WHERE event_id = $1`,
    [eventId, seconds],
  );
}

export async function databaseTime(sql: Sql): Promise<Date> {
  const [row] = await sql<{ at: Date }>('SELECT clock_timestamp() AS at');
  return row!.at;
}
