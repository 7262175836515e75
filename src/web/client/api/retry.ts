/** Repeats a request whose outcome is "not now" or unknown. */
import { RequestFailed } from './ask';

/** Together some 15 s: longer than most recoveries of a server, shorter than a shopper's patience. */
const MAX_ATTEMPTS = 7;
const FIRST_WAIT_MS = 300;
const MAX_WAIT_MS = 5_000;

/**
 * The final answer of `attempt`. It is repeated while it fails temporarily (no network, SERVICE_UNAVAILABLE, RATE_LIMITED) or
 * `busyFor` finds BUSY in its answer, never sooner than the server asked for. An attempt must therefore be safe to repeat: a
 * mutation with an idempotency key, or one that is idempotent by nature.
 */
export async function persistently<T>(
  attempt: () => Promise<T>,
  busyFor: (answer: T) => number | null,
  pause: (ms: number) => Promise<void> = sleep,
): Promise<T> {
  for (let count = 1; ; count += 1) {
    let waitMs: number | null;
    try {
      const answer = await attempt();
      waitMs = busyFor(answer);
      if (waitMs === null || count === MAX_ATTEMPTS) return answer;
    } catch (failure) {
      waitMs = failure instanceof RequestFailed ? failure.retryAfterMs : null;
      if (waitMs === null || count === MAX_ATTEMPTS) throw failure;
    }
    await pause(Math.max(waitMs, backoff(count)));
  }
}

/** Doubles, with jitter, so that a crowd that was turned away together does not come back together. */
export function backoff(count: number): number {
  return Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (count - 1)) * (0.5 + Math.random() / 2);
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
