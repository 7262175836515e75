/** POST /graphql as a transport: every answer has GraphQL's shape, nothing inside leaks out, and every document is bounded. */
import { request as httpRequest } from 'node:http';
import { serverAudits } from 'graphql-http';
import { leastCpu, MAX_CPU_MS } from '../support/cpu';
import { expectNothingMoved } from '../support/invariants';
import { LEAK, openServer, type GqlReply, type TestServer } from '../support/server';

let server: TestServer;
beforeAll(async () => {
  server = await openServer();
});
afterAll(() => server.close());

const json = { 'content-type': 'application/json' };
const HELLO = '{ serverTime }';

/** `{ data?, errors? }` and nothing else, with a code and a message in every error. */
function expectShape({ headers, body }: GqlReply): void {
  expect(headers.get('content-type')).toMatch(/^application\/(json|graphql-response\+json)/);
  expect(Object.keys(body).filter((key) => key !== 'data' && key !== 'errors')).toEqual([]);
  expect('data' in body || 'errors' in body).toBe(true);
  for (const error of body.errors ?? []) {
    expect(error.message).toMatch(/\S/);
    expect(error.extensions?.code).toMatch(/^[A-Z_]+$/);
    expect(Object.keys(error.extensions!).filter((key) => !/^(code|requestId|retryAfterMs)$/.test(key))).toEqual([]);
  }
  if (body.errors) expect(body.errors.length).toBeGreaterThan(0);
}

const bodies: [string, string | Buffer, Record<string, string>, number, string][] = [
  ['half of a JSON', '{"query":', json, 400, 'BAD_REQUEST'],
  ['no JSON at all', 'hold', json, 400, 'BAD_REQUEST'],
  ['nothing', '', json, 400, 'BAD_REQUEST'],
  ['an empty array', '[]', json, 400, 'BAD_REQUEST'],
  ['a batch', JSON.stringify([{ query: HELLO }, { query: HELLO }]), json, 400, 'BAD_REQUEST'],
  ['a text', '"{ serverTime }"', json, 400, 'BAD_REQUEST'],
  ['a number', '7', json, 400, 'BAD_REQUEST'],
  ['null', 'null', json, 400, 'BAD_REQUEST'],
  ['an empty object', '{}', json, 400, 'BAD_REQUEST'],
  ['no query', '{"variables":{}}', json, 400, 'BAD_REQUEST'],
  ['an empty query', '{"query":""}', json, 400, 'BAD_REQUEST'],
  ['a query that is a number', '{"query":7}', json, 400, 'BAD_REQUEST'],
  ['a query that is null', '{"query":null}', json, 400, 'BAD_REQUEST'],
  ['a query that is a list', '{"query":["{serverTime}"]}', json, 400, 'BAD_REQUEST'],
  ['variables that are a text', '{"query":"{serverTime}","variables":"{}"}', json, 400, 'BAD_REQUEST'],
  ['variables that are a list', '{"query":"{serverTime}","variables":[]}', json, 400, 'BAD_REQUEST'],
  ['an operation name that is an object', '{"query":"{serverTime}","operationName":{}}', json, 400, 'BAD_REQUEST'],
  ['extensions that are a text', '{"query":"{serverTime}","extensions":"x"}', json, 400, 'BAD_REQUEST'],
  [
    'an operation nobody defined',
    '{"query":"{serverTime}","operationName":"x"}',
    json,
    400,
    'OPERATION_RESOLUTION_FAILURE',
  ],
  [
    'two operations and no name',
    '{"query":"query A{serverTime} query B{serverTime}"}',
    json,
    400,
    'OPERATION_RESOLUTION_FAILURE',
  ],
  ['a document that cannot be parsed', '{"query":"{ serverTime"}', json, 400, 'GRAPHQL_PARSE_FAILED'],
  ['a field nobody knows', '{"query":"{ serverTimes }"}', json, 400, 'GRAPHQL_VALIDATION_FAILED'],
  [
    'a persisted query',
    '{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"abc"}}}',
    json,
    400,
    'PERSISTED_QUERY_NOT_FOUND',
  ],
  [
    '__proto__ among the variables',
    '{"query":"{serverTime}","variables":{"__proto__":{"isAdmin":true}}}',
    json,
    400,
    'BAD_REQUEST',
  ],
  ['constructor.prototype', '{"query":"{serverTime}","constructor":{"prototype":{}}}', json, 400, 'BAD_REQUEST'],
  [
    'a gzip bomb',
    Buffer.from('1f8b0800000000000003', 'hex'),
    { ...json, 'content-encoding': 'gzip' },
    415,
    'BAD_REQUEST',
  ],
  ['text/plain', '{"query":"{serverTime}"}', { 'content-type': 'text/plain' }, 415, 'BAD_REQUEST'],
  ['a form', 'query={serverTime}', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'BAD_REQUEST'],
  ['a form of parts', '--x', { 'content-type': 'multipart/form-data; boundary=x' }, 415, 'BAD_REQUEST'],
  ['application/graphql', '{serverTime}', { 'content-type': 'application/graphql' }, 415, 'BAD_REQUEST'],
  ['a content type of nonsense', '{}', { 'content-type': 'json' }, 415, 'BAD_REQUEST'],
  ['300 kB', JSON.stringify({ query: `#${'x'.repeat(300_000)}` }), json, 413, 'BAD_REQUEST'],
  [
    'a token nobody signed',
    '{"query":"{serverTime}"}',
    { ...json, authorization: 'Bearer abc' },
    401,
    'UNAUTHENTICATED',
  ],
  ['a password', '{"query":"{serverTime}"}', { ...json, authorization: 'Basic YTpi' }, 401, 'UNAUTHENTICATED'],
];

test.each(bodies)(
  '%s is answered in GraphQL’s shape, and nothing moves',
  async (_name, body, headers, status, code) => {
    const reply = await expectNothingMoved(server.db, () => server.post(body, headers));
    expectShape(reply);
    expect(reply.status).toBe(status);
    expect(reply.body.errors![0]!.extensions!.code).toBe(code);
    expect(reply.body.data).toBeUndefined();
    expect(reply.text).not.toMatch(LEAK);
  },
);

test('a request without a body or a content type is answered in GraphQL’s shape', async () => {
  const reply = await server.fetch('/graphql', { method: 'POST' });
  expectShape({ ...reply, body: JSON.parse(reply.text) });
  expect(reply.status).toBe(400);
});

test('a chunked body that is too large is refused in GraphQL’s shape', async () => {
  const reply = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const request = httpRequest(
      `${server.url}/graphql`,
      { method: 'POST', headers: { ...json, 'transfer-encoding': 'chunked' } },
      (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode!, text }));
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.write(`{"query":"#${'x'.repeat(300_000)}`);
    request.end('"}');
  });
  expect(reply.status).toBe(413);
  expect(JSON.parse(reply.text).errors[0].extensions.code).toBe('BAD_REQUEST');
});

test.each([
  ['application/json', 200],
  ['application/graphql-response+json', 200],
  ['*/*', 200],
  ['text/html', 406],
])('a client that accepts %s gets an answer in GraphQL’s shape', async (accept, status) => {
  const reply = await server.post(JSON.stringify({ query: HELLO }), { ...json, accept });
  expectShape(reply);
  expect(reply.status).toBe(status);
});

test('every answer carries the id of its request', async () => {
  for (const [, body, headers] of bodies) {
    expect((await server.post(body, headers)).headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  }
  expect((await server.gql(HELLO)).headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
});

describe('by GET', () => {
  const get = (query: string, headers: Record<string, string> = { 'apollo-require-preflight': '1' }) =>
    server.fetch(`/graphql?query=${encodeURIComponent(query)}`, { headers });

  test('a query is executed', async () => {
    const reply = await get(HELLO);
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.text).data.serverTime).toMatch(/Z$/);
  });

  test('no mutation is executed', async () => {
    const product = await server.product(1);
    const reply = await expectNothingMoved(server.db, () =>
      get(`mutation { createHold(input: { productId: "${product.id}" }) { hold { id } } }`),
    );
    expect(reply.status).toBe(405);
  });

  test('a query from a page of another origin is refused', async () => {
    expect((await get(HELLO, {})).status).toBe(400);
    expect((await get(HELLO, { 'content-type': 'text/plain' })).status).toBe(400);
  });
});

test('no cache stores an answer, by GET or POST, executed or refused', async () => {
  const byGet = (path: string, headers = {}) =>
    fetch(`${server.url}${path}`, { headers: { accept: 'application/json', ...headers } });
  const byPost = (body: string, headers = {}) =>
    fetch(`${server.url}/graphql`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', ...headers },
    });
  const answers = await Promise.all([
    byGet('/graphql?query=%7BserverTime%7D'),
    byGet('/graphql?query=%7BserverTim%7D'),
    byGet('/graphql?query=%7BserverTime%7D', { authorization: 'Bearer x' }),
    byPost('{"query":"{serverTime}"}'),
    byPost('{"query":"{serverTim}"}'),
    byPost('{'),
    byPost('{"query":"{serverTime}"}', { authorization: 'Bearer x' }),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([200, 400, 401, 200, 400, 400, 401]);
  for (const { headers } of answers) expect(headers.get('cache-control')).toBe('no-store');
});

describe('an unexpected error', () => {
  test('reveals nothing but its request id', async () => {
    const product = await server.product(1);
    await server.sql('ALTER TABLE products RENAME TO gone');
    try {
      for (const query of [`{ product(id: "${product.id}") { name } }`, '{ products { edges { cursor } } }']) {
        const reply = await server.gql(query);
        expectShape(reply);
        expect(reply.status).toBe(200);
        expect(reply.body.errors![0]).toMatchObject({
          message: 'Internal server error',
          extensions: { code: 'INTERNAL_SERVER_ERROR', requestId: reply.headers.get('x-request-id') },
        });
        expect(reply.text).not.toMatch(LEAK);
        expect(reply.text).not.toMatch(/relation|42P01/);
      }
      const { body } = await server.gql(
        'mutation ($i: CreateHoldInput!) { createHold(input: $i) { hold { id } userErrors { code } } }',
        { i: { productId: product.id } },
      );
      expect(body.errors![0]!.message).toBe('Internal server error');
    } finally {
      await server.sql('ALTER TABLE gone RENAME TO products');
    }
    expect((await server.hold(product.id)).status).toBe('ACTIVE');
  });
});

describe('limits of a document:', () => {
  /** order → lines → hold → order …: `depth` fields one below the other. */
  const deep = (depth: number): string => {
    const names = ['lines', 'hold', 'order'];
    let inner = 'id';
    for (let level = depth - 1; level > 1; level -= 1) {
      const name = names[(level - 2) % 3]!;
      if (inner === 'id' && name === 'lines') inner = 'quantity';
      inner = `${name} { ${inner} }`;
    }
    return `{ order(id: "x") { ${inner} } }`;
  };

  test('12 fields deep is served, 13 is not', async () => {
    const twelve =
      '{ paymentEvents { edges { node { order { lines { hold { order { lines { hold { product { price { amountMinor } } } } } } } } } } } }';
    expect((await server.gql(twelve, null, server.tokens.admin)).body).toEqual({
      data: { paymentEvents: { edges: [] } },
    });
    const refused = await server.gql(deep(13));
    expectShape(refused);
    expect(refused.status).toBe(400);
    expect(refused.body.errors!.map((error) => error.extensions!.code)).toContain('BAD_USER_INPUT');
    expect(refused.text).toMatch(/12 fields deep/);
  });

  test('depth is counted through fragments', async () => {
    const split = deep(13).replace('lines { hold { order', '...F } } fragment F on Order { lines { hold { order');
    const text = split.slice(0, -2);
    expect((await server.gql(text)).text).toMatch(/12 fields deep/);
  });

  test.each([500, 20_000])('a document %d levels deep is refused at once', async (depth) => {
    const asked = performance.now();
    const reply = await server.gql(`{ ${'a{'.repeat(depth)}a${'}'.repeat(depth)} }`);
    expect(reply.status).toBe(400);
    expect(performance.now() - asked).toBeLessThan(300);
  });

  test.each<[string, () => string]>([
    ['20,000 aliases', () => `{ ${Array.from({ length: 20_000 }, (_, i) => `a${i}: __typename`).join(' ')} }`],
    ['5,000 aliases', () => `{ ${Array.from({ length: 5_000 }, (_, i) => `a${i}: serverTime`).join(' ')} }`],
    ['10,000 directives', () => `{ serverTime ${'@skip(if: false) '.repeat(10_000)} }`],
    ['a fragment that spreads itself', () => '{ ...F } fragment F on Query { ...F }'],
    ['two fragments in a circle', () => '{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }'],
    [
      'fragments that double each time',
      () => {
        const fragments = Array.from({ length: 30 }, (_, i) => `fragment F${i} on Query { ...F${i + 1} ...F${i + 1} }`);
        return `{ ...F0 } ${fragments.join(' ')} fragment F30 on Query { serverTime }`;
      },
    ],
    ['fields that overlap', () => `{ ${'a: serverTime '.repeat(900)} }`],
  ])('%s are refused with little CPU', async (_name, document) => {
    const text = document();
    const { result, ms } = await leastCpu(() => server.gql(text));
    expectShape(result);
    expect(ms).toBeLessThan(MAX_CPU_MS);
  });

  test('a megabyte of comment is refused unread', async () => {
    expect((await server.gql(`{ serverTime } #${'x'.repeat(1_000_000)}`)).status).toBe(413);
  });

  describe('four mutations at once are refused, and none is executed', () => {
    const one = (id: string, alias: string) => `${alias}: createHold(input: { productId: "${id}" }) { hold { id } }`;
    test.each<[string, (id: string) => string]>([
      ['as aliases', (id) => `mutation { ${['a', 'b', 'c', 'd'].map((alias) => one(id, alias)).join(' ')} }`],
      [
        'in a fragment',
        (id) => `mutation { ...F } fragment F on Mutation { ${['a', 'b', 'c', 'd'].map((x) => one(id, x)).join(' ')} }`,
      ],
      [
        'in fragments of fragments',
        (id) =>
          `mutation { ...F ...G } fragment F on Mutation { ${one(id, 'a')} ${one(id, 'b')} } ` +
          `fragment G on Mutation { ...H ${one(id, 'c')} } fragment H on Mutation { ${one(id, 'd')} }`,
      ],
      [
        'in inline fragments',
        (id) => `mutation { ${['a', 'b', 'c', 'd'].map((x) => `... { ${one(id, x)} }`).join(' ')} }`,
      ],
      ['twenty of them', (id) => `mutation { ${Array.from({ length: 20 }, (_, i) => one(id, `a${i}`)).join(' ')} }`],
    ])('%s', async (_name, document) => {
      const product = await server.product(10);
      const reply = await expectNothingMoved(server.db, () => server.gql(document(product.id)));
      expectShape(reply);
      expect(reply.status).toBe(400);
      expect(reply.body.data).toBeUndefined();
      expect(reply.body.errors![0]!.extensions!.code).toBe('BAD_USER_INPUT');
    });

    test('three mutations are executed, one after the other', async () => {
      const product = await server.product(2);
      const { status, body } = await server.gql(
        `mutation { ${['a', 'b', 'c'].map((alias) => one(product.id, alias).replace('{ hold { id } }', '{ hold { id } userErrors { code } }')).join(' ')} }`,
      );
      expect(status).toBe(200);
      expect(body.data.a.hold.id).toBeDefined();
      expect(body.data.b.hold.id).toBeDefined();
      expect(body.data.c).toEqual({ hold: null, userErrors: [{ code: 'OUT_OF_STOCK' }] });
    });
  });
});

describe('in development', () => {
  test('the schema can be introspected at any depth', async () => {
    const { getIntrospectionQuery } = await import('graphql');
    const { status, body } = await server.gql(getIntrospectionQuery());
    expect(status).toBe(200);
    expect(body.data.__schema.mutationType.name).toBe('Mutation');
  });
});

describe('in production', () => {
  let production: TestServer;
  beforeAll(async () => {
    production = await openServer({
      NODE_ENV: 'production',
      JWT_SECRET: 'p'.repeat(32),
      WEBHOOK_SECRETS: `whsec_${Buffer.alloc(24, 1).toString('base64')}`,
    });
  });
  afterAll(() => production.close());

  test.each(['{ __schema { types { name } } }', '{ __type(name: "Hold") { fields { name } } }'])(
    'the schema is not told: %s',
    async (query) => {
      const reply = await production.gql(query);
      expectShape(reply);
      expect(reply.status).toBe(400);
      expect(reply.text).not.toContain('CreateHoldInput');
    },
  );

  test.each(['{ produc { id } }', '{ product(identity: 1) { id } }', '{ product(id: "x") { skus } }'])(
    'a typing error is no way to learn the schema: %s',
    async (query) => {
      const reply = await production.gql(query);
      expect(reply.status).toBe(400);
      expect(reply.text).not.toMatch(/did you mean/i);
    },
  );

  test('there is neither a playground nor a stack', async () => {
    const page = await production.fetch('/graphql', { headers: { accept: 'text/html' } });
    expect(page.status).not.toBe(200);
    expect(page.text).not.toMatch(/<html|graphiql/i);
    const reply = await production.gql('{ product { id } }');
    expect(reply.body.errors![0]!.extensions).toEqual({ code: 'BAD_USER_INPUT' });
  });

  test('the shop sells as in development', async () => {
    const product = await production.product(1);
    expect((await production.hold(product.id)).status).toBe('ACTIVE');
  });
});

test('GraphQL over HTTP: every MUST holds, and no more warnings than Apollo’s deliberate 400s', async () => {
  const results = await Promise.all(
    serverAudits({ url: () => `${server.url}/graphql`, fetchFn: fetch }).map(async (audit) => ({
      name: audit.name,
      result: await audit.fn(),
    })),
  );
  const failed = results.filter(({ result }) => result.status !== 'ok');
  expect(failed.filter(({ result }) => result.status === 'error').map(({ name }) => name)).toEqual([]);
  expect(failed.map(({ name }) => name).filter((name) => name.startsWith('MUST'))).toEqual([]);
  expect(results.length - failed.length).toBeGreaterThanOrEqual(55);
});
