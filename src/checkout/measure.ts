/** How answers are counted: once they are known, whatever they are, and without changing them. */
import { Busy, CallerError, Unavailable } from '../domain/errors';
import type { Answer } from '../domain/refusals';

/** The same work; every call of it is counted by its answer's label, or by how it failed, with the time it took. */
export function measured<Args extends readonly unknown[], Result>(
  work: (...args: Args) => Promise<Result>,
  labelOf: (result: Result) => string,
  count: (label: string, seconds: number) => void,
): (...args: Args) => Promise<Result> {
  return async (...args) => {
    const askedAt = performance.now();
    const secondsSince = () => (performance.now() - askedAt) / 1_000;
    try {
      const result = await work(...args);
      count(labelOf(result), secondsSince());
      return result;
    } catch (error) {
      count(labelOfFailure(error), secondsSince());
      throw error;
    }
  };
}

export function labelOfAnswer(answer: Answer<unknown>): string {
  if (answer.granted) return answer.replay ? 'REPLAYED' : 'GRANTED';
  return answer.refusals[0]!.code;
}

export function labelOfFailure(error: unknown): string {
  if (error instanceof Busy) return 'BUSY';
  if (error instanceof Unavailable) return 'SERVICE_UNAVAILABLE';
  return error instanceof CallerError ? error.code : 'INTERNAL_SERVER_ERROR';
}
