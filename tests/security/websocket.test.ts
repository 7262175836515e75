/** The same attacks over WebSocket: the same codes, and nothing moved. */
import { createClient, type Client } from 'graphql-ws';
import { WebSocket, type CloseEvent } from 'ws';
import { leastCpu, MAX_CPU_MS } from '../support/cpu';
import { expectNothingMoved } from '../support/invariants';
import { LEAK } from '../support/server';
import { ATTACKED, ATTACKS, times } from './attacks';
import { HOLD, openApp, PRODUCTION, type Target } from './open-app';

const TRUSTED = 'query Trusted { serverTime }';
const WATCH = 'subscription Watch($ids: [ID!]!) { stockChanged(productIds: $ids) { availableStock } }';
const clients: Client[] = [];

function connect({ url }: Target, headers: Record<string, string> = {}, token?: string): Client {
  class Upgrade extends WebSocket {
    constructor(address: string, protocols: string[]) {
      super(address, protocols, { headers });
    }
  }
  const client = createClient({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl: Upgrade,
    retryAttempts: 0,
    ...(token && { connectionParams: { authorization: `Bearer ${token}` } }),
  });
  clients.push(client);
  return client;
}
afterEach(async () => {
  for (const client of clients.splice(0)) await client.dispose();
});

interface Result {
  readonly data?: any;
  /** Of the first error; a number is that of the close. */
  readonly code?: string | number | undefined;
  readonly text: string;
}

/** The first result, or why there is none. */
async function ask(client: Client, query: string, variables: Record<string, unknown> = {}): Promise<Result> {
  const results = client.iterate({ query, variables });
  try {
    const { value } = await results.next();
    const error = (value as { errors?: { extensions: { code: string } }[] }).errors?.[0];
    return { data: value.data, code: error?.extensions.code, text: JSON.stringify(value) };
  } catch (error) {
    if (!Array.isArray(error)) return { code: (error as CloseEvent).code, text: (error as CloseEvent).reason };
    const [first] = error as { extensions?: { code: string } }[];
    return { code: first?.extensions?.code, text: JSON.stringify(error) };
  } finally {
    await results.return?.(undefined);
  }
}

/** The largest message that the server reads. */
const MAX_MESSAGE_BYTES = 64 * 1024;
const TOO_BIG = 1009;

describe('hostile documents', () => {
  let target: Target;
  let admin: string;
  beforeAll(async () => {
    target = await openApp(PRODUCTION);
    await target.product(10, undefined, ATTACKED);
    admin = await target.token('operator', ['admin']);
  });
  afterAll(() => target.close());

  test.each([
    ...ATTACKS,
    [
      '51 aliases in a subscription',
      `subscription { stockChanged(productIds: []) { ${times(51, (i) => `a${i}: availableStock`)} } }`,
      'BAD_USER_INPUT',
    ],
    ['a typing error', '{ serverTim }', 'GRAPHQL_VALIDATION_FAILED'],
    ...[
      `subscription { stockChanged(productIds: ["${ATTACKED}"]) @skip(if: true) { availableStock } }`,
      `subscription { ... @include(if: false) { stockChanged(productIds: ["${ATTACKED}"]) { availableStock } } }`,
      `subscription { ...F } fragment F on Subscription { stockChanged(productIds: ["${ATTACKED}"]) @include(if: true) { availableStock } }`,
    ].map((query): [string, string, string] => [`a condition on the root of ${query}`, query, 'BAD_USER_INPUT']),
  ])('%s', async (_name, query, code) => {
    const client = connect(target);
    const { result, ms } = await expectNothingMoved(target.db, () => leastCpu(() => ask(client, query)));
    expect(result.code).toBe(query.length > MAX_MESSAGE_BYTES ? TOO_BIG : code);
    expect(result.text).not.toMatch(LEAK);
    expect(result.text).not.toMatch(/did you mean/i);
    expect(result.data).toBeUndefined();
    expect(ms).toBeLessThan(MAX_CPU_MS);
  });

  const PAGE = 'query ($first: Int!, $after: String) { products(first: $first, after: $after) { edges { cursor } } }';
  const PROTO = (json: string) => JSON.parse(json) as Record<string, unknown>;
  test.each<[string, string, Record<string, unknown>]>([
    ...[2 ** 31, 2 ** 53, -1, 0, 1.5, '7', null, {}].map((quantity): [string, string, Record<string, unknown>] => [
      `a quantity of ${JSON.stringify(quantity)}`,
      HOLD,
      { input: { productId: ATTACKED, quantity } },
    ]),
    ...['', 'k'.repeat(256), 'a\0', '\ud800', {}].map(
      (idempotencyKey, n): [string, string, Record<string, unknown>] => [
        ['an empty key', 'a key of 256 characters', 'a key with NUL', 'half a surrogate pair', 'an object for a key'][
          n
        ]!,
        HOLD,
        { input: { productId: ATTACKED, idempotencyKey } },
      ],
    ),
    ['a page of nothing', PAGE, { first: 0 }],
    ['a page of 10^9', PAGE, { first: 1_000_000_000 }],
    ['a cursor that is none', PAGE, { first: 1, after: 'abc' }],
    ['a cursor of another list', PAGE, { first: 1, after: Buffer.from('["orders",0,"x"]').toString('base64url') }],
    ['an object where an id belongs', HOLD, { input: { productId: { $ne: null } } }],
    ['__proto__ in an input', HOLD, PROTO(`{"input":{"productId":"${ATTACKED}","__proto__":{"quantity":2}}}`)],
  ])('%s is BAD_USER_INPUT', async (_name, query, variables) => {
    const result = await expectNothingMoved(target.db, () => ask(connect(target), query, variables));
    expect(result.code).toBe('BAD_USER_INPUT');
    expect(result.text).not.toMatch(LEAK);
  });

  test('__proto__ next to the input grants nothing', async () => {
    const variables = PROTO(
      '{"__proto__":{"isAdmin":true,"roles":["admin"]},"constructor":{"prototype":{"isAdmin":true}}}',
    );
    const metrics = '{ serverMetrics { text } }';
    const result = await ask(connect(target), metrics, variables);
    expect(result.code).toBe('UNAUTHENTICATED');
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
    expect((await ask(connect(target, {}, admin), metrics)).data.serverMetrics).not.toBeNull();
  });

  test('an unexpected error reveals nothing but its request id', async () => {
    const productId = await target.product(1);
    await target.db.sql('ALTER TABLE products RENAME TO gone');
    try {
      for (const [query, variables] of [
        ['query ($id: ID!) { product(id: $id) { name } }', { id: productId }],
        [HOLD, { input: { productId } }],
        [WATCH, { ids: [productId] }],
      ] as const) {
        const { code, text } = await ask(connect(target), query, variables);
        expect([code, text]).toEqual(['INTERNAL_SERVER_ERROR', expect.stringMatching(/"requestId":"[0-9a-f-]{36}"/)]);
        expect(text).not.toMatch(LEAK);
        expect(text).not.toMatch(/relation|42P01/);
      }
    } finally {
      await target.db.sql('ALTER TABLE gone RENAME TO products');
    }
    expect((await ask(connect(target), HOLD, { input: { productId } })).data.createHold.hold.status).toBe('ACTIVE');
  });

  test('another customer’s hold reads as not found', async () => {
    const productId = await target.product(10);
    const token = await target.token('alice');
    const id = (await target.ask(HOLD, { input: { productId } }, { token })).data.createHold.hold.id as string;
    const query = 'query($id: ID!) { hold(id: $id) { id } }';
    for (const who of [undefined, await target.token('bob')]) {
      expect((await ask(connect(target, {}, who), query, { id })).data).toEqual({ hold: null });
    }
    expect((await ask(connect(target, {}, token), query, { id })).data).toEqual({ hold: { id } });
  });
});

test('addresses and customers share their limits with HTTP', async () => {
  const target = await openApp(
    { TRUSTED_PROXIES: '1', RATE_LIMIT: 'browse=5/8,hold=2/3,document=100/100,loopback=on' },
    { documents: [TRUSTED] },
  );
  try {
    const headers = { 'x-forwarded-for': '192.0.2.1' };
    const client = connect(target, headers);
    const productId = await target.product(10);
    for (let i = 0; i < 3; i++) expect((await ask(client, HOLD, { input: { productId } })).code).toBeUndefined();
    expect((await expectNothingMoved(target.db, () => ask(client, HOLD, { input: { productId } }))).code).toBe(
      'RATE_LIMITED',
    );
    for (let i = 0; i < 4; i++) expect((await ask(client, TRUSTED)).code).toBeUndefined();
    for (let i = 0; i < 4; i++) expect((await ask(client, WATCH, { ids: [productId] })).code).toBeUndefined();
    expect((await ask(client, WATCH, { ids: [productId] })).code).toBe('RATE_LIMITED');
    expect((await target.ask(TRUSTED, undefined, { headers })).code).toBe('RATE_LIMITED');
    expect((await ask(connect(target, { 'x-forwarded-for': '192.0.2.2' }), TRUSTED)).code).toBeUndefined();
  } finally {
    await target.close();
  }
});

test('subscribing with one text counts as browsing for a crowd behind one address', async () => {
  const target = await openApp({ TRUSTED_PROXIES: '1', RATE_LIMIT: 'document=3/3,loopback=on' });
  try {
    const ids = [await target.product(10)];
    const headers = { 'x-forwarded-for': '192.0.2.1' };
    for (let i = 0; i < 10; i++) expect((await ask(connect(target, headers), WATCH, { ids })).code).toBeUndefined();
  } finally {
    await target.close();
  }
});

test('PERSISTED_ONLY serves trusted subscriptions and operations, and nothing else', async () => {
  const target = await openApp({ PERSISTED_ONLY: 'on' }, { documents: [TRUSTED, WATCH] });
  try {
    const client = connect(target);
    const ids = [await target.product(10)];
    expect((await ask(client, TRUSTED)).data.serverTime).toEqual(expect.any(String));
    expect((await ask(client, WATCH, { ids })).data.stockChanged.availableStock).toBe(10);
    for (const query of ['{ serverTime }', `${WATCH} `, '{ __schema { types { name } } }']) {
      expect((await ask(client, query, { ids })).code).toBe('FORBIDDEN');
    }
  } finally {
    await target.close();
  }
});
