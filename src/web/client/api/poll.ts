/** Polling: holds, orders, the clock and the operators' figures change without this page, so it asks again. */
import { RequestFailed } from './ask';
import { backoff } from './retry';
import { onWake } from './wake';

export interface Question<T> {
  /** Throws RequestFailed. */
  ask(): Promise<T>;
  /** How long to wait after this answer, which took `tookMs`; null, or no such function, ends the poll. */
  restMs?(answer: T, tookMs: number): number | null;
  onAnswer(answer: T): void;
  onFailure?(error: unknown): void;
}

/**
 * Asks at once, then as often as `restMs` says. After a failure it retries with backoff, never sooner than the server asked
 * for. Asks at once when the page wakes, nothing while the page is hidden, and never twice at the same time.
 */
export class Poll<T> {
  answer: T | undefined;
  failures = 0;
  private answerAskedAt = -Infinity;
  private isAsking = false;
  private isOver = false;
  private isDueAgain = false;
  /** The server's own `retryAfterMs`, which waking does not override. */
  private notBefore = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly stopWaking = onWake(() => this.askSoon());

  constructor(private readonly question: Question<T>) {
    this.askSoon();
  }

  /** Asks as soon as the server allows it; after the question that is under way, if there is one. */
  askSoon(): void {
    this.isDueAgain = this.isAsking;
    this.schedule(0);
  }

  /** Takes an answer from elsewhere, such as a mutation's payload. An answer to an earlier question never replaces it. */
  take(answer: T, askedAt = performance.now()): void {
    const isNewer = askedAt >= this.answerAskedAt;
    if (isNewer) [this.answer, this.answerAskedAt] = [answer, askedAt];
    this.failures = 0;
    const restMs = this.question.restMs?.(this.answer!, performance.now() - askedAt) ?? null;
    if (restMs === null) this.stop();
    else this.schedule(restMs);
    if (isNewer) this.question.onAnswer(answer);
  }

  stop(): void {
    this.isOver = true;
    clearTimeout(this.timer);
    this.stopWaking();
  }

  private schedule(ms: number): void {
    clearTimeout(this.timer);
    if (this.isOver) return;
    this.timer = setTimeout(() => void this.ask(), Math.max(ms, this.notBefore - performance.now()));
  }

  private async ask(): Promise<void> {
    if (this.isOver || this.isAsking || document.visibilityState === 'hidden') return;
    const askedAt = performance.now();
    this.isAsking = true;
    const outcome = await this.question.ask().then(
      (answer) => ({ answer }),
      (error: unknown) => ({ error }),
    );
    this.isAsking = false;
    if (this.isOver) return;
    if ('answer' in outcome) this.take(outcome.answer, askedAt);
    else this.fail(outcome.error);
    if (this.isDueAgain) this.askSoon();
  }

  private fail(error: unknown): void {
    this.failures += 1;
    this.notBefore = performance.now() + (error instanceof RequestFailed ? (error.retryAfterMs ?? 0) : 0);
    this.schedule(backoff(this.failures));
    this.question.onFailure?.(error);
  }
}
