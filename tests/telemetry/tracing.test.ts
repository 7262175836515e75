/** OpenTelemetry: off it does nothing; on, a purchase is one connected story, from the shop's trace down to the SQL. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { tracesAreWanted } from '../../src/config';
import { closeLogger, createLogger, type Logger } from '../../src/telemetry/logger';
import { startTracing, traced, tracedRequest, traceHeaders } from '../../src/telemetry/tracing';
import { openCollector, type Collector, type Received } from '../support/collector';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { linesIn } from '../support/log';
import { mutationText, paymentMessage, serve, type Client } from '../support/server';

const OTHER = process.env;
afterEach(() => {
  process.env = OTHER;
});

test.each<[Record<string, string>, boolean]>([
  [{}, false],
  [{ OTEL_SERVICE_NAME: 'shop', OTEL_TRACES_SAMPLER: 'always_on' }, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }, true],
  [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces' }, true],
  [{ OTEL_TRACES_EXPORTER: 'console' }, true],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_SDK_DISABLED: 'true' }, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_TRACES_EXPORTER: 'none' }, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, false],
])('with the variables %j traces are wanted: %s', (env, isWanted) => {
  expect(tracesAreWanted(env)).toBe(isWanted);
});

test('off, the SDK is not loaded, work is called as it is, and requests to others get no headers', async () => {
  jest.doMock('@opentelemetry/sdk-node', () => {
    throw new Error('the SDK was loaded');
  });
  const stop = await startTracing(createLogger({ level: 'silent', file: null, environment: 'test' }));
  const answer = Promise.resolve(1);
  expect(traced('work', () => answer)).toBe(answer);
  expect(traceHeaders()).toEqual({});
  await stop();
  jest.dontMock('@opentelemetry/sdk-node');
});

test('a start with tracing on and no SDK says what to install', async () => {
  process.env = { ...OTHER, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' };
  jest.doMock('@opentelemetry/sdk-node', () => {
    throw Object.assign(new Error("Cannot find module '@opentelemetry/sdk-node'"), { code: 'MODULE_NOT_FOUND' });
  });
  const log = createLogger({ level: 'silent', file: null, environment: 'test' });
  await expect(startTracing(log)).rejects.toThrow(/OTEL_.*@opentelemetry\/sdk-node.*npm ci/);
  jest.dontMock('@opentelemetry/sdk-node');
});

describe('on', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flash-sale-traces-'));
  const file = join(folder, 'app.log');
  let db: FreshDatabase;
  let collector: Collector;
  let log: Logger;
  let server: Client & { close(): Promise<void> };
  let stop: () => Promise<void>;

  beforeEach(async () => {
    collector = await openCollector();
    process.env = {
      ...OTHER,
      ...{ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
      // Held back until the flush of `stop`.
      OTEL_BSP_SCHEDULE_DELAY: '60000',
      OTEL_SERVICE_NAME: 'tested',
      ...settings,
    };
    log = createLogger({ level: 'info', file, environment: 'test' });
    stop = await startTracing(log);
    server = await serve({ url: db.url, log });
  });
  afterEach(async () => {
    await server.close();
    await stop();
    await collector.close();
  });
  beforeAll(async () => {
    db = await freshDatabase();
  });
  afterAll(async () => {
    await db.close();
    await closeLogger(log);
    rmSync(folder, { recursive: true });
  });
  let settings: Record<string, string> = {};

  const TRACE = '0af7651916cd43dd8448eb211c80319c';
  const SHOP = 'b7ad6b7169203331';
  const traceparent = `00-${TRACE}-${SHOP}-01`;
  const mutate = async (name: 'createHold' | 'createOrder', input: object, headers: Record<string, string>) => {
    const body = JSON.stringify({ query: mutationText(name), variables: { input } });
    const answer = await server.post(body, { 'content-type': 'application/json', ...headers });
    return answer.body.data[name];
  };
  const namesOf = (spans: readonly Received[]) => spans.map((span) => span.name);
  /** From the span up to the one whose parent this server did not record. */
  const pathOf = (span: Received): string[] => {
    const parent = collector.spans.find((other) => other.spanId === span.parentSpanId);
    return [span.name, ...(parent ? pathOf(parent) : [])];
  };

  test('a purchase is one trace: request, operation, use case, batch and SQL, and its log lines name it', async () => {
    const { id: productId } = await server.product(5);
    const { hold } = await mutate('createHold', { productId }, { traceparent });
    const { order } = await mutate('createOrder', { holdIds: [hold.id] }, { traceparent });
    const paid = await server.webhook(paymentMessage('succeeded', order), { headers: { traceparent } });
    expect(paid.body.outcome).toBe('APPLIED');
    await server.close();
    await stop();

    const story = collector.spans.filter((span) => span.traceId === TRACE);
    expect(new Set(story.map((span) => span.service))).toEqual(new Set(['tested']));
    const roots = story.filter((span) => span.parentSpanId === SHOP);
    expect(namesOf(roots)).toEqual(['POST /graphql', 'POST /graphql', 'POST /webhooks/payments']);
    for (const root of roots) {
      expect(root).toMatchObject({ kind: 2, hasFailed: false, attributes: { 'http.response.status_code': 200 } });
    }
    // Every span leads up to one of the three requests.
    expect(new Set(story.map((span) => pathOf(span).at(-1)))).toEqual(
      new Set(['POST /graphql', 'POST /webhooks/payments']),
    );
    const paths = story.filter((span) => span.name === 'COMMIT').map(pathOf);
    expect(paths).toEqual([
      ['COMMIT', 'batch.shared', 'batch.committed', 'createHold', 'mutation createHold', 'POST /graphql'],
      ['COMMIT', 'batch.committed', 'createOrder', 'mutation createOrder', 'POST /graphql'],
      ['COMMIT', 'batch.committed', 'recordPaymentEvent', 'POST /webhooks/payments'],
    ]);
    expect(story.find((span) => span.name === 'createHold')!.attributes).toEqual({ 'checkout.result': 'GRANTED' });
    expect(namesOf(story)).toContain('SQL createHold');
    const sql = story.filter((span) => span.kind === 3);
    expect(sql.length).toBeGreaterThan(12);
    for (const { attributes } of sql) expect(attributes['db.system.name']).toBe('postgresql');
    // Also where MikroORM writes values into the text.
    expect(namesOf(sql)).toContain('INSERT orders');
    expect(JSON.stringify(sql)).not.toContain(hold.id);

    const traced = linesIn(file).filter((line) => line.traceId === TRACE);
    expect(traced.map((line) => line.event)).toEqual([
      ...['batch.committed', 'hold.created', 'order.created'],
      ...['payment.received', 'payment.settled', 'order.paid'],
    ]);
  });

  test('a batch belongs to its first request and is linked with all of them', async () => {
    const { id: productId } = await server.product(50);
    const traceIds = Array.from({ length: 20 }, (_, n) => String(n + 1).padStart(32, 'a'));
    await Promise.all(
      traceIds.map((id) => mutate('createHold', { productId }, { traceparent: `00-${id}-${SHOP}-01` })),
    );
    await server.close();
    await stop();

    const holds = collector.spans.filter((span) => span.name === 'createHold');
    const batches = collector.spans.filter((span) => span.name === 'batch.committed');
    expect(holds).toHaveLength(20);
    expect(batches.length).toBeLessThan(20);
    // The transaction that a batch shared with those of other products links back, too.
    const shared = new Set(collector.spans.filter((span) => span.name === 'batch.shared').map((span) => span.spanId));
    const linked = batches.flatMap((batch) => batch.links.map((link) => link.spanId)).filter((id) => !shared.has(id));
    expect(linked.sort()).toEqual(holds.map((span) => span.spanId).sort());
    for (const batch of batches) {
      expect(batch.parentSpanId).toBe(batch.links[0]!.spanId);
      const members = holds.filter((span) => batch.links.some((link) => link.spanId === span.spanId));
      for (const { links } of members) expect(links).toMatchObject([{ spanId: batch.spanId }]);
    }
  });

  test('over WebSocket the connection parameters, or else the header of the upgrade, name the trace', async () => {
    const ask = async (connectionParams: Record<string, unknown>, headers: Record<string, string>) => {
      class Upgrade extends WebSocket {
        constructor(address: string, protocols: string[]) {
          super(address, protocols, { headers });
        }
      }
      const url = `${server.url.replace('http', 'ws')}/graphql`;
      const client = createClient({ url, webSocketImpl: Upgrade, connectionParams, retryAttempts: 0 });
      for await (const _ of client.iterate({ query: '{ serverTime }' })) break;
      await client.dispose();
    };
    const other = traceparent.replace(TRACE, 'c'.repeat(32));
    await ask({ traceparent, tracestate: 7 }, {});
    await ask({}, { traceparent: other });
    await server.close();
    await stop();
    const operations = collector.spans.filter((span) => span.name === 'query serverTime').map(pathOf);
    expect(operations).toEqual(Array(2).fill(['query serverTime', 'WEBSOCKET /graphql']));
    expect(collector.spans.filter(({ kind }) => kind === 2).map((span) => span.traceId)).toEqual([
      TRACE,
      'c'.repeat(32),
    ]);
  });

  test('requests to other services continue the trace, and never pass on the baggage of a stranger', async () => {
    let sent: Record<string, string> = {};
    await tracedRequest('notify', {}, async () => {
      await Promise.resolve();
      sent = traceHeaders();
    });
    expect(sent).toEqual({ traceparent: expect.stringMatching(/^00-[\da-f]{32}-[\da-f]{16}-01$/) });
    expect(traceHeaders()).toEqual({});
    await mutate('createHold', { productId: 'x' }, { traceparent: 'nonsense', baggage: 'a=b' });
    await server.close();
    await stop();
    expect(namesOf(collector.spans)).toContain('POST /graphql');
    expect(collector.spans.find((span) => span.name === 'createHold')!.attributes).toEqual({
      'checkout.result': 'PRODUCT_NOT_FOUND',
    });
  });

  test('the webhook that the simulated provider calls continues the trace of who asked for it', async () => {
    const query = 'mutation { simulatePayment(input: { reference: "nobody" }) { deliveries { status } } }';
    const { body } = await server.post(JSON.stringify({ query }), { 'content-type': 'application/json', traceparent });
    expect(body.data.simulatePayment.deliveries).toEqual([{ status: 200 }]);
    await server.close();
    await stop();
    const webhook = collector.spans.find((span) => span.name === 'POST /webhooks/payments')!;
    expect(webhook.traceId).toBe(TRACE);
    expect(pathOf(webhook)).toEqual(['POST /webhooks/payments', 'mutation simulatePayment', 'POST /graphql']);
  });

  test('what probes ask, and statements of no request, make no spans', async () => {
    for (const path of ['/livez', '/readyz', '/metrics']) await server.fetch(path);
    await server.close();
    await stop();
    expect(collector.spans).toEqual([]);
  });

  describe('with a sampler that takes nothing', () => {
    beforeAll(() => {
      settings = { OTEL_TRACES_SAMPLER: 'always_off' };
    });
    afterAll(() => {
      settings = {};
    });

    test('nothing is sent, and the decision is passed on', async () => {
      const { id: productId } = await server.product(5);
      expect((await mutate('createHold', { productId }, { traceparent })).hold).not.toBeNull();
      tracedRequest('notify', {}, () => expect(traceHeaders().traceparent).toMatch(/-00$/));
      await server.close();
      await stop();
      expect(collector.spans).toEqual([]);
    });
  });
});
