/** createHold: claims units of a product for a limited time, in group commits: one lock, one decision, one write a batch. */
import { performance } from 'node:perf_hooks';
import type { EntityManager } from '@mikro-orm/postgresql';
import { isId, newId } from '../database/ids';
import { Busy, Unavailable } from '../domain/errors';
import {
  grantHolds,
  plainlyOutOfStock,
  type HoldRequest,
  type HoldVerdict,
  type ProductLevel,
} from '../domain/grant-holds';
import { checkIdempotencyKey, checkWhole } from '../domain/input';
import type { Hold, Product } from '../domain/records';
import { granted, refusal, refused, replayed, type Granted, type Refused } from '../domain/refusals';
import type { Transaction } from '../postgres/transaction';
import type { Dependencies, UseCase } from './dependencies';
import { GroupCommit } from './group-commit';
import { HoldLanes, type HoldTransactions, type LeftAlone, type LockedDecision, type ProductBatch } from './hold-lanes';
import {
  countOverdueOf,
  lockFreeStocks,
  lockStock,
  makeAvailable,
  readLevel,
  readLevels,
  takeForHolds,
} from './stock-keeper';

export interface CreateHoldInput {
  readonly productId: string;
  readonly quantity: number;
  readonly idempotencyKey?: string | null | undefined;
}

/** With the product as the decision read it, so that showing it costs no further read. */
export type HoldAnswer = (Granted<Hold> & { readonly product: Product }) | Refused;

const NOT_FOUND: HoldVerdict = { kind: 'refuse', refusal: refusal('PRODUCT_NOT_FOUND', { field: ['productId'] }) };

/**
 * Grants a hold, or answers the one that the same customer's key was granted before.
 *
 * Refusals, the first that applies: IDEMPOTENCY_KEY_REUSED, PRODUCT_NOT_FOUND, CUSTOMER_REQUIRED, SALE_NOT_STARTED,
 * SALE_ENDED, LIMIT_PER_CUSTOMER, OUT_OF_STOCK.
 * Locks: the product's stock row, then overdue holds of it when units are missing or their customers' units are counted
 * (`maxPerCustomer`). Batches of several products share a transaction: the stock rows that are free, in ascending id, and no
 * holds. A batch makes 3 round trips, 2 of them under the lock; once a product is sold out, refusals take one and no lock.
 */
export function createHolds(deps: Dependencies): UseCase<CreateHoldInput, HoldAnswer> {
  const lanes = new HoldLanes(transactionsOf(deps), () => deps.database.isDistributed);
  const commits = new GroupCommit<HoldRequest, HoldVerdict>((productId, requests) =>
    commit(deps, lanes, { productId, requests }),
  );
  return async ({ log }, input, { customerId }) => {
    const request: HoldRequest = {
      id: newId(),
      productId: input.productId.toLowerCase(),
      quantity: checkWhole('quantity', input.quantity, 1),
      customerId,
      idempotencyKey: checkIdempotencyKey(input.idempotencyKey),
    };
    const { productId } = request;
    return answerTo(log, request, isId(productId) ? await commits.submit(productId, request) : NOT_FOUND);
  };
}

function answerTo(log: Dependencies['log'], request: HoldRequest, verdict: HoldVerdict): HoldAnswer {
  const { productId, quantity, customerId } = request;
  switch (verdict.kind) {
    case 'grant':
    case 'confirm':
      log.info({ event: 'hold.created', holdId: verdict.hold.id, productId, quantity, customerId }, 'hold.created');
      return { ...granted(verdict.hold), product: verdict.product };
    case 'replay':
      return { ...replayed(verdict.hold), product: verdict.product };
    case 'refuse':
      log.info({ event: 'hold.refused', code: verdict.refusal.code, productId, quantity, customerId }, 'hold.refused');
      return refused(verdict.refusal);
    case 'mistake':
      throw verdict.error;
  }
}

/** Batches of one product follow one another. */
async function commit(deps: Dependencies, lanes: HoldLanes, batch: ProductBatch): Promise<readonly HoldVerdict[]> {
  const { productId, requests } = batch;
  const verdicts = lanes.isSoldOut(productId)
    ? await refuseWithoutLock(deps, batch)
    : new Map<HoldRequest, HoldVerdict>();
  const rest = requests.filter((request) => !verdicts.has(request));
  if (rest.length > 0) {
    const decision = await lanes.decide({ productId, requests: rest });
    rest.forEach((request, index) => verdicts.set(request, decision.verdicts[index]!));
    recordBatch(deps, productId, decision);
  }
  return requests.map((request) => verdicts.get(request)!);
}

/** docs/design.md#rules-of-concurrency, rule 10. */
async function refuseWithoutLock(
  { database, holdTtlSeconds }: Dependencies,
  { productId, requests }: ProductBatch,
): Promise<Map<HoldRequest, HoldVerdict>> {
  const snapshot = await database.readForBatch((em) => readLevel(em, productId, requests));
  const refusals = snapshot ? plainlyOutOfStock(snapshot, requests, holdTtlSeconds) : [];
  return new Map([...refusals].map(([request, refusal]) => [request, { kind: 'refuse', refusal }]));
}

function transactionsOf({ database, holdTtlSeconds }: Dependencies): HoldTransactions {
  return {
    /**
     * Closes overdue holds only for a batch that has the transaction to itself, so that no product delays another. If its
     * COMMIT is lost, it may still hold its locks when it runs again: it then skips those rows, and `decideAlone` waits for
     * them and looks for its own rows.
     */
    decideTogether: (batches) => {
      const isOnly = batches.length === 1;
      return database.inBatch(isOnly ? 'createHold' : 'createHolds', async (transaction) => {
        const { em, attempt } = transaction;
        const isRerun = attempt > 1;
        const productIds = batches.map((batch) => batch.productId);
        const requests = batches.flatMap((batch) => batch.requests);
        const [locked, levels] = await Promise.all([
          lockFreeStocks(em, productIds),
          readLevels(em, productIds, requests, isRerun),
        ]);
        const decisions: (LockedDecision | LeftAlone)[] = [];
        for (const { productId, requests } of batches) {
          const level = levels.get(productId);
          const isContended = level !== undefined && !locked.has(productId);
          if (isContended || (!isOnly && mayCloseOverdue(level, requests))) {
            decisions.push({ isContended, isRerun });
          } else {
            decisions.push(await decideLocked(em, level, requests, holdTtlSeconds));
          }
        }
        await write(transaction, decisions);
        return decisions;
      });
    },

    decideAlone: async ({ productId, requests }, isRerun) => {
      const decision = database.inBatch('createHold', async (transaction) => {
        const { em, attempt } = transaction;
        const askedAt = performance.now();
        const [lockWaitMs, level] = await Promise.all([
          lockStock(em, productId).then(() => performance.now() - askedAt),
          readLevel(em, productId, requests, isRerun || attempt > 1),
        ]);
        const decision = { ...(await decideLocked(em, level, requests, holdTtlSeconds)), lockWaitMs };
        await write(transaction, [decision]);
        return decision;
      });
      if (!isRerun) return decision;
      // The outcome of the earlier attempt is unknown, so BUSY, which promises that nothing happened, would be wrong.
      return decision.catch((error: unknown) => {
        throw error instanceof Busy ? new Unavailable({ cause: error }) : error;
      });
    },
  };
}

/** The caller has locked the stock row. Closes overdue holds where units are missing or their customers' units are counted. */
async function decideLocked(
  em: EntityManager,
  read: ProductLevel | null | undefined,
  requests: readonly HoldRequest[],
  holdTtlSeconds: number,
): Promise<LockedDecision> {
  if (!read) return { verdicts: requests.map(() => NOT_FOUND), missing: 0, closedUnits: 0, lockWaitMs: 0 };
  const level = await countOverdueOf(em, read);
  let { available } = level;
  let decision = grantHolds(level, requests, holdTtlSeconds);
  if (decision.missing > 0 && level.hasOverdue) {
    available = await makeAvailable(em, level, available + decision.missing);
    decision = grantHolds({ ...level, available }, requests, holdTtlSeconds);
  }
  return { ...decision, closedUnits: available - read.available, lockWaitMs: 0 };
}

function mayCloseOverdue(level: ProductLevel | undefined, requests: readonly HoldRequest[]): boolean {
  if (!level?.hasOverdue) return false;
  return level.overdueOf.length > 0 || requests.reduce((sum, { quantity }) => sum + quantity, 0) > level.available;
}

async function write({ em, rollBack }: Transaction, decisions: readonly (LockedDecision | LeftAlone)[]): Promise<void> {
  const made = decisions.flatMap((decision) => ('verdicts' in decision ? [decision] : []));
  const holds = made.flatMap(({ verdicts }) => verdicts.flatMap((own) => (own.kind === 'grant' ? [own.hold] : [])));
  if (holds.length > 0) await takeForHolds(em, holds);
  else if (made.every((decision) => decision.closedUnits === 0)) rollBack();
}

function recordBatch({ log, metrics }: Dependencies, productId: string, decision: LockedDecision): void {
  const { verdicts, closedUnits, lockWaitMs } = decision;
  const count = (kind: HoldVerdict['kind']) => verdicts.filter((verdict) => verdict.kind === kind).length;
  metrics.batch(verdicts.length, lockWaitMs);
  log.info(
    {
      event: 'batch.committed',
      productId,
      size: verdicts.length,
      granted: count('grant'),
      refused: count('refuse'),
      expiredUnits: closedUnits,
      lockWaitMs: Math.round(lockWaitMs * 10) / 10,
    },
    'batch.committed',
  );
}
