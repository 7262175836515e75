/** Caches an expensive gauge: refreshed at most every `refreshMs`, answered within a bounded time. */

/** How long a scrape waits for a value, in ms. Prometheus gives up after 10 s, and wants the other metrics anyway. */
const PATIENCE_MS = 1_000;
/** A value rests for so many times what it took to read: reading it then costs the database at most 5 %. */
const REST_FACTOR = 20;

export interface ReadingOptions {
  /** The least time from the end of one read to the begin of the next. */
  readonly refreshMs: number;
  /** How long a value may be answered beyond that, when it cannot be renewed in time. */
  readonly keptMs: number;
  onError(error: unknown): void;
}

/** Promises: at most one read is in flight; `value` never throws and answers within a second. */
export class Reading<T> {
  private known: { readonly value: T; readonly until: number } | undefined;
  private running: Promise<void> | undefined;
  private nextAt = 0;

  constructor(
    private readonly read: () => Promise<T>,
    private readonly options: ReadingOptions,
  ) {}

  /** undefined: it could not be read. */
  async value(): Promise<T | undefined> {
    if (performance.now() >= this.nextAt) this.running ??= this.refresh();
    if (this.running) await atMost(PATIENCE_MS, this.running);
    return this.known && performance.now() < this.known.until ? this.known.value : undefined;
  }

  /** When no read is in flight. */
  async idle(): Promise<void> {
    await this.running;
  }

  private async refresh(): Promise<void> {
    const { refreshMs, keptMs, onError } = this.options;
    const startedAt = performance.now();
    const restMs = () => Math.max(refreshMs, REST_FACTOR * (performance.now() - startedAt));
    try {
      const value = await this.read();
      this.nextAt = performance.now() + restMs();
      this.known = { value, until: this.nextAt + keptMs };
    } catch (error) {
      onError(error);
      this.nextAt = performance.now() + restMs();
    } finally {
      this.running = undefined;
    }
  }
}

async function atMost(ms: number, work: Promise<void>): Promise<void> {
  let timer!: NodeJS.Timeout;
  const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([work, patience]);
  clearTimeout(timer);
}
