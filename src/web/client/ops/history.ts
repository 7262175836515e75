/** Counters of one or several servers, seen now and then, as what happened in each second. Pure: it is told the time. */

/** Series of Prometheus' text format, `name{labels}`, with their values. */
export type Series = ReadonlyMap<string, number>;

/** Only the checkout's own; SKUs may stand in labels, so a value is what comes after the last space. */
export function parseMetrics(text: string): Map<string, number> {
  const series = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (!line.startsWith('flashsale_')) continue;
    const end = line.lastIndexOf(' ');
    series.set(line.slice(0, end), Number(line.slice(end + 1)));
  }
  return series;
}

/** How long seconds are kept. */
export const KEPT_SECONDS = 300;
/** A server that has not answered for so long is not counted on any more: behind a balancer each has its turn. */
const SILENT_MS = 30_000;
/** How long a gauge is taken to be as it was: looks are a second apart, or a little more. */
const GAUGE_SECONDS = 5;
/** By the names that Prometheus gives: a histogram's parts are counters, too. */
const isCounter = (key: string) => /^\w+_(total|count|sum|bucket)(\{|$)/.test(key);

interface Heard {
  readonly atMs: number;
  readonly series: Series;
}

/**
 * A counter tells nothing but its difference to the same server's last one, so servers are kept apart and their differences
 * added up, spread over the seconds in between. A counter that fell has started anew: all of it is new.
 */
export class History {
  private readonly servers = new Map<string, Heard>();
  private readonly seconds = new Map<number, Map<string, number>>();
  private readonly gauges = new Map<number, Series>();

  hear(server: string, series: Series, atMs: number): void {
    const last = this.servers.get(server);
    this.servers.set(server, { atMs, series });
    this.gauges.set(secondOf(atMs), series);
    if (last && atMs > last.atMs) this.spread(last, series, atMs);
    for (const [name, { atMs: heardAt }] of this.servers) if (atMs - heardAt > SILENT_MS) this.servers.delete(name);
    const oldest = secondOf(atMs) - KEPT_SECONDS - SILENT_MS / 1_000;
    for (const kept of [this.seconds, this.gauges]) {
      for (const second of kept.keys()) if (second < oldest) kept.delete(second);
    }
  }

  /** Those that have answered lately, in the order of their names. */
  get names(): string[] {
    return [...this.servers.keys()].sort();
  }

  /** The latest value of a gauge that every server reads from the same database. undefined: nobody knows it. */
  latest(key: string): number | undefined {
    return [...this.servers.values()].sort((a, b) => b.atMs - a.atMs)[0]?.series.get(key);
  }

  /** The sum of a gauge of which each server has its own. */
  sumOfLatest(key: string): number {
    return [...this.servers.values()].reduce((sum, { series }) => sum + (series.get(key) ?? 0), 0);
  }

  /** Labels of a counter and how much each grew in the last seconds of which all servers have told; none that stood still. */
  grown(name: string, label: string, seconds: number): Map<string, number> {
    const pattern = new RegExp(`^${name}\\{${label}="(.*)"\\}$`);
    const sums = new Map<string, number>();
    for (const counts of this.latestSeconds(seconds)) {
      for (const [key, count] of counts ?? []) {
        const value = pattern.exec(key)?.[1];
        if (value !== undefined) sums.set(value, (sums.get(value) ?? 0) + count);
      }
    }
    return sums;
  }

  /** How much counters grew together, a second each, oldest first. null: of that second nobody has told. */
  perSecond(...keys: readonly string[]): (number | null)[] {
    return this.latestSeconds(KEPT_SECONDS).map((counts) => {
      if (!counts) return null;
      return keys.reduce((sum, key) => sum + (counts.get(key) ?? 0), 0);
    });
  }

  /** The mean of a histogram's observations, a second each. null: there was none. */
  meanPerSecond(name: string): (number | null)[] {
    const [sums, counts] = [this.perSecond(`${name}_sum`), this.perSecond(`${name}_count`)];
    return sums.map((sum, index) => (counts[index] ? sum! / counts[index] : null));
  }

  gaugePerSecond(key: string): (number | null)[] {
    const until = this.until();
    let known: number | null = null;
    let knownAt = -Infinity;
    return range(until - KEPT_SECONDS + 1, until).map((second) => {
      const series = this.gauges.get(second);
      if (series) [known, knownAt] = [series.get(key) ?? null, second];
      return second - knownAt <= GAUGE_SECONDS ? known : null;
    });
  }

  /** A counter's growth a second, over the last seconds of which all servers have told. */
  rate(keys: readonly string[], seconds: number): number {
    const known = this.perSecond(...keys)
      .slice(-seconds)
      .filter((count) => count !== null);
    return known.length === 0 ? 0 : known.reduce((sum, count) => sum + count, 0) / known.length;
  }

  mean(name: string, seconds: number): number | null {
    const count = this.rate([`${name}_count`], seconds);
    return count === 0 ? null : this.rate([`${name}_sum`], seconds) / count;
  }

  /** Below which that share of a histogram's observations lay: its bucket's upper bound, or null when there was none. */
  quantile(name: string, share: number, seconds: number): number | null {
    const buckets = [...this.grown(`${name}_bucket`, 'le', seconds)]
      .map(([bound, count]) => [bound === '+Inf' ? Infinity : Number(bound), count] as const)
      .sort(([a], [b]) => a - b);
    const all = buckets.at(-1)?.[1] ?? 0;
    return buckets.find(([, count]) => count >= all * share)?.[0] ?? null;
  }

  private spread(last: Heard, series: Series, atMs: number): void {
    const [from, to] = [secondOf(last.atMs) + 1, secondOf(atMs)];
    const span = Math.max(1, to - from + 1);
    const first = Math.max(Math.min(from, to), to - KEPT_SECONDS + 1);
    const grown = [...series]
      .filter(([key]) => isCounter(key))
      .map(([key, value]) => {
        const before = last.series.get(key) ?? 0;
        return [key, (value >= before ? value - before : value) / span] as const;
      })
      .filter(([, count]) => count > 0);
    for (let second = first; second <= to; second += 1) {
      const counts = this.seconds.get(second) ?? new Map<string, number>();
      this.seconds.set(second, counts);
      for (const [key, count] of grown) counts.set(key, (counts.get(key) ?? 0) + count);
    }
  }

  private latestSeconds(seconds: number): (Map<string, number> | null)[] {
    const until = this.until();
    return range(until - seconds + 1, until).map((second) => this.seconds.get(second) ?? null);
  }

  /** The last second of which every server has told. */
  private until(): number {
    return secondOf(Math.min(...[...this.servers.values()].map(({ atMs }) => atMs), Infinity));
  }
}

const secondOf = (ms: number): number => (Number.isFinite(ms) ? Math.floor(ms / 1_000) : 0);
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, index) => from + index);
