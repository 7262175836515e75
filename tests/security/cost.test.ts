/** Limits of cost (P17): the price of an operation, the size of its answer, and rates that count the price. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'graphql-ws';
import { getOperationAST, parse } from 'graphql';
import { WebSocket } from 'ws';
import { surplusOf, workOf } from '../../src/admission/operation';
import { defaultRateLimits, projectPath } from '../../src/config';
import { bytesOf, MAX_ANSWER_BYTES, MAX_EVENT_BYTES } from '../../src/graphql/documents/budget';
import { MAX_EVENT_PRICE, MAX_PRICE, pricesOf } from '../../src/graphql/documents/cost';
import { checkoutSchema } from '../../src/graphql/schema';
import { Random } from '../../src/tools/load/random';
import { CostlyClient } from '../support/costly-client';
import { searchCostly } from '../support/costly-documents';
import { COSTLY, COSTLY_CUSTOMER, openCostlyShop } from '../support/costly-shop';
import { leastCpu, MAX_CPU_MS } from '../support/cpu';
import { times } from './attacks';
import { openApp, PRODUCTION, type Target } from './open-app';

const SCHEMA = checkoutSchema();

/**
 * For documents that use up the allowed price, in ms of CPU: server, client and jest together, on a busy machine. `npm run prove --
 * --only cost` measures the server alone, and allows 100.
 */
const MAX_CPU_MS_OF_ALL = 500;
/** The frame of a WebSocket message around the answer. */
const FRAME_BYTES = 200;

describe('in a shop with the longest allowed texts and lists', () => {
  let target: Target;
  let customer: string;
  let admin: string;
  let client: CostlyClient;
  beforeAll(async () => {
    target = await openApp({ ...PRODUCTION, RATE_LIMIT: 'off' });
    await openCostlyShop(target.db.sql);
    customer = await target.token(COSTLY_CUSTOMER);
    admin = await target.token('operator', ['admin']);
    client = new CostlyClient(target.url);
  }, 120_000);
  afterAll(async () => {
    client.close();
    await target.close();
  });

  const ten = (selection: string) =>
    `{ ${times(10, (i) => `p${i}: products(first: 100) { ...F }`)} } fragment F on ProductConnection { edges { node { ${selection} } } }`;

  test.each<[string, string]>([
    ['ten pages of stock levels', ten('availableStock totalStock saleStatus')],
    ['ten pages of descriptions', ten('description')],
    ['fifteen descriptions of each product on ten pages', ten(times(15, (i) => `d${i}: description`))],
    [
      'a page with one description in 40 aliases',
      `{ products(first: 100) { edges { node { ${times(40, (i) => `d${i}: description`)} } } } }`,
    ],
    [
      'a page with a name of 20,000 characters for each id',
      `{ ${times(4, (i) => `p${i}: products(first: 100) { ...F }`)} } fragment F on ProductConnection { edges { node { ${'a'.repeat(20_000)}: id } } }`,
    ],
    [
      '100 orders of 50 lines with their holds',
      '{ orders(first: 100) { edges { node { lines { hold { id status } product { name } } } } } }',
    ],
    [
      '30 orders of 50 lines with their holds',
      `{ ${times(30, (i) => `o${i}: order(id: "${COSTLY.order(i)}") { lines { hold { id } } }`)} }`,
    ],
  ])('%s are refused with one small and cheap error', async (_name, query) => {
    for (const way of ['http', 'webSocket'] as const) {
      const { result, ms } = await leastCpu(() => client[way](query, customer));
      expect(result.text).toMatch(
        /"message":"(This would cost \d+, and an operation may cost 25000|The answer would have more than 4194304 bytes): ask for fewer fields/,
      );
      expect(result.text).toContain('"code":"BAD_USER_INPUT"');
      expect(result.text.match(/"message"/g)).toHaveLength(1);
      expect(result.bytes).toBeLessThan(1_000);
      expect(ms).toBeLessThan(result.text.includes('"locations"') ? MAX_CPU_MS : MAX_CPU_MS_OF_ALL);
    }
  });

  test('no document that a search finds exceeds the bounds, over HTTP and WebSocket', async () => {
    const random = new Random(20_261_122);
    const { tried, executed, worst } = await searchCostly({
      schema: SCHEMA,
      random,
      isTimeLeft: (count) => count < 60,
      measure: async (document) => {
        const way = random.isTrue(0.5) ? 'http' : 'webSocket';
        const { bytes, text } = await client[way](document.text, document.needsAdmin ? admin : customer);
        expect(bytes).toBeLessThanOrEqual(MAX_ANSWER_BYTES + FRAME_BYTES);
        expect(text).not.toContain('"code":"INTERNAL_SERVER_ERROR"');
        const values = text.match(/":/g)?.length ?? 0;
        // Each value that is shown costs 1 at least, so that no document shows more of them than its price allows.
        expect(values).toBeLessThan(MAX_PRICE + 100);
        return text.includes('"data":{') ? { bytes, values } : null;
      },
    });
    expect(executed).toBeGreaterThan(tried / 3);
    expect(worst.get('bytes')!.measured.bytes).toBeGreaterThan(100_000);
    expect(worst.get('values')!.measured.values).toBeGreaterThan(1_000);
  }, 120_000);

  test('a page of 100 products with all their fields and descriptions of 10,000 characters is answered', async () => {
    const fields =
      'id sku name description price { amountMinor currency } availableStock totalStock saleStatus saleStartsAt saleEndsAt maxPerCustomer';
    const query = `{ products(first: 100) { edges { node { ${fields} } cursor } pageInfo { hasNextPage endCursor } } }`;
    // Two bytes each in UTF-8; what the shop has otherwise is written by JSON with six.
    await target.db.sql(`UPDATE products SET description = repeat('é', 10000)`);
    try {
      for (const way of ['http', 'webSocket'] as const) {
        const { text } = await client[way](query, customer);
        expect(text.match(/"description":"é/g)).toHaveLength(100);
      }
    } finally {
      await target.db.sql(`UPDATE products SET description = repeat(E'\\u0001', 10000)`);
    }
  });

  test('a mutation whose payload is too large reports that it was executed', async () => {
    const [id] = [COSTLY.product(0)];
    const holds = async () =>
      Number((await target.db.sql<{ n: string }>(`SELECT count(*) AS n FROM holds WHERE product_id = '${id}'`))[0]!.n);
    const before = await holds();
    const payload = `hold { product { ${times(30, (i) => `d${i}: description`)} } }`;
    const query = `mutation { ${times(3, (i) => `h${i}: createHold(input: { productId: "${id}" }) { ...P }`)} } fragment P on HoldPayload { ${payload} }`;
    const { errors, data } = await target.ask(query, undefined, { token: customer });
    expect(data).toBeNull();
    expect(errors).toHaveLength(1);
    expect(errors[0]!.message).toMatch(/^The answer would have more than 4194304 bytes.* was carried out/);
    expect((await holds()) - before).toBe(3);
  });

  describe('a subscription', () => {
    const first = async (selection: string) => {
      const socket = createClient({
        url: `${target.url.replace('http', 'ws')}/graphql`,
        webSocketImpl: WebSocket,
        retryAttempts: 0,
      });
      const query = `subscription($ids: [ID!]!) { stockChanged(productIds: $ids) { ${selection} } }`;
      try {
        const results = socket.iterate({ query, variables: { ids: [COSTLY.product(0)] } });
        return JSON.stringify((await results.next()).value);
      } catch (error) {
        return JSON.stringify(error);
      } finally {
        await socket.dispose();
      }
    };

    test(`may ask for ${MAX_EVENT_PRICE} fields an event`, async () => {
      expect(await first('product { name description } availableStock')).toContain('"availableStock":');
      const selection = `... on StockLevel { ${times(10, (i) => `p${i}: product { ...P }`)} }`;
      const text = await first(
        `${selection} } } fragment P on Product { ${times(12, (i) => `n${i}: name`)} x: price { amountMinor`,
      );
      expect(text).toMatch(/This would cost \d+, and an operation may cost 100/);
    });

    test(`ends when an event would have more than ${MAX_EVENT_BYTES} bytes`, async () => {
      const text = await first(`product { ${times(5, (i) => `d${i}: description`)} }`);
      expect(text).toContain(`The answer would have more than ${MAX_EVENT_BYTES} bytes`);
      expect(text).toContain('BAD_USER_INPUT');
    });
  });
});

describe('rate limits count the price', () => {
  let target: Target;
  let lastByte = 0;
  const newAddress = () => ({ 'x-forwarded-for': `10.51.${(++lastByte / 250) | 0}.${lastByte % 250}` });
  beforeAll(async () => {
    target = await openApp({ TRUSTED_PROXIES: '1', RATE_LIMIT: 'browse=100/1000,document=-/-,loopback=on' });
    for (let i = 0; i < 50; i++) await target.product(10);
  });
  afterAll(() => target.close());

  /** How many are answered before the first is refused; each customer has a separate address. */
  const answered = async (query: string, most: number, token?: string) => {
    const who = token ?? (await target.token(`shopper ${lastByte}`));
    for (let count = 0; count < most; count++) {
      if ((await target.ask(query, undefined, { token: who, headers: newAddress() })).status === 429) return count;
    }
    return most;
  };
  const page = (first: number) =>
    `{ products(first: ${first}) { edges { node { id name availableStock totalStock saleStatus } } } }`;

  test('small queries take one point each', async () => {
    expect(await answered('{ serverTime }', 200)).toBe(100);
  });

  test('a page takes points by its cost: many small pages, few large ones', async () => {
    const small = await answered(page(1), 200);
    const large = await answered(page(50), 200);
    expect(small).toBeGreaterThanOrEqual(50);
    expect(large).toBeGreaterThanOrEqual(6);
    expect(large).toBeLessThan(15);
  });

  test('an address cannot spend its allowance for expensive queries in one second', async () => {
    const headers = newAddress();
    const ask = async () => (await target.ask(page(50), undefined, { headers })).status;
    const firstSecond = await Promise.all(Array.from({ length: 50 }, ask));
    const granted = firstSecond.filter((status) => status === 200).length;
    expect(granted).toBeGreaterThanOrEqual(5);
    // A thousand points are enough for all 50: a hundred in each second are not.
    expect(granted).toBeLessThan(25);
    expect((await target.ask('{ serverTime }', undefined, { headers })).status).toBe(200);
    await sleep(1_100);
    expect(await ask()).toBe(200);
  });

  test('the price of items that a page does not have is given back', async () => {
    const token = await target.token('shopper at the end');
    const end = (await target.ask('{ products(first: 48) { pageInfo { endCursor } } }')).data.products.pageInfo
      .endCursor;
    const rest = `{ products(first: 100, after: "${end}") { edges { node { id name availableStock } } } }`;
    expect((await target.ask(rest, undefined, { token, headers: newAddress() })).data.products.edges).toHaveLength(2);
    expect(await answered(rest, 200, token)).toBeGreaterThanOrEqual(25);
  });

  test('a limit below the price of a query makes it rare, not impossible', async () => {
    const strict = await openApp({ TRUSTED_PROXIES: '1', RATE_LIMIT: 'browse=2/3,loopback=on' });
    try {
      for (let i = 0; i < 50; i++) await strict.product(10);
      const headers = newAddress();
      expect((await strict.ask(page(50), undefined, { headers })).status).toBe(200);
      expect((await strict.ask(page(50), undefined, { headers })).status).toBe(429);
    } finally {
      await strict.close();
    }
  });

  test('a long unknown document takes more points than a short one', async () => {
    const strict = await openApp({ TRUSTED_PROXIES: '1', RATE_LIMIT: 'document=20/20,loopback=on' });
    try {
      const flood = async (padding: string) => {
        const headers = newAddress();
        let count = 0;
        while ((await strict.ask(`{ nobody${count} } #${padding}`, undefined, { headers })).status !== 429) count += 1;
        return count;
      };
      expect(await flood('')).toBe(20);
      expect(await flood('x'.repeat(2_000))).toBe(4);
    } finally {
      await strict.close();
    }
  });
});

describe('ordinary clients stay within the limits', () => {
  const folder = projectPath('schema', 'operations');
  const texts = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.graphql'))
    .map((name) => readFileSync(join(folder, name), 'utf8'));
  const document = parse(texts.join('\n'));
  /** Points at the sizes that a page asks for, in the worst case: every list is full. */
  const pointsOf = (name: string, variables: Record<string, unknown> = {}) => {
    const operation = getOperationAST(document, name)!;
    const price = pricesOf(SCHEMA, document, operation).asked(variables);
    return 1 + surplusOf(workOf(document, operation), price);
  };

  test('every operation of our pages costs less than half of the maximum price', () => {
    const prices = document.definitions.flatMap((definition) =>
      definition.kind === 'OperationDefinition' && SCHEMA.getRootType(definition.operation)
        ? [[definition.name!.value, pricesOf(SCHEMA, document, definition).asked({})] as const]
        : [],
    );
    expect(prices.length).toBeGreaterThan(8);
    for (const [name, price] of prices) expect([name, price < MAX_PRICE / 2]).toEqual([name, true]);
  });

  test('a shopper can open the storefront ten times in ten seconds while watching, holding and ordering', () => {
    const once = pointsOf('Products', { first: 50 }) + pointsOf('StockChanged', { productIds: Array(50).fill('x') });
    expect(once * 10).toBeLessThan(defaultRateLimits.browse.perCustomer!);
    expect(once * 100).toBeLessThan(defaultRateLimits.browse.perAddress!);
    // These cost no more than a small query: one point.
    for (const name of ['CreateHold', 'ReleaseHold', 'ServerTime']) expect([name, pointsOf(name)]).toEqual([name, 1]);
    expect(pointsOf('Hold')).toBeLessThanOrEqual(2);
  });

  test('an operator can leave the page open in two windows', () => {
    const inTenSeconds =
      10 * pointsOf('StockReports', { first: 50 }) +
      5 * pointsOf('WhatIsOpen') +
      5 * pointsOf('Timeline') +
      10 * pointsOf('ServerMetrics');
    expect(2 * inTenSeconds).toBeLessThan(defaultRateLimits.admin.perCustomer!);
  });
});

describe('the size of an answer', () => {
  test.each([
    ['plain texts', { a: 'abc', b: ['x', 'y'], c: { d: 'é€😀' } }],
    ['texts that JSON escapes', { a: '"\\\n\u0001', b: '\u0001'.repeat(100), c: '\ud800' }],
    ['numbers, booleans and null', { a: 1.5, b: -0, c: true, d: null, e: [] }],
    [
      'errors with their paths',
      { errors: [{ message: 'm', path: ['a', 0, 'b'], extensions: { code: 'X' } }], data: null },
    ],
  ])('of %s is that of JSON.stringify or slightly more, once it is near the limit', (_name, value) => {
    const written = Buffer.byteLength(JSON.stringify(value));
    expect(bytesOf(value, written)).toBeGreaterThanOrEqual(written);
    expect(bytesOf(value, written)).toBeLessThan(written + 20);
    expect(bytesOf(value, 100 * written)).toBeGreaterThanOrEqual(written / 6);
    expect(bytesOf(value, 100 * written)).toBeLessThan(written + 20);
  });

  test('is not measured further than the bound', () => {
    const endless: unknown[] = Array(1_000_000).fill('x'.repeat(50));
    const { ms } = leastOf(() => bytesOf(endless.slice(0, 1_000).concat([endless]), 10_000));
    expect(ms).toBeLessThan(20);
  });

  function leastOf(work: () => unknown): { ms: number } {
    let ms = Infinity;
    for (let run = 0; run < 3; run += 1) {
      const before = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(before);
      ms = Math.min(ms, (user + system) / 1_000);
    }
    return { ms };
  }
});
