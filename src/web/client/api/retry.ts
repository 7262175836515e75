/** Asking again, as long as the answer is "not now" or none at all: a mutation with the same key, a question until it is answered. */
import { RequestFailed } from './ask';
import { rest } from './wake';

/** Together some 15 s: longer than a server needs to recover from most, shorter than a shopper's patience. */
const MOST_ATTEMPTS = 7;
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5_000;

/**
 * What `attempt` answers in the end. It is made again when it fails for a while (no network, SERVICE_UNAVAILABLE,
 * RATE_LIMITED), or when `busyFor` reads from its answer that the shop was BUSY, never sooner than the server asked for.
 * So an attempt must be harmless to repeat: a query, or a mutation with an idempotency key.
 */
export async function persistently<T>(
  attempt: () => Promise<T>,
  busyFor: (answer: T) => number | null = () => null,
  pause: (ms: number) => Promise<void> = sleep,
): Promise<T> {
  for (let count = 1; ; count += 1) {
    const { answer, failure, waitMs } = await outcomeOf(attempt, busyFor);
    if (waitMs === null || count === MOST_ATTEMPTS) {
      if (failure) throw failure as Error;
      return answer!;
    }
    await pause(Math.max(waitMs, backoff(count)));
  }
}

/**
 * Asks until there is an answer, however long that takes, and hands it to `onAnswer`; each failure goes to `onFailure`. Waits
 * longer each time, and asks at once when the page wakes. Answers how to stop: then neither is called any more.
 */
export function untilAnswered<T>(
  ask: () => Promise<T>,
  onAnswer: (answer: T) => void,
  onFailure: (error: unknown) => void,
): () => void {
  let isOver = false;
  const run = async () => {
    for (let count = 1; !isOver; count += 1) {
      try {
        const answer = await ask();
        if (!isOver) onAnswer(answer);
        return;
      } catch (error) {
        if (isOver) return;
        onFailure(error);
        const waitMs = waitOf(error);
        // The server's own wish is obeyed whatever wakes the page.
        if (waitMs) await sleep(waitMs);
        await rest(backoff(count));
      }
    }
  };
  void run();
  return () => {
    isOver = true;
  };
}

interface Outcome<T> {
  answer?: T;
  failure?: unknown;
  /** null: this is final. */
  waitMs: number | null;
}

async function outcomeOf<T>(attempt: () => Promise<T>, busyFor: (answer: T) => number | null): Promise<Outcome<T>> {
  try {
    const answer = await attempt();
    return { answer, waitMs: busyFor(answer) };
  } catch (failure) {
    return { failure, waitMs: waitOf(failure) };
  }
}

const waitOf = (failure: unknown): number | null => (failure instanceof RequestFailed ? failure.retryAfterMs : null);

/** Doubles, with jitter, so that a crowd that was turned away together does not come back together. */
export function backoff(count: number): number {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (count - 1)) * (0.5 + Math.random() / 2);
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
