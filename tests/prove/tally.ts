/** Counts what happened in a run, so that a run in which nothing interesting happened can be refused as proof. */

/** What of interest has happened: a run in which some of it is missing proves nothing. */
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
