/** Counts during a rehearsal: events over time, latencies, retries, and answers outside the contract. */

/** The requests that shoppers wait for. `pay` is the provider's webhook. */
export const steps = ['browse', 'hold', 'order', 'pay', 'release', 'cancel'] as const;
export type Step = (typeof steps)[number];

/** A few examples are enough to find a cause; a broken server would give a hundred thousand. */
const maxExamples = 5;

export interface Latency {
  readonly step: Step;
  /** When the request was intended to be sent, in ms after the opening. */
  readonly atMs: number;
  readonly ms: number;
}

/** A kind of problem: its count and first cases. */
export class Findings {
  count = 0;
  readonly examples: string[] = [];

  add(example: string): void {
    this.count += 1;
    if (this.examples.length < maxExamples) this.examples.push(example);
  }
}

export class Counts extends Map<string, number> {
  add(key: string, by = 1): void {
    this.set(key, (this.get(key) ?? 0) + by);
  }

  of(key: string): number {
    return this.get(key) ?? 0;
  }

  /** Most frequent first. */
  toRecord(): Record<string, number> {
    return Object.fromEntries([...this].sort((a, b) => b[1] - a[1]));
  }
}

export class Tally {
  /** Times in ms after the opening. Exact percentiles need every value; the limit on shoppers bounds them. */
  readonly arrivals: number[] = [];
  readonly grants: number[] = [];
  readonly refusals: number[] = [];
  readonly latencies: Latency[] = [];
  /** How late this process started shoppers' visits. */
  readonly lateness: number[] = [];
  readonly refusedBy = new Counts();
  readonly retriedBy = new Counts();
  readonly stories = new Counts();
  /** The webhook's first answers, by outcome. */
  readonly outcomes = new Counts();
  left = 0;
  orders = 0;
  replays = 0;
  released = 0;
  cancelled = 0;
  requests = 0;
  /** Requests without an answer after all retries. */
  readonly unanswered = new Findings();
  /** Answers outside the contract: malformed ones, internal errors, impossible refusals. */
  readonly wrongAnswers = new Findings();
  /** Keys that named two objects. */
  readonly keyConflicts = new Findings();

  constructor(readonly nowMs: () => number) {}

  answered(step: Step, intendedMs: number): void {
    this.latencies.push({ step, atMs: intendedMs, ms: this.nowMs() - intendedMs });
  }

  refused(codes: readonly string[]): void {
    this.refusals.push(this.nowMs());
    for (const code of new Set(codes)) this.refusedBy.add(code);
  }
}
