/** Statements on `products` and `stock_adjustments`. */
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Product } from '../domain/records';
import { ProductRow, StockAdjustmentRow } from './entities';
import { run, sql, timeOrNull } from '../postgres/statement';

/** A product beside other columns, as `pg` gives them. */
export interface ProductColumns {
  product_id: string;
  sku: string;
  name: string;
  description: string | null;
  price_minor: string;
  currency: string;
  max_per_customer: number | null;
  sale_starts_at: string | null;
  sale_ends_at: string | null;
}

export const productColumns = sql`id AS product_id, sku, name, description, price_minor, currency, max_per_customer,
  sale_starts_at, sale_ends_at`;

export function productFrom(row: ProductColumns): Product {
  return {
    id: row.product_id,
    sku: row.sku,
    name: row.name,
    description: row.description,
    priceMinor: Number(row.price_minor),
    currency: row.currency,
    maxPerCustomer: row.max_per_customer,
    saleStartsAt: timeOrNull(row.sale_starts_at),
    saleEndsAt: timeOrNull(row.sale_ends_at),
  };
}

/** No entities are made of the rows: for a page of 100 that takes longer than all the rest. */
export async function findProducts(em: EntityManager, ids: readonly string[]): Promise<Product[]> {
  const rows = await run<ProductColumns>(
    em,
    sql`/* find products */ SELECT ${productColumns} FROM products WHERE id = ANY (${ids}::uuid[])`,
  );
  return rows.map(productFrom);
}

export async function findProductBySku(em: EntityManager, sku: string): Promise<Product | null> {
  const [row] = await run<ProductColumns>(
    em,
    sql`/* find product */ SELECT ${productColumns} FROM products WHERE sku = ${sku}`,
  );
  return row ? productFrom(row) : null;
}

/** Those of the SKUs that are taken. */
export async function findTakenSkus(em: EntityManager, skus: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await run<{ sku: string }>(em, sql`SELECT sku FROM products WHERE sku = ANY (${skus}::text[])`);
  return new Set(rows.map((row) => row.sku));
}

export async function insertProducts(em: EntityManager, products: readonly Product[]): Promise<void> {
  await em.insertMany(
    ProductRow,
    products.map((product) => ({ ...product })),
  );
}

/** A plain UPDATE of columns that are no key: it does not wait for the foreign keys of new holds, nor they for it. */
export async function updateProductRow(
  em: EntityManager,
  id: string,
  changes: Partial<Omit<Product, 'id'>>,
): Promise<void> {
  if (Object.keys(changes).length > 0) await em.nativeUpdate(ProductRow, { id }, changes);
}

export async function insertAdjustments(em: EntityManager, adjustments: readonly StockAdjustmentRow[]): Promise<void> {
  await em.insertMany(StockAdjustmentRow, [...adjustments]);
}

/** The adjustment that the key names, or the one that an earlier attempt of this very request wrote. */
export async function findAdjustment(
  em: EntityManager,
  productId: string,
  id: string,
  idempotencyKey: string | null,
): Promise<StockAdjustmentRow | null> {
  const same = idempotencyKey === null ? [{ id }] : [{ id }, { idempotencyKey }];
  return em.findOne(StockAdjustmentRow, { productId, $or: same }, { disableIdentityMap: true });
}
