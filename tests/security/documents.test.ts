/** Documents made to hurt: each is refused with the right code, quickly, and nothing has moved. */
import { parse, validate } from 'graphql';
import { DOCUMENT_LIMITS, MAX_TOKENS } from '../../src/graphql/documents/limits';
import { EXAMPLES, readExample } from '../../src/graphql/playground/tabs';
import { checkoutSchema } from '../../src/graphql/schema';
import { collectGarbage, leastCpu, MAX_CPU_MS } from '../support/cpu';
import { expectNothingMoved } from '../support/invariants';
import { LEAK } from '../support/server';
import { ATTACKED, ATTACKS, times } from './attacks';
import { HOLD, openApp, PRODUCTION, type Target } from './open-app';

const SCHEMA = checkoutSchema();

let target: Target;
let admin: string;
beforeAll(async () => {
  // Documents must be refused for their cost, not for their rate.
  target = await openApp({ ...PRODUCTION, RATE_LIMIT: 'document=-/-' });
  admin = await target.token('operator', ['admin']);
  await target.product(10, undefined, ATTACKED);
});
afterAll(() => target.close());

test.each(ATTACKS)('%s', async (_name, query, code) => {
  const { result: answer, ms } = await expectNothingMoved(target.db, () =>
    leastCpu(() => target.ask(query, undefined, { token: admin })),
  );
  expect(answer.code).toBe(code);
  expect(answer.status).toBe(code === 'BAD_REQUEST' ? 413 : 400);
  expect(answer.data).toBeUndefined();
  expect(answer.text).not.toMatch(LEAK);
  expect(answer.errors.length).toBeLessThanOrEqual(21);
  expect(ms).toBeLessThan(MAX_CPU_MS);
});

test('orders nested in their holds end at the budget, and a chain of the allowed depth does not', async () => {
  const productId = await target.product(100);
  const holdIds: string[] = [];
  for (let i = 0; i < 50; i++) {
    const { data } = await target.ask(HOLD, { input: { productId } });
    holdIds.push(data.createHold.hold.id);
  }
  const orderOf = async (ids: string[]) => {
    const order = 'mutation($ids: [ID!]!) { createOrder(input: { holdIds: $ids }) { order { id } } }';
    return (await target.ask(order, { ids })).data.createOrder.order.id as string;
  };
  const around =
    'lines { hold { order { lines { hold { order { lines { hold { order { lines { quantity } } } } } } } } } }';
  const query = `query($id: ID!) { order(id: $id) { ${around} } }`;
  const small = await target.ask(query, { id: await orderOf(holdIds.splice(0, 1)) });
  expect(small.errors).toEqual([]);
  const id = await orderOf(holdIds);
  const before = process.cpuUsage();
  const large = await target.ask(query, { id });
  const { user } = process.cpuUsage(before);
  // Alone some 100 ms; this process is also the client, and others share the machine.
  expect(user / 1_000).toBeLessThan(1_500);
  expect(large.data).toBeNull();
  expect(large.errors).toHaveLength(1);
  expect(large.code).toBe('BAD_USER_INPUT');
});

test('a misspelt field is refused without a suggestion', async () => {
  for (const query of [
    '{ serverTim }',
    '{ product(idd: "x") { id } }',
    '{ product(id: "x") { nam } }',
    'query A($a: Strin) { serverTime }',
  ]) {
    const { code, text } = await target.ask(query);
    expect(code).toBe('GRAPHQL_VALIDATION_FAILED');
    expect(text).not.toMatch(/did you mean|serverTime|maxPerCustomer|StringI/i);
  }
});

test('every operation of the playground is well within the limits', () => {
  for (const example of EXAMPLES) {
    const document = parse(readExample(example), { maxTokens: MAX_TOKENS / 2 });
    expect(validate(SCHEMA, document, DOCUMENT_LIMITS)).toEqual([]);
  }
  const page =
    'query Orders($n: Int!) { orders(first: $n) { edges { node { id status total { amountMinor currency } ' +
    'lines { quantity unitPrice { amountMinor } product { id name sku } hold { id status } } } } pageInfo { endCursor } } }';
  expect(validate(SCHEMA, parse(page), DOCUMENT_LIMITS)).toEqual([]);
});

test('a flood of different documents does not grow memory', async () => {
  const { remembered } = target.app.services.documents;
  const padding = '#'.padEnd(30_000, 'x');
  const flood = async (from: number, count: number) => {
    for (let i = from; i < from + count; i += 50) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, j) =>
          target.ask(`query Q${i + j} { serverTime a${i + j}: __typename } ${padding}`),
        ),
      );
      for (const { status } of answers) expect(status).toBe(200);
      expect(remembered.size).toBeLessThanOrEqual(256);
    }
    collectGarbage();
    return process.memoryUsage().heapUsed / 1024 / 1024;
  };
  // More than the cache keeps.
  const full = await flood(0, 300);
  // Each has 30 kB: were only its text kept anywhere, a thousand of them would be 30 MB.
  expect((await flood(300, 1_000)) - full).toBeLessThan(20);
});

test('a cached document is not parsed again until it is evicted', async () => {
  const { remembered } = target.app.services.documents;
  const text = 'query Remembered { serverTime }';
  await target.ask(text);
  expect(remembered.knows(text)).toBe(true);
  for (let i = 0; i < 256; i++) await target.ask(`query P${i} { serverTime }`);
  expect(remembered.knows(text)).toBe(false);
  await expect(target.ask(text)).resolves.toMatchObject({ status: 200 });
  expect(remembered.knows(text)).toBe(true);
});

test('a document in use outlives a flood of other documents', async () => {
  const { remembered } = target.app.services.documents;
  const text = 'query Busy { serverTime }';
  for (let i = 0; i < 300; i++) {
    await target.ask(`query R${i} { serverTime }`);
    await target.ask(text);
    expect(remembered.knows(text)).toBe(true);
  }
});

test('a refused document is not cached', async () => {
  const text = `{ ${times(51, (i) => `a${i}: __typename`)} }`;
  await target.ask(text);
  expect(target.app.services.documents.remembered.knows(text)).toBe(false);
});

test('a mutation by GET, a batch and a body of another kind execute nothing', async () => {
  const productId = await target.product(5);
  const input = encodeURIComponent(JSON.stringify({ input: { productId } }));
  await expectNothingMoved(target.db, async () => {
    const url = `${target.url}/graphql`;
    const query = encodeURIComponent(HOLD);
    const plain = await fetch(`${url}?query=${query}&variables=${input}`);
    expect(plain.status).toBe(400);
    const get = await fetch(`${url}?query=${query}&variables=${input}`, {
      headers: { 'apollo-require-preflight': '1' },
    });
    expect(get.status).toBe(405);
    const batch = JSON.stringify([{ query: HOLD, variables: { input: { productId } } }]);
    const json = { 'content-type': 'application/json' };
    expect((await fetch(url, { method: 'POST', headers: json, body: batch })).status).toBe(400);
    const text = { 'content-type': 'text/plain' };
    expect((await fetch(url, { method: 'POST', headers: text, body: batch })).status).toBe(415);
  });
});
