/** Stock levels, once for all who ask for a product and once for all who watch it: however many, one query a product and 100 ms. */
import { LRUCache } from 'lru-cache';
import type { Database } from '../../database/database';
import { readStockLevels, type StockLevel } from '../../database/read-models';

/** The least time between two queries that read the same product, in ms. */
const SPACING_MS = 100;
/** Products whose last query is remembered; older ones are simply asked again. */
const MAX_REMEMBERED = 10_000;

/** A level, and when it was asked for on this process's own clock: that tells which of two is newer, whatever the database's does. */
export interface TimedLevel extends StockLevel {
  readonly askedAtMs: number;
}

interface Wanted {
  readonly promise: Promise<TimedLevel | null>;
  readonly resolve: (level: TimedLevel | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Promises: a level is never older than the question (it is read after it was asked for), so a shopper always sees their own
 * hold, whichever server granted it; a product is read at most once in 100 ms, so a question that comes
 * within 100 ms of the last query waits for the next. Nothing is decided from a level.
 */
export class StockLevels {
  private readonly wanted = new Map<string, Wanted>();
  /** When each product was last read, in ms on the monotonic clock. */
  private readonly askedAt = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  private timer: NodeJS.Timeout | null = null;

  /** `readWith`: on the pool of whoever asks, or on live stock's own connection. `products`: only watchers are shown them. */
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
    // Even a product that may be read at once waits for the end of this tick: a page asks for all of its products in one.
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
