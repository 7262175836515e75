/** A message is read strictly where it names things, and kept whatever it says about money. */
import { repeats, type PaymentMessage } from '../../src/domain/payment-message';
import { parsePaymentMessage } from '../../src/webhooks/message';

const data = { reference: 'order-1', amount_minor: 4999, currency: 'USD', payment_id: 'pay_1' };
const message = { event_id: 'evt_1', type: 'payment.succeeded', timestamp: '2026-11-22T10:00:00Z', data };

const parse = (text: string | Buffer) => parsePaymentMessage(Buffer.from(text as string));
const parseObject = (value: unknown) => parse(JSON.stringify(value));

function read(value: unknown): PaymentMessage {
  const result = parseObject(value);
  if ('problem' in result) throw new Error(result.problem);
  return result;
}

test('a message is parsed into its fields', () => {
  expect(read(message)).toEqual({
    eventId: 'evt_1',
    type: 'payment.succeeded',
    reference: 'order-1',
    amountMinor: 4999,
    currency: 'USD',
    paymentId: 'pay_1',
    payload: message,
  });
});

describe('a message is refused for', () => {
  test.each<[string, string | Buffer]>([
    ['no body', ''],
    ['what is no JSON', 'event_id=1'],
    ['JSON that breaks off', '{"event_id":"evt_1"'],
    ['a trailing comma', '{"event_id":"evt_1",}'],
    ['text after the object', `${JSON.stringify(message)}{}`],
    ['Latin-1', Buffer.from(JSON.stringify({ ...message, note: 'Grüße' }), 'latin1')],
    ['a surrogate in UTF-8', Buffer.from(JSON.stringify({ ...message, note: '\u00ed\u00a0\u0080' }), 'latin1')],
    ['an overlong encoding', Buffer.from(JSON.stringify({ ...message, note: '\u00c0\u00af' }), 'latin1')],
    ['UTF-16', Buffer.from(JSON.stringify(message), 'utf16le')],
    ['null', 'null'],
    ['a number', '1'],
    ['an array', `[${JSON.stringify(message)}]`],
    ['a key given twice', '{"event_id":"evt_1","type":"x","event_id":"evt_2"}'],
    ['a key given twice, once escaped', '{"event_id":"evt_1","type":"x","\\u0065vent_id" :"evt_2"}'],
    ['a key given twice, deep inside', '{"event_id":"evt_1","type":"x","data":{"a":[{"b":1,"c":{},"b":2}]}}'],
    ['a key __proto__ given twice', '{"event_id":"evt_1","type":"x","__proto__":1,"__proto__":2}'],
    ['boundless depth', `{"event_id":"evt_1","type":"x","data":${'['.repeat(30_000)}${']'.repeat(30_000)}}`],
  ])('%s', (_name, body) => {
    expect(parse(body)).toEqual({ problem: expect.any(String) });
  });

  const texts: [string, unknown][] = [
    ['missing', undefined],
    ['null', null],
    ['empty', ''],
    ['a fraction', 1.5],
    ['a number that has lost digits', 2 ** 53],
    ['true', true],
    ['an object', { id: 'evt_1' }],
    ['256 characters', 'e'.repeat(256)],
    ['with NUL', 'evt\0'],
    ['with half a surrogate pair', 'evt\ud800'],
  ];
  test.each(texts)('an event_id that is %s', (_name, event_id) => {
    expect(parseObject({ ...message, event_id })).toEqual({ problem: expect.stringContaining('event_id') });
  });
  test.each(texts)('a type that is %s', (_name, type) => {
    expect(parseObject({ ...message, type })).toEqual({ problem: expect.stringContaining('type') });
  });
  test.each(texts)('a reference that is %s', (_name, reference) => {
    for (const type of ['payment.succeeded', 'payment.failed', 'payment.refunded']) {
      const result = parseObject({ ...message, type, data: { ...data, reference } });
      expect(result).toEqual({ problem: expect.stringContaining('data.reference') });
    }
  });
  test.each(texts.slice(3))('a payment_id that is %s', (_name, payment_id) => {
    for (const type of ['payment.succeeded', 'payment.failed', 'payment.refunded']) {
      const result = parseObject({ ...message, type, data: { ...data, payment_id } });
      expect(result).toEqual({ problem: expect.stringContaining('data.payment_id') });
    }
  });
  test('a type that is a number', () => {
    expect(parseObject({ ...message, type: 1 })).toEqual({ problem: expect.stringContaining('type') });
  });
  test.each([undefined, null, 'order-1', ['order-1'], 7])('data that is %j', (value) => {
    expect(parseObject({ ...message, data: value })).toEqual({ problem: expect.stringContaining('data.reference') });
  });
});

test('the error repeats no more of the body than a short key', () => {
  const key = 'k'.repeat(10_000);
  const result = parse(`{"${key}":1,"${key}":2}`);
  expect('problem' in result && result.problem.length).toBeLessThan(200);
});

describe('a message with a bad amount is accepted, because it is money', () => {
  test.each([-1, 1.5, 2 ** 53, 1e300, '100', '', null, undefined, true, [100], { minor: 100 }])(
    '%j',
    (amount_minor) => {
      expect(read({ ...message, data: { ...data, amount_minor } })).toMatchObject({
        amountMinor: null,
        eventId: 'evt_1',
      });
    },
  );
  test('1e999', () => {
    const text = JSON.stringify(message).replace('4999', '1e999');
    expect(parse(text)).toMatchObject({ amountMinor: null });
  });
  test.each([0, 1, 4999.0, 2 ** 53 - 1])('the amount %j is valid', (amount_minor) => {
    expect(read({ ...message, data: { ...data, amount_minor } }).amountMinor).toBe(amount_minor);
  });
});

test.each(['usd', 'US', 'USDD', 'U$D', ' USD', 'ÄÖÜ', '', 840, null, undefined, ['USD']])(
  'the currency %j is kept as none',
  (currency) => {
    expect(read({ ...message, data: { ...data, currency } }).currency).toBeNull();
  },
);

test.each([undefined, null, ''])('the payment_id %j counts as absent', (payment_id) => {
  expect(read({ ...message, data: { ...data, payment_id } }).paymentId).toBeNull();
});

test.each([
  [0, '0'],
  [7, '7'],
  [-7, '-7'],
  [1234567890123, '1234567890123'],
  [2 ** 53 - 1, '9007199254740991'],
])('the numeric id %j is read as the text %j', (id, text) => {
  const numbered = { ...message, event_id: id, data: { ...data, reference: id, payment_id: id } };
  expect(read(numbered)).toMatchObject({ eventId: text, reference: text, paymentId: text });
});

test.each([undefined, null, 'text', {}, { reference: true }, { reference: 'x\0' }, { payment_id: {} }])(
  'a message of an unknown type needs no reference: data %j',
  (value) => {
    expect(read({ ...message, type: 'payment.created', data: value }).reference).toBe('');
  },
);

test('a string may contain what looks like a key', () => {
  const result = parse('{"event_id":"{\\"a\\":1,\\"a\\":2}","type":"x","a":["a","a"],"b":{"event_id":"\\\\"}}');
  expect(result).toMatchObject({ eventId: '{"a":1,"a":2}' });
});

test('keys such as __proto__ have no special meaning', () => {
  const result = parse(
    '{"event_id":"evt_1","type":"x","__proto__":{"isAdmin":true},"constructor":1,"toString":2,"data":{"__proto__":{"reference":"stolen"}}}',
  );
  expect(result).toMatchObject({ eventId: 'evt_1', reference: '' });
  const { payload } = result as PaymentMessage;
  expect(Object.getPrototypeOf(payload)).toBe(Object.prototype);
  expect(Object.keys(payload)).toContain('__proto__');
  expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  expect(parse('{"__proto__":{"event_id":"evt_1","type":"x"}}')).toHaveProperty('problem');
});

test('characters that PostgreSQL cannot store are replaced in values and keys of the payload', () => {
  const { payload } = read({ ...message, note: 'a\0b\ud800c', 'k\0': ['\udc00', '😀'], data });
  expect(payload).toMatchObject({ note: 'a\uFFFDb\uFFFDc', 'k\uFFFD': ['\uFFFD', '😀'] });
  expect(JSON.stringify(payload)).not.toMatch(/\\u0000|\\ud[89a-f]/);
});

test('64 KiB of any content are parsed in well under 100 ms', () => {
  const size = 64 * 1024;
  const bodies = ['['.repeat(size), `"${'\\"'.repeat(size / 2)}"`, `{${'"":{'.repeat(size / 4)}`, ' '.repeat(size)];
  const keys = Array.from({ length: 6000 }, (_, i) => `"k${i}":1`).join();
  const spaces = `{"event_id"${' '.repeat(size)}:1}`;
  for (const body of [...bodies, `{${keys}}`, spaces]) {
    const startedAt = performance.now();
    parse(body);
    expect(performance.now() - startedAt).toBeLessThan(100);
  }
});

test('an event whose numeric payment_id an earlier version ignored is still the same event', () => {
  const numbered = { ...message, data: { ...data, payment_id: 12 } };
  expect(repeats(read(numbered), { ...read(numbered), paymentId: null })).toBe(true);
});

describe('two messages under one event id', () => {
  /** Returns the message as read from its row: jsonb has sorted the keys of the payload. */
  const stored = (value: unknown) => {
    const { payload, ...columns } = read(value);
    const sorted = (inner: unknown): unknown =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(
            Object.entries(inner)
              .sort()
              .map(([key, part]) => [key, sorted(part)]),
          )
        : inner;
    return { ...columns, payload: sorted(JSON.parse(JSON.stringify(payload))) as Record<string, unknown> };
  };
  const withData = (change: object) => ({ ...message, data: { ...data, ...change } });

  test.each<[string, unknown, unknown]>([
    ['are the same when nothing differs', message, message],
    ['are the same whatever else is said', message, { ...message, timestamp: 'later', attempt: 2 }],
    ['are the same in another order of keys', message, { data, type: message.type, event_id: 'evt_1' }],
    ['are the same with the same bad amount', withData({ amount_minor: '100' }), withData({ amount_minor: '100' })],
    [
      'are the same with the same bad object',
      withData({ currency: { b: 1, a: 2 } }),
      withData({ currency: { a: 2, b: 1 } }),
    ],
    ['are the same with -0 and 0', withData({ amount_minor: -0 }), withData({ amount_minor: 0 })],
    ['are the same with null and nothing', withData({ payment_id: null }), withData({ payment_id: undefined })],
    ['are the same with a number and its digits', withData({ payment_id: 12 }), withData({ payment_id: '12' })],
  ])('%s', (_name, first, second) => {
    expect(repeats(read(second), stored(first))).toBe(true);
  });

  test.each<[string, unknown, unknown]>([
    ['type', message, { ...message, type: 'payment.failed' }],
    ['reference', message, withData({ reference: 'order-2' })],
    ['amount', message, withData({ amount_minor: 5000 })],
    ['good and bad amount', message, withData({ amount_minor: '4999' })],
    ['bad amounts', withData({ amount_minor: '100' }), withData({ amount_minor: -1 })],
    ['missing and bad amount', withData({ amount_minor: undefined }), withData({ amount_minor: 1.5 })],
    ['currency', message, withData({ currency: 'EUR' })],
    ['bad currencies', withData({ currency: 'usd' }), withData({ currency: 'eur' })],
    ['payment_id', message, withData({ payment_id: 'pay_2' })],
    ['payment_id and none', message, withData({ payment_id: undefined })],
  ])('differ by %s', (_name, first, second) => {
    expect(repeats(read(second), stored(first))).toBe(false);
  });
});
