/**
 * Statements on `holds` that move no units. On Citus each names its shard, `product_id`.
 *
 * During a sale the planner's statistics are older than most rows: for a new product it expects one hold where there are
 * thousands, and scans them all when that seems cheaper than 256 look-ups by id. So every statement by ids leaves it no other
 * plan: `id = ANY (…)` in addition to any join; "still active" as `closed_at IS NULL`, which no index of active holds serves.
 */
import { LockMode, type EntityManager } from '@mikro-orm/postgresql';
import { groupBy } from '../domain/group-by';
import type { Hold } from '../domain/records';
import { isDistributed } from '../postgres/citus';
import { Columns, type Row } from './columns';
import { HoldRow } from './entities';
import { run, runQuery, sql, time } from '../postgres/statement';

export const holdColumns = new Columns<Hold>(HoldRow);

/** Holds by id, not locked: for columns that never change (product, quantity, price, customer), or to show them. */
export async function findHolds(em: EntityManager, ids: readonly string[]): Promise<Hold[]> {
  const rows = await run<Row>(em, sql`/* find holds */ SELECT * FROM holds WHERE id = ANY (${ids}::uuid[])`);
  return rows.map((row) => holdColumns.read(row));
}

/**
 * Locks holds of one product, in ascending id, and answers them as they are now. No entities are made of the rows: for a
 * batch's 256 that takes three times as long as all the rest.
 */
export async function lockHolds(em: EntityManager, productId: string, ids: readonly string[]): Promise<Hold[]> {
  const query = em
    .createQueryBuilder(HoldRow)
    .select('*')
    .where({ productId })
    .andWhere('id = ANY (?::uuid[])', [[...ids]])
    .orderBy({ id: 'asc' })
    .setLockMode(LockMode.PESSIMISTIC_WRITE);
  const rows = await runQuery<Row>(em, query);
  return rows.map((row) => holdColumns.read(row));
}

/** Locks the holds that are free (SKIP LOCKED), of whatever products, and returns them as they are now. Not for Citus. */
export async function lockFreeHolds(em: EntityManager, ids: readonly string[]): Promise<Hold[]> {
  if (ids.length === 0) return [];
  const query = em
    .createQueryBuilder(HoldRow)
    .select('*')
    .where('id = ANY (?::uuid[])', [[...ids]])
    .orderBy({ productId: 'asc', id: 'asc' })
    .setLockMode(LockMode.PESSIMISTIC_PARTIAL_WRITE);
  const rows = await runQuery<Row>(em, query);
  return rows.map((row) => holdColumns.read(row));
}

/** ACTIVE → CONSUMED. The units stay out of `available`; the caller has locked the holds and judged them live. */
export async function consumeHolds(
  em: EntityManager,
  holds: readonly (Pick<Hold, 'id' | 'productId'> & { readonly orderId: string })[],
  at: Date,
): Promise<void> {
  const parts = isDistributed(em) ? [...groupBy(holds, (hold) => hold.productId).values()] : [holds];
  await Promise.all(
    parts.map((own) => {
      const ids = own.map((hold) => hold.id);
      const shard = isDistributed(em) ? sql`product_id = ${own[0]!.productId} AND` : sql``;
      return run(
        em,
        sql`/* consumeHolds */
          UPDATE holds SET status = 'CONSUMED', closed_at = ${at},
            order_id = (${own.map((hold) => hold.orderId)}::uuid[])[array_position(${ids}::uuid[], id)]
          WHERE ${shard} id = ANY (${ids}::uuid[]) AND closed_at IS NULL`,
      );
    }),
  );
}

/** For an ended hold whose order, placed by a payment, holds no units: the hold keeps its status and names the order. */
export async function linkToOrder(em: EntityManager, hold: Hold, orderId: string): Promise<void> {
  await em.nativeUpdate(HoldRow, { productId: hold.productId, id: hold.id }, { orderId });
}

/** Products with overdue holds, in ascending id. */
export async function findOverdueProducts(em: EntityManager): Promise<string[]> {
  const rows = await run<{ product_id: string }>(
    em,
    sql`/* sweep: products */
      SELECT s.product_id FROM stock s
      WHERE EXISTS (SELECT FROM holds h
        WHERE h.product_id = s.product_id AND h.status = 'ACTIVE' AND h.expires_at <= statement_timestamp())
      ORDER BY s.product_id`,
  );
  return rows.map((row) => row.product_id);
}

/** Holds to be shown, with the time of the read. One statement. */
export async function findHoldsNow(em: EntityManager, ids: readonly string[]): Promise<{ holds: Hold[]; at: Date }> {
  const rows = await run<{ at: string; hold: Row }>(
    em,
    sql`/* holds */
      SELECT date_trunc('milliseconds', statement_timestamp()) AS at, to_json(h) AS hold
      FROM holds h WHERE h.id = ANY (${ids}::uuid[])`,
  );
  return { holds: rows.map((row) => holdColumns.read(row.hold)), at: rows[0] ? time(rows[0].at) : new Date(0) };
}
