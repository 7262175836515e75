/** POST /webhooks/payments over HTTP: every answer in docs/webhooks.md, with its exact status and its effect. */
import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { armFailpoints, type Failpoint } from '../../src/postgres/failpoints';
import { leastCpu, MAX_CPU_MS } from '../support/cpu';
import { expectClean, expectNothingMoved } from '../support/invariants';
import { expectDescribed } from '../support/openapi';
import {
  LEAK,
  openServer,
  paymentMessage,
  signedWebhook,
  type TestServer,
  type WebhookOptions,
  type WebhookReply,
} from '../support/server';

const [current, previous, retired] = [1, 2, 3].map((n) => `whsec_${Buffer.alloc(24, n).toString('base64')}`) as [
  string,
  string,
  string,
];

let server: TestServer;
beforeAll(async () => {
  server = await openServer({ WEBHOOK_SECRETS: `${current},${previous}` });
});
afterAll(async () => {
  await expectClean(server.db);
  await server.close();
});

async function newHold(quantity = 1) {
  return server.hold((await server.product(quantity)).id, { quantity });
}

async function newOrder() {
  return server.order((await newHold()).id);
}

async function send(message: Record<string, unknown>, options?: WebhookOptions): Promise<WebhookReply> {
  const reply = await server.webhook(message, options);
  expectDescribed('/webhooks/payments', reply);
  return reply;
}

/** Repeats like a provider: on a busy machine the last messages are answered 503 and are sent again. */
async function deliver(message: Record<string, unknown>): Promise<WebhookReply> {
  for (;;) {
    const reply = await send(message);
    if (reply.status === 200) return reply;
    expect([reply.status, Number(reply.headers.get('retry-after')) > 0]).toEqual([503, true]);
  }
}

/** Expects the status, a body that says why and nothing else, and that nothing moved. */
async function expectRefused(work: () => Promise<WebhookReply>, status: number): Promise<WebhookReply> {
  const reply = await expectNothingMoved(server.db, work);
  expect(reply.status).toBe(status);
  expect(Object.keys(reply.body)).toEqual(['error']);
  expect(reply.text).not.toMatch(LEAK);
  return reply;
}

const statusOf = async (id: string) => {
  const [row] = await server.sql<{ status: string }>('SELECT status FROM orders WHERE id = $1', [id]);
  return row!.status;
};

describe('a message that is stored is answered 200', () => {
  test('with its outcome and its order', async () => {
    const order = await newOrder();
    const message = paymentMessage('succeeded', order);
    const reply = await send(message);
    expect([reply.status, reply.body]).toEqual([
      200,
      { event_id: message.event_id, outcome: 'APPLIED', duplicate: false, order_id: order.id },
    ]);
    expect(await statusOf(order.id)).toBe('PAID');
  });

  test('a duplicate with its current outcome', async () => {
    const hold = await newHold();
    const early = paymentMessage('failed', hold);
    expect((await send(early)).body).toEqual({ event_id: early.event_id, outcome: 'PARKED', duplicate: false });
    const duplicate = await expectNothingMoved(server.db, () => send(early));
    expect(duplicate.body).toEqual({ event_id: early.event_id, outcome: 'PARKED', duplicate: true });
    const order = await server.order(hold.id);
    expect(order.status).toBe('CANCELLED');
    const later = await expectNothingMoved(server.db, () => send(early));
    expect(later.body).toEqual({ event_id: early.event_id, outcome: 'APPLIED', duplicate: true, order_id: order.id });
  });

  test('two messages with one payment id are one payment, also when the id is a number', async () => {
    const order = await newOrder();
    const payment_id = Math.floor(Math.random() * 2 ** 50);
    const [first, second, refund] = ['succeeded', 'succeeded', 'refunded'].map((kind) => {
      const message = paymentMessage(kind as 'succeeded', order);
      return { ...message, data: { ...message.data, payment_id } };
    });
    expect((await send(first!)).body).toMatchObject({ outcome: 'APPLIED' });
    expect((await send(second!)).body).toMatchObject({ outcome: 'IGNORED' });
    const digits = { ...refund!, data: { ...refund!.data, payment_id: String(payment_id) } };
    expect((await send(digits)).body).toMatchObject({ outcome: 'APPLIED' });
    expect(await statusOf(order.id)).toBe('REFUNDED');
    const owed = await server.sql(`SELECT FROM payment_events WHERE order_id = $1 AND outcome = 'REFUND_DUE'`, [
      order.id,
    ]);
    expect(owed).toEqual([]);
  });

  test('a duplicate whose bytes, order of keys and time differ, as in a provider’s retry', async () => {
    const order = await newOrder();
    const message = paymentMessage('succeeded', order);
    await send(message);
    const { event_id, type, data } = message;
    const body = JSON.stringify(
      { data: Object.fromEntries(Object.entries(data).reverse()), more: [1], type, event_id, timestamp: 0 },
      null,
      2,
    );
    const reply = await expectNothingMoved(server.db, () => send(message, { body }));
    expect([reply.status, reply.body.duplicate]).toEqual([200, true]);
  });

  test.each<[string, Record<string, unknown>]>([
    ['of a type nobody knows', { type: 'payment.pending', data: { reference: 'x' } }],
    ['of a type nobody knows, without data', { type: 'charge.dispute.created' }],
    ['of a type like a known one', { type: 'PAYMENT.SUCCEEDED', data: {} }],
  ])('IGNORED, %s', async (_name, rest) => {
    const event_id = `evt_${randomUUID()}`;
    const reply = await send({ event_id, ...rest });
    expect([reply.status, reply.body]).toEqual([200, { event_id, outcome: 'IGNORED', duplicate: false }]);
  });

  test.each(['succeeded', 'failed', 'refunded'])(
    'PARKED, when payment.%s speaks of what nobody knows',
    async (kind) => {
      for (const id of [randomUUID(), 'order-7', "' OR 1=1 --", '𝕏'.repeat(100)]) {
        const message = paymentMessage(kind, { id, total: { amountMinor: 100, currency: 'USD' } });
        const reply = await send(message);
        expect([reply.status, reply.body.outcome, reply.body.order_id]).toEqual([200, 'PARKED', undefined]);
        expect((await send(message)).body).toMatchObject({ outcome: 'PARKED', duplicate: true });
      }
    },
  );

  test.each<[string, Record<string, unknown>]>([
    ['-1', { amount_minor: -1 }],
    ['0', { amount_minor: 0 }],
    ['1.5', { amount_minor: 1.5 }],
    ['2^53', { amount_minor: 2 ** 53 }],
    ['"1000"', { amount_minor: '1000' }],
    ['null', { amount_minor: null }],
    ['[1000]', { amount_minor: [1_000] }],
    ['nothing at all', { amount_minor: undefined }],
    ['one unit less', { amount_minor: 999 }],
    ['another currency', { currency: 'EUR' }],
    ['a currency in small letters', { currency: 'usd' }],
    ['no currency', { currency: undefined }],
  ])('AMOUNT_MISMATCH, because it is money: %s', async (_name, data) => {
    const order = await newOrder();
    const message = paymentMessage('succeeded', order, data);
    const reply = await send(message);
    expect([reply.status, reply.body.outcome, reply.body.duplicate]).toEqual([200, 'AMOUNT_MISMATCH', false]);
    expect(await statusOf(order.id)).toBe('PENDING_PAYMENT');
    const duplicate = await expectNothingMoved(server.db, () => send(message));
    expect([duplicate.status, duplicate.body.duplicate]).toEqual([200, true]);
    expect((await send(paymentMessage('succeeded', order))).body.outcome).toBe('APPLIED');
  });
});

describe('one hundred copies at once have one effect', () => {
  async function hundred(message: Record<string, unknown>): Promise<WebhookReply[]> {
    const replies = await Promise.all(Array.from({ length: 100 }, () => deliver(message)));
    expect(replies.filter(({ body }) => body.duplicate === false)).toHaveLength(1);
    expect(new Set(replies.map(({ body }) => `${body.outcome} ${body.order_id}`)).size).toBe(1);
    return replies;
  }

  test('of a payment for an order', async () => {
    const order = await newOrder();
    const [reply] = await hundred(paymentMessage('succeeded', order));
    expect(reply!.body).toMatchObject({ outcome: 'APPLIED', order_id: order.id });
    expect(await statusOf(order.id)).toBe('PAID');
  });

  test('of a payment for a hold: one order', async () => {
    const hold = await newHold(3);
    const [reply] = await hundred(paymentMessage('succeeded', hold));
    expect(reply!.body.outcome).toBe('APPLIED');
    const lines = await server.sql('SELECT order_id FROM order_lines WHERE hold_id = $1', [hold.id]);
    expect(lines).toEqual([{ order_id: reply!.body.order_id }]);
  });

  test('of a payment with another amount, and of one with an unknown reference', async () => {
    await hundred(paymentMessage('succeeded', await newOrder(), { amount_minor: 1 }));
    const [reply] = await hundred(
      paymentMessage('refunded', { id: randomUUID(), total: { amountMinor: 1, currency: 'USD' } }),
    );
    expect(reply!.body.outcome).toBe('PARKED');
  });

  test('of forty different payments one pays the order and the others are REFUND_DUE', async () => {
    const order = await newOrder();
    const replies = await Promise.all(Array.from({ length: 40 }, () => deliver(paymentMessage('succeeded', order))));
    const outcomes = replies.map(({ body }) => body.outcome);
    expect(outcomes.filter((outcome) => outcome === 'APPLIED')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === 'REFUND_DUE')).toHaveLength(39);
  });
});

describe('500: an unexpected error', () => {
  afterEach(() => armFailpoints(null));

  // A success that only pays its order goes with others of its kind, in a transaction that writes all rows at once.
  test.each<[string, string, Failpoint]>([
    ['succeeded', 'PAID', 'before-commit'],
    ['failed', 'CANCELLED', 'webhook-after-insert'],
  ])(
    'payment.%s is rolled back with its row, and has its effect when it is sent again',
    async (kind, status, point) => {
      const order = await newOrder();
      const message = paymentMessage(kind, order);
      armFailpoints((reached) => {
        if (reached === point) throw new Error(`select from postgres with ${current}`);
      });
      const broken = await expectRefused(() => send(message), 500);
      expect(broken.body.error).toMatch(/^Internal server error \(request [0-9a-f-]{36}\)$/);
      armFailpoints(null);
      const again = await send(message);
      expect([again.status, again.body]).toEqual([
        200,
        { event_id: message.event_id, outcome: 'APPLIED', duplicate: false, order_id: order.id },
      ]);
      expect(await statusOf(order.id)).toBe(status);
    },
  );

  test('one failing event of ten at once does not keep the others from being stored', async () => {
    const messages = [];
    for (let n = 0; n < 10; n += 1) messages.push(paymentMessage('failed', await newOrder()));
    const bad = messages[3]!;
    armFailpoints((_point, eventId) => {
      if (eventId === bad.event_id) throw new Error('the handler fails');
    });
    const replies = await Promise.all(messages.map((message) => (message === bad ? send(message) : deliver(message))));
    expect(replies.map(({ status }) => status)).toEqual(messages.map((message) => (message === bad ? 500 : 200)));
    armFailpoints(null);
    for (const message of messages) {
      expect((await send(message)).body).toMatchObject({ outcome: 'APPLIED', duplicate: message !== bad });
    }
  });
});

describe('409: the id arrived before with other content', () => {
  test.each<[string, (message: ReturnType<typeof paymentMessage>) => Record<string, unknown>]>([
    ['with another type', (message) => ({ ...message, type: 'payment.failed' })],
    ['with an unknown type', (message) => ({ ...message, type: 'payment.pending' })],
    ['for another order', (message) => ({ ...message, data: { ...message.data, reference: randomUUID() } })],
    ['with another amount', (message) => ({ ...message, data: { ...message.data, amount_minor: 1 } })],
    ['with an amount that is none', (message) => ({ ...message, data: { ...message.data, amount_minor: '1000' } })],
    ['with another currency', (message) => ({ ...message, data: { ...message.data, currency: 'EUR' } })],
    ['with another payment', (message) => ({ ...message, data: { ...message.data, payment_id: 'pay_2' } })],
    ['without a payment', (message) => ({ ...message, data: { ...message.data, payment_id: undefined } })],
  ])('%s', async (_name, change) => {
    const message = paymentMessage('succeeded', await newOrder());
    await send(message);
    await expectRefused(() => send(change(message)), 409);
  });

  test('of two contents at once, one is stored and every copy of the other is 409', async () => {
    const order = await newOrder();
    const one = paymentMessage('succeeded', order);
    const other = { ...one, data: { ...one.data, amount_minor: 1 } };
    const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => send(i % 2 ? one : other)));
    expect(replies.map(({ status }) => status).sort()).toEqual([...Array(10).fill(200), ...Array(10).fill(409)]);
  });
});

describe('400: a malformed message', () => {
  const good = () => paymentMessage('succeeded', { id: randomUUID(), total: { amountMinor: 1, currency: 'USD' } });
  test.each<[string, () => string | Buffer]>([
    ['nothing', () => ''],
    ['half of a JSON', () => '{"event_id":'],
    ['a list', () => JSON.stringify([good()])],
    ['a text', () => '"payment.succeeded"'],
    ['null', () => 'null'],
    ['no event_id', () => JSON.stringify({ ...good(), event_id: undefined })],
    ['an event_id that is a fraction', () => JSON.stringify({ ...good(), event_id: 7.5 })],
    ['an empty event_id', () => JSON.stringify({ ...good(), event_id: '' })],
    ['an event_id of 256 characters', () => JSON.stringify({ ...good(), event_id: 'e'.repeat(256) })],
    ['an event_id with NUL', () => JSON.stringify({ ...good(), event_id: 'e\0' })],
    ['no type', () => JSON.stringify({ ...good(), type: undefined })],
    ['no data', () => JSON.stringify({ ...good(), data: undefined })],
    ['no reference', () => JSON.stringify({ ...good(), data: { amount_minor: 1 } })],
    ['a reference that is an object', () => JSON.stringify({ ...good(), data: { reference: {} } })],
    ['a key given twice', () => JSON.stringify(good()).replace('{', '{"event_id":"evt_other",')],
    ['a key given twice below', () => JSON.stringify(good()).replace('"data":{', '"data":{"reference":"other",')],
    ['no UTF-8', () => Buffer.concat([Buffer.from('{"event_id":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')])],
    ['nothing but brackets', () => '['.repeat(60_000)],
    ['a deep nest', () => `{"event_id":"e","type":"t","data":${'{"a":'.repeat(100)}1${'}'.repeat(101)}`],
  ])('%s', async (_name, bodyOf) => {
    await expectRefused(() => send({}, { id: 'msg', body: bodyOf() }), 400);
  });
});

describe('401: a sender without a valid signature learns nothing', () => {
  const now = () => Math.floor(Date.now() / 1_000);
  const flip = (text: string, at: number) => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);

  test.each<[string, (signed: ReturnType<typeof signedWebhook>) => void]>([
    ['no webhook-id', ({ headers }) => delete headers['webhook-id']],
    ['no webhook-timestamp', ({ headers }) => delete headers['webhook-timestamp']],
    ['no webhook-signature', ({ headers }) => delete headers['webhook-signature']],
    [
      'none of the three',
      ({ headers }) => Object.keys(headers).forEach((name) => name.startsWith('webhook-') && delete headers[name]),
    ],
    ['an empty signature', ({ headers }) => (headers['webhook-signature'] = '')],
    ['a signature of nothing', ({ headers }) => (headers['webhook-signature'] = 'v1,')],
    [
      'a flipped bit in the signature',
      ({ headers }) => (headers['webhook-signature'] = flip(headers['webhook-signature']!, 9)),
    ],
    ['a flipped bit in the id', ({ headers }) => (headers['webhook-id'] += 'x')],
    ['a flipped bit in the timestamp', ({ headers }) => (headers['webhook-timestamp'] = String(now() - 1))],
    ['a flipped bit in the body', (signed) => (signed.body = String(signed.body).replace('1000', '1001'))],
    ['a space more in the body', (signed) => (signed.body = `${String(signed.body)} `)],
    [
      'another version',
      ({ headers }) => (headers['webhook-signature'] = headers['webhook-signature']!.replace('v1', 'v2')),
    ],
    [
      'seventeen signatures',
      ({ headers }) => (headers['webhook-signature'] = Array(17).fill(headers['webhook-signature']).join(' ')),
    ],
    [
      '8 kB of signatures',
      ({ headers }) => (headers['webhook-signature'] = Array(160).fill(headers['webhook-signature']).join(' ')),
    ],
  ])('%s', async (_name, change) => {
    const signed = signedWebhook(paymentMessage('succeeded', await newOrder()), { secret: current });
    change(signed);
    await expectRefused(() => post(signed), 401);
  });

  test.each<[string, string | number | (() => number)]>([
    ['more than five minutes ago', () => now() - 301],
    ['more than five minutes ahead', () => now() + 310],
    ['a number and letters', `${now()}abc`],
    ['negative', -1],
    ['no number', 'NaN'],
    ['of 30 digits', '1'.repeat(30)],
    ['0', 0],
    ['empty', ''],
    ['a fraction', `${now()}.5`],
    ['in milliseconds', Date.now()],
    ['as an exponent', '1e9'],
    ['a date', new Date().toISOString()],
  ])('a timestamp that is %s', async (_name, timestamp) => {
    const message = paymentMessage('succeeded', await newOrder());
    const said = typeof timestamp === 'function' ? timestamp() : timestamp;
    await expectRefused(() => send(message, { timestamp: said }), 401);
  });

  test.each([-290, 290])('a timestamp %d seconds off is within the five minutes', async (seconds) => {
    const message = paymentMessage('succeeded', await newOrder());
    expect((await send(message, { timestamp: now() + seconds })).status).toBe(200);
  });

  test('during a rotation both secrets are accepted, a retired one is not, and one good signature of several is enough', async () => {
    const message = paymentMessage('succeeded', await newOrder());
    await expectRefused(() => send(message, { secret: retired }), 401);
    expect((await send(message, { secret: previous })).body.duplicate).toBe(false);
    expect((await send(message, { secret: current })).body.duplicate).toBe(true);
    const signed = signedWebhook(message, { secret: retired });
    const good = signedWebhook(message, { secret: previous });
    signed.headers['webhook-signature'] += ` v2,abc ${good.headers['webhook-signature']!}`;
    expect((await post(signed)).status).toBe(200);
  });

  test('a megabyte of signatures is refused unread', async () => {
    const signed = signedWebhook(paymentMessage('succeeded', await newOrder()), { secret: current });
    const head = `POST /webhooks/payments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nwebhook-signature: ${'v1,A '.repeat(200_000)}\r\ncontent-length: ${signed.body.length}\r\n\r\n`;
    const answer = await expectNothingMoved(server.db, () => raw(head + String(signed.body)));
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });
});

describe('413 and 415: too large, or not JSON', () => {
  const padded = (bytes: number) => {
    const message = {
      ...paymentMessage('chargeback', { id: 'x', total: { amountMinor: 1, currency: 'USD' } }),
      pad: '',
    };
    return { ...message, pad: 'p'.repeat(bytes - JSON.stringify(message).length) };
  };

  test('65,536 bytes are accepted and one more is refused', async () => {
    expect((await send(padded(65_536))).body.outcome).toBe('IGNORED');
    await expectRefused(() => send(padded(65_537)), 413);
  });

  test('a chunked body that is too large is cut off', async () => {
    const signed = signedWebhook(padded(200_000), { secret: current });
    const status = await expectNothingMoved(
      server.db,
      () =>
        new Promise<number>((resolve, reject) => {
          const request = httpRequest(
            `${server.url}/webhooks/payments`,
            { method: 'POST', headers: { ...signed.headers, 'transfer-encoding': 'chunked' } },
            (response) => {
              response.resume();
              resolve(response.statusCode!);
            },
          );
          request.on('error', reject);
          for (let at = 0; at < signed.body.length; at += 20_000) request.write(signed.body.slice(at, at + 20_000));
          request.end();
        }),
    );
    expect(status).toBe(413);
  });

  const lying = (length: number, body: string, headers: Record<string, string>) =>
    `POST /webhooks/payments HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n${Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}\r\n${body}`;

  test('a body longer than its Content-Length does not match its signature', async () => {
    const { body, headers } = signedWebhook(paymentMessage('succeeded', await newOrder()), { secret: current });
    const answer = await expectNothingMoved(server.db, () => raw(lying(body.length - 1, String(body), headers)));
    // The surplus bytes are an invalid request, and node reports that first when both arrive in one packet.
    expect(answer).toMatch(/^HTTP\/1\.1 40[01] /);
  });

  test('a body shorter than its Content-Length has no effect', async () => {
    const { body, headers } = signedWebhook(paymentMessage('succeeded', await newOrder()), { secret: current });
    const answer = await expectNothingMoved(server.db, () => raw(lying(body.length + 1, String(body), headers), true));
    expect(answer).not.toMatch(/^HTTP\/1\.1 200 /);
  });

  test('a Content-Length that is too large is refused before the body arrives', async () => {
    const { headers } = signedWebhook({}, { secret: current });
    expect(await raw(lying(10_000_000, '', headers))).toMatch(/^HTTP\/1\.1 413 /);
  });

  test.each<[string, Record<string, string>]>([
    ['text/plain', { 'content-type': 'text/plain' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['another JSON', { 'content-type': 'application/json-seq' }],
    ['gzip', { 'content-encoding': 'gzip' }],
    ['brotli', { 'content-encoding': 'br' }],
  ])('%s', async (_name, headers) => {
    const message = paymentMessage('succeeded', await newOrder());
    await expectRefused(() => send(message, { headers }), 415);
  });

  test('a gzip bomb is not unpacked', async () => {
    const body = gzipSync(Buffer.alloc(50_000_000, 32));
    expect(body.length).toBeLessThan(65_536);
    const bomb = () => send({}, { body, headers: { 'content-encoding': 'gzip' } });
    await expectRefused(bomb, 415);
    expect((await leastCpu(bomb)).ms).toBeLessThan(MAX_CPU_MS);
  });

  test('JSON with charset=utf-8 is accepted', async () => {
    const message = paymentMessage('succeeded', await newOrder());
    const reply = await send(message, { headers: { 'content-type': 'Application/JSON; charset=utf-8' } });
    expect(reply.status).toBe(200);
  });
});

test('no other method has an effect', async () => {
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
    const reply = await expectNothingMoved(server.db, () => server.fetch('/webhooks/payments', { method }));
    expect(reply.status).toBe(404);
  }
});

/** The result of `signedWebhook`, changed by the test. */
async function post({ body, headers }: ReturnType<typeof signedWebhook>): Promise<WebhookReply> {
  const reply = await server.fetch('/webhooks/payments', {
    method: 'POST',
    body: body as RequestInit['body'],
    headers,
  });
  return { ...reply, body: JSON.parse(reply.text) };
}

/** Sends these bytes, and answers the first answer. `hangUp`: says that no more will come. */
function raw(bytes: string, hangUp = false): Promise<string> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    let answer = '';
    const end = () => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('data', (data) => {
      answer += data;
      if (answer.includes('\r\n\r\n')) end();
    });
    socket.on('error', () => undefined);
    socket.on('close', end);
    socket.write(bytes, () => hangUp && socket.end());
  });
}
