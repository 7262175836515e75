/** P17: a caller's mistake is the caller's, whatever it is and wherever it stands; it is never a fault of the server. */
import { developmentSchema } from '../../src/graphql/schema';
import { Random } from '../../src/tools/load/random';
import { INPUT_NEEDS, InputFuzzer } from '../prove/inputs';
import { Tally } from '../prove/tally';
import { openServer, type TestServer } from '../support/server';

let server: TestServer;
beforeAll(async () => {
  server = await openServer({ RATE_LIMIT: 'off' });
});
afterAll(() => server.close());

test.each<[string, string, Record<string, unknown>, unknown]>([
  ['an argument', 'query ($v: Int) { products(first: $v) { pageInfo { hasNextPage } } }', { v: null }, ['products']],
  ['a required argument', 'query ($v: ID = "x") { hold(id: $v) { id } }', { v: null }, ['hold']],
  [
    'an input field',
    'mutation ($v: PositiveInt) { createHold(input: { productId: "x", quantity: $v }) { hold { id } } }',
    { v: null },
    ['createHold'],
  ],
  [
    'a required input field',
    'mutation ($v: ID = "x") { createHold(input: { productId: $v }) { hold { id } } }',
    { v: null },
    ['createHold'],
  ],
  [
    'an item of a list',
    'mutation ($v: ID = "x") { createOrder(input: { holdIds: ["x", $v] }) { order { id } } }',
    { v: null },
    ['createOrder'],
  ],
  ['a condition', 'query ($v: Boolean = true) { serverTime @include(if: $v) }', { v: null }, undefined],
  [
    'a condition below a field',
    'query ($v: Boolean = true) { products { pageInfo @skip(if: $v) { hasNextPage } } }',
    { v: null },
    ['products'],
  ],
])('null is BAD_USER_INPUT where a default stands: %s', async (_, query, variables, path) => {
  const { status, body } = await server.gql(query, variables);
  expect([status, body.errors]).toEqual([
    200,
    [
      {
        message: expect.stringMatching(
          /^Argument "\w+" (of non-null type .* must not be null|has invalid value .*)\.$/,
        ),
        locations: expect.any(Array),
        ...(path !== undefined && { path }),
        extensions: { code: 'BAD_USER_INPUT' },
      },
    ],
  ]);
});

test('bad values for every argument and input field never cause INTERNAL_SERVER_ERROR', async () => {
  const random = new Random(Date.now() % 2 ** 31);
  const seed = random.seed();
  const tally = new Tally();
  const fuzzer = await InputFuzzer.open(server, developmentSchema(), new Random(seed), tally);
  try {
    await fuzzer.everyNull();
    for (let n = 0; n < 250; n += 1) await fuzzer.one();
  } finally {
    process.stdout.write(`${fuzzer.size} arguments and input fields, seed ${seed}: ${tally}\n`);
    await fuzzer.close();
  }
  expect(tally.missing(INPUT_NEEDS)).toEqual([]);
}, 180_000);
