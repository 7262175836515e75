/** Each answer of the server moves a counter: every route, root field of GraphQL and refusal, over HTTP and WebSocket. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { checkoutSchema, developmentSchema } from '../../src/graphql/schema';
import { openServer, signedWebhook, type TestServer } from '../support/server';

let server: TestServer;
let productId: string;
beforeAll(async () => {
  server = await openServer({
    RATE_LIMIT: 'webhook=-/2,browse=10000/10000,document=1000/1000,loopback=on',
    TRUSTED_PROXIES: '1',
  });
  productId = (await server.product(5)).id;
});
afterAll(() => server.close());

/** The growth of each counter and count while `work` ran, read without HTTP, which would be counted too. */
async function growth(work: () => Promise<unknown>, of: TestServer = server): Promise<Record<string, number>> {
  const read = async () =>
    new Map(
      (await of.app.metrics.text())
        .split('\n')
        .filter((line) => /^flashsale_\w+(_total|_count)[{ ]/.test(line))
        .map((line) => [
          line.slice('flashsale_'.length, line.lastIndexOf(' ')),
          Number(line.slice(line.lastIndexOf(' '))),
        ]),
    );
  const before = await read();
  await work();
  // An answer is counted once it has been sent, which its reader may see a moment earlier.
  await new Promise((resolve) => setTimeout(resolve, 20));
  const after = await read();
  return Object.fromEntries(
    [...after]
      .map(([name, value]) => [name, value - (before.get(name) ?? 0)] as const)
      .filter(([, grown]) => grown > 0),
  );
}

const http = (route: string, status: number) => ({
  [`http_requests_total{route="${route}",status="${status}"}`]: 1,
  [`http_request_duration_seconds_count{route="${route}"}`]: 1,
});
const operation = (name: string, result: string) => ({
  [`operations_total{operation="${name}",result="${result}"}`]: 1,
  [`operation_duration_seconds_count{operation="${name}"}`]: 1,
});
const error = (code: string) => ({ [`graphql_errors_total{code="${code}"}`]: 1 });
const refused = (provider: string, reason: string) => ({
  [`webhook_refusals_total{provider="${provider}",reason="${reason}"}`]: 1,
});

describe('a page or a probe', () => {
  test.each<[string, string, string, number]>([
    ['GET', '/', '/', 0],
    ['GET', '/ops', '/ops', 0],
    ['GET', '/assets/nothing.js', '/assets/:name', 404],
    ['GET', '/livez', '/livez', 200],
    ['GET', '/readyz', '/readyz', 200],
    ['GET', '/metrics', '/metrics', 200],
    ['GET', '/nowhere?a=b', 'unknown', 404],
    ['DELETE', '/graphql', 'unknown', 404],
    ['OPTIONS', '/', 'unknown', 404],
  ])('%s %s counts as %s', async (method, path, route, status) => {
    let answered = 0;
    const grown = await growth(async () => (answered = (await server.fetch(path, { method })).status));
    if (status !== 0) expect(answered).toBe(status);
    expect(grown).toEqual(http(route, answered));
  });
});

describe('POST /graphql', () => {
  const post = (body: string | object, headers: Record<string, string> = {}) =>
    server.fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': '192.0.2.1', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });

  test.each<[string, () => Promise<{ status: number }>, number, Record<string, number>]>([
    ['not well-formed', () => post('{'), 400, error('BAD_REQUEST')],
    ['too large', () => post('x'.repeat(300_000)), 413, error('BAD_REQUEST')],
    ['text', () => post('x', { 'content-type': 'text/plain' }), 415, error('BAD_REQUEST')],
    ['empty', () => post({}), 400, error('BAD_REQUEST')],
    ['no GraphQL', () => post({ query: '{' }), 400, error('GRAPHQL_PARSE_FAILED')],
    ['not of the schema', () => post({ query: '{ nothing }' }), 400, error('GRAPHQL_VALIDATION_FAILED')],
    [
      'beyond a limit',
      () => post({ query: `{ ${'hold(id: "a") { id } '.repeat(20)} }` }),
      400,
      error('BAD_USER_INPUT'),
    ],
    [
      'with variables that do not fit',
      () => post({ query: 'query A($id: ID!) { hold(id: $id) { id } }' }),
      400,
      error('BAD_USER_INPUT'),
    ],
    [
      'with a bad token',
      () => post({ query: '{ serverTime }' }, { authorization: 'Bearer x' }),
      401,
      error('UNAUTHENTICATED'),
    ],
    [
      'a hash that nobody knows',
      () => post({ extensions: { persistedQuery: { version: 1, sha256Hash: 'a'.repeat(64) } } }),
      400,
      {},
    ],
    ['introspection', () => post({ query: '{ __typename }' }), 200, {}],
  ])('%s', async (_name, send, status, expected) => {
    let answered = 0;
    const grown = await growth(async () => (answered = (await send()).status));
    expect(answered).toBe(status);
    expect(grown).toMatchObject({ ...http('/graphql', status), ...expected });
  });

  test('refused by a rate limit', async () => {
    const own = await openServer({ RATE_LIMIT: 'browse=1/1,loopback=on' });
    try {
      await own.gql('{ serverTime }');
      const grown = await growth(() => own.gql('{ serverTime }'), own);
      expect(grown).toEqual({ ...http('/graphql', 429), ...error('RATE_LIMITED') });
    } finally {
      await own.close();
    }
  });
});

describe('every root field is counted by its answer', () => {
  const selections: Readonly<Record<string, string>> = {
    order: 'order(id: "x") { id }',
    hold: 'hold(id: "x") { id }',
    orders: 'orders { pageInfo { hasNextPage } }',
    paymentEvents: 'paymentEvents { pageInfo { hasNextPage } }',
    product: 'product(sku: "x") { id }',
    products: 'products { pageInfo { hasNextPage } }',
    serverMetrics: 'serverMetrics { __typename }',
    serverTime: 'serverTime',
    stockReport: 'stockReport(productId: "x") { __typename }',
    stockReports: 'stockReports { pageInfo { hasNextPage } }',
    timeline: 'timeline(id: "x") { __typename }',
  };
  const mutations: Readonly<Record<string, readonly [selection: string, result: string]>> = {
    createHold: ['createHold(input: { productId: "x" }) { hold { id } }', 'PRODUCT_NOT_FOUND'],
    releaseHold: ['releaseHold(input: { holdId: "x" }) { hold { id } }', 'HOLD_NOT_FOUND'],
    createOrder: ['createOrder(input: { holdIds: ["x"] }) { order { id } }', 'HOLD_NOT_FOUND'],
    cancelOrder: ['cancelOrder(input: { orderId: "x" }) { order { id } }', 'ORDER_NOT_FOUND'],
    adjustStock: [
      'adjustStock(input: { productId: "x", delta: 1, reason: "x" }) { product { id } }',
      'PRODUCT_NOT_FOUND',
    ],
    updateProduct: ['updateProduct(input: { productId: "x" }) { product { id } }', 'PRODUCT_NOT_FOUND'],
    createProduct: [
      'createProduct(input: { sku: "x", name: "X", priceMinor: 1, currency: "usd", totalStock: 1 }) { product { id } }',
      'BAD_USER_INPUT',
    ],
    replayPaymentEvent: [
      'replayPaymentEvent(input: { provider: "standard", eventId: "x" }) { paymentEvent { eventId } }',
      'PAYMENT_EVENT_NOT_FOUND',
    ],
    signInAs: ['signInAs(customerId: "x")', 'OK'],
    simulatePayment: ['simulatePayment(input: { reference: "x", times: 999 }) { eventId }', 'BAD_USER_INPUT'],
  };

  test('every root field of the schema is counted', () => {
    const fieldsOf = (name: 'Query' | 'Mutation' | 'Subscription') =>
      Object.keys((developmentSchema().getType(name) as { getFields(): object } | undefined)?.getFields() ?? {}).sort();
    expect(fieldsOf('Query')).toEqual(Object.keys(selections).sort());
    expect(fieldsOf('Mutation')).toEqual(Object.keys(mutations).sort());
    expect(fieldsOf('Subscription')).toEqual(['stockChanged']);
    expect(Object.keys(checkoutSchema().getMutationType()!.getFields())).not.toContain('signInAs');
  });

  test.each(Object.keys(selections))('%s', async (name) => {
    const { admin } = server.tokens;
    const ask = () => server.gql(`{ ${selections[name]} }`, undefined, admin);
    expect(await growth(ask)).toEqual(expect.objectContaining({ ...http('/graphql', 200), ...operation(name, 'OK') }));
  });

  test.each(Object.keys(mutations))('%s', async (name) => {
    const [selection, result] = mutations[name]!;
    // Whether a document asks for its userErrors or not.
    const grown = await growth(() => server.gql(`mutation { ${selection} }`, undefined, server.tokens.admin));
    expect(grown).toMatchObject({ ...http('/graphql', 200), ...operation(name, result) });
    if (result === 'BAD_USER_INPUT') expect(grown).toMatchObject(error('BAD_USER_INPUT'));
  });

  test.each([
    ['orders', selections.orders!, 'UNAUTHENTICATED'],
    ['timeline', selections.timeline!, 'UNAUTHENTICATED'],
  ])('%s without a token', async (name, selection, code) => {
    expect(await growth(() => server.gql(`{ ${selection} }`))).toMatchObject({
      ...operation(name, code),
      ...error(code),
    });
  });

  test('stockReports without the role', async () => {
    const grown = await growth(() => server.gql(`{ ${selections.stockReports} }`, undefined, server.tokens.alice));
    expect(grown).toMatchObject({ ...operation('stockReports', 'FORBIDDEN'), ...error('FORBIDDEN') });
  });

  test('several fields of one document, by name and not by alias, compiled or not', async () => {
    const text = 'query Several { a: serverTime b: serverTime products { pageInfo { hasNextPage } } }';
    const grown = await growth(async () => {
      for (let n = 0; n < 150; n++) await server.gql(text);
    });
    expect(grown).toMatchObject({
      'operations_total{operation="serverTime",result="OK"}': 300,
      'operations_total{operation="products",result="OK"}': 150,
    });
  });

  test('a whole purchase', async () => {
    const grown = await growth(async () => {
      const hold = await server.hold(productId);
      const order = await server.order(hold.id);
      await server.mutate('cancelOrder', { orderId: order.id });
    });
    expect(grown).toMatchObject({
      ...operation('createHold', 'OK'),
      ...operation('createOrder', 'OK'),
      ...operation('cancelOrder', 'OK'),
      'holds_total{result="GRANTED"}': 1,
      'orders_total{status="CANCELLED"}': 1,
    });
  });
});

describe('a webhook', () => {
  const send = (
    path: string,
    message: Record<string, unknown>,
    options: Parameters<typeof signedWebhook>[1] = {},
    from = '192.0.2.9',
  ) => {
    const { body, headers } = signedWebhook(message, options);
    const init = {
      method: 'POST',
      body: body as RequestInit['body'],
      headers: { ...headers, 'x-forwarded-for': from },
    };
    return server.fetch(path, init as RequestInit);
  };
  const PATH = '/webhooks/payments';
  const event = (more: object = {}) => ({
    ...{ event_id: 'evt_walk', type: 'payment.succeeded', timestamp: new Date().toISOString() },
    data: { reference: 'nobody', amount_minor: 1, currency: 'USD', payment_id: 'pay_walk', ...more },
  });

  test.each<[string, () => Promise<{ status: number }>, number, Record<string, number>]>([
    ['recorded', () => send(PATH, event()), 200, { 'payment_events_total{outcome="PARKED"}': 1 }],
    ['repeated', () => send(PATH, event()), 200, { 'payment_events_total{outcome="DUPLICATE"}': 1 }],
    [
      'of another content',
      () => send(PATH, event({ amount_minor: 2 })),
      409,
      { ...refused('standard', 'CONFLICT'), 'payment_events_total{outcome="CONFLICT"}': 1 },
    ],
    [
      'unsigned',
      () => send(PATH, event(), { headers: { 'webhook-signature': 'v1,x' } }),
      401,
      refused('standard', 'SIGNATURE'),
    ],
    ['malformed', () => send(PATH, {}, { body: '[]' }), 400, refused('standard', 'MALFORMED')],
    ['too large', () => send(PATH, {}, { body: 'x'.repeat(100_000) }), 413, refused('standard', 'TOO_LARGE')],
    [
      'text',
      () => send(PATH, event(), { headers: { 'content-type': 'text/plain' } }),
      415,
      refused('standard', 'NOT_JSON'),
    ],
    [
      'compressed',
      () => send(PATH, event(), { headers: { 'content-encoding': 'gzip' } }),
      415,
      refused('standard', 'NOT_JSON'),
    ],
  ])('%s', async (_name, deliver, status, expected) => {
    let answered = 0;
    const grown = await growth(async () => (answered = (await deliver()).status));
    expect(answered).toBe(status);
    expect(grown).toMatchObject({ ...http(PATH, status), ...expected });
  });

  test('a webhook of a provider that is not set up is counted as refused', async () => {
    const grown = await growth(() => send(`${PATH}/stripe`, event()));
    expect(grown).toEqual({ ...http(`${PATH}/stripe`, 503), ...refused('stripe', 'NOT_SET_UP') });
  });

  test('unsigned too often', async () => {
    const deliver = () => send(PATH, event(), { headers: { 'webhook-signature': 'v1,x' } }, '192.0.2.10');
    await deliver();
    await deliver();
    expect(await growth(deliver)).toEqual({ ...http(PATH, 429), ...refused('standard', 'RATE_LIMITED') });
  });
});

describe('a WebSocket', () => {
  const url = (path = '/graphql') => `${server.url.replace('http', 'ws')}${path}`;
  const upgraded = (status: number) => ({ [`http_requests_total{route="websocket",status="${status}"}`]: 1 });
  const open = async (payload?: object) => {
    const socket = new WebSocket(url(), 'graphql-transport-ws', { headers: { 'x-forwarded-for': '192.0.2.20' } });
    await once(socket, 'open');
    socket.send(JSON.stringify({ type: 'connection_init', ...(payload && { payload }) }));
    return socket;
  };
  const next = async (socket: WebSocket) => JSON.parse(String((await once(socket, 'message'))[0])) as { type: string };
  const ask = async (query: string): Promise<void> => {
    const socket = await open();
    await next(socket);
    socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query } }));
    expect(['next', 'error']).toContain((await next(socket)).type);
    socket.close();
    await once(socket, 'close');
  };

  test.each<[string, string, Record<string, number>]>([
    ['a query', '{ serverTime }', operation('serverTime', 'OK')],
    [
      'a query that is refused',
      '{ orders { pageInfo { hasNextPage } } }',
      { ...operation('orders', 'UNAUTHENTICATED'), ...error('UNAUTHENTICATED') },
    ],
    ['a document that is none', '{', error('GRAPHQL_PARSE_FAILED')],
    ['a field that is none', '{ nothing }', error('GRAPHQL_VALIDATION_FAILED')],
  ])('with %s', async (_name, query, expected) => {
    expect(await growth(() => ask(query))).toMatchObject({ ...upgraded(101), ...expected });
  });

  test('a WebSocket with a subscription is counted', async () => {
    const grown = await growth(() =>
      ask(`subscription { stockChanged(productIds: ["${productId}"]) { availableStock } }`),
    );
    expect(grown).toMatchObject({ ...upgraded(101), ...operation('stockChanged', 'OK') });
  });

  test('a WebSocket with a bad token is counted', async () => {
    const grown = await growth(async () => once(await open({ authorization: 'Bearer x' }), 'close'));
    expect(grown).toMatchObject({ ...upgraded(101), ...error('UNAUTHENTICATED') });
  });

  const handshakeFor = async (path: string) => {
    const socket = await rawSocket();
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    );
    socket.resume();
    await once(socket, 'close');
  };

  test('a handshake without a key is counted as refused', async () => {
    expect(await growth(() => handshakeFor('/graphql'))).toEqual(upgraded(400));
  });

  test('a handshake for another path is counted as any request for an unknown path', async () => {
    expect(await growth(() => handshakeFor('/elsewhere'))).toMatchObject({
      'http_requests_total{route="unknown",status="404"}': 1,
    });
  });
});

async function rawSocket(of: TestServer = server): Promise<Socket> {
  const socket = connect(Number(new URL(of.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

test.each([
  ['garbage', 'GARBAGE\r\n\r\n', 400],
  ['too many headers', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
])('a request that cannot be read: %s', async (_name, bytes, status) => {
  const grown = await growth(async () => {
    const socket = await rawSocket();
    socket.resume().write(bytes);
    await once(socket, 'close');
  });
  expect(grown).toEqual({ [`http_requests_total{route="unreadable",status="${status}"}`]: 1 });
});

test('a connection beyond MAX_CONNECTIONS', async () => {
  const own = await openServer({ MAX_CONNECTIONS: '1' });
  try {
    const grown = await growth(async () => {
      const sockets = [await rawSocket(own), await rawSocket(own)];
      await once(sockets[1]!.resume(), 'close');
      sockets[0]!.destroy();
    }, own);
    expect(grown).toEqual({ connections_dropped_total: 1 });
  } finally {
    await own.close();
  }
});

test('a forwarding header that TRUSTED_PROXIES does not explain', async () => {
  const grown = await growth(() =>
    server.post('{"query":"{ serverTime }"}', { 'content-type': 'application/json', 'x-forwarded-for': 'unknown' }),
  );
  expect(grown).toMatchObject({ 'client_doubts_total{reason="UNREADABLE"}': 1 });
});
