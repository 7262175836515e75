/** Chance that can be had again: everything random of a run comes from its seed. */

/** mulberry32: small, fast, and good enough to choose operations. */
export class Chance {
  constructor(private state: number) {}

  /** 0 ≤ x < 1 */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  is(probability: number): boolean {
    return this.next() < probability;
  }

  of<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)]!;
  }

  /** For somebody who draws at times of their own: how often they do changes nothing for anybody else. */
  fork(): Chance {
    return new Chance(this.seed());
  }

  /** For a `Chance` in another process. */
  seed(): number {
    return this.int(0, 2 ** 31 - 1);
  }

  id(): string {
    return this.int(0, 2 ** 32 - 1).toString(36) + this.int(0, 2 ** 32 - 1).toString(36);
  }
}

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
