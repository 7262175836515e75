/** Grouping in the one order in which rows are locked. */

/** Items by key, keys ascending; within a key in their own order. */
export function groupBy<T>(items: Iterable<T>, keyOf: (item: T) => string): Map<string, T[]> {
  return new Map([...Map.groupBy(items, keyOf)].sort(([a], [b]) => (a < b ? -1 : 1)));
}
