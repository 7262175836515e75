/** Live stock: one poller per process reads all watched products, and sends each watcher what has changed. */
import { setImmediate } from 'node:timers/promises';
import { Busy, CallerError, Unavailable } from '../../domain/errors';
import { saleStatus } from '../../domain/sale-status';
import type { Logger } from '../../telemetry/logger';
import { presentProduct } from '../products/types';
import type { StockLevels, TimedLevel } from './level-reader';
import type { StockLevel } from '../products/types';

/** The polling interval in ms. A hold on another server shows within this time and one query. */
const TICK_MS = 200;
/** The interval while the process is busy and many watch: showing stock must not slow down selling it. */
const SLOWEST_TICK_MS = 1_000;
/** Event loop utilisation, from 0 to 1, above which the process is busy. */
const BUSY = 0.6;
/** At about 30 µs each (2,000 sockets, one core), less than a tenth of a core. */
const DELIVERIES_A_SECOND_WHILE_BUSY = 2_000;
/** The contract promises at most ten events per second and product. */
const LEAST_SPACING_MS = 100;
/** Deliveries between two turns of the event loop: about 4 ms. */
const SLICE = 100;
/** The interval while the database does not answer, in ms. */
const PAUSE_MS = 1_000;

/**
 * Promises: a watcher first gets the current level of each of its products, then each change of availableStock, totalStock or
 * saleStatus, at most ten per second and product; a slow watcher gets only the latest value. A tick is one query, however many
 * watch. During an outage of the database watchers wait, and continue afterwards.
 */
export class StockWatch {
  private readonly watchers = new Map<string, Set<Watcher>>();
  private timer: NodeJS.Timeout | null = null;
  private load = performance.eventLoopUtilization();
  private isBlind = false;
  private isClosed = false;

  constructor(
    private readonly levels: StockLevels,
    private readonly log: Logger,
  ) {}

  /** Takes distinct product ids in lower case. An unknown product ends the iteration with BAD_USER_INPUT. */
  watch(productIds: readonly string[]): AsyncIterableIterator<StockLevel> {
    const watcher: Watcher = new Watcher(() => this.unwatch(productIds, watcher));
    for (const id of productIds) {
      const others = this.watchers.get(id);
      if (others) others.add(watcher);
      else this.watchers.set(id, new Set([watcher]));
    }
    void this.read(productIds);
    this.schedule(TICK_MS);
    return watcher;
  }

  /** Stops all deliveries. Closing the sockets tells the clients. */
  close(): void {
    this.isClosed = true;
    if (this.timer) clearTimeout(this.timer);
    this.watchers.clear();
  }

  private unwatch(productIds: readonly string[], watcher: Watcher): void {
    for (const id of productIds) {
      const others = this.watchers.get(id);
      others?.delete(watcher);
      if (others?.size === 0) this.watchers.delete(id);
    }
  }

  private schedule(delayMs: number): void {
    if (this.timer || this.isClosed || this.watchers.size === 0) return;
    this.timer = setTimeout(() => void this.tick(), delayMs);
  }

  private async tick(): Promise<void> {
    const startedAt = performance.now();
    const deliveries = await this.read([...this.watchers.keys()]);
    this.timer = null;
    this.schedule(this.isBlind ? PAUSE_MS : Math.max(0, startedAt + this.spacing(deliveries) - performance.now()));
  }

  private spacing(deliveries: number): number {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.load);
    this.load = now;
    if (utilization < BUSY) return TICK_MS;
    return Math.min(SLOWEST_TICK_MS, Math.max(TICK_MS, (deliveries / DELIVERIES_A_SECOND_WHILE_BUSY) * 1_000));
  }

  /** One query, shared with every other read at this moment. Returns the number of deliveries. Never rejects. */
  private async read(productIds: readonly string[]): Promise<number> {
    try {
      const readings = await Promise.all(productIds.map((id) => this.levels.load(id)));
      this.isBlind = false;
      return await this.publish(productIds, readings);
    } catch (error) {
      if (!this.isBlind) this.log.warn({ event: 'stock.unread', err: error }, 'stock.unread');
      this.isBlind = true;
      // An unexpected error would recur with every tick, so it ends the watchers' subscriptions.
      if (!(error instanceof Unavailable || error instanceof Busy)) for (const id of productIds) this.fail(id, error);
      return 0;
    }
  }

  private async publish(productIds: readonly string[], readings: readonly (TimedLevel | null)[]): Promise<number> {
    let deliveries = 0;
    for (const [index, id] of productIds.entries()) {
      const reading = readings[index];
      if (!reading) {
        this.fail(id, unknownProduct(id));
        continue;
      }
      const level = presentLevel(reading);
      for (const watcher of this.watchers.get(id) ?? []) {
        if (!watcher.offer(level, reading.askedAtMs)) continue;
        deliveries += 1;
        if (deliveries % SLICE === 0) await setImmediate();
      }
    }
    return deliveries;
  }

  private fail(productId: string, error: unknown): void {
    for (const watcher of [...(this.watchers.get(productId) ?? [])]) watcher.fail(error);
  }
}

/** A client gets the same error for a malformed id and for one of no product. */
export function unknownProduct(id: string): CallerError {
  return new CallerError('BAD_USER_INPUT', `There is no product with the id ${id.slice(0, 80)}`);
}

/** One object for all watchers, so that they can share its result. */
function presentLevel(reading: TimedLevel): StockLevel {
  return {
    product: presentProduct(reading.product),
    availableStock: reading.available,
    totalStock: reading.total,
    saleStatus: saleStatus(reading.product, reading),
    at: reading.at,
  };
}

interface Offered {
  readonly level: StockLevel;
  readonly askedAtMs: number;
  readonly atMs: number;
}

interface Waiting {
  readonly resolve: (result: IteratorResult<StockLevel>) => void;
  readonly reject: (error: unknown) => void;
}

/** One subscription's mailbox, with one slot for each product: memory is bounded however slow the reader is. */
class Watcher implements AsyncIterableIterator<StockLevel> {
  private readonly offered = new Map<string, Offered>();
  private readonly mail = new Map<string, StockLevel>();
  private waiting: Waiting | null = null;
  private failure: { error: unknown } | null = null;
  private isDone = false;

  constructor(private readonly leave: () => void) {}

  /**
   * Returns whether the level is delivered: it has changed, and does not follow the last too soon (the next tick then offers it
   * again). `level.at` does not order levels, because the database's clock may have been set back.
   */
  offer(level: StockLevel, askedAtMs: number): boolean {
    const { id } = level.product;
    const last = this.offered.get(id);
    const nowMs = performance.now();
    if (last && (nowMs - last.atMs < LEAST_SPACING_MS || askedAtMs < last.askedAtMs || isSame(level, last.level))) {
      return false;
    }
    this.offered.set(id, { level, askedAtMs, atMs: nowMs });
    if (this.waiting) this.answer({ value: level, done: false });
    else this.mail.set(id, level);
    return true;
  }

  fail(error: unknown): void {
    this.leave();
    this.isDone = true;
    if (this.waiting) this.waiting.reject(error);
    else this.failure = { error };
    this.waiting = null;
  }

  async next(): Promise<IteratorResult<StockLevel>> {
    for (const [id, level] of this.mail) {
      this.mail.delete(id);
      return { value: level, done: false };
    }
    if (this.failure) {
      const { error } = this.failure;
      this.failure = null;
      throw error;
    }
    if (this.isDone) return { value: undefined, done: true };
    return new Promise((resolve, reject) => (this.waiting = { resolve, reject }));
  }

  /** Also ends a waiting `next`. A generator would keep it waiting, and stay among the watchers, for ever. */
  async return(): Promise<IteratorResult<StockLevel>> {
    this.leave();
    this.isDone = true;
    this.mail.clear();
    this.answer({ value: undefined, done: true });
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private answer(result: IteratorResult<StockLevel>): void {
    const { waiting } = this;
    this.waiting = null;
    waiting?.resolve(result);
  }
}

function isSame(a: StockLevel, b: StockLevel): boolean {
  return a.availableStock === b.availableStock && a.totalStock === b.totalStock && a.saleStatus === b.saleStatus;
}
