/** Operations run from compiled plans with the same results as graphql's interpreter. */
import { openServer, type GqlReply, type TestServer } from '../support/server';

let mockIsInterpreted = false;
jest.mock('../../src/graphql/documents/compiled', () => {
  const { CompiledOperations } = jest.requireActual('../../src/graphql/documents/compiled');
  return {
    CompiledOperations: class extends CompiledOperations {
      find(...of: unknown[]) {
        return mockIsInterpreted ? null : super.find(...of);
      }
    },
  };
});

let server: TestServer;
let productId: string;
let sku: string;
beforeAll(async () => {
  server = await openServer({ RATE_LIMIT: 'off' });
  const product = await server.product(5);
  [productId, sku] = [product.id, product.sku];
});
afterAll(() => server.close());

const ask = (query: string, variables: object, operationName?: string): Promise<GqlReply> =>
  server.post(JSON.stringify({ query, variables, operationName }), {
    'content-type': 'application/json',
    authorization: `Bearer ${server.tokens.alice}`,
  });

async function interpreted<T>(work: () => Promise<T>): Promise<T> {
  mockIsInterpreted = true;
  try {
    return await work();
  } finally {
    mockIsInterpreted = false;
  }
}

const told = ({ status, headers, text }: GqlReply) => ({
  status,
  type: headers.get('content-type'),
  body: text.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID').replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME'),
});

test.each<[string, string, () => object, string?]>([
  [
    'aliases and fragments',
    `query Q($id: ID!) { one: product(id: $id) { ...A ... on Product { sku } } other: product(id: $id) { ...A } }
     fragment A on Product { name price { ...M } } fragment M on Money { amountMinor currency }`,
    () => ({ id: productId }),
  ],
  [
    'conditions',
    `query Q($id: ID!, $yes: Boolean!) { product(id: $id) { name @include(if: $yes) sku @skip(if: $yes) ... @include(if: $yes) { __typename } } }`,
    () => ({ id: productId, yes: true }),
  ],
  [
    'conditions, the other way round',
    `query R($id: ID!, $yes: Boolean!) { product(id: $id) { name @include(if: $yes) sku @skip(if: $yes) ... @include(if: $yes) { __typename } } }`,
    () => ({ id: productId, yes: false }),
  ],
  [
    'an object that is null',
    `query Q($sku: String!) { product(sku: $sku) { name } hold(id: "x") { id } }`,
    () => ({ sku: 'x' }),
  ],
  [
    'one of several operations',
    `query A($sku: String!) { product(sku: $sku) { name } } query B($sku: String!) { product(sku: $sku) { sku } }`,
    () => ({ sku }),
    'B',
  ],
  [
    'a literal and a default',
    `query Q($n: Int = 1) { products(first: $n) { edges { node { name } } pageInfo { hasNextPage } } }`,
    () => ({}),
  ],
  [
    'a field that fails',
    `query Q($n: Int!) { serverTime products(first: $n) { edges { node { name } } } }`,
    () => ({ n: 0 }),
  ],
  [
    'a field that is forbidden',
    `query Q($id: ID!) { product(id: $id) { name } stockReport(productId: $id) { total } }`,
    () => ({ id: productId }),
  ],
  [
    'the schema itself',
    `query Q($name: String!) { __type(name: $name) { kind fields { name args { name type { name } } } } }`,
    () => ({ name: 'Query' }),
  ],
  [
    'variables that do not fit',
    `query Q($n: Int!) { products(first: $n) { edges { node { name } } } }`,
    () => ({ n: 'many' }),
  ],
])('%s', async (_, query, variables, ...[operationName]) => {
  const right = await interpreted(() => ask(query, variables(), operationName));
  for (let times = 0; times < 3; times += 1) {
    expect(told(await ask(query, variables(), operationName))).toEqual(told(right));
  }
});

test('the mutations of one document run one after another', async () => {
  const query = `mutation M($a: ID!, $b: ID!) {
    first: createHold(input: { productId: $a, quantity: 1 }) { hold { quantity } userErrors { code } }
    second: createHold(input: { productId: $b, quantity: 1 }) { hold { quantity } userErrors { code } }
  }`;
  const { id } = await server.product(1);
  const { body } = await ask(query, { a: id, b: id });
  expect(body.data).toEqual({
    first: { hold: { quantity: 1 }, userErrors: [] },
    second: { hold: null, userErrors: [{ code: 'OUT_OF_STOCK' }] },
  });
});

test('an update keeps the limit and the window that it leaves out, however often it is sent', async () => {
  const { id } = await server.product(1, { maxPerCustomer: 3, saleEndsAt: '2099-01-01T00:00:00Z' });
  const query = `mutation R($p: ID!, $name: String, $limit: PositiveInt, $ends: DateTime) {
    updateProduct(input: { productId: $p, name: $name, maxPerCustomer: $limit, saleEndsAt: $ends }) {
      product { name maxPerCustomer saleEndsAt }
    }
  }`;
  const product = { name: 'New', maxPerCustomer: 3, saleEndsAt: '2099-01-01T00:00:00.000Z' };
  for (let times = 1; times <= 101; times += 1) {
    const { body } = await server.gql(query, { p: id, name: 'New' }, server.tokens.admin);
    expect([times, body]).toEqual([times, { data: { updateProduct: { product } } }]);
  }
  // null is another thing than left out.
  const { body } = await server.gql(query, { p: id, limit: null, ends: null }, server.tokens.admin);
  expect(body.data.updateProduct.product).toEqual({ ...product, maxPerCustomer: null, saleEndsAt: null });
});

test('a hold without a quantity holds one unit, however often the document is sent', async () => {
  const { id } = await server.product(101);
  const query = `mutation H($p: ID!, $q: PositiveInt) {
    createHold(input: { productId: $p, quantity: $q }) { hold { quantity } userErrors { code } }
  }`;
  for (let times = 1; times <= 101; times += 1) {
    const { body } = await server.gql(query, { p: id });
    expect([times, body]).toEqual([times, { data: { createHold: { hold: { quantity: 1 }, userErrors: [] } } }]);
  }
});

test('a fragment that is spread again under another condition adds its fields', async () => {
  const query = `query Q($id: ID!, $yes: Boolean!) {
    product(id: $id) { ...A @skip(if: $yes) price { amountMinor } ...A @include(if: $yes) }
  }
  fragment A on Product { name price { currency } }`;
  for (const yes of [true, false, true, false]) {
    const right = await interpreted(() => ask(query, { id: productId, yes }));
    expect(told(await ask(query, { id: productId, yes }))).toEqual(told(right));
    expect(right.body.data.product.price).toEqual({ amountMinor: 1_000, currency: 'USD' });
  }
});
