/** Prometheus counters of one or several servers as rates: each scrape is compared with the same server's previous one. */

export interface Counters {
  readonly holds: number;
  readonly refusals: number;
  readonly orders: number;
  readonly payments: number;
}

export interface Gauges {
  /** Requests waiting for a database connection, of all servers together. */
  readonly waiting: number;
  /** Of the shop as a whole; undefined while no server knows it. */
  readonly sweepLagSeconds: number | undefined;
  readonly violations: number | undefined;
}

/** Per second, added up over the servers; null until one of them was scraped twice. */
export interface Rates {
  readonly perSecond: Counters | null;
  readonly gauges: Gauges;
  readonly servers: readonly string[];
}

interface Scrape {
  readonly atMs: number;
  readonly counters: Counters;
  readonly gauges: Gauges;
  readonly perSecond: Counters | null;
}

/** A server that has not answered for this long is left out: behind a balancer, each answers in turn. */
const SILENT_MS = 30_000;
const NAMES = ['holds', 'refusals', 'orders', 'payments'] as const;

/** The latest scrape of each server. */
export class Scrapes {
  private readonly latest = new Map<string, Scrape>();

  /** `text` is in Prometheus' text format; `atMs` is on any monotonic clock. */
  add(server: string, text: string, atMs: number): Rates {
    const before = this.latest.get(server);
    const { counters, gauges } = parse(text);
    const perSecond = before && atMs > before.atMs ? growth(before, counters, atMs) : null;
    this.latest.delete(server);
    this.latest.set(server, { atMs, counters, gauges, perSecond });
    for (const [name, scrape] of this.latest) if (atMs - scrape.atMs > SILENT_MS) this.latest.delete(name);
    return this.rates(gauges);
  }

  private rates(newest: Gauges): Rates {
    const scrapes = [...this.latest.values()];
    const known = scrapes.flatMap(({ perSecond }) => perSecond ?? []);
    return {
      perSecond: known.length === 0 ? null : mapCounters((name) => sum(known.map((rates) => rates[name]))),
      gauges: { ...newest, waiting: sum(scrapes.map(({ gauges }) => gauges.waiting)) },
      servers: [...this.latest.keys()].sort(),
    };
  }
}

/** A counter that fell belongs to a server that was restarted: all of it is new. */
function growth(before: Scrape, counters: Counters, atMs: number): Counters {
  const seconds = (atMs - before.atMs) / 1_000;
  return mapCounters((name) => {
    const grown = counters[name] - before.counters[name];
    return (grown >= 0 ? grown : counters[name]) / seconds;
  });
}

function parse(text: string): { counters: Counters; gauges: Gauges } {
  const series = new Map<string, number>();
  for (const line of text.split('\n')) {
    // A SKU may stand in a label, so the value is what follows the last space.
    const end = line.lastIndexOf(' ');
    if (line.startsWith('flashsale_')) series.set(line.slice(0, end), Number(line.slice(end + 1)));
  }
  const labelled = (name: string, pick: RegExp) =>
    sum([...series].filter(([key]) => key.startsWith(`${name}{`) && pick.test(key)).map(([, value]) => value));
  return {
    counters: {
      holds: labelled('flashsale_holds_total', /"GRANTED"/),
      refusals: labelled('flashsale_holds_total', /="(?!GRANTED|REPLAYED)/),
      orders: labelled('flashsale_orders_total', /"PENDING_PAYMENT"/),
      payments: labelled('flashsale_orders_total', /"PAID"/),
    },
    gauges: {
      waiting: series.get('flashsale_pool_waiting') ?? 0,
      sweepLagSeconds: series.get('flashsale_sweep_lag_seconds'),
      violations: series.get('flashsale_invariant_violations'),
    },
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const mapCounters = (valueOf: (name: keyof Counters) => number): Counters =>
  Object.fromEntries(NAMES.map((name) => [name, valueOf(name)])) as unknown as Counters;
