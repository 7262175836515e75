/** Counters become rates: of one server and of several behind a balancer, across restarts, gaps and hidden tabs. */
import { History, KEPT_SECONDS, parseMetrics } from '../../src/web/client/ops/history';
import { Metrics } from '../../src/telemetry/metrics';

const GRANTED = 'flashsale_holds_total{result="GRANTED"}';
const counted = (granted: number) => new Map([[GRANTED, granted]]);

/** Hears of counts, a second apart unless said. */
function heard(...counts: readonly number[]): History {
  const history = new History();
  counts.forEach((count, second) => history.hear('a', counted(count), 1_000 * (1_000 + second)));
  return history;
}

test('what is exported is read, labels with spaces too, and nothing that is not ours', async () => {
  const metrics = new Metrics();
  metrics.hold('GRANTED', 0.004);
  metrics.hold('OUT_OF_STOCK', 0.2);
  const series = parseMetrics(`${await metrics.text()}\nflashsale_stock_available{product="A b 7"} 12\nnodejs_x 1\n`);
  expect(series.get(GRANTED)).toBe(1);
  expect(series.get('flashsale_hold_duration_seconds_count')).toBe(2);
  expect(series.get('flashsale_hold_duration_seconds_bucket{le="0.005"}')).toBe(1);
  expect(series.get('flashsale_stock_available{product="A b 7"}')).toBe(12);
  expect([...series.keys()].filter((key) => !key.startsWith('flashsale_'))).toEqual([]);
});

test('one look tells no rate, and two tell what came between them', () => {
  expect(heard(50).rate([GRANTED], 10)).toBe(0);
  const history = heard(50, 57, 57, 60);
  expect(history.perSecond(GRANTED).slice(-4)).toEqual([null, 7, 0, 3]);
  expect(history.rate([GRANTED], 2)).toBe(1.5);
  expect(history.grown('flashsale_holds_total', 'result', 60)).toEqual(new Map([['GRANTED', 10]]));
});

test('a counter that fell has started anew: nothing is negative', () => {
  expect(heard(50, 60, 4, 5).perSecond(GRANTED).slice(-3)).toEqual([10, 4, 1]);
});

test('servers are kept apart and added up, in whatever turn they answer', () => {
  const history = new History();
  // Two servers, ten a second and one a second, asked in turns: each is heard every other second.
  for (let second = 0; second < 20; second += 1) {
    const [name, each] = second % 2 === 0 ? (['fast', 10] as const) : (['slow', 1] as const);
    history.hear(name, counted(each * second), 1_000 * (1_000 + second));
  }
  expect(history.names).toEqual(['fast', 'slow']);
  expect(history.rate([GRANTED], 10)).toBe(11);
});

test('a server that is silent for half a minute is not counted on any more', () => {
  const history = new History();
  history.hear('gone', counted(0), 1_000_000);
  for (let second = 0; second <= 31; second += 1) history.hear('a', counted(second), 1_000_000 + 1_000 * second);
  expect(history.names).toEqual(['a']);
  expect(history.rate([GRANTED], 10)).toBe(1);
});

test('what nobody looked at is spread evenly, and never further back than is kept', () => {
  const history = new History();
  history.hear('a', counted(0), 1_000_000);
  history.hear('a', counted(3_600), 1_000_000 + 3_600_000);
  const seconds = history.perSecond(GRANTED);
  expect(seconds).toHaveLength(KEPT_SECONDS);
  expect(new Set(seconds)).toEqual(new Set([1]));
});

test('means and quantiles are of what was observed lately', async () => {
  const metrics = new Metrics();
  const history = new History();
  const look = async (second: number) =>
    history.hear('a', parseMetrics(await metrics.text()), 1_000 * (1_000 + second));
  metrics.hold('GRANTED', 4);
  await look(0);
  expect(history.mean('flashsale_hold_duration_seconds', 10)).toBeNull();
  expect(history.quantile('flashsale_hold_duration_seconds', 0.95, 10)).toBeNull();
  for (let count = 0; count < 98; count += 1) metrics.hold('GRANTED', 0.004);
  for (let count = 0; count < 2; count += 1) metrics.hold('GRANTED', 60);
  await look(1);
  expect(history.mean('flashsale_hold_duration_seconds', 10)).toBeCloseTo(1.204, 3);
  expect(history.quantile('flashsale_hold_duration_seconds', 0.95, 10)).toBe(0.005);
  expect(history.quantile('flashsale_hold_duration_seconds', 0.999, 10)).toBe(Infinity);
});

test('a gauge is as it was told last, and unknown when it is missing', () => {
  const history = new History();
  const lag = (seconds: number | null) =>
    new Map(seconds === null ? [] : [['flashsale_sweep_lag_seconds', seconds] as const]);
  history.hear('a', lag(2), 1_000_000);
  history.hear('a', lag(5), 1_002_000);
  expect(history.gaugePerSecond('flashsale_sweep_lag_seconds').slice(-4)).toEqual([null, 2, 2, 5]);
  history.hear('a', lag(null), 1_003_000);
  expect(history.latest('flashsale_sweep_lag_seconds')).toBeUndefined();
  expect(history.gaugePerSecond('flashsale_sweep_lag_seconds').at(-1)).toBeNull();
});
