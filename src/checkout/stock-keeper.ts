/**
 * ★ The only file that moves units: whatever changes `stock.available`, `stock.total` or `holds.given_back_at` is here.
 *
 * Invariant: total − available = Σ quantity of the product's holds with given_back_at IS NULL. Every function below keeps it;
 * functions that move units are called with the product's stock row locked (`lockStock`). Every statement names its shard,
 * `product_id`.
 *
 * The time is `statement_timestamp()` of a statement sent after the lock was granted: `now()` is the transaction's start, before
 * the wait. Unlike `clock_timestamp()` it is stable, so that it can be used with an index.
 */
import { LockMode, type EntityManager } from '@mikro-orm/postgresql';
import { isDistributed } from '../postgres/citus';
import { StockRow } from '../database/entities';
import { failpoint } from '../postgres/failpoints';
import type { Row } from '../database/columns';
import { holdColumns, lockHolds } from '../database/holds';
import { productColumns } from '../database/products';
import { run, runQuery, sql, time, timeOrNull, type Statement } from '../postgres/statement';
import { exceedsLimit, type HoldRequest, type OwnHold, type ProductLevel } from '../domain/grant-holds';
import { groupBy } from '../domain/group-by';
import type { Hold } from '../domain/records';

/** Closing 1,000 overdue holds takes some 20 ms under the lock; 200,000 in one UPDATE took 4.2 s. */
export const MAX_CLOSED_AT_ONCE = 1_000;

interface LockedStock {
  readonly product_id: string;
  readonly total: number;
  readonly available: number;
}

/** Locks the product's stock row until the transaction ends. null: there is no such product. One statement. */
export async function lockStock(em: EntityManager, productId: string): Promise<LockedStock | null> {
  const query = em
    .createQueryBuilder(StockRow)
    .select('*')
    .where({ productId })
    .setLockMode(LockMode.PESSIMISTIC_WRITE);
  const [stock] = await runQuery<LockedStock>(em, query);
  await failpoint('after-lock', productId);
  return stock ?? null;
}

/** Locks several stock rows in the lock order, ascending product id, with one statement a row. */
export async function lockStocks(em: EntityManager, productIds: Iterable<string>): Promise<void> {
  for (const productId of [...new Set(productIds)].sort()) await lockStock(em, productId);
}

/**
 * Locks the free rows (SKIP LOCKED) and returns their product ids; unknown products are absent. One statement.
 */
export async function lockFreeStocks(em: EntityManager, productIds: readonly string[]): Promise<ReadonlySet<string>> {
  const query = em
    .createQueryBuilder(StockRow)
    .select('*')
    .where({ productId: { $in: [...productIds] } })
    .orderBy({ productId: 'asc' })
    .setLockMode(LockMode.PESSIMISTIC_PARTIAL_WRITE);
  const locked = new Set((await runQuery<LockedStock>(em, query)).map((stock) => stock.product_id));
  for (const productId of locked) await failpoint('after-lock', productId);
  return locked;
}

interface LevelRow extends Row {
  id: string;
  at: string;
  available: number;
  has_overdue: boolean;
  next_expiry_at: string | null;
  earlier: Row[] | null;
  units_of: Record<string, number> | null;
  overdue_of: OwnHold[] | null;
}

type Asking = Pick<HoldRequest, 'id' | 'productId' | 'customerId' | 'idempotencyKey'>;

/** Of one product; null: there is none. See `readLevels`. */
export async function readLevel(
  em: EntityManager,
  productId: string,
  requests: readonly Asking[],
  isRerun = false,
): Promise<ProductLevel | null> {
  const levels = await readLevels(em, [productId], requests, isRerun);
  return levels.get(productId) ?? null;
}

/**
 * All that decisions about products need, from one snapshot: the time, the product, its stock, earlier grants to the same
 * keys (and, for a re-run, the same ids), and the units that each customer has. One statement. A product that does not
 * exist has no level.
 */
export async function readLevels(
  em: EntityManager,
  productIds: readonly string[],
  requests: readonly Asking[],
  isRerun = false,
): Promise<ReadonlyMap<string, ProductLevel>> {
  const keyed = requests.filter((request) => request.idempotencyKey !== null);
  const keys = keyed.map((request) => request.idempotencyKey);
  const keyOwners = keyed.map((request) => request.customerId);
  const keyProducts = keyed.map((request) => request.productId);
  const ids = requests.map((request) => request.id);
  const customers = [...new Set(requests.map((request) => request.customerId).filter((id) => id !== ''))];
  // OFFSET 0 is an optimization fence: PostgreSQL looks up each key and customer instead of reading all holds of the product.
  // Citus does not accept it.
  const apart = isDistributed(em) ? sql`` : sql`OFFSET 0`;
  // Citus finds a table's shard by a condition on that table: it does not follow `s.product_id` into a subquery.
  const its = isDistributed(em) && productIds.length === 1 ? sql`${productIds[0]}::uuid` : sql`s.product_id`;
  const ofCustomers = sql`unnest(${customers}::text[]) AS k (customer_id) CROSS JOIN LATERAL (
    SELECT * FROM holds h
      WHERE h.product_id = ${its} AND h.customer_id = k.customer_id AND h.given_back_at IS NULL ${apart}) h`;
  // Each part costs PostgreSQL more to plan than all of the rest to run, so a batch that does not need one leaves it out.
  const ofKeys = sql`SELECT h.* FROM unnest(${keyProducts}::uuid[], ${keyOwners}::text[], ${keys}::text[])
      AS k (product_id, customer_id, idempotency_key)
    CROSS JOIN LATERAL (SELECT * FROM holds h WHERE h.product_id = ${its} AND h.customer_id = k.customer_id
      AND h.idempotency_key = k.idempotency_key ${apart}) h
    WHERE k.product_id = s.product_id`;
  const ofIds = sql`SELECT h.* FROM holds h WHERE h.product_id = ${its} AND h.id = ANY (${ids}::uuid[])`;
  const asked = keyed.length === 0 ? ofIds : isRerun ? sql`${ofKeys} UNION ALL ${ofIds}` : ofKeys;
  const earlier = keyed.length > 0 || isRerun ? sql`(SELECT json_agg(h) FROM (${asked}) h)` : sql`NULL::json`;
  const isLimited = sql`WHEN p.max_per_customer IS NOT NULL`;
  const unitsOf =
    customers.length === 0
      ? sql`NULL::json`
      : sql`CASE ${isLimited} THEN (
          SELECT json_object_agg(u.customer_id, u.units) FROM (
            SELECT k.customer_id, sum(h.quantity) AS units FROM ${ofCustomers}
              WHERE NOT (h.status = 'ACTIVE' AND h.expires_at <= c.at)
              GROUP BY k.customer_id) u) END`;
  const overdueOf =
    customers.length === 0
      ? sql`NULL::json`
      : sql`CASE ${isLimited} THEN (
          SELECT json_agg(json_build_object('id', h.id, 'customerId', h.customer_id, 'quantity', h.quantity))
            FROM ${ofCustomers} WHERE h.closed_at IS NULL AND h.expires_at <= c.at) END`;
  const rows = await run<LevelRow>(
    em,
    sql`/* level */
      SELECT c.at, s.available, ${productColumns.of('p')},
        EXISTS (SELECT FROM holds h WHERE h.product_id = ${its} AND h.status = 'ACTIVE' AND h.expires_at <= c.at)
          AS has_overdue,
        (SELECT min(h.expires_at) FROM holds h
          WHERE h.product_id = ${its} AND h.status = 'ACTIVE' AND h.expires_at > c.at) AS next_expiry_at,
        ${earlier} AS earlier, ${unitsOf} AS units_of, ${overdueOf} AS overdue_of
      FROM (SELECT date_trunc('milliseconds', statement_timestamp()) AS at) c, stock s
        JOIN products p ON p.id = s.product_id
      WHERE s.product_id ${oneOf(productIds)}`,
  );
  return new Map(rows.map((row) => [row.id, levelFrom(row)]));
}

/** A single product is compared with `=`, so that the statement names its shard. */
function oneOf(productIds: readonly string[]): Statement {
  return productIds.length === 1 ? sql`= ${productIds[0]}` : sql`= ANY (${productIds}::uuid[])`;
}

function levelFrom(row: LevelRow): ProductLevel {
  return {
    product: productColumns.read(row),
    at: time(row.at),
    available: row.available,
    hasOverdue: row.has_overdue,
    nextExpiryAt: timeOrNull(row.next_expiry_at),
    earlier: (row.earlier ?? []).map((hold) => holdColumns.read(hold)),
    unitsOf: new Map(Object.entries(row.units_of ?? {})),
    overdueOf: row.overdue_of ?? [],
  };
}

/**
 * Writes new holds and takes their units, in one statement whatever their number. They were decided at one moment; when
 * they are of one product, the statement names its shard.
 */
export async function takeForHolds(em: EntityManager, holds: readonly Hold[]): Promise<void> {
  const { productId, unitPriceMinor, currency, createdAt, expiresAt } = holds[0]!;
  const products = [...groupBy(holds, (hold) => hold.productId)];
  const isOne = products.length === 1;
  const ofEach = <T>(pick: (hold: Hold) => T) => (isOne ? [] : holds.map(pick));
  const product = isOne
    ? sql`${productId}::uuid, ${unitPriceMinor}::bigint, ${currency}`
    : sql`h.product_id, h.unit_price_minor, h.currency`;
  const taken = isOne
    ? sql`UPDATE stock SET available = available - ${unitsIn(holds)}::int WHERE product_id = ${productId}`
    : sql`UPDATE stock SET available = available - u.units
        FROM unnest(${products.map(([id]) => id)}::uuid[], ${products.map(([, own]) => unitsIn(own))}::int[])
          AS u (product_id, units)
        WHERE stock.product_id = u.product_id`;
  await run(
    em,
    sql`/* createHold */
      WITH granted AS (
        INSERT INTO holds (id, product_id, unit_price_minor, currency, quantity, customer_id, status, idempotency_key,
          expires_at, created_at)
        SELECT h.id, ${product}, h.quantity, h.customer_id, 'ACTIVE', h.idempotency_key,
          ${expiresAt}::timestamptz, ${createdAt}::timestamptz
        FROM unnest(${holds.map((hold) => hold.id)}::uuid[], ${holds.map((hold) => hold.quantity)}::int[],
          ${holds.map((hold) => hold.customerId)}::text[], ${holds.map((hold) => hold.idempotencyKey)}::text[],
          ${ofEach((hold) => hold.productId)}::uuid[], ${ofEach((hold) => hold.unitPriceMinor)}::bigint[],
          ${ofEach((hold) => hold.currency)}::text[])
          AS h (id, quantity, customer_id, idempotency_key, product_id, unit_price_minor, currency))
      ${taken}`,
  );
}

/** For a sweep, which frees every unit of every overdue hold. */
export const ALL_UNITS = Number.POSITIVE_INFINITY;

/**
 * Closes overdue holds of the product, oldest first, until `units` are freed or none is left, at most 1,000 in this call.
 * Locks them in ascending id, together with `others` (holds that the caller is about to write: one order for all locks),
 * of which it also closes the overdue ones. Answers what was closed, its units can be taken at once; and at how many holds
 * it `looked`: a hold that was ordered in time is not closed.
 */
export async function closeOverdue(
  em: EntityManager,
  productId: string,
  at: Date,
  units: number,
  others: readonly string[] = [],
): Promise<{ units: number; holdIds: string[]; looked: number }> {
  const ids = [...new Set([...others, ...(await overdueIds(em, productId, at, units))])];
  if (ids.length === 0) return { units: 0, holdIds: [], looked: 0 };
  await lockHolds(em, productId, ids);
  const closed = await run<{ id: string; quantity: number }>(
    em,
    sql`/* closeOverdue */
      WITH closed AS (
        UPDATE holds SET status = 'EXPIRED', closed_at = ${at}, given_back_at = ${at}
        WHERE product_id = ${productId} AND id = ANY (${ids}::uuid[]) AND closed_at IS NULL AND expires_at <= ${at}
        RETURNING id, quantity),
      given_back AS (
        UPDATE stock SET available = available + (SELECT coalesce(sum(quantity), 0) FROM closed)
        WHERE product_id = ${productId})
      SELECT id, quantity FROM closed`,
  );
  return { units: unitsIn(closed), holdIds: closed.map((hold) => hold.id), looked: ids.length };
}

/** The oldest overdue holds that together free `units`, not locked: `closeOverdue` reads them again under the lock. */
async function overdueIds(em: EntityManager, productId: string, at: Date, units: number): Promise<string[]> {
  if (units <= 0) return [];
  const overdue = await run<{ id: string; quantity: number }>(
    em,
    sql`/* closeOverdue: which */ SELECT id, quantity FROM holds
      WHERE product_id = ${productId} AND status = 'ACTIVE' AND expires_at <= ${at}
      ORDER BY expires_at, id LIMIT ${MAX_CLOSED_AT_ONCE}`,
  );
  const ids: string[] = [];
  let freed = 0;
  for (const hold of overdue) {
    if (freed >= units) break;
    ids.push(hold.id);
    freed += hold.quantity;
  }
  return ids;
}

/** Closes overdue holds until `units` are available or none is left; answers what is available then. */
export async function makeAvailable(
  em: EntityManager,
  level: ProductLevel,
  units: number,
  others: readonly string[] = [],
): Promise<number> {
  let { available } = level;
  let mayFree = level.hasOverdue || others.length > 0;
  while (mayFree && (available < units || others.length > 0)) {
    const freed = await closeOverdue(em, level.product.id, level.at, units - available, others);
    available += freed.units;
    // The holds it looked at may all have been ordered in time; the next ones may be overdue.
    mayFree = freed.looked > 0;
    others = [];
  }
  return available;
}

/**
 * Closes the overdue holds of customers whose units are about to be counted. A hold that is overdue by now may be part of an
 * order that began in time and is about to commit: a hold that could not be closed was ordered, and counts.
 */
export async function countOverdueOf(em: EntityManager, level: ProductLevel): Promise<ProductLevel> {
  const { overdueOf } = level;
  if (overdueOf.length === 0) return level;
  const ids = overdueOf.map((hold) => hold.id);
  const closed = await closeOverdue(em, level.product.id, level.at, 0, ids);
  const unitsOf = new Map(level.unitsOf);
  for (const { id, customerId, quantity } of overdueOf) {
    if (!closed.holdIds.includes(id)) unitsOf.set(customerId, (unitsOf.get(customerId) ?? 0) + quantity);
  }
  return { ...level, available: level.available + closed.units, unitsOf, overdueOf: [] };
}

/** An active hold is released: its units go back. The caller has locked stock and hold, and judged the hold live. */
export async function releaseUnits(em: EntityManager, hold: Hold, at: Date): Promise<Hold> {
  await run(
    em,
    sql`/* releaseHold */
      WITH released AS (
        UPDATE holds SET status = 'RELEASED', closed_at = ${at}, given_back_at = ${at}
        WHERE product_id = ${hold.productId} AND id = ${hold.id} AND closed_at IS NULL RETURNING quantity)
      UPDATE stock SET available = available + (SELECT coalesce(sum(quantity), 0) FROM released)
      WHERE product_id = ${hold.productId}`,
  );
  return { ...hold, status: 'RELEASED', closedAt: at, givenBackAt: at };
}

/** The columns of a hold that never change and suffice to move its units. */
export type Claim = Pick<Hold, 'id' | 'productId' | 'quantity' | 'customerId'>;

/**
 * The units of cancelled orders' holds go back. The caller has locked the stock rows; the holds are locked here. Two round
 * trips, whatever the number of products.
 */
export async function giveBack(
  em: EntityManager,
  holds: readonly Pick<Hold, 'id' | 'productId'>[],
  at: Date,
): Promise<void> {
  const products = [...groupBy(holds, (hold) => hold.productId)];
  const locked = await Promise.all(
    products.map(([productId, own]) =>
      lockHolds(
        em,
        productId,
        own.map((hold) => hold.id),
      ),
    ),
  );
  await Promise.all(
    products.map(([productId], n) => {
      const ids = locked[n]!.filter((hold) => hold.givenBackAt === null).map((hold) => hold.id);
      return run(
        em,
        sql`/* giveBack */
          WITH given_back AS (
            UPDATE holds SET given_back_at = ${at} WHERE product_id = ${productId} AND id = ANY (${ids}::uuid[])
            RETURNING quantity)
          UPDATE stock SET available = available + (SELECT coalesce(sum(quantity), 0) FROM given_back)
          WHERE product_id = ${productId}`,
      );
    }),
  );
}

/**
 * Takes the units of ended holds again, for a late payment: all of them or none, after overdue holds were closed where
 * units are missing, and within `maxPerCustomer`, whatever the sale window says. Answers whether it could.
 * The caller has locked the stock rows; the holds are locked here, and on success belong to `orderId`.
 */
export async function takeAgain(em: EntityManager, holds: readonly Claim[], orderId: string): Promise<boolean> {
  const products = groupBy(holds, (hold) => hold.productId);
  let isPossible = true;
  for (const [productId, own] of products) {
    // Every product is checked, so that an overdue hold of the order is closed in any case.
    if (!(await couldTakeAgain(em, productId, own))) isPossible = false;
  }
  if (!isPossible) return false;
  for (const [productId, own] of products) {
    await run(
      em,
      sql`/* takeAgain */
        WITH taken AS (
          UPDATE holds SET given_back_at = NULL, order_id = ${orderId}
          WHERE product_id = ${productId} AND id = ANY (${own.map((hold) => hold.id)}::uuid[])
            AND given_back_at IS NOT NULL
          RETURNING quantity)
        UPDATE stock SET available = available - (SELECT coalesce(sum(quantity), 0) FROM taken)
        WHERE product_id = ${productId}`,
    );
  }
  return true;
}

async function couldTakeAgain(em: EntityManager, productId: string, holds: readonly Claim[]): Promise<boolean> {
  const read = await readLevel(
    em,
    productId,
    holds.map((hold) => ({ ...hold, idempotencyKey: null })),
  );
  if (!read) return false;
  const level = await countOverdueOf(em, read);
  const units = unitsIn(holds);
  const available = await makeAvailable(
    em,
    level,
    units,
    holds.map((hold) => hold.id),
  );
  for (const [customerId, own] of groupBy(holds, (hold) => hold.customerId)) {
    if (exceedsLimit(level.product, { customerId, quantity: unitsIn(own) }, level.unitsOf)) return false;
  }
  return available >= units;
}

/** The first units of new products, which are not visible to other transactions yet. One round trip. */
export async function createStocks(
  em: EntityManager,
  products: readonly { readonly id: string; readonly total: number }[],
): Promise<void> {
  await em.insertMany(
    StockRow,
    products.map(({ id, total }) => ({ productId: id, total, available: total })),
  );
}

/** More or fewer units in all. The caller has locked the stock row and knows that enough of them are available. */
export async function changeTotal(em: EntityManager, productId: string, delta: number): Promise<void> {
  await run(
    em,
    sql`/* adjustStock */ UPDATE stock SET total = total + ${delta}::int, available = available + ${delta}::int
      WHERE product_id = ${productId}`,
  );
}

const unitsIn = (holds: readonly { readonly quantity: number }[]) =>
  holds.reduce((sum, hold) => sum + hold.quantity, 0);
