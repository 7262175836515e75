/** What the server counts and measures for Prometheus: names, buckets, and the one place where each is written. */
import { collectDefaultMetrics, Gauge, Registry, type MetricObjectWithValues } from 'prom-client';
import type { Logger } from './logger';
import { Reading } from './reading';
import { counterIn, histogramIn } from './series';
import type { UncaughtKind } from './uncaught';

/** What one process knows, in a form that can be sent to another and be added up there. */
export type Snapshot = MetricObjectWithValues<{ value: number; labels: object; metricName?: string }>[];

/** Where the gauges that only the database knows come from. Each is one query; a failed one leaves its gauges out. */
export interface GaugeSources {
  /** Requests of this process that wait for a connection. */
  poolWaiting(): number;
  /** At most 100 products. */
  stockAvailable(): Promise<readonly { readonly sku: string; readonly available: number }[]>;
  sweepLagSeconds(): Promise<number>;
  openPayments(): Promise<{ readonly refundDue: number; readonly oldestParkedSeconds: number }>;
  /** A recount: expensive, so it is run rarely. */
  countViolations(): Promise<number>;
}

/** How work can fail that was not refused. */
const FAILURES = ['BUSY', 'BAD_USER_INPUT', 'SERVICE_UNAVAILABLE', 'INTERNAL_SERVER_ERROR'];
/** The domain's own words; a test compares them with it. */
export const KNOWN_LABELS = {
  holdResults: [
    ...['GRANTED', 'REPLAYED', 'IDEMPOTENCY_KEY_REUSED', 'PRODUCT_NOT_FOUND', 'CUSTOMER_REQUIRED', 'SALE_NOT_STARTED'],
    ...['SALE_ENDED', 'LIMIT_PER_CUSTOMER', 'OUT_OF_STOCK', ...FAILURES],
  ],
  orderStatuses: ['PENDING_PAYMENT', 'PAID', 'CANCELLED', 'REFUND_DUE', 'REFUNDED'],
  paymentOutcomes: [
    ...['APPLIED', 'PARKED', 'IGNORED', 'AMOUNT_MISMATCH', 'REFUND_DUE', 'DUPLICATE', 'CONFLICT', ...FAILURES],
  ],
  retryReasons: ['40001', '40P01', '23505', 'restart', 'connection'],
  webhookRefusals: [
    ...['NOT_SET_UP', 'NOT_JSON', 'SIGNATURE', 'RATE_LIMITED', 'MALFORMED', 'TOO_LARGE', 'CONFLICT', 'NOT_STORED'],
    ...['UNREADABLE', 'INTERNAL_SERVER_ERROR'],
  ],
  clientDoubts: ['UNNAMED_PROXY', 'NO_HEADER', 'UNREADABLE', 'TWO_HEADERS', 'RELAY'],
} as const;
export type WebhookRefusal = (typeof KNOWN_LABELS.webhookRefusals)[number];
export type ClientDoubt = (typeof KNOWN_LABELS.clientDoubts)[number];

/** Alone on an idle machine a hold takes 2 ms, a batch of 256 some 10 ms; what waits longer than 2 s is BUSY. */
const HOLD_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
/** From an uncontended lock to the lock timeout. */
const LOCK_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2];
const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/** From "at once" to the three days for which providers send an event again. */
const WEBHOOK_SECONDS = [0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200, 28_800, 86_400, 259_200];

/** From a cached page to the request's timeout. */
const ANSWER_SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10];

/** Two scrapes within this time share their queries, in ms. */
const REFRESH_MS = 1_000;
/** How often the recount may begin, in ms. */
const RECOUNT_MS = 30_000;
/** A recount's result that could not be renewed for this long is no news any more, in ms. */
const RECOUNT_KEPT_MS = 300_000;

/**
 * The metrics of one app: its registry is its own, so that several apps can live in one process. Every series with one label
 * that can be known beforehand exists from the start, at 0: a rate over it then sees the first increase, too. Of those with two
 * labels, most combinations never happen: a series exists from its first increase.
 *
 * Promises: counting costs about a microsecond, throws nothing and waits for nothing. Labels come from bounded sets. `text`
 * and `snapshot` answer within some 1.5 s even when the database does not; the gauges that need it are then left out.
 */
export class Metrics {
  /** What this process counts; and, apart from it, what every process would read from the same database. */
  private readonly own = new Registry();
  private readonly shared = new Registry();
  readonly contentType = this.own.contentType;

  private readonly holds = this.counter(
    'holds_total',
    'createHold, by how it was answered',
    'result',
    KNOWN_LABELS.holdResults,
  );
  private readonly orders = this.counter(
    'orders_total',
    'Orders that came to a status',
    'status',
    KNOWN_LABELS.orderStatuses,
  );
  private readonly events = this.counter(
    'payment_events_total',
    'Deliveries of payment events, by how they were answered; what is parked and settled later is not counted again',
    'outcome',
    KNOWN_LABELS.paymentOutcomes,
  );
  private readonly retries = this.counter(
    'transaction_retries_total',
    'Transactions that were run again, by SQLSTATE or another name of the reason',
    'reason',
    KNOWN_LABELS.retryReasons,
  );
  private readonly holdSeconds = this.histogram(
    'hold_duration_seconds',
    'createHold from the question to the answer, its wait for the batch included',
    HOLD_SECONDS,
  );
  private readonly lockSeconds = this.histogram(
    'lock_wait_seconds',
    'What a batch of holds waited for its stock row’s lock, the round trip included',
    LOCK_SECONDS,
  );
  private readonly batchSizes = this.histogram('batch_size', 'Holds that shared one transaction', BATCH_SIZES);
  private readonly webhookSeconds = this.histogram(
    'webhook_lag_seconds',
    'A new payment event’s receipt minus its own timestamp',
    WEBHOOK_SECONDS,
  );
  private readonly uncaughtErrors = this.counter(
    'uncaught_errors_total',
    'Errors that nothing caught, after which the process went on',
    'kind',
    ['exception', 'rejection'],
  );
  private readonly httpAnswers = this.counterOfTwo(
    'http_requests_total',
    'HTTP requests by their route and the status that answered them',
    ['route', 'status'],
  );
  private readonly httpSeconds = this.histogramBy(
    'http_request_duration_seconds',
    'HTTP requests from their headers to the end of the answer',
    'route',
    ANSWER_SECONDS,
  );
  private readonly operations = this.counterOfTwo(
    'operations_total',
    'Root fields of GraphQL that were executed, over HTTP and WebSocket, by their answer',
    ['operation', 'result'],
  );
  private readonly operationSeconds = this.histogramBy(
    'operation_duration_seconds',
    'A root field of GraphQL from the call of its resolver to its answer, without the fields below it',
    'operation',
    ANSWER_SECONDS,
  );
  private readonly errors = this.counter(
    'graphql_errors_total',
    'Errors in answers of GraphQL, over HTTP and WebSocket, by extensions.code',
    'code',
    [],
  );
  private readonly refusedWebhooks = this.counterOfTwo(
    'webhook_refusals_total',
    'Deliveries to the webhooks that were not recorded, by provider and reason',
    ['provider', 'reason'],
  );
  private readonly doubts = this.counter(
    'client_doubts_total',
    'Requests whose address may be shared by many clients, because proxies and TRUSTED_PROXIES do not fit',
    'reason',
    KNOWN_LABELS.clientDoubts,
  );
  private readonly drops = counterIn(this.own, {
    name: 'flashsale_connections_dropped_total',
    help: 'Connections that were closed at once because MAX_CONNECTIONS were open',
  });
  private readonly readings: Reading<unknown>[] = [];

  /** A request was answered. `route`: as it was registered, never the path that was asked for. */
  httpAnswer(route: string, status: number, seconds?: number): void {
    this.httpAnswers(route, String(status));
    if (seconds !== undefined) this.httpSeconds(route, seconds);
  }

  /** Counts an executed root field. Neither label comes from a client. */
  operation(operation: string, result: string, seconds: number): void {
    this.operations(operation, result);
    this.operationSeconds(operation, seconds);
  }

  /** Counts an error sent to a client. The code is the checkout's or Apollo's. */
  graphqlError(code: string): void {
    this.errors(code);
  }

  webhookRefused(provider: string, reason: WebhookRefusal): void {
    this.refusedWebhooks(provider, reason);
  }

  clientDoubt(reason: ClientDoubt): void {
    this.doubts(reason);
  }

  connectionDropped(): void {
    this.drops();
  }

  /** One createHold was answered. */
  hold(result: string, seconds: number): void {
    this.holds(result);
    this.holdSeconds(seconds);
  }

  /** One group commit of holds that took the lock. */
  batch(size: number, lockWaitMs: number): void {
    this.batchSizes(size);
    this.lockSeconds(lockWaitMs / 1_000);
  }

  /** An order has come to a status, and that is committed. */
  order(status: string): void {
    this.orders(status);
  }

  /** One delivery of a payment event was answered. */
  paymentEvent(outcome: string): void {
    this.events(outcome);
  }

  webhookLag(seconds: number): void {
    this.webhookSeconds(seconds);
  }

  /** An error that nothing caught; the process goes on. */
  uncaught(kind: UncaughtKind): void {
    this.uncaughtErrors(kind);
  }

  retry(reason: string): void {
    this.retries(reason);
  }

  /** From now on a scrape also has the process's metrics and the sources' gauges. Call it once. */
  watch(sources: GaugeSources, log: Logger): void {
    collectDefaultMetrics({ register: this.own });
    const onError = (err: unknown) => log.warn({ event: 'gauge.unread', err }, 'gauge.unread');
    const reading = <T>(read: () => Promise<T>, refreshMs = REFRESH_MS, keptMs = 0) => {
      const added = new Reading(read, { refreshMs, keptMs, onError });
      this.readings.push(added);
      return added;
    };
    gauge(this.own, 'pool_waiting', 'Requests that wait for a connection to the database', [], (own) =>
      own.set(sources.poolWaiting()),
    );
    const one = (name: string, help: string, value: () => Promise<number | undefined>) =>
      gauge(this.shared, name, help, [], async (own) => setOrLeaveOut(own, await value()));
    const stock = reading(() => sources.stockAvailable());
    gauge(
      this.shared,
      'stock_available',
      'Units that a new hold could take, by SKU; of more than 100 products, those held last',
      ['product'],
      async (own) => {
        const levels = await stock.value();
        own.reset();
        for (const { sku, available } of levels ?? []) own.set({ product: sku }, available);
      },
    );
    const lag = reading(() => sources.sweepLagSeconds());
    one('sweep_lag_seconds', 'Age of the oldest overdue hold or unpaid order that no sweep has closed', () =>
      lag.value(),
    );
    const payments = reading(() => sources.openPayments());
    one(
      'refund_due',
      'Payments that have to be refunded, and are not',
      async () => (await payments.value())?.refundDue,
    );
    one(
      'parked_seconds',
      'Age of the oldest payment event that is parked, or of a wrong amount',
      async () => (await payments.value())?.oldestParkedSeconds,
    );
    const violations = reading(() => sources.countViolations(), RECOUNT_MS, RECOUNT_KEPT_MS);
    one('invariant_violations', 'Products and holds for which a recount finds P1, never oversold, broken', () =>
      violations.value(),
    );
  }

  /** In Prometheus' text format. */
  text(): Promise<string> {
    return Registry.merge([this.own, this.shared]).metrics();
  }

  /** The same, to be added to that of other processes; the database's side of it is wanted of one of them. */
  async snapshot({ withDatabase }: { withDatabase: boolean }): Promise<Snapshot> {
    const registry = withDatabase ? Registry.merge([this.own, this.shared]) : this.own;
    return (await registry.getMetricsAsJSON()) as unknown as Snapshot;
  }

  /** Resolves when no query of the gauges is in flight. */
  async close(): Promise<void> {
    await Promise.all(this.readings.map((reading) => reading.idle()));
  }

  private counter(name: string, help: string, label: string, known: readonly string[]): (value: string) => void {
    const count = counterIn(this.own, { name: `flashsale_${name}`, help, labelNames: [label] });
    for (const value of known) count(value, undefined, 0);
    return (value) => count(value);
  }

  private counterOfTwo(name: string, help: string, labelNames: [string, string]): (a: string, b: string) => void {
    return counterIn(this.own, { name: `flashsale_${name}`, help, labelNames });
  }

  private histogramBy(
    name: string,
    help: string,
    label: string,
    bounds: readonly number[],
  ): (value: string, seconds: number) => void {
    const observe = histogramIn(this.own, { name: `flashsale_${name}`, help, labelNames: [label] }, bounds);
    return (value, seconds) => observe(seconds, value);
  }

  private histogram(name: string, help: string, bounds: readonly number[]): (value: number) => void {
    return histogramIn(this.own, { name: `flashsale_${name}`, help }, bounds);
  }
}

function gauge(
  registry: Registry,
  name: string,
  help: string,
  labelNames: string[],
  write: (own: Gauge) => void | Promise<void>,
): void {
  new Gauge({
    name: `flashsale_${name}`,
    help,
    labelNames,
    registers: [registry],
    collect() {
      return write(this);
    },
  });
}

/** A gauge with an unknown value is left out: 0 would be wrong, and an alert can ask for its absence. */
function setOrLeaveOut(gauge: Gauge, value: number | undefined): void {
  if (value === undefined) gauge.remove();
  else gauge.set(value);
}
