/** createHold: claims units of a product for the hold's time, in group commits: one lock, one decision, one write a batch. */
import { isId, newId } from '../database/ids';
import {
  grantHolds,
  plainlyOutOfStock,
  type HoldDecision,
  type HoldRequest,
  type HoldVerdict,
} from '../domain/grant-holds';
import { checkIdempotencyKey, checkWhole } from '../domain/input';
import type { Hold, Product } from '../domain/records';
import { granted, refusal, refused, replayed, type Answer } from '../domain/refusals';
import { inRequest, type Checkout } from './checkout';
import { GroupCommit, MAX_BATCH } from './group-commit';
import { labelOfAnswer, measured } from './measure';
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
  /** '' is anonymous. */
  readonly customerId: string;
  /** For the log. */
  readonly requestId?: string | undefined;
}

/** With the product as the decision saw it, so that nobody has to read it again to show it; left out when it was not read. */
export type HoldAnswer = Answer<Hold> & { readonly product?: Product | undefined };
export type CreateHold = (input: CreateHoldInput) => Promise<HoldAnswer>;

/**
 * Grants a hold, or answers the one that the same customer's key was granted before.
 *
 * Refusals, the first that applies: IDEMPOTENCY_KEY_REUSED, PRODUCT_NOT_FOUND, CUSTOMER_REQUIRED, SALE_NOT_STARTED,
 * SALE_ENDED, LIMIT_PER_CUSTOMER, OUT_OF_STOCK. Throws `CallerError`, `Busy` (nothing happened), `Unavailable`.
 * Locks: the product's stock row, then overdue holds of it when units are missing or their customers' units are counted
 * (`maxPerCustomer`). A batch makes 5 round trips, 3 of them under the lock; once a product is sold out, refusals take one
 * and no lock. When all connections for batches are taken, those of several products share one transaction: only the stock
 * rows that are free, in ascending id, and no holds.
 */
export function createHoldOf(checkout: Checkout): CreateHold {
  const batches = new HoldBatches(checkout);
  const commits = new GroupCommit<HoldRequest, Judged>((productId, requests) => batches.commit(productId, requests));
  const createHold: CreateHold = async (input) => {
    const request: HoldRequest = {
      id: newId(),
      productId: input.productId.toLowerCase(),
      quantity: checkWhole('quantity', input.quantity, 1),
      customerId: input.customerId,
      idempotencyKey: checkIdempotencyKey(input.idempotencyKey),
    };
    const { verdict, product } = isId(request.productId)
      ? await commits.submit(request.productId, request)
      : { verdict: NOT_FOUND };
    return { ...answerTo(inRequest(checkout, input.requestId), request, verdict), product };
  };
  return measured(createHold, labelOfAnswer, (result, seconds) => checkout.metrics.hold(result, seconds));
}

const NOT_FOUND: HoldVerdict = { kind: 'refuse', refusal: refusal('PRODUCT_NOT_FOUND', { field: ['productId'] }) };

function answerTo({ log }: Checkout, request: HoldRequest, verdict: HoldVerdict): Answer<Hold> {
  const { productId, quantity, customerId } = request;
  switch (verdict.kind) {
    case 'grant':
    case 'confirm':
      log.info({ event: 'hold.created', holdId: verdict.hold.id, productId, quantity, customerId }, 'hold.created');
      return granted(verdict.hold);
    case 'replay':
      return replayed(verdict.hold);
    case 'refuse':
      log.info({ event: 'hold.refused', code: verdict.refusal.code, productId, quantity, customerId }, 'hold.refused');
      return refused(verdict.refusal);
    case 'mistake':
      throw verdict.error;
  }
}

interface Judged {
  readonly verdict: HoldVerdict;
  readonly product?: Product | undefined;
}

interface LockedDecision extends HoldDecision {
  readonly product?: Product;
  readonly closedUnits: number;
  readonly lockWaitMs: number;
}

interface ProductBatch {
  readonly productId: string;
  readonly requests: readonly HoldRequest[];
}

/** Not decided together with others. */
interface Alone {
  readonly alone: true;
  /** An earlier attempt may have been committed without our knowing: a row with a request's own id is its success. */
  readonly isRerun: boolean;
}

/**
 * Batches of one product follow one another. Each has a transaction of its own, until so many products are hot that they
 * would wait for a connection: then those that wait share the next transaction.
 */
class HoldBatches {
  /** Products that were out of stock when last seen. Only a hint where to look first: every refusal has its own snapshot. */
  private readonly soldOut = new Set<string>();

  private readonly products: GroupCommit<ProductBatch, LockedDecision | Alone>;

  constructor(private readonly checkout: Checkout) {
    const { isDistributed, batchConnections } = checkout.database;
    this.products = new GroupCommit((_, batches) => this.decide(batches), {
      lanes: batchConnections,
      // Where products are on different workers, a transaction of several would commit in two phases.
      maxBatch: isDistributed ? 1 : MAX_BATCH,
      sizeOf: ({ requests }) => requests.length,
    });
  }

  async commit(productId: string, requests: readonly HoldRequest[]): Promise<readonly Judged[]> {
    const verdicts = new Map<HoldRequest, HoldVerdict>();
    let product: Product | undefined;
    if (this.soldOut.has(productId)) await this.refuseWithoutLock(productId, requests, verdicts);
    const rest = requests.filter((request) => !verdicts.has(request));
    if (rest.length > 0) {
      const batch = { productId, requests: rest };
      const shared = await this.products.submit('', batch);
      const decision = 'alone' in shared ? await this.decideUnderLock(batch, shared.isRerun) : shared;
      rest.forEach((request, index) => verdicts.set(request, decision.verdicts[index]!));
      product = decision.product;
      this.note(productId, rest.length, decision);
    }
    return requests.map((request) => ({ verdict: verdicts.get(request)!, product }));
  }

  /** A refusal that was true at one committed moment after the question is a correct answer (DESIGN §6.3). */
  private async refuseWithoutLock(
    productId: string,
    requests: readonly HoldRequest[],
    verdicts: Map<HoldRequest, HoldVerdict>,
  ): Promise<void> {
    const { database, holdTtlSeconds } = this.checkout;
    const snapshot = await database.readForBatch((em) => readLevel(em, productId, requests));
    if (!snapshot) return;
    for (const [request, refusal] of plainlyOutOfStock(snapshot, requests, holdTtlSeconds)) {
      verdicts.set(request, { kind: 'refuse', refusal });
    }
  }

  private async decide(batches: readonly ProductBatch[]): Promise<readonly (LockedDecision | Alone)[]> {
    if (batches.length === 1) return [await this.decideUnderLock(batches[0]!, false)];
    // Not known before, of a database that was away when it was opened.
    if (this.checkout.database.isDistributed) return batches.map(() => ({ alone: true, isRerun: false }));
    return this.decideTogether(batches);
  }

  /**
   * Waits for no lock and closes no overdue hold, so that one product holds up no other. One that needs either, or does not
   * exist, goes alone. Lost at its COMMIT, this may still have its locks when it runs again: it then skips them, and whoever
   * goes alone waits for them, and looks for its own rows.
   */
  private decideTogether(batches: readonly ProductBatch[]): Promise<readonly (LockedDecision | Alone)[]> {
    const { database, holdTtlSeconds } = this.checkout;
    return database.inBatch('createHolds', async ({ em, attempt, rollBack }) => {
      const productIds = await lockFreeStocks(
        em,
        batches.map((batch) => batch.productId),
      );
      const requests = batches.flatMap((batch) => batch.requests);
      const levels = await readLevels(em, [...productIds], requests, attempt > 1);
      const decisions = batches.map(({ productId, requests }) => {
        const level = levels.get(productId);
        const alone: Alone = { alone: true, isRerun: attempt > 1 };
        if (!level || level.overdueOf.length > 0) return alone;
        const decision = grantHolds(level, requests, holdTtlSeconds);
        if (decision.missing > 0 && level.hasOverdue) return alone;
        return { ...decision, product: level.product, closedUnits: 0, lockWaitMs: 0 };
      });
      const holds = decisions.flatMap((decision) => ('alone' in decision ? [] : newHoldsOf(decision)));
      if (holds.length > 0) await takeForHolds(em, holds);
      else rollBack();
      return decisions;
    });
  }

  private decideUnderLock({ productId, requests }: ProductBatch, isRerun: boolean): Promise<LockedDecision> {
    const { database, holdTtlSeconds } = this.checkout;
    return database.inBatch('createHold', async ({ em, attempt, rollBack }) => {
      const askedAt = performance.now();
      const stock = await lockStock(em, productId);
      const lockWaitMs = performance.now() - askedAt;
      const read = stock && (await readLevel(em, productId, requests, isRerun || attempt > 1));
      if (!read) {
        rollBack();
        return { verdicts: requests.map(() => NOT_FOUND), taken: 0, missing: 0, closedUnits: 0, lockWaitMs };
      }
      const level = await countOverdueOf(em, read);
      let decision = grantHolds(level, requests, holdTtlSeconds);
      let closedUnits = level.available - read.available;
      if (decision.missing > 0 && level.hasOverdue) {
        const wanted = level.available + decision.missing;
        const available = await makeAvailable(em, level, wanted);
        closedUnits = available - read.available;
        decision = grantHolds({ ...level, available }, requests, holdTtlSeconds);
      }
      const holds = newHoldsOf(decision);
      if (holds.length > 0) await takeForHolds(em, holds);
      else if (closedUnits === 0) rollBack();
      return { ...decision, product: level.product, closedUnits, lockWaitMs };
    });
  }

  private note(productId: string, size: number, decision: LockedDecision): void {
    const refusals = decision.verdicts.filter((verdict) => verdict.kind === 'refuse');
    if (refusals.some((verdict) => verdict.refusal.code === 'OUT_OF_STOCK')) this.soldOut.add(productId);
    else this.soldOut.delete(productId);
    this.checkout.metrics.batch(size, decision.lockWaitMs);
    this.checkout.log.info(
      {
        event: 'batch.committed',
        productId,
        size,
        granted: decision.verdicts.filter((verdict) => verdict.kind === 'grant').length,
        refused: refusals.length,
        expiredUnits: decision.closedUnits,
        lockWaitMs: Math.round(decision.lockWaitMs * 10) / 10,
      },
      'batch.committed',
    );
  }
}

const newHoldsOf = ({ verdicts }: HoldDecision): Hold[] =>
  verdicts.flatMap((verdict) => (verdict.kind === 'grant' ? [verdict.hold] : []));
