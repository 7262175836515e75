/**
 * Counters and histograms for hot paths: some 0.1 µs an increment. prom-client hashes the labels each time, which takes 1 to
 * 2 µs, and every request moves six of them. The text format, gauges and sums over workers are prom-client's.
 */
import type { Metric, Registry } from 'prom-client';

interface Named {
  readonly name: string;
  readonly help: string;
  /** None, one or two. */
  readonly labelNames?: readonly string[];
}

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A series exists from its first call on; the one of a counter without labels from the start, at 0. */
export function counterIn(registry: Registry, named: Named): (label?: string, second?: string, by?: number) => void {
  const cells = new Cells(named.labelNames, () => ({ value: 0 }));
  register(registry, named, 'counter', () => cells.samples(({ value }, labels) => [{ labels, value }]));
  return (label, second, by = 1) => {
    cells.of(label, second).value += by;
  };
}

/** `bounds` ascend. A series exists from its first call on; the one of a histogram without labels from the start. */
export function histogramIn(
  registry: Registry,
  named: Named,
  bounds: readonly number[],
): (value: number, label?: string) => void {
  const cells = new Cells(named.labelNames, () => ({ counts: bounds.map(() => 0), sum: 0, count: 0 }));
  register(registry, named, 'histogram', () =>
    cells.samples(({ counts, sum, count }, labels) => {
      let upTo = 0;
      return [
        ...bounds.map((le, n) => bucketOf(named, { le, ...labels }, (upTo += counts[n]!))),
        bucketOf(named, { le: '+Inf', ...labels }, count),
        { metricName: `${named.name}_sum`, labels, value: sum },
        { metricName: `${named.name}_count`, labels, value: count },
      ];
    }),
  );
  return (value, label) => {
    const cell = cells.of(label);
    let n = 0;
    while (n < bounds.length && value > bounds[n]!) n += 1;
    if (n < bounds.length) cell.counts[n]! += 1;
    cell.sum += value;
    cell.count += 1;
  };
}

const bucketOf = ({ name }: Named, labels: Sample['labels'], value: number): Sample => ({
  metricName: `${name}_bucket`,
  labels,
  value,
});

/** What is counted, by the values of the labels. */
class Cells<Cell> {
  private readonly byFirst = new Map<string, Map<string, Cell>>();

  constructor(
    private readonly labelNames: readonly string[] = [],
    private readonly make: () => Cell,
  ) {
    if (labelNames.length === 0) this.of();
  }

  of(first = '', second = ''): Cell {
    let bySecond = this.byFirst.get(first);
    if (!bySecond) this.byFirst.set(first, (bySecond = new Map<string, Cell>()));
    let cell = bySecond.get(second);
    if (!cell) bySecond.set(second, (cell = this.make()));
    return cell;
  }

  samples(samplesOf: (cell: Cell, labels: Readonly<Record<string, string>>) => readonly Sample[]): Sample[] {
    return [...this.byFirst].flatMap(([first, bySecond]) =>
      [...bySecond].flatMap(([second, cell]) => {
        const values = [first, second];
        return samplesOf(cell, Object.fromEntries(this.labelNames.map((name, n) => [name, values[n]!])));
      }),
    );
  }
}

/** A registry asks its metrics for nothing but `get`. */
function register(registry: Registry, { name, help }: Named, type: string, samples: () => Sample[]): void {
  const get = () => ({ name, help, type, aggregator: 'sum', values: samples() });
  registry.registerMetric({ name, get } as unknown as Metric);
}
