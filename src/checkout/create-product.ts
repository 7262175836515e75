/** createProduct: puts a product on sale, with its first units. */
import { newId } from '../database/ids';
import { findProducts, insertAdjustment, insertProduct } from '../database/products';
import { readClock } from '../database/statement';
import { classify } from '../database/failures';
import { checkCurrency, checkName, checkSaleWindow, checkText, checkWhole } from '../domain/input';
import type { Product } from '../domain/records';
import { granted, refusal, refused, type Answer } from '../domain/refusals';
import type { Checkout } from './checkout';
import { createStock } from './stock-keeper';

export interface CreateProductInput {
  readonly sku: string;
  readonly name: string;
  readonly description?: string | null | undefined;
  readonly priceMinor: number;
  readonly currency: string;
  readonly totalStock: number;
  readonly maxPerCustomer?: number | null | undefined;
  readonly saleStartsAt?: Date | null | undefined;
  readonly saleEndsAt?: Date | null | undefined;
  /** Who did it, for the first stock adjustment. */
  readonly actor: string;
}

/** Refusal: SKU_TAKEN. Throws `CallerError`, `Busy`, `Unavailable`. Product, stock and first adjustment commit together. */
export async function createProduct(checkout: Checkout, input: CreateProductInput): Promise<Answer<Product>> {
  const product = checkedProduct(input);
  const total = checkWhole('totalStock', input.totalStock, 0);
  try {
    await checkout.database.inTransaction('createProduct', async ({ em, attempt }) => {
      if (attempt > 1 && (await findProducts(em, [product.id])).length > 0) return;
      await insertProduct(em, product);
      await createStock(em, product.id, total);
      await insertAdjustment(em, {
        id: newId(),
        productId: product.id,
        delta: total,
        reason: 'createProduct',
        actor: input.actor,
        idempotencyKey: null,
        createdAt: await readClock(em),
      });
    });
  } catch (error) {
    if (classify(error).constraint !== 'products_sku_unique') throw error;
    return refused(refusal('SKU_TAKEN', { field: ['sku'] }));
  }
  return granted(product);
}

function checkedProduct(input: CreateProductInput): Product {
  const { description, maxPerCustomer } = input;
  const saleStartsAt = input.saleStartsAt ?? null;
  const saleEndsAt = input.saleEndsAt ?? null;
  checkSaleWindow(saleStartsAt, saleEndsAt);
  return {
    id: newId(),
    sku: checkName('sku', input.sku),
    name: checkName('name', input.name),
    description: description === null || description === undefined ? null : checkText('description', description),
    priceMinor: checkWhole('priceMinor', input.priceMinor, 0, Number.MAX_SAFE_INTEGER),
    currency: checkCurrency(input.currency),
    maxPerCustomer:
      maxPerCustomer === null || maxPerCustomer === undefined ? null : checkWhole('maxPerCustomer', maxPerCustomer, 1),
    saleStartsAt,
    saleEndsAt,
  };
}
