/** Statements on `products` and `stock_adjustments`. */
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Product } from '../domain/records';
import { Columns, type Row } from './columns';
import { ProductRow, StockAdjustmentRow } from './entities';
import { run, sql } from '../postgres/statement';

export const productColumns = new Columns<Product>(ProductRow, ['createdAt']);

export async function findProducts(em: EntityManager, ids: readonly string[]): Promise<Product[]> {
  const rows = await run<Row>(
    em,
    sql`/* find products */ SELECT ${productColumns.of('products')} FROM products WHERE id = ANY (${ids}::uuid[])`,
  );
  return rows.map((row) => productColumns.read(row));
}

export async function findProductBySku(em: EntityManager, sku: string): Promise<Product | null> {
  const [row] = await run<Row>(
    em,
    sql`/* find product */ SELECT ${productColumns.of('products')} FROM products WHERE sku = ${sku}`,
  );
  return row ? productColumns.read(row) : null;
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
