/** Statements on `products` and `stock_adjustments`. */
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Product } from '../domain/records';
import { ProductRow, StockAdjustmentRow } from './entities';

export async function findProducts(em: EntityManager, ids: readonly string[]): Promise<Product[]> {
  return em.find(ProductRow, { id: { $in: [...ids] } }, { disableIdentityMap: true });
}

export async function findProductBySku(em: EntityManager, sku: string): Promise<Product | null> {
  return em.findOne(ProductRow, { sku }, { disableIdentityMap: true });
}

export async function insertProduct(em: EntityManager, product: Product): Promise<void> {
  await em.insert(ProductRow, { ...product });
}

/** A plain UPDATE of columns that are no key: it does not wait for the foreign keys of new holds, nor they for it. */
export async function updateProductRow(
  em: EntityManager,
  id: string,
  changes: Partial<Omit<Product, 'id'>>,
): Promise<void> {
  if (Object.keys(changes).length > 0) await em.nativeUpdate(ProductRow, { id }, changes);
}

export async function insertAdjustment(em: EntityManager, adjustment: StockAdjustmentRow): Promise<void> {
  await em.insert(StockAdjustmentRow, adjustment);
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
