/** docs/webhooks.openapi.yaml says what the webhook's routes do: their statuses, messages and answers. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import fc from 'fast-check';
import Stripe from 'stripe';
import { Unavailable } from '../../src/domain/errors';
import { PAYMENT_OUTCOMES } from '../../src/domain/statuses';
import { armFailpoints } from '../../src/postgres/failpoints';
import { parsePaymentMessage } from '../../src/webhooks/message';
import { standardProvider } from '../../src/webhooks/standard';
import { parseStripeEvent, stripeProvider } from '../../src/webhooks/stripe';
import { expectClean } from '../support/invariants';
import {
  description,
  examplesOf,
  expectDescribed,
  isPaymentMessage,
  isStripeEvent,
  paths,
  problemsOfDescription,
} from '../support/openapi';
import { openServer, paymentMessage, serve, signedWebhook, type Reply, type TestServer } from '../support/server';
import { statusesOfTheRoute } from './statuses';

const STRIPE_SECRET = 'whsec_of_the_endpoint_1234567890';
/** Lets the second message without a signature be refused. */
const STRICT = { RATE_LIMIT: 'webhook=-/1,loopback=on' };

let server: TestServer;
let strict: Awaited<ReturnType<typeof serve>>;
beforeAll(async () => {
  server = await openServer({ STRIPE_WEBHOOK_SECRET: STRIPE_SECRET, RATE_LIMIT: 'off' });
  strict = await serve(server.db, STRICT);
});
afterEach(() => armFailpoints(null));
afterAll(async () => {
  await expectClean(server.db);
  await strict.close();
  await server.close();
});

test('the file is an OpenAPI 3.1 description', () => {
  expect(problemsOfDescription()).toEqual([]);
});

test('its examples fit their schemas', () => {
  const [payment, event] = paths.map((path) => examplesOf(path));
  expect([payment!.map(isPaymentMessage), event!.map(isStripeEvent)]).toEqual([[true], [true]]);
});

test('it describes the routes of the providers, and no other', () => {
  expect(paths).toEqual([standardProvider([]).path, stripeProvider(null).path]);
});

test('each route has exactly the statuses of its source', () => {
  for (const path of paths) expect(Object.keys(description.paths[path]!.post.responses)).toEqual(statusesOfTheRoute());
});

test('it lists exactly the outcomes of the code', () => {
  expect([...description.components.schemas.Outcome!.enum!].sort()).toEqual([...PAYMENT_OUTCOMES].sort());
});

const newOrder = async () => server.order((await server.hold((await server.product(1)).id)).id);

interface Signed {
  readonly body: string;
  readonly headers: Record<string, string>;
}

interface Door {
  /** A success that pays this order or hold. */
  message(order: { id: string; total: { amountMinor: number; currency: string } }): Record<string, unknown>;
  sign(body: string, secret?: string): Signed;
}

const DOORS: Readonly<Record<string, Door>> = {
  '/webhooks/payments': {
    message: (order) => paymentMessage('succeeded', order),
    sign: (body, secret) => {
      const { headers } = signedWebhook({}, { body, id: 'msg_1', secret: secret ?? server.config.webhookSecrets[0]! });
      return { body, headers };
    },
  },
  '/webhooks/payments/stripe': {
    message: ({ id, total }) => ({
      id: `evt_${randomUUID()}`,
      type: 'payment_intent.succeeded',
      created: Math.floor(Date.now() / 1_000),
      data: {
        object: {
          ...{ id: `pi_${id}`, amount_received: total.amountMinor, currency: total.currency.toLowerCase() },
          ...{ metadata: { order_id: id } },
        },
      },
    }),
    sign: (body, secret = STRIPE_SECRET) => ({
      body,
      headers: {
        'content-type': 'application/json',
        'stripe-signature': Stripe.webhooks.generateTestHeaderString({ payload: body, secret }),
      },
    }),
  },
};

test.each(Object.entries(DOORS))('%s gives each of its statuses, in answers as described', async (path, door) => {
  const seen = new Set<string>();
  const send = async ({ body, headers }: Signed, to = server.url) => {
    const response = await fetch(`${to}${path}`, { method: 'POST', body, headers });
    const reply: Reply = { status: response.status, headers: response.headers, text: await response.text() };
    expectDescribed(path, reply);
    seen.add(String(reply.status));
    return reply;
  };
  const statusOf = async (sent: Signed, to?: string) => (await send(sent, to)).status;
  const json = (message: unknown) => door.sign(JSON.stringify(message));

  const order = await newOrder();
  const message = door.message(order);
  for (const duplicate of [false, true]) {
    const { text } = await send(json(message));
    expect(JSON.parse(text)).toMatchObject({ outcome: 'APPLIED', duplicate, order_id: order.id });
  }
  const unknown = await send(json(door.message({ id: randomUUID(), total: order.total })));
  expect(JSON.parse(unknown.text)).toMatchObject({ outcome: 'PARKED', duplicate: false });
  expect(await statusOf(json({ ...message, type: 'another' }))).toBe(409);
  expect(await statusOf(json({ ...message, type: 7 }))).toBe(400);
  expect(await statusOf(door.sign('{}', 'whsec_AAAA'))).toBe(401);
  expect(await statusOf(door.sign(' '.repeat(600_000)))).toBe(413);
  const signed = json(message);
  expect(await statusOf({ ...signed, headers: { ...signed.headers, 'content-type': 'text/plain' } })).toBe(415);

  const next = json(door.message(await newOrder()));
  armFailpoints(() => {
    throw new Error('a bug');
  });
  expect(await statusOf(next)).toBe(500);
  armFailpoints(() => {
    throw new Unavailable();
  });
  expect(await statusOf(next)).toBe(503);
  armFailpoints(null);
  expect(await statusOf(next)).toBe(200);

  const request = httpRequest(`${server.url}${path}`, {
    method: 'POST',
    headers: { ...signed.headers, 'transfer-encoding': 'gzip, chunked' },
  });
  request.end('{}');
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const encoded: Reply = {
    status: response.statusCode!,
    headers: new Headers(response.headers as Record<string, string>),
    text: (await response.toArray()).join(''),
  };
  expectDescribed(path, encoded);
  seen.add(String(encoded.status));

  expect(Object.keys(description.paths[path]!.post.responses).filter((status) => !seen.has(status))).toEqual(['429']);
});

test('too many bad signatures, and a provider that is not set up, are answered as described', async () => {
  const send = async (path: string) => {
    const reply = await strict.fetch(path, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    });
    expectDescribed(path, reply);
    return reply.status;
  };
  const [standard, stripe] = paths as [string, string];
  expect([await send(stripe), await send(standard), await send(standard)]).toEqual([503, 401, 429]);
});

test.each([
  ['another status', { status: 418 }],
  ['another body', { text: '{"error":"x","stack":"y"}' }],
  ['another type', { headers: new Headers({ 'x-request-id': '1', 'content-type': 'text/plain' }) }],
  ['no request id', { headers: new Headers({ 'content-type': 'application/json' }) }],
])('an answer with %s is not as described', (_name, change) => {
  const headers = new Headers({ 'x-request-id': '1', 'content-type': 'application/json; charset=utf-8' });
  const reply = { status: 400, headers, text: '{"error":"x"}' };
  expectDescribed(paths[0]!, reply);
  expect(() => expectDescribed(paths[0]!, { ...reply, ...change })).toThrow(/webhooks/);
});

describe('a message that fits its schema is never answered 400', () => {
  const value = fc.oneof(
    fc.constantFrom<unknown>(
      '',
      'a',
      'k'.repeat(255),
      'k'.repeat(256),
      'a\0',
      0,
      7,
      -1,
      1.5,
      2 ** 53,
      null,
      true,
      [],
      {},
    ),
    fc.constantFrom<unknown>(undefined, { id: 'pi' }, { id: null }, { id: 7 }),
  );
  /** Both a message that fits and one that does not are frequent. */
  const expectAgreement = (
    messages: fc.Arbitrary<Record<string, unknown>>,
    fits: (message: unknown) => boolean,
    parse: (body: Buffer) => object,
  ) => {
    const seen = { fits: 0, refused: 0 };
    fc.assert(
      fc.property(messages, (message) => {
        const body = Buffer.from(JSON.stringify(message));
        const isRefused = 'problem' in parse(body);
        const isFitting = fits(JSON.parse(body.toString()));
        if (isFitting) seen.fits += 1;
        if (isRefused) seen.refused += 1;
        expect(isFitting && isRefused).toBe(false);
      }),
      { numRuns: 3_000 },
    );
    expect(Math.min(seen.fits, seen.refused)).toBeGreaterThan(100);
  };
  const mostly = (...good: unknown[]) => fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...good) }, value);

  test('of the shop’s own format', () => {
    const data = fc.record({
      ...{ reference: mostly('order'), amount_minor: mostly(100), currency: mostly('USD'), payment_id: mostly('pay') },
    });
    const type = mostly('payment.succeeded', 'payment.failed', 'payment.refunded', 'other');
    const messages = fc.record({
      event_id: mostly('evt'),
      type,
      data: fc.oneof({ weight: 4, arbitrary: data }, value),
    });
    expectAgreement(messages, isPaymentMessage, parsePaymentMessage);
  });

  test('of Stripe’s', () => {
    const object = fc.record({ id: mostly('pi'), payment_intent: mostly('pi', { id: 'pi' }), amount: value });
    const type = mostly('payment_intent.succeeded', 'payment_intent.canceled', 'charge.refunded', 'other');
    const data = fc.oneof({ weight: 4, arbitrary: fc.record({ object }) }, value);
    expectAgreement(fc.record({ id: mostly('evt'), type, data }), isStripeEvent, parseStripeEvent);
  });
});
