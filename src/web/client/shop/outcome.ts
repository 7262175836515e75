/** What becomes of an intent: done, or a sentence that says why not. */
import type { RefusalFragment } from '../generated/graphql';
import { failureInWords, refusalInWords } from '../words';

export type Outcome<T> = { readonly done: T } | { readonly problem: Problem };

export interface Problem {
  readonly words: string;
  readonly refusals: readonly RefusalFragment[];
}

export function refused(refusals: readonly RefusalFragment[]): { problem: Problem } {
  const sentences = [...new Set(refusals.map(refusalInWords))];
  return { problem: { words: sentences.join(' '), refusals } };
}

export function failed(error: unknown): { problem: Problem } {
  return { problem: { words: failureInWords(error), refusals: [] } };
}

/** How long to wait before the same again, where the shop was busy; null: it has answered. */
export function busyFor(refusals: readonly RefusalFragment[]): number | null {
  const busy = refusals.find(({ code }) => code === 'BUSY');
  return busy ? (busy.retryAfterMs ?? 0) : null;
}
