/** The results of a rehearsal, in one object for the terminal, the report and --json. */
import type { RehearsedProduct, StockReport } from './shop';
import type { Plan } from './plan';
import type { Rehearsed } from './rehearsal';
import { percentilesOf, type Percentiles } from '../load/percentiles';
import { steps, type Step } from './tally';
import { isKept, type Check } from './verdict';

export interface Summary {
  readonly ok: boolean;
  readonly url: string;
  readonly startedAt: string;
  readonly lastedSeconds: number;
  readonly plan: Plan;
  readonly shoppers: Readonly<{ arrived: number; left: number; served: number; stories: Record<string, number> }>;
  readonly requests: Readonly<{ sent: number; retried: Record<string, number>; unanswered: number }>;
  readonly holds: Readonly<{ granted: number; units: number; released: number; statuses: Record<string, number> }>;
  /** By code; a shopper who returns counts each time. */
  readonly refused: Readonly<Record<string, number>>;
  readonly orders: Readonly<{ placed: number; cancelledByShoppers: number; statuses: Record<string, number> }>;
  /** Outcomes as first answered by the webhook, and after the sale. */
  readonly payments: Readonly<{
    events: number;
    firstOutcomes: Record<string, number>;
    outcomes: Record<string, number>;
  }>;
  /** Repeated holds and payment events that were recognised. */
  readonly replays: number;
  /** Milliseconds from the intended moment, so waiting for a connection counts. */
  readonly latencyMs: Readonly<Partial<Record<Step, Percentiles>>>;
  /** How late the rehearsal itself was. If it is late, it is the bottleneck. */
  readonly latenessMs: Percentiles;
  readonly products: readonly (RehearsedProduct & {
    readonly mostClaimed: number;
    readonly stock: StockReport | null;
  })[];
  readonly checks: readonly Check[];
  readonly reconcile: unknown;
}

export function summarize(rehearsed: Rehearsed): Summary {
  const { plan, tally, history, verdict, reconciled, products } = rehearsed;
  const latencyMs: Partial<Record<Step, Percentiles>> = {};
  for (const step of steps) {
    const values = tally.latencies.filter((latency) => latency.step === step).map((latency) => latency.ms);
    if (values.length > 0) latencyMs[step] = roundedOf(percentilesOf(values));
  }
  const stories = tally.stories.toRecord();
  return {
    ok: isKept(verdict),
    url: rehearsed.url,
    startedAt: rehearsed.startedAt.toISOString(),
    lastedSeconds: rounded(rehearsed.lastedMs / 1_000),
    plan,
    shoppers: {
      arrived: tally.arrivals.length,
      left: tally.left,
      served: Object.values(stories).reduce((sum, count) => sum + count, 0),
      stories,
    },
    requests: { sent: tally.requests, retried: tally.retriedBy.toRecord(), unanswered: tally.unanswered.count },
    holds: {
      granted: history.holds.length,
      units: history.holds.reduce((sum, hold) => sum + hold.quantity, 0),
      released: tally.released,
      statuses: verdict.holdStatuses,
    },
    refused: tally.refusedBy.toRecord(),
    orders: { placed: tally.orders, cancelledByShoppers: tally.cancelled, statuses: verdict.orderStatuses },
    payments: { events: history.events.size, firstOutcomes: tally.outcomes.toRecord(), outcomes: verdict.outcomes },
    replays: tally.replays,
    latencyMs,
    latenessMs: roundedOf(percentilesOf(tally.lateness)),
    products: products.map((product) => ({
      ...product,
      mostClaimed: history.mostClaimed(product.id),
      stock: verdict.stock.get(product.id) ?? null,
    })),
    checks: verdict.checks,
    reconcile: reconciled.report,
  };
}

function roundedOf({ count, ...percentiles }: Percentiles): Percentiles {
  const { p50, p95, p99, max } = percentiles;
  return { count, p50: rounded(p50), p95: rounded(p95), p99: rounded(p99), max: rounded(max) };
}

const rounded = (value: number) => Math.round(value * 10) / 10;
