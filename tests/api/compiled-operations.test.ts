/** An operation that is asked for often is compiled, and from outside nobody can tell: whatever it looks like. */
import * as jit from 'graphql-jit';
import { openServer, type GqlReply, type TestServer } from '../support/server';

jest.mock('graphql-jit', () => {
  const actual = jest.requireActual<typeof jit>('graphql-jit');
  return { ...actual, compileQuery: jest.fn(actual.compileQuery) };
});
const compileQuery = jest.mocked(jit.compileQuery);

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

/** As often as it takes to be compiled; refused, so that nothing happens meanwhile. */
async function makeFrequent(query: string, variables: object, operationName?: string): Promise<void> {
  const before = compileQuery.mock.calls.length;
  for (let times = 0; times < 110; times += 1) await ask(query, variables, operationName);
  expect(compileQuery.mock.calls.length).toBe(before + 1);
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
  const interpreted = await ask(query, variables(), operationName);
  await makeFrequent(query, variables(), operationName);
  expect(told(await ask(query, variables(), operationName))).toEqual(told(interpreted));
});

test('mutations of one document follow one another', async () => {
  const query = `mutation M($a: ID!, $b: ID!) {
    first: createHold(input: { productId: $a, quantity: 1 }) { hold { quantity } userErrors { code } }
    second: createHold(input: { productId: $b, quantity: 1 }) { hold { quantity } userErrors { code } }
  }`;
  await makeFrequent(query, { a: 'x', b: 'x' });
  const { id } = await server.product(1);
  const { body } = await ask(query, { a: id, b: id });
  expect(body.data).toEqual({
    first: { hold: { quantity: 1 }, userErrors: [] },
    second: { hold: null, userErrors: [{ code: 'OUT_OF_STOCK' }] },
  });
});

test('an operation that is asked for once in a while is not compiled', async () => {
  const before = compileQuery.mock.calls.length;
  for (let n = 0; n < 150; n += 1) await ask(`query Q${n} { serverTime }`, {});
  expect(compileQuery.mock.calls.length).toBe(before);
});
