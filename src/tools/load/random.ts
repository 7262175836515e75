/** Reproducible random numbers: the same seed gives the same sequence. */

/** mulberry32: 32 bits of state are enough to choose operations. */
export class Random {
  private state: number;

  constructor(private readonly ownSeed: number) {
    this.state = Math.imul(ownSeed ^ 0x9e3779b9, 0x85ebca6b);
  }

  /** Uniform, 0 ≤ x < 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  isTrue(probability: number): boolean {
    return this.next() < probability;
  }

  /** A whole number from `min` to `max`, both inclusive. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.next();
  }

  /** Exponentially distributed: the time between independent events. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }

  oneOf<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)]!;
  }

  /** One of the keys, in proportion to its weight. At least one weight must be above 0. */
  pick<Key extends string>(weights: Readonly<Record<Key, number>>): Key {
    const entries = Object.entries<number>(weights).filter(([, weight]) => weight > 0);
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      left -= weight;
      if (left < 0) return key as Key;
    }
    return entries.at(-1)![0] as Key;
  }

  /** A generator for one of many actors, unaffected by how often other actors draw. */
  forkFor(index: number): Random {
    return new Random(Math.imul(this.ownSeed + 1, 0x27d4eb2f) ^ Math.imul(index + 1, 0x165667b1));
  }

  /** A generator that continues independently of this one. */
  fork(): Random {
    return new Random(this.seed());
  }

  /** A seed for a generator in another process. */
  seed(): number {
    return this.integer(0, 2 ** 31 - 1);
  }

  id(): string {
    return this.integer(0, 2 ** 32 - 1).toString(36) + this.integer(0, 2 ** 32 - 1).toString(36);
  }
}
