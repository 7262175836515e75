/** The outcome of what a shopper asked for: done, or a sentence that says why not. */
import { keyOf, settle } from '../api/intents';
import { persistently } from '../api/retry';
import type { RefusalFragment } from '../generated/graphql';
import { failureInWords, refusalInWords } from '../words';

export type Outcome<T> = { readonly done: T } | { readonly problem: Problem };

export interface Problem {
  readonly words: string;
  readonly refusals: readonly RefusalFragment[];
}

interface Payload {
  readonly userErrors: readonly RefusalFragment[];
}

/** Sends a mutation until its answer is final. Throws RequestFailed when there is none in time. */
export function untilFinal<T extends Payload>(mutate: () => Promise<T>): Promise<T> {
  return persistently(mutate, busyFor);
}

/** The same with an idempotency key, which stays the same for this intent until the answer is final. */
export async function untilSettled<T extends Payload>(
  intent: string,
  mutate: (idempotencyKey: string) => Promise<T>,
): Promise<T> {
  const payload = await untilFinal(() => mutate(keyOf(intent)));
  if (busyFor(payload) === null) settle(intent);
  return payload;
}

/** `object` of the payload, or its refusals, or the failure in words. */
export async function outcomeOf<T>(ask: () => Promise<Payload & { readonly object: T | null }>): Promise<Outcome<T>> {
  try {
    const { object, userErrors } = await ask();
    if (object !== null) return { done: object };
    const sentences = [...new Set(userErrors.map(refusalInWords))];
    return { problem: { words: sentences.join(' '), refusals: userErrors } };
  } catch (error) {
    return { problem: { words: failureInWords(error), refusals: [] } };
  }
}

/** How long to wait before a retry when the shop was busy; null: the answer is final. */
function busyFor({ userErrors }: Payload): number | null {
  const busy = userErrors.find(({ code }) => code === 'BUSY');
  return busy ? (busy.retryAfterMs ?? 0) : null;
}
