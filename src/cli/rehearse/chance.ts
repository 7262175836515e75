/** Chance that can be repeated: the same seed tells the same rehearsal, whatever the server answers. */

/** Mulberry32: 32 bits of state are plenty for a rehearsal, and it needs no package. */
export class Chance {
  private state: number;

  constructor(private readonly seed: number) {
    this.state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  }

  /** Uniform, from 0 to below 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  isTrue(probability: number): boolean {
    return this.next() < probability;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.next();
  }

  /** Waits between independent events, and times that people take. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }

  /** One of the keys, each as often as its weight says. At least one weight is above 0. */
  pick<Key extends string>(weights: Readonly<Record<Key, number>>): Key {
    const entries = Object.entries<number>(weights).filter(([, weight]) => weight > 0);
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      left -= weight;
      if (left < 0) return key as Key;
    }
    return entries.at(-1)![0] as Key;
  }

  /** One shopper's own chance: what another shopper does first does not change this one's story. */
  fork(index: number): Chance {
    return new Chance(Math.imul(this.seed + 1, 0x27d4eb2f) ^ Math.imul(index + 1, 0x165667b1));
  }
}
