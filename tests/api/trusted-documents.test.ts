/** Trusted documents, and those that were sent before, bypass Apollo's pipeline with the same status, body and effect. */
import { createHash } from 'node:crypto';
import { EVENT, mutationText, openServer, ORDER, PRODUCT, type GqlReply, type TestServer } from '../support/server';

const mockDocuments: string[] = [];
jest.mock('../../src/graphql/documents/known', () => ({
  ...jest.requireActual('../../src/graphql/documents/known'),
  codegenDocuments: () => mockDocuments,
}));

const DOCUMENTS = {
  createHold: mutationText('createHold'),
  createOrder: mutationText('createOrder'),
  createProduct: mutationText('createProduct'),
  updateProduct: mutationText('updateProduct'),
  products: `query Products($first: Int! = 3, $after: String) { products(first: $first, after: $after) { edges { node ${PRODUCT} } } }`,
  product: `query Product($id: ID, $sku: String) { product(id: $id, sku: $sku) { name price { amountMinor } } }`,
  order: `query Order($id: ID!) { order(id: $id) ${ORDER} }`,
  orders: `query Orders { orders { edges { node { id } } } }`,
  events: `query Events($outcome: PaymentOutcome) { serverTime paymentEvents(outcome: $outcome) { edges { node ${EVENT} } } }`,
  reports: `query Reports($id: ID!, $wanted: Boolean!) { __typename stockReport(productId: $id) @include(if: $wanted) { total } }`,
};
mockDocuments.push(...Object.values(DOCUMENTS));

let server: TestServer;
let productId: string;
beforeAll(async () => {
  server = await openServer();
  productId = (await server.product(100_000)).id;
});
afterAll(() => server.close());

/** Removes everything that may differ between two runs of the same request. */
const withoutChance = ({ status, headers, text }: GqlReply) => ({
  status,
  type: headers.get('content-type'),
  retryAfter: headers.get('retry-after'),
  body: JSON.parse(
    text
      .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID')
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
      .replace(/"locations":\[[^\]]*\],?/g, '')
      .replace(/"(availableStock|totalStock)":\d+/g, '"$1":0'),
  ),
});

let texts = 0;

/** Asks by a text that Apollo has to read, by the same text again, by the trusted text and by its hash, and compares. */
async function expectSame(name: keyof typeof DOCUMENTS, variables: unknown, token: string | null): Promise<void> {
  const query = DOCUMENTS[name];
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  // By hand: JSON.stringify leaves out a key __proto__.
  const rest =
    variables === undefined
      ? ''
      : `,"variables":${typeof variables === 'string' ? variables : JSON.stringify(variables)}`;
  const sha256Hash = createHash('sha256').update(query).digest('hex');
  const isNew = `${query} #${(texts += 1)}`;
  const apollo = await server.post(`{"query":${JSON.stringify(isNew)}${rest}}`, headers);
  // Apollo remembers what it found valid.
  const again = await server.post(`{"query":${JSON.stringify(isNew)}${rest}}`, headers);
  const trusted = await server.post(`{"query":${JSON.stringify(query)}${rest}}`, headers);
  const byHash = await server.post(
    `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"${sha256Hash}"}}${rest}}`,
    headers,
  );
  expect(withoutChance(again)).toEqual(withoutChance(apollo));
  expect(withoutChance(trusted)).toEqual(withoutChance(apollo));
  expect(withoutChance(byHash)).toEqual(withoutChance(apollo));
}

const holds: [string, () => unknown][] = [
  ['none', () => undefined],
  ['null', () => null],
  ['an empty object', () => ({})],
  ['what is needed', () => ({ input: { productId } })],
  ['an input that is null', () => ({ input: null })],
  ['an input that is a list', () => ({ input: [{ productId }] })],
  ['an input that is a text', () => ({ input: productId })],
  ['an id that is a number', () => ({ input: { productId: 7 } })],
  ['an id that is a fraction', () => ({ input: { productId: 7.5 } })],
  ['an id that is true', () => ({ input: { productId: true } })],
  ['an id that is an object', () => ({ input: { productId: { $ne: null } } })],
  ['an id that is a list', () => ({ input: { productId: [productId] } })],
  ['an id that is null', () => ({ input: { productId: null } })],
  ['no such id', () => ({ input: { productId: 'x' } })],
  ...[0, -1, 1.5, '7', 2 ** 31, 2 ** 53, 1e300, true, null, [3], {}, 2 ** 31 - 1].map(
    (quantity): [string, () => unknown] => [
      `a quantity of ${JSON.stringify(quantity)}`,
      () => ({ input: { productId, quantity } }),
    ],
  ),
  ...[null, '', 7, {}, 'k'.repeat(256), 'a\0', '\ud800'].map((idempotencyKey): [string, () => unknown] => [
    `a key of ${JSON.stringify(idempotencyKey).slice(0, 20)}`,
    () => ({ input: { productId, idempotencyKey } }),
  ]),
  ['a field nobody knows', () => ({ input: { productId, isAdmin: true } })],
  ['a variable nobody knows', () => ({ input: { productId }, other: 1 })],
  ['__proto__', () => `{"input":{"productId":"${productId}","__proto__":{"quantity":7}}}`],
  ['constructor', () => ({ input: { productId, constructor: 1 } })],
  ['toString', () => ({ input: { productId, toString: 1 } })],
];

test.each(holds)('createHold with variables: %s', async (_name, variables) => {
  await expectSame('createHold', variables(), null);
});

test.each<[keyof typeof DOCUMENTS, () => unknown]>([
  ['createOrder', () => ({ input: { holdIds: 'x' } })],
  ['createOrder', () => ({ input: { holdIds: [] } })],
  ['createOrder', () => ({ input: { holdIds: ['x', productId] } })],
  ['createOrder', () => ({ input: { holdIds: [null] } })],
  ['createOrder', () => ({ input: { holdIds: [['x']] } })],
  ['createOrder', () => ({ input: { holdIds: { 0: 'x' } } })],
  ['createOrder', () => ({ input: { holdIds: null } })],
  ['createProduct', () => ({ input: { sku: 'x', name: 'x', priceMinor: -1, currency: 'USD', totalStock: 1 } })],
  ['createProduct', () => ({ input: { sku: 'x', name: 'x', priceMinor: '1', currency: 'USD', totalStock: 1 } })],
  ['updateProduct', () => ({ input: { productId, saleStartsAt: '2020-01-01T00:00:00Z', description: null } })],
  ['updateProduct', () => ({ input: { productId } })],
  ['updateProduct', () => ({ input: { productId, name: null } })],
  ['updateProduct', () => ({ input: { productId, saleStartsAt: 'yesterday' } })],
  ['updateProduct', () => ({ input: { productId, saleStartsAt: 7 } })],
  ['updateProduct', () => ({ input: { productId, saleStartsAt: '0000-01-01T00:00:00Z' } })],
  ['products', () => undefined],
  ['products', () => ({ first: 1 })],
  ['products', () => ({ first: null })],
  ['products', () => ({ first: 0 })],
  ['products', () => ({ first: 1.5 })],
  ['products', () => ({ first: '1' })],
  ['products', () => ({ first: 2 ** 31 })],
  ['products', () => ({ after: 'x' })],
  ['products', () => ({ after: null })],
  ['products', () => ({ after: 7 })],
  ['product', () => ({})],
  ['product', () => ({ id: productId })],
  ['product', () => ({ id: productId, sku: 'x' })],
  ['product', () => ({ id: null, sku: 'x' })],
  ['product', () => ({ sku: '\0' })],
  ['order', () => ({ id: 'x' })],
  ['order', () => ({})],
  ['orders', () => ({})],
  ['events', () => ({})],
  ['events', () => ({ outcome: 'PARKED' })],
  ['events', () => ({ outcome: 'parked' })],
  ['events', () => ({ outcome: 7 })],
  ['events', () => ({ outcome: 'toString' })],
  ['reports', () => ({ id: productId, wanted: true })],
  ['reports', () => ({ id: productId, wanted: false })],
  ['reports', () => ({ id: productId, wanted: 'true' })],
  ['reports', () => ({ id: productId })],
])('%s, as an admin, a shopper and an anonymous caller (%#)', async (name, variables) => {
  for (const token of [server.tokens.admin, server.tokens.alice, null]) await expectSame(name, variables(), token);
});

test('the second request of a document does not reach Apollo', async () => {
  const execute = jest.spyOn(server.app.apollo, 'executeHTTPGraphQLRequest');
  try {
    for (let i = 0; i < 3; i++) await server.gql('query Known { serverTime }');
    expect(execute).toHaveBeenCalledTimes(1);
  } finally {
    execute.mockRestore();
  }
});

test('an unexpected error is masked as well', async () => {
  await server.sql('ALTER TABLE products RENAME TO gone');
  try {
    const reply = await server.gql(DOCUMENTS.products);
    expect([reply.status, reply.body.data]).toEqual([200, null]);
    expect(reply.body.errors).toEqual([
      {
        locations: expect.any(Array),
        path: ['products'],
        message: 'Internal server error',
        extensions: { code: 'INTERNAL_SERVER_ERROR', requestId: reply.headers.get('x-request-id') },
      },
    ]);
    await expectSame('product', { id: productId }, null);
  } finally {
    await server.sql('ALTER TABLE gone RENAME TO products');
  }
});

test('Apollo answers other media types, operation names, several operations and GET', async () => {
  const query = DOCUMENTS.product;
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ query, variables: { id: productId }, operationName: 'Other' });
  expect((await server.post(body, headers)).body.errors![0]!.extensions!.code).toBe('OPERATION_RESOLUTION_FAILURE');
  const accepting = await server.post(JSON.stringify({ query, variables: { id: productId } }), {
    ...headers,
    accept: 'application/graphql-response+json',
  });
  expect(accepting.headers.get('content-type')).toMatch(/^application\/graphql-response\+json/);
  const other = {
    persistedQuery: { version: 1, sha256Hash: createHash('sha256').update(DOCUMENTS.order).digest('hex') },
  };
  const mixed = await server.post(JSON.stringify({ query, variables: { id: productId }, extensions: other }), headers);
  expect(mixed.status).toBe(400);
  const got = await server.fetch(`/graphql?query=${encodeURIComponent(DOCUMENTS.createHold)}`, {
    headers: { 'apollo-require-preflight': '1' },
  });
  expect(got.status).toBe(405);
});
