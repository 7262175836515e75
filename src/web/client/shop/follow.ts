/** What changes without the shopper, asked for again and again: holds and orders, which clocks and payments move. */
import { RequestFailed } from '../api/ask';
import { backoff } from '../api/retry';
import { onWake } from '../api/wake';

/** How often it is seen what is due. */
const TICK_MS = 250;
/** Under way at the same time: a page that wakes with fifty ids is no crowd. */
const MOST_AT_ONCE = 4;

interface Followed<T> {
  answer: T | null | undefined;
  /** When that was asked; a later question's answer is not replaced by an earlier one's. */
  askedAt: number;
  isAsking: boolean;
  failures: number;
  dueAt: number;
  /** The server's own wish after a failure, which no waking overrides. */
  notBefore: number;
}

interface How<T> {
  /** Throws RequestFailed; null: it does not exist, or belongs to somebody else. */
  ask(id: string): Promise<T | null>;
  /** Until the next question, when this was the last answer; null: it is not followed any longer. */
  restMs(answer: T | null): number | null;
  onAnswer(id: string, answer: T | null): void;
  /** After each answer and each failure, and when something is dropped. */
  onChange(): void;
}

/**
 * Asks for each id that it follows: at once, as often as `restMs` says, at once when the page wakes, and while there is no answer
 * again and again, ever more rarely. Never twice at a time for one id, and not while the page is hidden. All times are on this
 * device's own clock, `performance.now`.
 */
export class Follower<T> {
  private readonly followed = new Map<string, Followed<T>>();
  private readonly timer = setInterval(() => this.askWhatIsDue(), TICK_MS);
  private readonly stopWaking = onWake(() => {
    for (const one of this.followed.values()) one.dueAt = 0;
    this.askWhatIsDue();
  });

  constructor(private readonly how: How<T>) {}

  close(): void {
    clearInterval(this.timer);
    this.stopWaking();
    this.followed.clear();
  }

  get ids(): string[] {
    return [...this.followed.keys()];
  }

  /** Whether each has been answered at least once. */
  get isAnswered(): boolean {
    return [...this.followed.values()].every(({ answer }) => answer !== undefined);
  }

  /** Whether one of the latest questions was not answered; one failure alone is none, for it is asked again at once. */
  get isFailing(): boolean {
    return [...this.followed.values()].some(({ failures }) => failures > 1);
  }

  follow(id: string): void {
    this.entry(id);
    this.askWhatIsDue();
  }

  /** What a mutation has answered, or a list that was asked for at `askedAt`. */
  tell(id: string, answer: T, askedAt = performance.now()): void {
    this.take(id, this.entry(id), answer, askedAt);
  }

  drop(id: string): void {
    if (this.followed.delete(id)) this.how.onChange();
  }

  /** As soon as the server allows it. */
  askSoon(id: string): void {
    this.entry(id).dueAt = 0;
    this.askWhatIsDue();
  }

  private entry(id: string): Followed<T> {
    const known = this.followed.get(id);
    if (known) return known;
    const one = { answer: undefined, askedAt: 0, isAsking: false, failures: 0, dueAt: 0, notBefore: 0 };
    this.followed.set(id, one);
    return one;
  }

  private askWhatIsDue(): void {
    if (document.visibilityState === 'hidden') return;
    const now = performance.now();
    let underWay = [...this.followed.values()].filter(({ isAsking }) => isAsking).length;
    for (const [id, one] of this.followed) {
      if (underWay >= MOST_AT_ONCE) return;
      if (one.isAsking || now < Math.max(one.dueAt, one.notBefore)) continue;
      underWay += 1;
      void this.ask(id, one);
    }
  }

  private async ask(id: string, one: Followed<T>): Promise<void> {
    const askedAt = performance.now();
    one.isAsking = true;
    try {
      const answer = await this.how.ask(id);
      one.isAsking = false;
      if (this.followed.get(id) === one) this.take(id, one, answer, askedAt);
    } catch (error) {
      one.isAsking = false;
      one.failures += 1;
      one.notBefore = performance.now() + (error instanceof RequestFailed ? (error.retryAfterMs ?? 0) : 0);
      one.dueAt = performance.now() + backoff(one.failures);
      if (this.followed.get(id) === one) this.how.onChange();
    }
  }

  private take(id: string, one: Followed<T>, answer: T | null, askedAt: number): void {
    const isNews = askedAt >= one.askedAt;
    if (isNews) {
      one.answer = answer;
      one.askedAt = askedAt;
    }
    const restMs = this.how.restMs(one.answer!);
    one.failures = 0;
    if (restMs === null) this.followed.delete(id);
    else one.dueAt = performance.now() + restMs;
    if (isNews) this.how.onAnswer(id, answer);
    this.how.onChange();
  }
}
