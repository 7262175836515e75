/** Reads stock levels for many requests at once: however many ask, each product is read at most once in 100 ms. */
import { LRUCache } from 'lru-cache';
import type { Database } from '../../database/database';
import { readStockLevels, type StockLevel } from '../../database/read-models';

/** The minimum time between two reads of the same product, in ms. */
const SPACING_MS = 100;
/** Products whose last read is remembered. Others are read at once. */
const MAX_REMEMBERED = 10_000;

/** `askedAtMs` is on this process's monotonic clock. It orders two levels even if the database's clock is set back. */
export interface TimedLevel extends StockLevel {
  readonly askedAtMs: number;
}

interface Wanted {
  readonly promise: Promise<TimedLevel | null>;
  readonly resolve: (level: TimedLevel | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Promises read-your-writes: a level is read after it was requested, so shoppers always see their own holds, whichever server
 * granted them. A product is read at most once in 100 ms; a request within 100 ms of a read waits for the next one. No decision
 * is based on a level.
 */
export class StockLevels {
  private readonly wanted = new Map<string, Wanted>();
  /** When each product was last read, in ms on the monotonic clock. */
  private readonly askedAt = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  private timer: NodeJS.Timeout | null = null;

  /** `readWith`: the shared pool, or the connection of live stock. `products`: only subscriptions show them. */
  constructor(
    private readonly readWith: Database['read'],
    private readonly products: { readonly withDescriptions: boolean } = { withDescriptions: false },
  ) {}

  /** null: there is no such product. Throws `Unavailable`. */
  load(productId: string): Promise<TimedLevel | null> {
    const known = this.wanted.get(productId);
    if (known) return known.promise;
    let resolve!: Wanted['resolve'];
    let reject!: Wanted['reject'];
    const promise = new Promise<TimedLevel | null>((onLevel, onError) => {
      resolve = onLevel;
      reject = onError;
    });
    this.wanted.set(productId, { promise, resolve, reject });
    this.schedule();
    return promise;
  }

  private schedule(): void {
    if (this.timer || this.wanted.size === 0) return;
    const now = performance.now();
    const waits = [...this.wanted.keys()].map((id) => (this.askedAt.get(id) ?? -Infinity) + SPACING_MS - now);
    // Even a product that may be read at once waits for the end of this tick, in which a page requests all its products.
    this.timer = setTimeout(
      () => {
        this.timer = null;
        void this.readDue();
      },
      Math.max(0, Math.min(...waits)),
    );
  }

  private async readDue(): Promise<void> {
    const now = performance.now();
    const due = new Map<string, Wanted>();
    for (const [id, wanted] of this.wanted) {
      if ((this.askedAt.get(id) ?? -Infinity) + SPACING_MS > now) continue;
      due.set(id, wanted);
      this.wanted.delete(id);
      this.askedAt.set(id, now);
    }
    this.schedule();
    if (due.size > 0) await this.read(due, now);
  }

  private async read(due: ReadonlyMap<string, Wanted>, askedAtMs: number): Promise<void> {
    try {
      const levels = await this.readWith((em) => readStockLevels(em, [...due.keys()], this.products));
      const byId = new Map(levels.map((level) => [level.product.id, { ...level, askedAtMs }]));
      for (const [id, wanted] of due) wanted.resolve(byId.get(id) ?? null);
    } catch (error) {
      for (const wanted of due.values()) wanted.reject(error);
    }
  }
}
