/** The operators' page turns counters into rates: of one server or several behind a balancer, and across restarts. */
import { Metrics } from '../../src/telemetry/metrics';
import { Scrapes } from '../../src/web/client/ops/scrapes';

const granted = (count: number) => `flashsale_holds_total{result="GRANTED"} ${count}\n`;

test('scrapes read what the server exports', async () => {
  const metrics = new Metrics();
  const scrapes = new Scrapes();
  const first = await metrics.text();
  metrics.hold('GRANTED', 0.004);
  metrics.hold('REPLAYED', 0.004);
  metrics.hold('OUT_OF_STOCK', 0.2);
  metrics.hold('BUSY', 0.2);
  const orders = (paid: number) =>
    `flashsale_orders_total{status="PENDING_PAYMENT"} ${3 * paid}\nflashsale_orders_total{status="PAID"} ${paid}\n`;
  scrapes.add('a', `${first}${orders(0)}`, 0);
  const gauges =
    'flashsale_pool_waiting 4\nflashsale_sweep_lag_seconds 2.5\nflashsale_invariant_violations 0\n' +
    'flashsale_stock_available{product="A b 7"} 12\nnodejs_x 1\n';
  expect(scrapes.add('a', `${await metrics.text()}${orders(2)}${gauges}`, 2_000)).toEqual({
    perSecond: { holds: 0.5, refusals: 1, orders: 3, payments: 1 },
    gauges: { waiting: 4, sweepLagSeconds: 2.5, violations: 0 },
    servers: ['a'],
  });
});

test('a rate needs two scrapes of a server', () => {
  const scrapes = new Scrapes();
  expect(scrapes.add('a', granted(50), 1_000).perSecond).toBeNull();
  expect(scrapes.add('a', granted(57), 2_000).perSecond?.holds).toBe(7);
  expect(scrapes.add('a', granted(57), 4_000).perSecond?.holds).toBe(0);
  expect(scrapes.add('a', granted(60), 6_000).perSecond?.holds).toBe(1.5);
});

test('a counter that fell was restarted, so no rate is negative', () => {
  const scrapes = new Scrapes();
  scrapes.add('a', granted(60), 0);
  expect(scrapes.add('a', granted(4), 1_000).perSecond?.holds).toBe(4);
});

test('rates and waiting requests of several servers are added up, whichever answers', () => {
  const scrapes = new Scrapes();
  for (let second = 0; second < 20; second += 1) {
    const [name, perSecond] = second % 2 === 0 ? (['fast', 10] as const) : (['slow', 1] as const);
    const text = `${granted(perSecond * second)}flashsale_pool_waiting ${perSecond}\n`;
    const rates = scrapes.add(name, text, 1_000 * second);
    if (second < 3) continue;
    expect(rates).toMatchObject({ perSecond: { holds: 11 }, gauges: { waiting: 11 }, servers: ['fast', 'slow'] });
  }
});

test('a server that is silent for half a minute is left out', () => {
  const scrapes = new Scrapes();
  scrapes.add('gone', granted(0), 0);
  expect(scrapes.add('gone', granted(9), 1_000).perSecond?.holds).toBe(9);
  scrapes.add('a', granted(0), 30_000);
  const rates = scrapes.add('a', granted(1), 31_001);
  expect(rates.servers).toEqual(['a']);
  expect(rates.perSecond?.holds).toBeCloseTo(1, 2);
});

test('a gauge that no server knows is unknown, not zero', () => {
  expect(new Scrapes().add('a', granted(1), 0).gauges).toEqual({ waiting: 0 });
});
