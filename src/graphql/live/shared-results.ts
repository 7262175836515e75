/** Fan-out: an event's result is computed once for all subscribers with the same document. */

const results = new WeakMap<object, Map<string, Promise<unknown>>>();

/**
 * Iterates over `source`, with each event mapped by `show`. Subscribers with the same `key` share the result of an event, so
 * `show` must not depend on the subscriber. Results live no longer than their event.
 */
export function sharedResults<Event extends object, Result>(
  source: AsyncIterator<Event>,
  key: string,
  show: (event: Event) => Promise<Result>,
): AsyncIterableIterator<Result> {
  const resultOf = (event: Event): Promise<Result> => {
    let byKey = results.get(event);
    if (!byKey) results.set(event, (byKey = new Map()));
    let result = byKey.get(key) as Promise<Result> | undefined;
    if (!result) byKey.set(key, (result = show(event)));
    return result;
  };
  return {
    next: async () => {
      const { value, done } = await source.next();
      return done ? { value: undefined, done } : { value: await resultOf(value), done: false };
    },
    return: async () => {
      await source.return?.();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
