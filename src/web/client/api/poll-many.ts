/** Polls of the same question about many ids: a shopper's holds, or their orders. */
import { Poll } from './poll';

/** Questions at the same time: a page that wakes with fifty ids does not send fifty requests. */
const MAX_AT_ONCE = 4;

export interface QuestionAboutId<T> {
  /** Throws RequestFailed; null: the object does not exist, or belongs to another shopper. */
  ask(id: string): Promise<T | null>;
  /** How long to wait after this answer; null ends the poll of this id. */
  restMs(answer: T | null): number | null;
  onAnswer(id: string, answer: T | null): void;
  /** After each answer and each failure, and when an id is dropped. */
  onChange(): void;
}

export class PollMany<T> {
  private readonly polls = new Map<string, Poll<T | null>>();
  private asking = 0;
  private readonly queue: (() => void)[] = [];

  constructor(private readonly question: QuestionAboutId<T>) {}

  get ids(): string[] {
    return [...this.polls.keys()];
  }

  get isAnswered(): boolean {
    return [...this.polls.values()].every(({ answer }) => answer !== undefined);
  }

  /** A single failure does not count, because it is retried at once. */
  get isFailing(): boolean {
    return [...this.polls.values()].some(({ failures }) => failures > 1);
  }

  /** Polls this id; it may be polled already. */
  add(id: string): Poll<T | null> {
    const known = this.polls.get(id);
    if (known) return known;
    const { ask, restMs, onAnswer, onChange } = this.question;
    const poll = new Poll<T | null>({
      ask: () => this.inTurn(() => ask(id)),
      restMs: (answer) => {
        const ms = restMs(answer);
        if (ms === null) this.polls.delete(id);
        return ms;
      },
      onAnswer: (answer) => {
        onAnswer(id, answer);
        onChange();
      },
      onFailure: onChange,
    });
    this.polls.set(id, poll);
    return poll;
  }

  drop(id: string): void {
    this.polls.get(id)?.stop();
    if (this.polls.delete(id)) this.question.onChange();
  }

  close(): void {
    for (const poll of this.polls.values()) poll.stop();
    this.polls.clear();
  }

  private async inTurn(ask: () => Promise<T | null>): Promise<T | null> {
    while (this.asking >= MAX_AT_ONCE) await new Promise<void>((resolve) => this.queue.push(resolve));
    this.asking += 1;
    try {
      return await ask();
    } finally {
      this.asking -= 1;
      this.queue.shift()?.();
    }
  }
}
