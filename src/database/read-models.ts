/** Reads that are shown and decide nothing: levels, reports and pages, each in one statement. */
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Order, PaymentEvent, Product } from '../domain/records';
import type { PaymentOutcome } from '../domain/statuses';
import { isDistributed } from '../postgres/citus';
import { OrderRow, PaymentEventRow } from './entities';
import type { Row } from './columns';
import { productColumns } from './products';
import { run, sql, time } from '../postgres/statement';

/** What a new hold could take of a product, at one moment; with the product as it was then. */
export interface StockLevel {
  readonly product: Product;
  readonly at: Date;
  /** Overdue holds count as available. */
  readonly available: number;
  readonly total: number;
  /** A live hold or an unpaid order could bring units back. Only asked when nothing is available. */
  readonly mayComeBack: boolean;
}

interface StockLevelRow extends Row {
  id: string;
  at: string;
  available: string;
  total: number;
  may_come_back: boolean;
}

/** Before every id. */
const NO_ID = '00000000-0000-0000-0000-000000000000';

/** `l`: the level of a product. Its orders may be on other workers than its stock, so Citus cannot ask this for each. */
const HAS_UNPAID_ORDER = `EXISTS (SELECT FROM orders o JOIN order_lines i ON i.order_id = o.id
            WHERE o.status = 'PENDING_PAYMENT' AND i.product_id = l.product_id)`;

/**
 * Only descriptions may be long: those of a page of 100 products are a megabyte, which PostgreSQL, the driver and this process
 * would read in vain. When they are left out, the product's is null.
 */
interface Descriptions {
  readonly withDescriptions: boolean;
}

/**
 * Of the products that exist, in any order. One statement, so one snapshot and one time for all of them. On Citus each
 * product has its own, and a second statement looks for unpaid orders of those that are sold out.
 */
export async function readStockLevels(
  em: EntityManager,
  productIds: readonly string[],
  { withDescriptions }: Descriptions,
): Promise<StockLevel[]> {
  const rows = await run<StockLevelRow>(em, {
    text: `/* stockLevels */
      SELECT l.at, l.available, l.total,
        l.available = 0 AND (
          EXISTS (SELECT FROM holds h WHERE h.product_id = l.product_id AND h.status = 'ACTIVE' AND h.expires_at > l.at)
          OR ${isDistributed(em) ? 'false' : HAS_UNPAID_ORDER}) AS may_come_back,
        ${productColumns.of('p', withDescriptions ? [] : DESCRIPTION).text}
      FROM (
        SELECT s.product_id, c.at, s.total, s.available + coalesce((SELECT sum(h.quantity) FROM holds h
            WHERE h.product_id = s.product_id AND h.status = 'ACTIVE' AND h.expires_at <= c.at), 0) AS available
        FROM (SELECT date_trunc('milliseconds', statement_timestamp()) AS at) c, stock s
        WHERE s.product_id = ANY (?::uuid[])) l
        JOIN products p ON p.id = l.product_id`,
    values: [productIds],
  });
  const unpaid = isDistributed(em) ? await findUnpaidProducts(em, rows.filter(seemsGone)) : NONE;
  return rows.map((row) => ({
    product: productColumns.read(row),
    at: time(row.at),
    available: Number(row.available),
    total: row.total,
    mayComeBack: row.may_come_back || unpaid.has(row.id),
  }));
}

const DESCRIPTION = ['description'] as const;
const NONE: ReadonlySet<string> = new Set();
const seemsGone = (row: StockLevelRow) => Number(row.available) === 0 && !row.may_come_back;

/** Those of the products of which an unpaid order has units. */
async function findUnpaidProducts(
  em: EntityManager,
  products: readonly { readonly id: string }[],
): Promise<ReadonlySet<string>> {
  if (products.length === 0) return NONE;
  const rows = await run<{ product_id: string }>(
    em,
    sql`/* stockLevels: unpaid orders */
      SELECT DISTINCT i.product_id FROM orders o JOIN order_lines i ON i.order_id = o.id
      WHERE o.status = 'PENDING_PAYMENT' AND i.product_id = ANY (${products.map((row) => row.id)}::uuid[])`,
  );
  return new Set(rows.map((row) => row.product_id));
}

/** Where every unit of a product is: total = available + held + awaitingPayment + sold. */
export interface StockReport {
  readonly productId: string;
  readonly total: number;
  readonly available: number;
  readonly held: number;
  readonly awaitingPayment: number;
  readonly sold: number;
}

/** Of one product, its stock and all units that are out of it: of one shard, so of one snapshot on Citus, too. */
const UNITS = `SELECT s.total, s.available, h.quantity, h.status, h.order_id,
    h.status = 'ACTIVE' AND h.expires_at <= statement_timestamp() AS is_overdue
  FROM stock s LEFT JOIN holds h ON h.product_id = s.product_id AND h.given_back_at IS NULL
  WHERE s.product_id = ?`;

const REPORT = {
  first: '',
  from: `(${UNITS}) u LEFT JOIN orders o ON o.id = u.order_id`,
  isAwaiting: `o.status = 'PENDING_PAYMENT'`,
};

/**
 * On Citus the orders are found by what the holds say, a moment later: units that are out, and whose order is not to be seen
 * yet or was cancelled in between, count as awaiting payment.
 */
const REPORT_ON_CITUS: typeof REPORT = {
  first: `WITH u AS MATERIALIZED (${UNITS}),
    o AS MATERIALIZED (SELECT id, status FROM orders WHERE id IN (SELECT order_id FROM u))`,
  from: 'u LEFT JOIN o ON o.id = u.order_id',
  isAwaiting: `coalesce(o.status NOT IN ('PAID', 'REFUNDED'), true)`,
};

/** One statement, so one snapshot; never cached. Overdue holds count as available. null: no such product. */
export async function readStockReport(em: EntityManager, productId: string): Promise<StockReport | null> {
  const { first, from, isAwaiting } = isDistributed(em) ? REPORT_ON_CITUS : REPORT;
  const [row] = await run<Counts>(em, {
    text: `/* stockReport */ ${first}
      SELECT u.total, u.available + coalesce(sum(u.quantity) FILTER (WHERE u.is_overdue), 0) AS available,
        coalesce(sum(u.quantity) FILTER (WHERE u.status = 'ACTIVE' AND NOT u.is_overdue), 0) AS held,
        coalesce(sum(u.quantity) FILTER (WHERE u.status <> 'ACTIVE' AND ${isAwaiting}), 0) AS awaiting_payment,
        coalesce(sum(u.quantity) FILTER (WHERE u.status <> 'ACTIVE' AND o.status IN ('PAID', 'REFUNDED')), 0) AS sold
      FROM ${from}
      GROUP BY u.total, u.available`,
    values: [productId],
  });
  return row ? reportFrom(productId, row) : null;
}

type Counts = Readonly<Record<'total' | 'available' | 'held' | 'awaiting_payment' | 'sold', string>>;

function reportFrom(productId: string, row: Counts): StockReport {
  return {
    productId,
    total: Number(row.total),
    available: Number(row.available),
    held: Number(row.held),
    awaitingPayment: Number(row.awaiting_payment),
    sold: Number(row.sold),
  };
}

/** A place in a list; what comes after it is the next page. */
export interface PageOf<Cursor> {
  readonly limit: number;
  readonly after: Cursor | null;
}

/** The reports of a page of products, by name, then id: one statement (on Citus one each), so one snapshot; never cached. */
export async function readStockReports(
  em: EntityManager,
  { limit, after }: PageOf<{ name: string; id: string }>,
): Promise<{ product: Product; report: StockReport }[]> {
  if (isDistributed(em)) return readStockReportsOneByOne(em, { limit, after });
  const rows = await run<Row & Counts & { id: string }>(
    em,
    sql`/* stockReports */
      SELECT ${productColumns.of('p')}, s.total, s.available + u.overdue AS available, u.held, u.awaiting_payment, u.sold
      FROM (
        SELECT * FROM products
        WHERE ${after === null} OR (name, id) > (${after?.name ?? ''}, ${after?.id ?? NO_ID}::uuid)
        ORDER BY name, id LIMIT ${limit}) p
        JOIN stock s ON s.product_id = p.id
        CROSS JOIN LATERAL (
          SELECT coalesce(sum(h.quantity) FILTER (WHERE h.is_overdue), 0) AS overdue,
            coalesce(sum(h.quantity) FILTER (WHERE h.status = 'ACTIVE' AND NOT h.is_overdue), 0) AS held,
            coalesce(sum(h.quantity) FILTER (WHERE h.status <> 'ACTIVE' AND o.status = 'PENDING_PAYMENT'), 0)
              AS awaiting_payment,
            coalesce(sum(h.quantity) FILTER (WHERE h.status <> 'ACTIVE' AND o.status IN ('PAID', 'REFUNDED')), 0) AS sold
          FROM (
            SELECT quantity, status, order_id, status = 'ACTIVE' AND expires_at <= statement_timestamp() AS is_overdue
            FROM holds WHERE product_id = p.id AND given_back_at IS NULL) h
            LEFT JOIN orders o ON o.id = h.order_id) u
      ORDER BY p.name, p.id`,
  );
  return rows.map((row) => ({
    product: productColumns.read(row),
    report: reportFrom(row.id, row),
  }));
}

async function readStockReportsOneByOne(
  em: EntityManager,
  page: PageOf<{ name: string; id: string }>,
): Promise<{ product: Product; report: StockReport }[]> {
  const reports: { product: Product; report: StockReport }[] = [];
  for (const product of await readProducts(em, page, { withDescriptions: true, withUnlisted: true })) {
    const report = await readStockReport(em, product.id);
    if (report) reports.push({ product, report });
  }
  return reports;
}

/** By name, then id. No entities are made of the rows: for a page of 100 that takes longer than all the rest. */
export async function readProducts(
  em: EntityManager,
  { limit, after }: PageOf<{ name: string; id: string }>,
  { withDescriptions, withUnlisted = false }: Descriptions & { readonly withUnlisted?: boolean },
): Promise<Product[]> {
  const listed = withUnlisted ? sql`true` : sql`listed`;
  const rest = after ? sql`AND (name, id) > (${after.name}, ${after.id}::uuid)` : sql``;
  const rows = await run<Row>(
    em,
    sql`/* products */
      SELECT ${productColumns.of('products', withDescriptions ? [] : DESCRIPTION)} FROM products WHERE ${listed} ${rest} ORDER BY name, id LIMIT ${limit}`,
  );
  return rows.map((row) => productColumns.read(row));
}

/** Newest first. `customerId` null: everybody's. */
export async function readOrders(
  em: EntityManager,
  customerId: string | null,
  { limit, after }: PageOf<{ createdAt: Date; id: string }>,
): Promise<Order[]> {
  const own = customerId === null ? {} : { customerId };
  const older = after
    ? { $or: [{ createdAt: { $lt: after.createdAt } }, { createdAt: after.createdAt, id: { $lt: after.id } }] }
    : {};
  return em.find(
    OrderRow,
    { $and: [own, older] },
    { orderBy: { createdAt: 'desc', id: 'desc' }, limit, disableIdentityMap: true },
  );
}

/** Newest first. `outcome` null: all. `openOnly`: those that are not settled. */
export async function readPaymentEvents(
  em: EntityManager,
  { outcome, openOnly }: { outcome: PaymentOutcome | null; openOnly: boolean },
  { limit, after }: PageOf<{ receivedAt: Date; provider: string; eventId: string }>,
): Promise<PaymentEvent[]> {
  const chosen = { ...(outcome !== null && { outcome }), ...(openOnly && { settledAt: null }) };
  const older = after
    ? {
        $or: [
          { receivedAt: { $lt: after.receivedAt } },
          { receivedAt: after.receivedAt, provider: { $lt: after.provider } },
          { receivedAt: after.receivedAt, provider: after.provider, eventId: { $lt: after.eventId } },
        ],
      }
    : {};
  return em.find(
    PaymentEventRow,
    { $and: [chosen, older] },
    { orderBy: { receivedAt: 'desc', provider: 'desc', eventId: 'desc' }, limit, disableIdentityMap: true },
  );
}

/** Something that can be bought now, for examples; else any product. */
export async function readFirstProductId(em: EntityManager): Promise<string | null> {
  const [row] = await run<{ id: string }>(
    em,
    sql`/* example */ SELECT id FROM products
      ORDER BY coalesce(sale_starts_at <= now(), true) DESC, max_per_customer IS NULL DESC, created_at, id LIMIT 1`,
  );
  return row?.id ?? null;
}
