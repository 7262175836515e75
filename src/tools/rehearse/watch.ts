/** Samples every product's stock during the sale: for the plot, and because the promise must hold at every moment. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Unanswered, type Client } from './client';
import { readStock, type RehearsedProduct, type StockSample } from './shop';
import type { Tally } from './tally';

/** Often enough to see a burst, seldom enough to be no load. */
const shortestPauseMs = 250;
/** More points would only make the report larger. */
const mostLooks = 400;

export class StockWatch {
  readonly samples = new Map<string, StockSample[]>();
  private isOver = false;
  private readonly watching: Promise<unknown>;

  constructor(
    private readonly client: Client,
    private readonly tally: Tally,
    private readonly token: string,
    products: readonly RehearsedProduct[],
    durationSeconds: number,
  ) {
    const pauseMs = Math.max(shortestPauseMs, (durationSeconds * 1_000) / mostLooks);
    this.watching = Promise.all(products.map((product) => this.watch(product.id, pauseMs)));
  }

  /** Resolves after a last sample. */
  async stop(): Promise<void> {
    this.isOver = true;
    await this.watching;
  }

  private async watch(productId: string, pauseMs: number): Promise<void> {
    const samples: StockSample[] = [];
    this.samples.set(productId, samples);
    for (let isLast = false; ;) {
      try {
        const report = await readStock(this.client, this.token, productId);
        samples.push({ atMs: Math.max(0, this.tally.nowMs()), ...report });
      } catch (error) {
        const { unanswered, wrongAnswers } = this.tally;
        (error instanceof Unanswered ? unanswered : wrongAnswers).add(`stockReport: ${(error as Error).message}`);
      }
      if (isLast) return;
      isLast = this.isOver;
      if (!isLast) await sleep(pauseMs);
    }
  }
}
