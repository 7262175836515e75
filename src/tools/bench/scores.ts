/** Turns slices into scores: medians of the runs, ratios within a run, and the targets that they are compared with. */
import { median } from '../load/percentiles';
import type { Slice } from './slice';
import type { Subject } from './subjects';

export interface Score {
  readonly key: string;
  readonly name: string;
  /** null: as many as the schedule needs (open model). */
  readonly connections: number | null;
  readonly title: string;
  /** Why there is no figure. */
  readonly skipped: string | null;
  /** One per run, in their order. */
  readonly slices: readonly Slice[];
  /** Medians of the runs; null without runs. */
  readonly median: Omit<Slice, 'eachSecond' | 'noise'> | null;
}

export interface Target {
  readonly what: string;
  /** null: not measured in this run. */
  readonly value: number | null;
  readonly wanted: number;
  /** Whether more is better. */
  readonly atLeast: boolean;
  readonly isReached: boolean | null;
}

export interface StockUpdates {
  readonly updates: number;
  readonly hot: number;
}

export function scoreOf(subject: Subject, slices: readonly Slice[]): Score {
  const { key, name, connections, title, skipped = null } = subject;
  const of = (pick: (slice: Slice) => number) => median(slices.map(pick));
  const ofSome = (pick: (slice: Slice) => number | null) => {
    const known = slices.map(pick).filter((value) => value !== null);
    return known.length > 0 ? median(known) : null;
  };
  return {
    key,
    name,
    connections,
    title,
    skipped,
    slices,
    median:
      slices.length === 0
        ? null
        : {
            perSecond: of((slice) => slice.perSecond),
            p50Ms: of((slice) => slice.p50Ms),
            p99Ms: of((slice) => slice.p99Ms),
            answers: of((slice) => slice.answers),
            meanBatch: ofSome((slice) => slice.meanBatch),
            nodeCpuMs: ofSome((slice) => slice.nodeCpuMs),
            postgresCpuMs: ofSome((slice) => slice.postgresCpuMs),
          },
  };
}

/**
 * The median of the runs' own ratios or differences. Both values of a pair are measured within a minute, so that what slows the
 * machine slows both. null: one of them was not measured.
 */
function compare(
  scores: readonly Score[],
  key: string,
  to: string,
  compared: (one: Slice, other: Slice) => number,
): number | null {
  const [some, others] = [key, to].map((wanted) => scores.find((score) => score.key === wanted)?.slices ?? []);
  const runs = Math.min(some!.length, others!.length);
  if (runs === 0) return null;
  return median(Array.from({ length: runs }, (_, run) => compared(some![run]!, others![run]!)));
}

/** Less than a shopper notices. */
const SLOWER_AT_MOST_MS = 20;

export function judge(scores: readonly Score[], stock: StockUpdates | null): Target[] {
  const atLeast = (what: string, value: number | null, wanted: number) => target(what, value, wanted, true);
  const of = (key: string, to: string) => compare(scores, key, to, (above, below) => above.perSecond / below.perSecond);
  const p99 = compare(scores, 'holds@64', 'noop@64', (above, below) => above.p99Ms / below.p99Ms);
  const later = (key: string) => compare(scores, key, 'quiet-noop', (beside, alone) => beside.p99Ms - alone.p99Ms);
  return [
    atLeast('granted holds ÷ no-op, 256 connections', of('holds@256', 'noop@256'), 0.9),
    atLeast('granted holds ÷ naive, 256 connections', of('holds@256', 'naive@256'), 12),
    atLeast('granted holds ÷ bare transaction, 256 connections each', of('holds@256', 'hot-row@256'), 4),
    atLeast('granted holds, 256 connections ÷ bare transaction, 32', of('holds@256', 'hot-row@32'), 4),
    target('p99 of granted holds ÷ p99 of no-op, 64 connections', p99, 3, false),
    atLeast('granted holds ÷ naive, 1 connection', of('holds@1', 'naive@1'), 1),
    atLeast('refusals once sold out ÷ no-op', of('refusals@256', 'noop@256'), 0.95),
    atLeast('orders ÷ no-op', of('orders@256', 'noop@256'), 0.6),
    atLeast('orders of 100 products ÷ of one', of('orders-100@256', 'orders@256'), 0.5),
    atLeast('payment events ÷ no-op', of('payments@256', 'noop@256'), 0.6),
    atLeast('no-op ÷ default no-op', of('noop@256', 'default-noop@256'), 1.2),
    atLeast('no-op, trusted ÷ default no-op', of('trusted-noop@256', 'default-noop@256'), 1.8),
    atLeast('granted holds, trusted ÷ default no-op', of('trusted-holds@256', 'default-noop@256'), 1.4),
    atLeast('granted holds, trusted ÷ no-op, trusted', of('trusted-holds@256', 'trusted-noop@256'), 0.75),
    atLeast('10 hot products ÷ one', of('holds-10@256', 'holds@256'), 0.5),
    atLeast('100 hot products ÷ one', of('holds-100@256', 'holds@256'), 0.5),
    target('p99 ms of a quiet product beside a hot one − beside no-ops', later('quiet-hot'), SLOWER_AT_MOST_MS, false),
    target(
      'p99 ms of a quiet product beside a locked one − beside no-ops',
      later('quiet-locked'),
      SLOWER_AT_MOST_MS,
      false,
    ),
    atLeast('granted holds, 2,000 watch live ÷ nobody watches', of('holds-watched@256', 'holds-unwatched@256'), 0.8),
    atLeast('1,000,000 holds in the table ÷ 1,000', of('holds-among-1000000@256', 'holds-among-1000@256'), 0.85),
    atLeast('HOT updates of stock ÷ all', stock && stock.updates > 0 ? stock.hot / stock.updates : null, 0.95),
  ];
}

function target(what: string, value: number | null, wanted: number, atLeast: boolean): Target {
  const isReached = value === null ? null : atLeast ? value >= wanted : value <= wanted;
  return { what, value, wanted, atLeast, isReached };
}
