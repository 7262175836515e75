/** Metrics count committed events once, are read without delaying requests, and are absent when unknown. */
import { startApp } from '../../src/app';
import { developmentWebhookSecret, loadConfig } from '../../src/config';
import { ERROR_CODES } from '../../src/domain/refusals';
import { ORDER_STATUSES, PAYMENT_OUTCOMES } from '../../src/domain/statuses';
import { KNOWN_LABELS, Metrics } from '../../src/telemetry/metrics';
import { signPayload } from '../../src/webhooks/signature';
import { ALICE, message, newKey } from '../support/checkout';
import { testLogger } from '../support/log';
import { openServedShop, type ServedShop } from '../support/served';

let shop: ServedShop;
beforeAll(async () => (shop = await openServedShop()));
afterAll(() => shop.close());

type Values = Map<string, number>;

function valuesIn(text: string): Values {
  const lines = text.split('\n').filter((line) => /^[a-z]/.test(line));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

const scrape = async () => valuesIn((await shop.get('/metrics')).text);

/** The counters and histogram counts that grew between two scrapes. */
async function growth(work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await scrape();
  await work();
  const after = await scrape();
  const grown = [...after].filter(
    ([name, value]) =>
      /^flashsale_.*(_total|_count)(\{|$)/.test(name) &&
      // The first scrape is an HTTP answer itself.
      !name.includes('{route="/metrics"') &&
      value !== (before.get(name) ?? 0),
  );
  return Object.fromEntries(
    grown.map(([name, value]) => [name.replace('flashsale_', ''), value - (before.get(name) ?? 0)]),
  );
}

test('every promised metric is exported, and those of the process', async () => {
  await shop.product(1);
  const { status, text } = await shop.get('/metrics');
  expect(status).toBe(200);
  const types = [...text.matchAll(/^# TYPE flashsale_(\w+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`);
  expect(types.sort()).toEqual([
    'batch_size histogram',
    'client_doubts_total counter',
    'connections_dropped_total counter',
    'graphql_errors_total counter',
    'hold_duration_seconds histogram',
    'holds_total counter',
    'http_request_duration_seconds histogram',
    'http_requests_total counter',
    'invariant_violations gauge',
    'lock_wait_seconds histogram',
    'operation_duration_seconds histogram',
    'operations_total counter',
    'orders_total counter',
    'parked_seconds gauge',
    'payment_events_total counter',
    'pool_waiting gauge',
    'refund_due gauge',
    'stock_available gauge',
    'sweep_lag_seconds gauge',
    'transaction_retries_total counter',
    'uncaught_errors_total counter',
    'webhook_lag_seconds histogram',
    'webhook_refusals_total counter',
  ]);
  expect(text).toMatch(/^process_cpu_seconds_total /m);
  expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
});

test('label values are those of the domain', () => {
  const known = new Set<string>([...ERROR_CODES, 'GRANTED', 'REPLAYED', ...failures]);
  expect(KNOWN_LABELS.holdResults.filter((result) => !known.has(result))).toEqual([]);
  expect(KNOWN_LABELS.orderStatuses).toEqual(ORDER_STATUSES);
  expect(KNOWN_LABELS.paymentOutcomes).toEqual([...PAYMENT_OUTCOMES, 'DUPLICATE', 'CONFLICT', ...failures]);
});
const failures = ['BUSY', 'BAD_USER_INPUT', 'SERVICE_UNAVAILABLE', 'INTERNAL_SERVER_ERROR'];

describe('holds are counted by answer', () => {
  test('granted, replayed, refused and invalid holds, each with its duration', async () => {
    const product = await shop.product(1);
    const input = { productId: product.id, quantity: 1, customerId: ALICE, idempotencyKey: newKey() };
    const grown = await growth(async () => {
      await shop.createHold(input);
      await shop.createHold(input);
      await shop.createHold({ ...input, idempotencyKey: newKey() });
      await expect(shop.createHold({ ...input, quantity: 0 })).rejects.toThrow();
    });
    expect(grown).toEqual({
      'holds_total{result="GRANTED"}': 1,
      'holds_total{result="REPLAYED"}': 1,
      'holds_total{result="OUT_OF_STOCK"}': 1,
      'holds_total{result="BAD_USER_INPUT"}': 1,
      hold_duration_seconds_count: 4,
      lock_wait_seconds_count: 3,
      batch_size_count: 3,
    });
  });

  test('holds that share a transaction count as one batch', async () => {
    const product = await shop.product(10);
    const before = await scrape();
    await Promise.all(Array.from({ length: 10 }, () => shop.hold(product)));
    const after = await scrape();
    const grew = (name: string) => after.get(name)! - before.get(name)!;
    expect(grew('flashsale_batch_size_sum')).toBe(10);
    expect(grew('flashsale_batch_size_count')).toBe(2);
    expect(grew('flashsale_hold_duration_seconds_count')).toBe(10);
  });
});

describe('orders are counted at each status that they reach', () => {
  test('placed, paid and refunded; a repeat counts as a delivery only', async () => {
    const order = await shop.orderOf(await shop.product(5));
    const paid = message('succeeded', order, { paymentId: 'pay_1' });
    const grown = await growth(async () => {
      await shop.receive(paid);
      await shop.receive(paid);
      await shop.receive({ ...paid, amountMinor: 1 });
      await shop.receive(message('refunded', order, { paymentId: 'pay_1' }));
    });
    expect(grown).toEqual({
      'orders_total{status="PAID"}': 1,
      'orders_total{status="REFUNDED"}': 1,
      'payment_events_total{outcome="APPLIED"}': 2,
      'payment_events_total{outcome="DUPLICATE"}': 1,
      'payment_events_total{outcome="CONFLICT"}': 1,
    });
  });

  test('placed by its payment, paid again, cancelled, and revived by a late payment', async () => {
    const product = await shop.product(5);
    const hold = await shop.hold(product);
    expect(
      await growth(async () => {
        await shop.receive(message('succeeded', hold));
        await shop.receive(message('succeeded', hold));
      }),
    ).toEqual({
      'orders_total{status="PAID"}': 1,
      'payment_events_total{outcome="APPLIED"}': 1,
      'payment_events_total{outcome="REFUND_DUE"}': 1,
    });
    const order = await shop.orderOf(product);
    expect(
      await growth(async () => {
        await shop.receive(message('failed', order));
        await shop.receive(message('succeeded', order));
      }),
    ).toMatchObject({ 'orders_total{status="CANCELLED"}': 1, 'orders_total{status="PAID"}': 1 });
  });

  test('cancelled by its shopper, by the sweep, and by a failure that came before it', async () => {
    const product = await shop.product(5);
    const [first, second] = [await shop.orderOf(product), await shop.orderOf(product)];
    const hold = await shop.hold(product);
    await shop.receive(message('failed', hold));
    await shop.sql(`UPDATE orders SET payment_due_at = now() - interval '1 minute' WHERE id = $1`, [second.id]);
    const grown = await growth(async () => {
      await shop.cancelOrder(first.id);
      await shop.cancelOrder(first.id);
      await shop.sweep();
      await shop.order(hold);
    });
    expect(grown).toEqual({ 'orders_total{status="CANCELLED"}': 3, 'orders_total{status="PENDING_PAYMENT"}': 1 });
  });
});

describe('the age of a payment event', () => {
  const deliver = async (timestamp: unknown) => {
    const order = await shop.orderOf(await shop.product(1));
    const body = JSON.stringify({ ...message('succeeded', order).payload, timestamp });
    const seconds = Math.floor(Date.now() / 1_000);
    const { status } = await shop.post('/webhooks/payments', body, {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(seconds),
      'webhook-signature': signPayload({ id: 'msg_1', timestamp: seconds, body, secret: developmentWebhookSecret }),
    });
    expect(status).toBe(200);
  };
  const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
  const measured = async (timestamp: unknown) => {
    const before = await scrape();
    await deliver(timestamp);
    const after = await scrape();
    const [seconds, count] = ['sum', 'count'].map((part) => {
      const name = `flashsale_webhook_lag_seconds_${part}`;
      return after.get(name)! - before.get(name)!;
    });
    return count === 1 ? seconds : null;
  };

  test('an event’s delay is its receipt minus its timestamp', async () => {
    const seconds = await measured(ago(90_000));
    expect(seconds).toBeGreaterThan(89);
    expect(seconds).toBeLessThan(95);
  });

  test('an event has no delay when its clock is ahead of the server’s', async () => {
    expect(await measured(ago(-60_000))).toBe(0);
  });

  test.each([[undefined], [null], [12], ['yesterday'], ['1970-01-01T00:00:00Z'], ['9999-12-31T00:00:00Z'], [{}]])(
    'is not measured by %j',
    async (timestamp) => {
      expect(await measured(timestamp)).toBeNull();
    },
  );
});

describe('gauges show', () => {
  const shared = { shop: null as ServedShop | null };
  beforeEach(async () => {
    shared.shop ??= shop;
    shop = await openServedShop();
  });
  afterEach(() => shop.close());
  afterAll(() => (shop = shared.shop!));

  test('the units that a new hold could take, those of overdue holds included', async () => {
    const product = await shop.product(5, { sku: 'A "quoted" SKU\\' });
    const hold = await shop.hold(product, { quantity: 2 });
    const name = 'flashsale_stock_available{product="A \\"quoted\\" SKU\\\\"}';
    expect((await scrape()).get(name)).toBe(3);
    await shop.sql(`UPDATE holds SET expires_at = now() - interval '90 seconds' WHERE id = $1`, [hold.id]);
    await passRefresh();
    const values = await scrape();
    expect(values.get(name)).toBe(5);
    expect(values.get('flashsale_sweep_lag_seconds')).toBeGreaterThan(89);
    await shop.sweep();
    await passRefresh();
    expect((await scrape()).get('flashsale_sweep_lag_seconds')).toBe(0);
  });

  test('an unpaid order that the sweep has not cancelled', async () => {
    const order = await shop.orderOf(await shop.product(1));
    await shop.sql(`UPDATE orders SET payment_due_at = now() - interval '1 hour' WHERE id = $1`, [order.id]);
    expect((await scrape()).get('flashsale_sweep_lag_seconds')).toBeGreaterThan(3_599);
  });

  test('the payments that wait for operators', async () => {
    const product = await shop.product(1);
    const order = await shop.orderOf(product);
    await shop.cancelOrder(order.id);
    await shop.receive(message('succeeded', order));
    await shop.receive({ ...message('succeeded', order), reference: 'nobody knows it', eventId: 'evt_parked' });
    await shop.sql(`UPDATE payment_events SET received_at = received_at - interval '1 day' WHERE outcome = 'PARKED'`);
    const values = await scrape();
    expect(values.get('flashsale_refund_due')).toBe(1);
    expect(values.get('flashsale_parked_seconds')).toBeGreaterThan(86_399);
  });

  test('a broken promise', async () => {
    const product = await shop.product(5);
    expect((await scrape()).get('flashsale_invariant_violations')).toBe(0);
    await shop.sql('UPDATE stock SET available = 3 WHERE product_id = $1', [product.id]);
    await passRefresh();
    // The recount is expensive and rests for 30 s; another server has not recounted yet.
    expect((await scrape()).get('flashsale_invariant_violations')).toBe(0);
    const settings = { NODE_ENV: 'test', PORT: '0', SWEEP_CRON: 'off', LOG_FILE: 'off', DATABASE_URL: shop.url };
    const other = await startApp(loadConfig(settings), { databaseUrl: shop.url, log: shop.log });
    const values = valuesIn(await (await fetch(`${other.url}/metrics`)).text());
    await other.close();
    expect(values.get('flashsale_invariant_violations')).toBe(2);
  });

  test('at most a hundred products, the most recently held ones', async () => {
    await shop.sql(`
      INSERT INTO products (id, sku, name, price_minor, currency)
        SELECT gen_random_uuid(), 'MANY-' || n, 'Many', 100, 'USD' FROM generate_series(1, 300) n`);
    await shop.sql(`INSERT INTO stock SELECT id, 10, 10 FROM products`);
    await shop.sql(
      `INSERT INTO stock_adjustments SELECT gen_random_uuid(), id, 10, 'test', 'test', NULL, now() FROM products`,
    );
    const [{ id } = { id: '' }] = await shop.sql<{ id: string }>(`SELECT id FROM products WHERE sku = 'MANY-150'`);
    await shop.createHold({ productId: id, quantity: 4, customerId: '' });
    const values = await scrape();
    const names = [...values.keys()].filter((name) => name.startsWith('flashsale_stock_available'));
    expect(names).toHaveLength(100);
    expect(values.get('flashsale_stock_available{product="MANY-150"}')).toBe(6);
  });

  test('the gauge counts requests that wait for a connection', async () => {
    const product = await shop.product(1);
    const busy = Array.from({ length: 20 }, () =>
      shop.app.database.read((em) => em.getConnection().execute('SELECT pg_sleep(0.4)')),
    );
    const values = await scrape();
    await Promise.all(busy);
    expect(values.get('flashsale_pool_waiting')).toBeGreaterThanOrEqual(10);
    expect(product.id).toBeTruthy();
  });

  /** Gauges are read once a second at most. */
  const passRefresh = () => new Promise((resolve) => setTimeout(resolve, 1_050));
});

describe('while the database is away', () => {
  const away = 'postgres://nobody@127.0.0.1:1/nothing';
  const settings = { NODE_ENV: 'test', PORT: '0', SWEEP_CRON: 'off', LOG_FILE: 'off', DATABASE_URL: away };

  test('a scrape answers in time and omits the gauges of the database', async () => {
    const app = await startApp(loadConfig(settings), { databaseUrl: away, log: testLogger() });
    const askedAt = performance.now();
    const values = valuesIn(await (await fetch(`${app.url}/metrics`)).text());
    const tookMs = performance.now() - askedAt;
    await app.close();
    expect(tookMs).toBeLessThan(2_000);
    expect(values.get('flashsale_pool_waiting')).toBe(0);
    expect(values.get('flashsale_holds_total{result="GRANTED"}')).toBe(0);
    const gauges = ['stock_available', 'sweep_lag_seconds', 'refund_due', 'parked_seconds', 'invariant_violations'];
    const told = [...values.keys()].filter((name) => gauges.some((gauge) => name.startsWith(`flashsale_${gauge}`)));
    expect(told).toEqual([]);
  });

  test('a hanging query neither delays a scrape nor is sent twice', async () => {
    let asked = 0;
    let end!: () => void;
    const never = new Promise<void>((resolve) => (end = resolve)).then(() => 1);
    const metrics = new Metrics();
    metrics.watch(
      {
        poolWaiting: () => 7,
        stockAvailable: async () => [],
        sweepLagSeconds: () => (++asked, never),
        openPayments: async () => ({ refundDue: 2, oldestParkedSeconds: 0 }),
        countViolations: async () => 0,
      },
      testLogger(),
    );
    const texts = [await metrics.text(), await metrics.text()].map(valuesIn);
    for (const values of texts) {
      expect(values.has('flashsale_sweep_lag_seconds')).toBe(false);
      expect(values.get('flashsale_refund_due')).toBe(2);
    }
    expect(asked).toBe(1);
    end();
    await metrics.close();
  });
});

test('counting a hold takes a few microseconds of CPU', () => {
  const metrics = new Metrics();
  const holds = 200_000;
  const before = process.cpuUsage();
  for (let n = 0; n < holds; n++) metrics.hold('GRANTED', 0.003);
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / holds).toBeLessThan(10);
});
