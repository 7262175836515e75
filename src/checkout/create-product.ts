/** createProduct puts one product on sale, importProducts many at once: all of them or none. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { readClock } from '../database/clock';
import { newId } from '../database/ids';
import { findProducts, findTakenSkus, insertAdjustments, insertProducts } from '../database/products';
import type { Product } from '../domain/records';
import { granted, refusal, refused, type Answer } from '../domain/refusals';
import { classify } from '../postgres/pg-errors';
import type { Caller, Dependencies } from './dependencies';
import { checkedProduct, type NewProduct, type NewProductInput } from './product-fields';
import { createStocks } from './stock-keeper';

/** Rows of one statement. Larger ones are no faster, and this stays far below the statement timeout. */
const MAX_ROWS = 500;

/** Of the first stock adjustment. */
interface Origin {
  readonly actor: string;
  readonly reason: string;
}

/** Refusal: SKU_TAKEN. Product, stock and first adjustment commit together. */
export async function createProduct(
  deps: Dependencies,
  input: NewProductInput,
  caller: Caller,
): Promise<Answer<Product>> {
  const added = checkedProduct(input);
  const origin = { actor: caller.customerId, reason: 'createProduct' };
  const skuTaken = refused(refusal('SKU_TAKEN', { field: ['sku'] }));
  return unlessSkuTaken<Answer<Product>>(
    () =>
      deps.database.inTransaction('createProduct', async ({ em, attempt }) => {
        if (attempt === 1 || !(await isStored(em, added))) await insertTogether(em, [added], origin);
        return granted(added.product);
      }),
    () => skuTaken,
  );
}

export type Imported =
  | { readonly kind: 'imported'; readonly count: number }
  /** These SKUs are on sale already: nothing was changed. */
  | { readonly kind: 'taken'; readonly skus: ReadonlySet<string> };

/** Which of the products' SKUs are on sale already. A hint only: the import looks again. */
export async function takenSkus(
  { database }: Pick<Dependencies, 'database'>,
  products: readonly NewProduct[],
): Promise<ReadonlySet<string>> {
  return database.read((em) => findTakenSkus(em, skusOf(products)));
}

/**
 * Adds all products with their stock in one transaction and changes none that exists: if a SKU is taken, nothing happens.
 * Throws `Busy`, `Unavailable`. Takes no lock that a sale waits for. `onProgress` gets the number of products that are
 * written but not yet committed.
 */
export async function importProducts(
  deps: Pick<Dependencies, 'database'>,
  products: readonly NewProduct[],
  origin: Origin,
  onProgress: (written: number) => void = () => undefined,
): Promise<Imported> {
  const imported: Imported = { kind: 'imported', count: products.length };
  const [first] = products;
  if (!first) return imported;
  return unlessSkuTaken(
    () =>
      deps.database.inTransaction('importProducts', async ({ em, attempt, rollBack }): Promise<Imported> => {
        // An earlier attempt may have been committed; then all of its rows are there.
        if (attempt > 1 && (await isStored(em, first))) return imported;
        const skus = await findTakenSkus(em, skusOf(products));
        if (skus.size > 0) {
          rollBack();
          return { kind: 'taken', skus };
        }
        for (let from = 0; from < products.length; from += MAX_ROWS) {
          const some = products.slice(from, from + MAX_ROWS);
          await insertTogether(em, some, origin);
          onProgress(from + some.length);
        }
        return imported;
      }),
    async () => ({ kind: 'taken', skus: await takenSkus(deps, products) }),
  );
}

/** A SKU can also be taken by a transaction that commits first: then the unique constraint refuses this one. */
async function unlessSkuTaken<T>(work: () => Promise<T>, onTaken: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (classify(error).constraint !== 'products_sku_unique') throw error;
    return onTaken();
  }
}

async function isStored(em: EntityManager, { product }: NewProduct): Promise<boolean> {
  return (await findProducts(em, [product.id])).length > 0;
}

/** Products, their stock and their first adjustments, in four round trips. Takes no lock. */
async function insertTogether(em: EntityManager, added: readonly NewProduct[], origin: Origin): Promise<void> {
  await insertProducts(
    em,
    added.map(({ product }) => product),
  );
  await createStocks(
    em,
    added.map(({ product, total }) => ({ id: product.id, total })),
  );
  const createdAt = await readClock(em);
  await insertAdjustments(
    em,
    added.map(({ product, total }) => ({
      ...{ id: newId(), productId: product.id, delta: total, idempotencyKey: null, createdAt },
      ...origin,
    })),
  );
}

function skusOf(products: readonly NewProduct[]): string[] {
  return products.map(({ product }) => product.sku);
}
