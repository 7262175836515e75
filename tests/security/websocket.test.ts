/** The same attacks over WebSocket: the same codes, and nothing moved. */
import { createClient, type Client } from 'graphql-ws';
import { WebSocket } from 'ws';
import { expectNothingMoved } from '../support/invariants';
import { LEAK } from '../support/server';
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
afterEach(() => Promise.all(clients.splice(0).map((client) => client.dispose())));

interface Result {
  readonly data?: any;
  readonly code?: string | undefined;
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
    const [first] = error as { extensions?: { code: string } }[];
    return { code: first?.extensions?.code, text: JSON.stringify(error) };
  } finally {
    await results.return?.(undefined);
  }
}

const times = (count: number, part: (index: number) => string) =>
  Array.from({ length: count }, (_, i) => part(i)).join(' ');

describe('documents made to hurt', () => {
  let target: Target;
  beforeAll(async () => {
    target = await openApp(PRODUCTION);
  });
  afterAll(() => target.close());

  test.each([
    ['1,200 aliases', `{ ${times(1_200, (i) => `a${i}: __typename`)} }`, 'GRAPHQL_PARSE_FAILED'],
    ['51 aliases', `{ ${times(51, (i) => `a${i}: __typename`)} }`, 'BAD_USER_INPUT'],
    [
      '51 aliases in a subscription',
      `subscription { stockChanged(productIds: []) { ${times(51, (i) => `a${i}: availableStock`)} } }`,
      'BAD_USER_INPUT',
    ],
    [
      '4 mutations',
      `mutation { ${times(4, (i) => `a${i}: createHold(input: { productId: "x" }) { hold { id } }`)} }`,
      'BAD_USER_INPUT',
    ],
    ['110 times the same field', `{ ${'hold(id: "a") { id } '.repeat(110)} }`, 'BAD_USER_INPUT'],
    ['a cycle of fragments', '{ ...A } fragment A on Query { ...A }', 'GRAPHQL_VALIDATION_FAILED'],
    ['introspection', '{ __schema { types { name } } }', 'GRAPHQL_VALIDATION_FAILED'],
    ['a typing error', '{ serverTim }', 'GRAPHQL_VALIDATION_FAILED'],
  ])('%s', async (_name, query, code) => {
    const result = await expectNothingMoved(target.db, () => ask(connect(target), query));
    expect(result.code).toBe(code);
    expect(result.text).not.toMatch(LEAK);
    expect(result.text).not.toMatch(/did you mean/i);
  });

  test('somebody else’s hold is the same as none', async () => {
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

test('an address and a customer are limited as over HTTP, and with it', async () => {
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

test('a crowd behind one address may subscribe with one text as often as it likes to browse', async () => {
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
