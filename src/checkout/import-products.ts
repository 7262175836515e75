/** importProducts: puts many products on sale at once: all of them, or none. */
import { classify } from '../postgres/pg-errors';
import { findProducts, findTakenSkus } from '../database/products';
import type { Checkout } from './checkout';
import { putOnSale, type NewProduct } from './put-on-sale';

/** Rows of one statement: beyond this nothing is gained, and it stays far from the statement timeout. */
const CHUNK = 500;

export interface ImportBy {
  readonly actor: string;
  readonly reason: string;
}

export type Imported =
  | { readonly kind: 'imported'; readonly count: number }
  /** These SKUs are on sale already: nothing was changed. */
  | { readonly kind: 'taken'; readonly skus: ReadonlySet<string> };

/** Those of the products' SKUs that are on sale already. Only a hint: the import itself looks again. */
export async function takenSkus(
  { database }: Pick<Checkout, 'database'>,
  products: readonly NewProduct[],
): Promise<ReadonlySet<string>> {
  return database.read((em) => findTakenSkus(em, skusOf(products)));
}

/**
 * Adds all products with their stock in one transaction, and changes none that exists: where a SKU is taken, nothing happens.
 * Throws `Busy`, `Unavailable`. Takes no lock that a sale waits for. `onProgress` is told how many are written, not yet committed.
 */
export async function importProducts(
  { database }: Pick<Checkout, 'database'>,
  products: readonly NewProduct[],
  by: ImportBy,
  onProgress: (written: number) => void = () => undefined,
): Promise<Imported> {
  const imported: Imported = { kind: 'imported', count: products.length };
  if (products.length === 0) return imported;
  try {
    return await database.inTransaction('importProducts', async ({ em, attempt, rollBack }): Promise<Imported> => {
      // An earlier attempt was committed without our knowing: all of its rows are there, or none is.
      if (attempt > 1 && (await findProducts(em, [products[0]!.product.id])).length > 0) return imported;
      const skus = await findTakenSkus(em, skusOf(products));
      if (skus.size > 0) {
        rollBack();
        return { kind: 'taken', skus };
      }
      for (let from = 0; from < products.length; from += CHUNK) {
        const chunk = products.slice(from, from + CHUNK);
        await putOnSale(em, chunk, by);
        onProgress(from + chunk.length);
      }
      return imported;
    });
  } catch (error) {
    if (classify(error).constraint !== 'products_sku_unique') throw error;
    // Somebody added one of them meanwhile.
    return { kind: 'taken', skus: await database.read((em) => findTakenSkus(em, skusOf(products))) };
  }
}

function skusOf(products: readonly NewProduct[]): string[] {
  return products.map(({ product }) => product.sku);
}
