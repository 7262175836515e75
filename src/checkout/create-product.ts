/** createProduct: puts a product on sale, with its first units. */
import { classify } from '../postgres/pg-errors';
import { findProducts } from '../database/products';
import type { Product } from '../domain/records';
import { granted, refusal, refused, type Answer } from '../domain/refusals';
import type { Checkout } from './checkout';
import { checkedProduct, putOnSale, type NewProductInput } from './put-on-sale';

export interface CreateProductInput extends NewProductInput {
  /** Who did it, for the first stock adjustment. */
  readonly actor: string;
}

/** Refusal: SKU_TAKEN. Throws `CallerError`, `Busy`, `Unavailable`. Product, stock and first adjustment commit together. */
export async function createProduct(checkout: Checkout, input: CreateProductInput): Promise<Answer<Product>> {
  const added = checkedProduct(input);
  try {
    await checkout.database.inTransaction('createProduct', async ({ em, attempt }) => {
      if (attempt > 1 && (await findProducts(em, [added.product.id])).length > 0) return;
      await putOnSale(em, [added], { actor: input.actor, reason: 'createProduct' });
    });
  } catch (error) {
    if (classify(error).constraint !== 'products_sku_unique') throw error;
    return refused(refusal('SKU_TAKEN', { field: ['sku'] }));
  }
  return granted(added.product);
}
