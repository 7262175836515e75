/** createHold: claims units of a product for the hold's time, in group commits: one lock, one decision, one write a batch. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { isId, newId } from '../database/ids';
import type { Transaction } from '../postgres/transaction';
import { Busy, Unavailable } from '../domain/errors';
import {
  grantHolds,
  plainlyOutOfStock,
  type HoldDecision,
  type HoldRequest,
  type HoldVerdict,
  type ProductLevel,
} from '../domain/grant-holds';
import { checkIdempotencyKey, checkWhole } from '../domain/input';
import type { Hold, Product } from '../domain/records';
import { granted, refusal, refused, replayed, type Answer } from '../domain/refusals';
import { inRequest, type Checkout } from './checkout';
import { GroupCommit, MAX_BATCH, type Lanes } from './group-commit';
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
 * (`maxPerCustomer`). Batches of several products share a transaction: the stock rows that are free, in ascending id, and no
 * holds. A batch makes 3 round trips, 2 of them under the lock; once a product is sold out, refusals take one and no lock.
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

const FIRST_ALONE: Alone = { alone: true, isRerun: false };

/**
 * Transactions that products share, at the same time: while one is being committed the next can be written. More of them
 * would each have fewer products, and all of them together more round trips.
 */
const SHARED: Lanes<ProductBatch> = { lanes: 3, maxBatch: MAX_BATCH, sizeOf: ({ requests }) => requests.length };
/** A product that somebody else had locked goes alone for so long: another server sells it, too. */
const APART_MS = 100;

/**
 * Batches of one product follow one another, and those of different products share transactions, which wait for nobody. One
 * that has to wait for its lock has a transaction, and a connection, of its own.
 */
class HoldBatches {
  /** Products that were out of stock when last seen. Only a hint where to look first: every refusal has its own snapshot. */
  private readonly soldOut = new Set<string>();
  /** Products that others lock, and until when they are not tried together. Only a hint, too. */
  private readonly apart = new Map<string, number>();

  private readonly products = new GroupCommit<ProductBatch, LockedDecision | Alone>(
    (_, batches) => this.decideTogether(batches),
    SHARED,
  );

  constructor(private readonly checkout: Checkout) {}

  async commit(productId: string, requests: readonly HoldRequest[]): Promise<readonly Judged[]> {
    const verdicts = new Map<HoldRequest, HoldVerdict>();
    let product: Product | undefined;
    if (this.soldOut.has(productId)) await this.refuseWithoutLock(productId, requests, verdicts);
    const rest = requests.filter((request) => !verdicts.has(request));
    if (rest.length > 0) {
      const batch = { productId, requests: rest };
      const isAlone = this.soldOut.has(productId) || this.isApart(productId);
      const shared = isAlone ? FIRST_ALONE : await this.products.submit('', batch);
      const decision = 'alone' in shared ? await this.decideAlone(batch, shared.isRerun) : shared;
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

  private isApart(productId: string): boolean {
    // Where products are on different workers, a transaction of several would commit in two phases.
    if (this.checkout.database.isDistributed) return true;
    const until = this.apart.get(productId);
    if (until === undefined || until > performance.now()) return until !== undefined;
    this.apart.delete(productId);
    return false;
  }

  /**
   * Waits for no lock, and closes overdue holds only for a batch that is by itself, so that one product holds up no other.
   * One that needs either goes alone. Lost at its COMMIT, this may still have its locks when it runs again: it then skips
   * them, and whoever goes alone waits for them, and looks for its own rows.
   */
  private decideTogether(batches: readonly ProductBatch[]): Promise<readonly (LockedDecision | Alone)[]> {
    const isByItself = batches.length === 1;
    return this.checkout.database.inBatch(isByItself ? 'createHold' : 'createHolds', async (transaction) => {
      const { em, attempt } = transaction;
      const productIds = batches.map((batch) => batch.productId);
      const requests = batches.flatMap((batch) => batch.requests);
      const [locked, levels] = await Promise.all([
        lockFreeStocks(em, productIds),
        readLevels(em, productIds, requests, attempt > 1),
      ]);
      const decisions: (LockedDecision | Alone)[] = [];
      for (const { productId, requests } of batches) {
        const level = levels.get(productId);
        const isFree = !level || locked.has(productId);
        if (!isFree) this.apart.set(productId, performance.now() + APART_MS);
        if (isFree && (isByItself || !needsOverdue(level, requests))) {
          decisions.push(await this.decideLocked(em, level, requests));
        } else {
          decisions.push({ alone: true, isRerun: attempt > 1 });
        }
      }
      await this.write(transaction, decisions);
      return decisions;
    });
  }

  private async decideAlone({ productId, requests }: ProductBatch, isRerun: boolean): Promise<LockedDecision> {
    const decision = this.checkout.database.inBatch('createHold', async (transaction) => {
      const { em, attempt } = transaction;
      const askedAt = performance.now();
      const [lockWaitMs, level] = await Promise.all([
        lockStock(em, productId).then(() => performance.now() - askedAt),
        readLevel(em, productId, requests, isRerun || attempt > 1),
      ]);
      const decision = { ...(await this.decideLocked(em, level, requests)), lockWaitMs };
      await this.write(transaction, [decision]);
      return decision;
    });
    if (!isRerun) return decision;
    // What became of the earlier attempt was not learned: nobody may say that nothing happened.
    return decision.catch((error: unknown) => {
      throw error instanceof Busy ? new Unavailable({ cause: error }) : error;
    });
  }

  /** The caller has locked the stock row. Closes overdue holds where units are missing, or their customers' are counted. */
  private async decideLocked(
    em: EntityManager,
    read: ProductLevel | null | undefined,
    requests: readonly HoldRequest[],
  ): Promise<LockedDecision> {
    if (!read) {
      return { verdicts: requests.map(() => NOT_FOUND), taken: 0, missing: 0, closedUnits: 0, lockWaitMs: 0 };
    }
    const { holdTtlSeconds } = this.checkout;
    const level = await countOverdueOf(em, read);
    let { available } = level;
    let decision = grantHolds(level, requests, holdTtlSeconds);
    if (decision.missing > 0 && level.hasOverdue) {
      available = await makeAvailable(em, level, available + decision.missing);
      decision = grantHolds({ ...level, available }, requests, holdTtlSeconds);
    }
    return { ...decision, product: level.product, closedUnits: available - read.available, lockWaitMs: 0 };
  }

  private async write({ em, rollBack }: Transaction, decisions: readonly (LockedDecision | Alone)[]): Promise<void> {
    const made = decisions.flatMap((decision) => ('alone' in decision ? [] : [decision]));
    const holds = made.flatMap(newHoldsOf);
    if (holds.length > 0) await takeForHolds(em, holds);
    else if (made.every((decision) => decision.closedUnits === 0)) rollBack();
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

/** Whether a decision may have to close overdue holds first, and so to lock them. */
function needsOverdue(level: ProductLevel | undefined, requests: readonly HoldRequest[]): boolean {
  if (!level?.hasOverdue) return false;
  return level.overdueOf.length > 0 || requests.reduce((sum, { quantity }) => sum + quantity, 0) > level.available;
}

const newHoldsOf = ({ verdicts }: HoldDecision): Hold[] =>
  verdicts.flatMap((verdict) => (verdict.kind === 'grant' ? [verdict.hold] : []));
