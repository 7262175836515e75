/** updateProduct: changes what is said of a product. Holds keep the price they were granted at. */
import { isId } from '../database/ids';
import { findProducts, updateProductRow } from '../database/products';
import { CallerError } from '../domain/errors';
import type { Product } from '../domain/records';
import { granted, refusal, refused, type Answer } from '../domain/refusals';
import { classify } from '../postgres/pg-errors';
import type { Dependencies } from './dependencies';
import { checkedFields, type ProductFields } from './product-fields';

export interface UpdateProductInput extends ProductFields {
  readonly productId: string;
}

/** Refusal: PRODUCT_NOT_FOUND. Locks the product's row, never its stock. */
export async function updateProduct(deps: Dependencies, input: UpdateProductInput): Promise<Answer<Product>> {
  const changes = checkedFields(input);
  const productId = input.productId.toLowerCase();
  const notFound = refused(refusal('PRODUCT_NOT_FOUND', { field: ['productId'] }));
  if (!isId(productId)) return notFound;
  try {
    return await deps.database.inTransaction('updateProduct', async ({ em }): Promise<Answer<Product>> => {
      await updateProductRow(em, productId, changes);
      const [product] = await findProducts(em, [productId]);
      return product ? granted(product) : notFound;
    });
  } catch (error) {
    // The input may set one end of the window and the row have the other: the row's constraint judges both.
    if (classify(error).constraint !== 'products_window') throw error;
    throw new CallerError('BAD_USER_INPUT', 'saleStartsAt must be before saleEndsAt');
  }
}
