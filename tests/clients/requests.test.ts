/** Additions that client libraries make to a request do not change its answer. */
import { createHash } from 'node:crypto';
import { ApolloClient, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { expectNothingMoved } from '../support/invariants';
import { HOLD, openApp, type Target } from '../security/open-app';

const TRUSTED = 'query Trusted { serverTime }';
const WATCH = 'subscription Watch($ids: [ID!]!) { stockChanged(productIds: $ids) { availableStock } }';
const SHOP = 'https://shop.example';
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');
const CLIENT_LIBRARY = { name: '@apollo/client', version: '4.3.8' };
const APOLLO_ACCEPT = 'application/graphql-response+json,application/json;q=0.9';
const URQL_ACCEPT =
  'application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed';

let open: Target;
let closed: Target;
beforeAll(async () => {
  const documents = [TRUSTED, HOLD, WATCH];
  open = await openApp({ CORS_ORIGINS: SHOP, CORS_HEADERS: 'x-tenant', PLAYGROUND: 'off' }, { documents });
  closed = await openApp({ PERSISTED_ONLY: 'on', CORS_ORIGINS: SHOP, PLAYGROUND: 'off' }, { documents });
});
afterAll(() => Promise.all([open.close(), closed.close()]));

const persisted = (sha256Hash: string, more: object = {}) => ({ persistedQuery: { version: 1, sha256Hash }, ...more });

const HASHES: [string, object][] = [
  ['alone', persisted(hashOf(TRUSTED))],
  ['beside clientLibrary, as Apollo Client 4 sends it', persisted(hashOf(TRUSTED), { clientLibrary: CLIENT_LIBRARY })],
  ['beside extensions of others', persisted(hashOf(TRUSTED), { tracing: null, custom: { a: [1] } })],
  ['in capitals', persisted(hashOf(TRUSTED).toUpperCase())],
  ['with the prefix that codegen writes', persisted(`sha256:${hashOf(TRUSTED)}`)],
];

async function get(target: Target, parameters: Record<string, string>, headers: Record<string, string>) {
  const response = await fetch(`${target.url}/graphql?${new URLSearchParams(parameters)}`, { headers });
  const body = (await response.json()) as { data?: any; errors?: { message: string; extensions: { code: string } }[] };
  return { status: response.status, type: response.headers.get('content-type'), ...body };
}
const PREFLIGHT = { 'apollo-require-preflight': '1' };

describe.each(['PERSISTED_ONLY=off', 'PERSISTED_ONLY=on'])('with %s a trusted hash is recognised', (mode) => {
  const target = () => (mode.endsWith('on') ? closed : open);

  test.each(HASHES)('%s, by POST, by GET and over WebSocket', async (_name, extensions) => {
    const expected = { serverTime: expect.any(String) };
    for (const query of [undefined, null, '']) {
      expect(await target().ask({ query, extensions })).toMatchObject({ status: 200, data: expected });
    }
    const accepting = await target().ask({ extensions, operationName: 'Trusted' }, undefined, {
      headers: { accept: APOLLO_ACCEPT },
    });
    expect(accepting).toMatchObject({ status: 200, data: expected });
    expect(accepting.headers.get('content-type')).toMatch(/^application\/graphql-response\+json/);
    const parameters = { operationName: 'Trusted', variables: '{}', extensions: JSON.stringify(extensions) };
    expect(await get(target(), parameters, PREFLIGHT)).toMatchObject({ status: 200, data: expected });
    expect(await overWebSocket(target(), { query: '', extensions })).toMatchObject({ data: expected });
  });

  test('a trusted mutation runs by POST and not by GET', async () => {
    const productId = await target().product(5);
    const variables = { input: { productId } };
    const extensions = persisted(hashOf(HOLD), { clientLibrary: CLIENT_LIBRARY });
    expect((await target().ask({ extensions, variables })).data.createHold.hold.status).toBe('ACTIVE');
    const parameters = { variables: JSON.stringify(variables), extensions: JSON.stringify(extensions) };
    const refused = await expectNothingMoved(target().db, () => get(target(), parameters, PREFLIGHT));
    expect(refused.status).toBe(405);
  });

  test('a trusted subscription runs over WebSocket', async () => {
    const ids = [await target().product(7)];
    const extensions = persisted(hashOf(WATCH).toUpperCase(), { clientLibrary: CLIENT_LIBRARY });
    expect(await overWebSocket(target(), { query: '', variables: { ids }, extensions })).toMatchObject({
      data: { stockChanged: { availableStock: 7 } },
    });
  });

  test('an unknown hash is PERSISTED_QUERY_NOT_FOUND, and clients keep using known hashes', async () => {
    const extensions = persisted(hashOf('{ __typename }'), { clientLibrary: CLIENT_LIBRARY });
    const errors = [{ message: 'PersistedQueryNotFound', extensions: { code: 'PERSISTED_QUERY_NOT_FOUND' } }];
    expect(await target().ask({ extensions })).toMatchObject({ status: 400, errors });
    expect(await get(target(), { extensions: JSON.stringify(extensions) }, PREFLIGHT)).toMatchObject({
      status: 400,
      errors,
    });
    expect(await overWebSocket(target(), { query: '', extensions })).toMatchObject(errors);
  });
});

test('an unknown hash next to a text is ignored', async () => {
  const question = {
    query: '{ __typename }',
    extensions: persisted(hashOf('{ __typename }'), { clientLibrary: CLIENT_LIBRARY }),
  };
  const parameters = { query: question.query, extensions: JSON.stringify(question.extensions) };
  const data = { __typename: 'Query' };
  expect(await open.ask(question)).toMatchObject({ status: 200, data });
  expect(await get(open, parameters, PREFLIGHT)).toMatchObject({ status: 200, data });
  expect(await overWebSocket(open, question)).toMatchObject({ data });
  expect(await closed.ask(question)).toMatchObject({ status: 400, code: 'FORBIDDEN' });
  expect(await get(closed, parameters, PREFLIGHT)).toMatchObject({
    status: 400,
    errors: [{ extensions: { code: 'FORBIDDEN' } }],
  });
  expect(await overWebSocket(closed, question)).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
});

test('the hash of one trusted document with the text of another is refused', async () => {
  const question = { query: TRUSTED, extensions: persisted(hashOf(HOLD)) };
  expect((await open.ask(question)).status).toBe(400);
  const parameters = { query: question.query, extensions: JSON.stringify(question.extensions) };
  expect((await get(open, parameters, PREFLIGHT)).status).toBe(400);
});

test('an empty parameter counts as absent, by GET, by POST and over WebSocket', async () => {
  const data = { serverTime: expect.any(String) };
  for (const query of [TRUSTED, '{ serverTime }']) {
    const empties: Record<string, string>[] = [
      { operationName: '' },
      { variables: '' },
      { extensions: '' },
      { operationName: '', variables: '', extensions: '' },
    ];
    for (const empty of empties) {
      expect(await get(open, { query, ...empty }, PREFLIGHT)).toMatchObject({ status: 200, data });
    }
    expect(await open.ask({ query, operationName: '' })).toMatchObject({ status: 200, data });
    expect(await overWebSocket(open, { query, operationName: '' })).toMatchObject({ data });
  }
});

test.each<[string, string]>([
  ['extensions that are no JSON', `query=${encodeURIComponent(TRUSTED)}&extensions={`],
  ['extensions that are a number', `query=${encodeURIComponent(TRUSTED)}&extensions=7`],
  ['variables that are no JSON', `query=${encodeURIComponent(TRUSTED)}&variables={`],
  ['two queries', `query=${encodeURIComponent(TRUSTED)}&query={__typename}`],
  ['two hashes', `extensions=${encodeURIComponent(JSON.stringify(persisted(hashOf(TRUSTED))))}&extensions={}`],
  ['no query', 'variables={}'],
  ['nothing', ''],
])('by GET, %s are refused with one clear error', async (_name, search) => {
  for (const target of [open, closed]) {
    const response = await fetch(`${target.url}/graphql?${search}`, { headers: PREFLIGHT });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: expect.any(String) } }] });
  }
});

describe('a refusal has the media type that the client accepts:', () => {
  const json = { 'content-type': 'application/json' };
  const body = JSON.stringify({ query: TRUSTED });
  const refusals: [string, RequestInit & { headers: Record<string, string> }, number, string][] = [
    ['a token that does not verify', { headers: { ...json, authorization: 'Bearer x' }, body }, 401, 'UNAUTHENTICATED'],
    ['a body that is no JSON', { headers: json, body: '{' }, 400, 'BAD_REQUEST'],
    ['a body that is too large', { headers: json, body: 'x'.repeat(300_000) }, 413, 'BAD_REQUEST'],
    ['a body of another type', { headers: { 'content-type': 'text/plain' }, body }, 415, 'BAD_REQUEST'],
    [
      'an unknown hash',
      { headers: json, body: JSON.stringify({ extensions: persisted('0') }) },
      400,
      'PERSISTED_QUERY_NOT_FOUND',
    ],
    ['a document that is not trusted', { headers: json, body: '{"query":"{ __typename }"}' }, 400, 'FORBIDDEN'],
    [
      'variables that do not fit',
      { headers: json, body: JSON.stringify({ extensions: persisted(hashOf(HOLD)), variables: { input: {} } }) },
      400,
      'BAD_USER_INPUT',
    ],
  ];
  const JSON_TYPE = 'application/json; charset=utf-8';
  const GRAPHQL_TYPE = 'application/graphql-response+json; charset=utf-8';

  test.each(refusals)('%s', async (_name, init, status, code) => {
    for (const [accept, type] of [
      [APOLLO_ACCEPT, GRAPHQL_TYPE],
      [URQL_ACCEPT, GRAPHQL_TYPE],
      ['application/graphql-response+json', GRAPHQL_TYPE],
      ['application/json', JSON_TYPE],
      ['application/json, application/graphql-response+json;q=0.5', JSON_TYPE],
      ['*/*', JSON_TYPE],
      ['text/plain', JSON_TYPE],
    ]) {
      const headers = { ...init.headers, accept: accept! };
      const answer = await fetch(`${closed.url}/graphql`, { method: 'POST', ...init, headers });
      // Only for a client that accepts neither type Apollo reports that first.
      const isNotAcceptable = accept === 'text/plain' && answer.status === 406;
      if (!isNotAcceptable) expect([accept, answer.status]).toEqual([accept, status]);
      expect([accept, answer.headers.get('content-type')]).toEqual([accept, type]);
      const { errors } = (await answer.json()) as { errors: { extensions: { code: string } }[] };
      if (!isNotAcceptable) expect(errors[0]!.extensions.code).toBe(code);
    }
  });

  test('Apollo Client 4 shows the code of a refusal', async () => {
    const link = new HttpLink({ uri: `${open.url}/graphql`, headers: { authorization: 'Bearer x' } });
    const client = new ApolloClient({ link, cache: new InMemoryCache() });
    const failure: unknown = await client.query({ query: gql(TRUSTED) }).catch((error: unknown) => error);
    expect(CombinedGraphQLErrors.is(failure)).toBe(true);
    expect((failure as CombinedGraphQLErrors).errors[0]!.extensions).toEqual({ code: 'UNAUTHENTICATED' });
    client.stop();
  });
});

describe('a query by GET as urql sends it, with nothing but its Accept,', () => {
  const ask = (headers: Record<string, string>, target = open) =>
    get(target, { query: '{ serverTime }' }, { accept: URQL_ACCEPT, ...headers });

  test.each<[string, Record<string, string>]>([
    ['from a program', {}],
    ['from our own page', { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' }],
    ['from a listed page', { origin: SHOP, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' }],
    ['from a listed page in an old browser', { origin: SHOP }],
    ['with a plain JSON Accept', { accept: 'application/json' }],
  ])('is answered %s', async (_name, headers) => {
    expect(await ask(headers)).toMatchObject({ status: 200, data: { serverTime: expect.any(String) } });
  });

  test.each<[string, Record<string, string>]>([
    ['from a page that is not listed', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }],
    ['from a page that is not listed, in an old browser', { origin: 'https://evil.example' }],
    ['from a sandbox', { origin: 'null', 'sec-fetch-site': 'cross-site' }],
    ['from a page that hides its origin (no-cors)', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }],
    ['from a page of the same site', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' }],
    ['from an image or script', { accept: 'image/avif,image/webp,*/*;q=0.8' }],
    [
      'from a form or link',
      { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'sec-fetch-site': 'none' },
    ],
    ['with a body type that needs no preflight', { 'content-type': 'text/plain', origin: 'https://evil.example' }],
  ])('is refused %s', async (_name, headers) => {
    expect(await ask(headers, closed)).toMatchObject({ status: 400 });
    expect(await ask(headers)).toMatchObject({ status: 400, errors: [{ extensions: { code: 'BAD_REQUEST' } }] });
  });
});

describe('a listed page’s preflight', () => {
  const allowedOf = async (asked: string) => {
    const { headers, status } = await fetch(`${open.url}/graphql`, {
      method: 'OPTIONS',
      headers: { origin: SHOP, 'access-control-request-method': 'POST', 'access-control-request-headers': asked },
    });
    expect(status).toBe(204);
    return (headers.get('access-control-allow-headers') ?? '').toLowerCase().split(/\s*,\s*/);
  };

  test.each([
    [
      'Apollo Client with client awareness',
      'apollographql-client-name,apollographql-client-version,authorization,content-type',
    ],
    ['Apollo Kotlin and iOS', 'x-apollo-operation-id,x-apollo-operation-name,x-apollo-operation-type'],
    ['Sentry', 'baggage,content-type,sentry-trace'],
    ['OpenTelemetry', 'traceparent,tracestate,baggage'],
    ['Zipkin', 'b3,x-b3-traceid,x-b3-spanid,x-b3-parentspanid,x-b3-sampled'],
    ['Datadog', 'x-datadog-trace-id,x-datadog-parent-id,x-datadog-origin,x-datadog-sampling-priority'],
    ['New Relic, Elastic, Application Insights', 'newrelic,elastic-apm-traceparent,request-id,request-context'],
    ['a request with ids', 'idempotency-key,x-request-id,x-correlation-id'],
    ['a long Accept', 'accept'],
    ['CORS_HEADERS', 'x-tenant'],
    ['the waiting room', 'x-queue-token'],
  ])('allows the headers of %s', async (_name, asked) => {
    expect(await allowedOf(asked)).toEqual(expect.arrayContaining(asked.split(',')));
  });

  test('allows no other header', async () => {
    expect(await allowedOf('x-unheard-of')).not.toContain('x-unheard-of');
  });
});

describe('connection_init', () => {
  const ORDERS = { query: '{ orders { edges { cursor } } }' };
  const bearer = async () => `Bearer ${await open.token('alice')}`;

  test.each<[string, (bearer: string) => Record<string, unknown>]>([
    ['{ authorization }', (authorization) => ({ authorization })],
    ['{ Authorization }', (Authorization) => ({ Authorization })],
    ['{ AUTHORIZATION }', (AUTHORIZATION) => ({ AUTHORIZATION })],
    ['{ headers: { authorization } }', (authorization) => ({ headers: { authorization } })],
    ['{ headers: { Authorization } }', (Authorization) => ({ headers: { Authorization, 'x-tenant': '1' } })],
    ['{ Headers: { AUTHORIZATION } }', (AUTHORIZATION) => ({ Headers: { AUTHORIZATION } })],
    ['both, if they agree', (authorization) => ({ authorization, headers: { Authorization: authorization } })],
  ])('%s names the customer', async (_name, payload) => {
    expect(await overWebSocket(open, ORDERS, payload(await bearer()))).toEqual({ data: { orders: { edges: [] } } });
  });

  test.each<[string, (bearer: string) => Record<string, unknown>]>([
    ['{ authToken }', (text) => ({ authToken: text.slice(7) })],
    ['{ token }', (text) => ({ token: text.slice(7) })],
    ['{ access_token }', (text) => ({ access_token: text.slice(7) })],
    ['{ "x-auth-token" }', (text) => ({ 'x-auth-token': text.slice(7) })],
    ['{ jwt }', (text) => ({ jwt: text.slice(7) })],
    ['{ auth: "Bearer …" }', (auth) => ({ auth })],
    ['{ context: { headers: { authorization } } }', (authorization) => ({ context: { headers: { authorization } } })],
    ['{ headers: [["authorization", …]] }', (text) => ({ headers: [['authorization', text]] })],
    ['{ authorization: ["Bearer …"] }', (text) => ({ authorization: [text] })],
    ['{ authorization: { token } }', (text) => ({ authorization: { token: text } })],
    ['{ headers: { authorization: 7 } }', () => ({ headers: { authorization: 7 } })],
    ['{ Authorization: "" }', () => ({ Authorization: '' })],
    ['{ headers: { Authorization: "Bearer null" } }', () => ({ headers: { Authorization: 'Bearer null' } })],
    ['the bare token', (text) => ({ authorization: text.slice(7) })],
    ['two that differ', (text) => ({ authorization: text, headers: { Authorization: `${text}x` } })],
    ['a good one and a wrong one', (text) => ({ authorization: text, token: 'x' })],
  ])('%s is refused, and never anonymous', async (_name, payload) => {
    const failure = await overWebSocket(open, { query: '{ serverTime }' }, payload(await bearer()));
    expect(failure).toMatchObject({ code: 4403, reason: expect.stringMatching(/^UNAUTHENTICATED: /) });
  });

  test.each<[string, Record<string, unknown>]>([
    ['nothing', {}],
    ['null', { authorization: null, headers: { Authorization: null } }],
    ['other things', { headers: { 'x-tenant': '1', 'x-queue-token': 'q' }, locale: 'en', headersOf: [] }],
  ])('%s is anonymous', async (_name, payload) => {
    expect(await overWebSocket(open, { query: '{ serverTime }' }, payload)).toMatchObject({
      data: { serverTime: expect.any(String) },
    });
    expect(await overWebSocket(open, ORDERS, payload)).toMatchObject({
      errors: [{ extensions: { code: 'UNAUTHENTICATED' } }],
    });
  });
});

test('a WebSocket opens for a request with Content-Length: 0, as Java sends it', async () => {
  const socket = new WebSocket(`${open.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', {
    headers: { 'content-length': '0' },
  });
  try {
    await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
    expect(socket.protocol).toBe('graphql-transport-ws');
  } finally {
    socket.terminate();
  }
});

/** The first result over a new socket, or the reason why there is none. */
async function overWebSocket(
  target: Target,
  question: object,
  connectionParams: Record<string, unknown> = {},
): Promise<unknown> {
  const client = createClient({
    url: `${target.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    connectionParams,
  });
  try {
    for await (const result of client.iterate(question as never)) return result;
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await client.dispose();
  }
}
