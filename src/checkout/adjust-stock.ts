/** adjustStock: an operator puts more units on sale, or takes some off it. */
import { isId, newId } from '../database/ids';
import { findAdjustment, insertAdjustments } from '../database/products';
import { CallerError } from '../domain/errors';
import { checkIdempotencyKey, checkName, checkWhole, MAX_INT } from '../domain/input';
import type { Product } from '../domain/records';
import { granted, refusal, refused, replayed, type Answer } from '../domain/refusals';
import type { Caller, Dependencies } from './dependencies';
import { changeTotal, lockStock, makeAvailable, readLevel } from './stock-keeper';

export interface AdjustStockInput {
  readonly productId: string;
  readonly delta: number;
  readonly reason: string;
  readonly idempotencyKey?: string | null | undefined;
}

/**
 * Changes a product's total and available stock by `delta`, once for each key. Downwards it takes units, so overdue holds
 * are closed first; what is held or ordered stays.
 * Refusals: IDEMPOTENCY_KEY_REUSED, PRODUCT_NOT_FOUND, STOCK_BELOW_COMMITTED. Locks: the stock row → overdue holds.
 */
export async function adjustStock(
  deps: Dependencies,
  input: AdjustStockInput,
  { customerId: actor }: Caller,
): Promise<Answer<Product>> {
  const delta = checkWhole('delta', input.delta, -MAX_INT);
  if (delta === 0) throw new CallerError('BAD_USER_INPUT', 'delta must not be 0: it would change nothing');
  const reason = checkName('reason', input.reason);
  const idempotencyKey = checkIdempotencyKey(input.idempotencyKey);
  const productId = input.productId.toLowerCase();
  const notFound = refused(refusal('PRODUCT_NOT_FOUND', { field: ['productId'] }));
  if (!isId(productId)) return notFound;

  const id = newId();
  return deps.database.inTransaction('adjustStock', async ({ em, rollBack }): Promise<Answer<Product>> => {
    const refuse = (answer: Answer<Product>) => {
      rollBack();
      return answer;
    };
    const [stock, level] = await Promise.all([lockStock(em, productId), readLevel(em, productId, [])]);
    if (!stock || !level) return refuse(notFound);
    const earlier = await findAdjustment(em, productId, id, idempotencyKey);
    if (earlier) {
      return refuse(
        earlier.delta === delta
          ? replayed(level.product)
          : refused(refusal('IDEMPOTENCY_KEY_REUSED', { field: ['idempotencyKey'] })),
      );
    }
    if (stock.total + delta > MAX_INT) {
      throw new CallerError('BAD_USER_INPUT', `delta must leave the total at ${MAX_INT} or less`);
    }
    if (delta < 0 && (await makeAvailable(em, level, -delta)) < -delta) {
      return refuse(refused(refusal('STOCK_BELOW_COMMITTED', { field: ['delta'] })));
    }
    await changeTotal(em, productId, delta);
    await insertAdjustments(em, [{ id, productId, delta, reason, actor, idempotencyKey, createdAt: level.at }]);
    return granted(level.product);
  });
}
