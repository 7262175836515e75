/** updateProduct: changes what is said of a product. Holds keep the price they were granted at. */
import { classify } from '../postgres/pg-errors';
import { isId } from '../database/ids';
import { findProducts, updateProductRow } from '../database/products';
import { CallerError } from '../domain/errors';
import { checkName, checkSaleWindow, checkText, checkWhole } from '../domain/input';
import type { Product } from '../domain/records';
import { granted, refusal, refused, type Answer } from '../domain/refusals';
import type { Checkout } from './checkout';

/** Left out (undefined): unchanged. null: none (no description, no limit, no window); for name and price a mistake. */
export interface UpdateProductInput {
  readonly productId: string;
  readonly name?: string | null | undefined;
  readonly description?: string | null | undefined;
  readonly priceMinor?: number | null | undefined;
  readonly maxPerCustomer?: number | null | undefined;
  readonly saleStartsAt?: Date | null | undefined;
  readonly saleEndsAt?: Date | null | undefined;
}

type Changes = Partial<Omit<Product, 'id' | 'sku' | 'currency'>>;

/** Refusal: PRODUCT_NOT_FOUND. Throws `CallerError`, `Busy`, `Unavailable`. Locks the product's row, never its stock. */
export async function updateProduct(checkout: Checkout, input: UpdateProductInput): Promise<Answer<Product>> {
  const changes = checkedChanges(input);
  const productId = input.productId.toLowerCase();
  const notFound = refused(refusal('PRODUCT_NOT_FOUND', { field: ['productId'] }));
  if (!isId(productId)) return notFound;
  try {
    return await checkout.database.inTransaction('updateProduct', async ({ em }): Promise<Answer<Product>> => {
      await updateProductRow(em, productId, changes);
      const product = (await findProducts(em, [productId]))[0];
      return product ? granted(product) : notFound;
    });
  } catch (error) {
    // Half of the window may have been set before: the row's own constraint judges the whole of it.
    if (classify(error).constraint !== 'products_window') throw error;
    throw new CallerError('BAD_USER_INPUT', 'saleStartsAt must be before saleEndsAt');
  }
}

function checkedChanges(input: UpdateProductInput): Changes {
  const { name, description, priceMinor, maxPerCustomer, saleStartsAt, saleEndsAt } = input;
  if (name === null) throw new CallerError('BAD_USER_INPUT', 'name cannot be null: leave it out to keep it');
  if (priceMinor === null)
    throw new CallerError('BAD_USER_INPUT', 'priceMinor cannot be null: leave it out to keep it');
  if (saleStartsAt && saleEndsAt) checkSaleWindow(saleStartsAt, saleEndsAt);
  return {
    ...(name !== undefined && { name: checkName('name', name) }),
    ...(description !== undefined && { description: description && checkText('description', description) }),
    ...(priceMinor !== undefined && { priceMinor: checkWhole('priceMinor', priceMinor, 0, Number.MAX_SAFE_INTEGER) }),
    ...(maxPerCustomer !== undefined && {
      maxPerCustomer: maxPerCustomer === null ? null : checkWhole('maxPerCustomer', maxPerCustomer, 1),
    }),
    ...(saleStartsAt !== undefined && { saleStartsAt }),
    ...(saleEndsAt !== undefined && { saleEndsAt }),
  };
}
