/** What makes a product: the checks of its input, and its rows. Shared by createProduct and the import. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { newId } from '../database/ids';
import { insertAdjustments, insertProducts } from '../database/products';
import { readClock } from '../database/clock';
import { checkCurrency, checkName, checkSaleWindow, checkText, checkWhole } from '../domain/input';
import type { Product } from '../domain/records';
import { createStocks } from './stock-keeper';

export interface NewProductInput {
  readonly sku: string;
  readonly name: string;
  readonly description?: string | null | undefined;
  readonly priceMinor: number;
  readonly currency: string;
  readonly totalStock: number;
  readonly maxPerCustomer?: number | null | undefined;
  readonly saleStartsAt?: Date | null | undefined;
  readonly saleEndsAt?: Date | null | undefined;
}

/** A product that may be put on sale, with its id: chosen before the first attempt, and kept in every re-run. */
export interface NewProduct {
  readonly product: Product;
  readonly total: number;
}

/** Throws `CallerError`, which says what is wrong with the first field that is. */
export function checkedProduct(input: NewProductInput): NewProduct {
  const { description, maxPerCustomer } = input;
  const saleStartsAt = input.saleStartsAt ?? null;
  const saleEndsAt = input.saleEndsAt ?? null;
  checkSaleWindow(saleStartsAt, saleEndsAt);
  const product: Product = {
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
  return { product, total: checkWhole('totalStock', input.totalStock, 0) };
}

/** Products, their stock and their first adjustments: four round trips, however many they are. Takes no lock. */
export async function putOnSale(
  em: EntityManager,
  products: readonly NewProduct[],
  by: { readonly actor: string; readonly reason: string },
): Promise<void> {
  await insertProducts(
    em,
    products.map(({ product }) => product),
  );
  await createStocks(
    em,
    products.map(({ product, total }) => ({ id: product.id, total })),
  );
  const createdAt = await readClock(em);
  await insertAdjustments(
    em,
    products.map(({ product, total }) => ({
      ...{ id: newId(), productId: product.id, delta: total, idempotencyKey: null, createdAt },
      ...by,
    })),
  );
}
