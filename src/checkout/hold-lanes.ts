/** Which batches of holds share a transaction, and which run alone because they would make others wait. */
import { performance } from 'node:perf_hooks';
import type { HoldDecision, HoldRequest, HoldVerdict } from '../domain/grant-holds';
import { Batcher, type Concurrency } from './batcher';

/** Requests for one product. */
export interface ProductBatch {
  readonly productId: string;
  readonly requests: readonly HoldRequest[];
}

/** Decided under the lock of the product's stock row. */
export interface LockedDecision extends HoldDecision {
  readonly closedUnits: number;
  readonly lockWaitMs: number;
}

/** A batch that the shared transaction left out: it needs a separate one. */
export interface LeftAlone {
  /** Another transaction has the stock row. */
  readonly isContended: boolean;
  /** An earlier attempt may have been committed: a row with a request's own id is then its success. */
  readonly isRerun: boolean;
}

export interface HoldTransactions {
  /** One for several products. Waits for no lock. */
  decideTogether(batches: readonly ProductBatch[]): Promise<readonly (LockedDecision | LeftAlone)[]>;
  /** For one product, on a separate connection. Waits for the lock. */
  decideAlone(batch: ProductBatch, isRerun: boolean): Promise<LockedDecision>;
}

/**
 * Three, so that one transaction can be written while another is committed. With more, each would have fewer products, and
 * all together would make more round trips.
 */
const SHARED: Concurrency<ProductBatch> = {
  batches: 3,
  sizeOf: ({ requests }) => requests.length,
  spanName: 'batch.shared',
};
/** How long a contended product runs alone: another server is selling it too. */
const CONTENDED_MS = 100;

const isOutOfStock = (verdict: HoldVerdict) => verdict.kind === 'refuse' && verdict.refusal.code === 'OUT_OF_STOCK';

/** What it remembers of a product only decides where a batch goes first, never what is answered. */
export class HoldLanes {
  private readonly soldOut = new Set<string>();
  private readonly contendedUntil = new Map<string, number>();
  private readonly shared: Batcher<ProductBatch, LockedDecision | LeftAlone>;

  /** `runsAlone`: products are on different Citus workers, where a shared transaction would commit in two phases. */
  constructor(
    private readonly transactions: HoldTransactions,
    private readonly runsAlone: () => boolean,
  ) {
    this.shared = new Batcher((batches) => transactions.decideTogether(batches), SHARED);
  }

  /** The product was out of stock when it was last decided. */
  isSoldOut(productId: string): boolean {
    return this.soldOut.has(productId);
  }

  async decide(batch: ProductBatch): Promise<LockedDecision> {
    const { productId } = batch;
    const isAlone = this.runsAlone() || this.soldOut.has(productId) || this.isContended(productId);
    const shared = isAlone ? { isContended: false, isRerun: false } : await this.shared.submit(batch);
    const decision = 'verdicts' in shared ? shared : await this.decideAlone(batch, shared);
    if (decision.verdicts.some(isOutOfStock)) this.soldOut.add(productId);
    else this.soldOut.delete(productId);
    return decision;
  }

  private decideAlone(batch: ProductBatch, { isContended, isRerun }: LeftAlone): Promise<LockedDecision> {
    if (isContended) this.contendedUntil.set(batch.productId, performance.now() + CONTENDED_MS);
    return this.transactions.decideAlone(batch, isRerun);
  }

  private isContended(productId: string): boolean {
    const until = this.contendedUntil.get(productId);
    if (until === undefined || until > performance.now()) return until !== undefined;
    this.contendedUntil.delete(productId);
    return false;
  }
}
