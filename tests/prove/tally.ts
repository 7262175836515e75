/** Counts events in a run, so that a run without interesting events is not accepted as proof. */

/** The events that must have happened; a run without one of them proves nothing. */
export class Tally {
  readonly counts = new Map<string, number>();

  add(name: string, times = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + times);
  }

  missing(names: readonly string[]): string[] {
    return names.filter((name) => !this.counts.get(name));
  }

  toString(): string {
    return [...this.counts].map(([name, count]) => `${count} ${name}`).join(', ');
  }
}
