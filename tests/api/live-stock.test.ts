/** Live stock over WebSocket: events from every server, and the messages that a socket refuses. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApolloClient, gql, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { Client as UrqlClient, subscriptionExchange } from '@urql/core';
import { createClient, type Client, type ClientOptions } from 'graphql-ws';
import { WebSocket } from 'ws';
import { projectPath } from '../../src/config';
import type { Product } from '../../src/domain/records';
import { openShop, type Shop } from '../support/checkout';
import { connectAdmin } from '../support/cluster';
import { expectClean } from '../support/invariants';
import { serve } from '../support/server';
import { expireIn } from '../support/time';

const STOCK = `subscription Stock($ids: [ID!]!) {
  stockChanged(productIds: $ids) { product { id name } availableStock saleStatus at }
}`;
const UNKNOWN_ID = '01930000-0000-7000-8000-00000000dead';

type Server = Awaited<ReturnType<typeof serve>>;

interface Level {
  product: { id: string; name: string };
  availableStock: number;
  saleStatus: string;
  at: string;
}

let shop: Shop;
let first: Server;
let second: Server;
const clients: Client[] = [];

beforeAll(async () => {
  shop = await openShop();
  [first, second] = [await serve(shop), await serve(shop)];
});

afterEach(async () => {
  for (const client of clients.splice(0)) await client.dispose();
});

afterAll(async () => {
  await expectClean(shop);
  await Promise.all([first.close(), second.close()]);
  await shop.close();
});

const addressOf = ({ url }: Server) => `${url.replace('http', 'ws')}/graphql`;

function connect(server: Server, options: Partial<ClientOptions> = {}): Client {
  const client = createClient({ url: addressOf(server), webSocketImpl: WebSocket, retryAttempts: 0, ...options });
  clients.push(client);
  return client;
}

/** The events that a subscriber received, with their times. */
class Watching {
  readonly told: (Level & { atMs: number })[] = [];
  errors: unknown = null;

  constructor(client: Client, ids: readonly string[], query = STOCK) {
    client.subscribe<{ stockChanged: Level }>(
      { query, variables: { ids } },
      {
        next: ({ data }) => this.told.push({ ...data!.stockChanged, atMs: performance.now() }),
        error: (errors) => (this.errors = errors),
        complete: () => undefined,
      },
    );
  }

  async until(isTrue: (told: Watching['told']) => boolean, withinMs = 3_000): Promise<void> {
    const end = performance.now() + withinMs;
    while (!isTrue(this.told)) {
      if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${JSON.stringify(this.told)}`);
      await sleep(5);
    }
  }

  get last(): Level {
    return this.told.at(-1)!;
  }
}

/** The single result of an operation over the socket, or its error. */
async function ask(client: Client, query: string, variables: Record<string, unknown> = {}): Promise<unknown> {
  for await (const result of client.iterate({ query, variables })) return result;
  return undefined;
}

async function failureOf(client: Client, query: string, variables: Record<string, unknown> = {}): Promise<unknown> {
  return ask(client, query, variables).then(
    (result) => result,
    (failure: unknown) => failure,
  );
}

const holdOn = (server: Server, { id }: Product) =>
  server.gql(`mutation ($id: ID!) { createHold(input: { productId: $id }) { hold { id } userErrors { code } } }`, {
    id,
  });

describe('a subscriber', () => {
  it('sees the current level of each product first, then a hold on another server within 500 ms', async () => {
    const [one, other] = [await shop.product(5), await shop.product(7)];
    const watching = new Watching(connect(first), [one.id, other.id.toUpperCase()]);
    await watching.until((told) => told.length === 2);
    expect(watching.told.map(({ product, availableStock }) => [product.id, availableStock]).sort()).toEqual(
      [
        [one.id, 5],
        [other.id, 7],
      ].sort(),
    );
    for (let taken = 1; taken <= 3; taken += 1) {
      const held = await holdOn(second, one);
      expect(held.body.errors).toBeUndefined();
      const heldAt = performance.now();
      await watching.until(() => watching.last.availableStock === 5 - taken);
      expect(performance.now() - heldAt).toBeLessThan(500);
      expect(watching.last).toMatchObject({ product: { id: one.id, name: one.name }, saleStatus: 'ON_SALE' });
    }
  });

  it('sees units come back by time alone, while no sweep runs', async () => {
    const product = await shop.product(1);
    const hold = await shop.hold(product);
    await expireIn(shop.sql, hold.id, 700);
    const watching = new Watching(connect(first), [product.id]);
    await watching.until((told) => told.length === 1);
    expect(watching.last).toMatchObject({ availableStock: 0, saleStatus: 'FULLY_HELD' });
    await watching.until((told) => told.length === 2);
    expect(watching.last).toMatchObject({ availableStock: 1, saleStatus: 'ON_SALE' });
  });

  it('gets at most ten events a second for a hot product, and its last level', async () => {
    const product = await shop.product(500);
    const watching = new Watching(connect(first), [product.id]);
    await watching.until((told) => told.length === 1);
    const end = performance.now() + 1_500;
    let granted = 0;
    while (performance.now() < end) {
      const holds = await Promise.all([first, second, first, second].map((server) => holdOn(server, product)));
      granted += holds.length;
    }
    await watching.until(() => watching.last.availableStock === 500 - granted);
    for (const { atMs } of watching.told) {
      const within = watching.told.filter((level) => level.atMs >= atMs && level.atMs < atMs + 1_000);
      expect(within.length).toBeLessThanOrEqual(10);
    }
    expect(watching.told.length).toBeGreaterThan(3);
  });

  it('shares one stock query with all other subscribers', async () => {
    const product = await shop.product(3);
    const alice = connect(first, { connectionParams: { authorization: `Bearer ${await first.token('alice')}` } });
    const short = STOCK.replace('{ product { id name } availableStock saleStatus at }', '{ availableStock at }');
    const watchings = [
      new Watching(alice, [product.id]),
      new Watching(connect(first), [product.id], short),
      ...Array.from({ length: 50 }, () => new Watching(connect(first), [product.id])),
    ];
    await Promise.all(watchings.map((watching) => watching.until((told) => told.length > 0)));
    // A subscriber gets one event in 100 ms, so the last subscribers might get the next reading.
    await sleep(150);
    await shop.hold(product);
    await Promise.all(watchings.map((watching) => watching.until(() => watching.last.availableStock === 2)));
    expect(new Set(watchings.map(({ last }) => last.at)).size).toBe(1);
    expect(Object.keys(watchings[1]!.last)).not.toContain('saleStatus');
  });

  it('stays connected through an outage of the database and then gets the current level', async () => {
    const own = await openShop();
    const server = await serve(own);
    const admin = await connectAdmin('flashsale tests');
    const name = new URL(own.url).pathname.slice(1);
    try {
      const product = await own.product(2);
      const watching = new Watching(connect(server), [product.id]);
      await watching.until((told) => told.length === 1);
      await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
      await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
      const newcomer = new Watching(connect(server), [product.id]);
      await sleep(600);
      expect((await server.gql('{ serverTime }')).body.errors?.[0]?.extensions?.code).toBe('SERVICE_UNAVAILABLE');
      expect([watching.errors, newcomer.errors, newcomer.told.length]).toEqual([null, null, 0]);
      await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS true`);
      await own.hold(product);
      await watching.until(() => watching.last.availableStock === 1, 5_000);
      await newcomer.until(() => newcomer.last?.availableStock === 1, 5_000);
    } finally {
      await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS true`);
      await admin.end();
      await server.close();
      await own.close();
    }
  });

  it('may send the hash of a trusted document, also with PERSISTED_ONLY', async () => {
    const product = await shop.product(2);
    const server = await serve(shop, { PERSISTED_ONLY: 'on' });
    try {
      const documents = JSON.parse(
        readFileSync(projectPath('src', 'web', 'client', 'generated', 'persisted-documents.json'), 'utf8'),
      ) as Record<string, string>;
      const [hash] = Object.entries(documents).find(([, text]) => text.startsWith('subscription '))!;
      const extensions = { persistedQuery: { version: 1, sha256Hash: hash.replace('sha256:', '') } };
      const variables = { productIds: [product.id] };
      const first = connect(server).iterate({ query: '', variables, extensions });
      expect((await first.next()).value).toMatchObject({ data: { stockChanged: { availableStock: 2 } } });
      await first.return!();
      for (const query of [STOCK, '{ serverTime }']) {
        const failure = await failureOf(connect(server), query, { ids: [product.id] });
        expect(failure).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
      }
    } finally {
      await server.close();
    }
  });

  it('may be urql', async () => {
    const product = await shop.product(4);
    const socket = connect(first);
    const urql = new UrqlClient({
      url: `${first.url}/graphql`,
      preferGetMethod: false,
      exchanges: [
        subscriptionExchange({
          forwardSubscription: ({ query, variables }) => ({
            subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query: query!, variables }, sink as never) }),
          }),
        }),
      ],
    });
    const level = await new Promise<unknown>((resolve, reject) =>
      urql
        .subscription(STOCK, { ids: [product.id] })
        .subscribe(({ data, error }) => (error ? reject(error) : resolve(data))),
    );
    expect(level).toMatchObject({ stockChanged: { availableStock: 4 } });
  });

  it('may be Apollo Client', async () => {
    const product = await shop.product(6);
    const apollo = new ApolloClient({ link: new GraphQLWsLink(connect(first)), cache: new InMemoryCache() });
    const level = await new Promise<unknown>((resolve, reject) =>
      apollo.subscribe({ query: gql(STOCK), variables: { ids: [product.id] } }).subscribe({
        next: ({ data, error }) => (error ? reject(new Error(error.message)) : resolve(data)),
        error: reject,
      }),
    );
    expect(level).toMatchObject({ stockChanged: { availableStock: 6 } });
    apollo.stop();
  });
});

describe('the socket', () => {
  it('serves queries and mutations like HTTP, for the same caller', async () => {
    const product = await shop.product(3, { maxPerCustomer: 1 });
    const hold = `mutation ($id: ID!) { createHold(input: { productId: $id }) { hold { quantity } userErrors { code } } }`;
    const refused = await ask(connect(first), hold, { id: product.id });
    expect(refused).toMatchObject({
      data: { createHold: { hold: null, userErrors: [{ code: 'CUSTOMER_REQUIRED' }] } },
    });
    const token = `Bearer ${await first.token('alice')}`;
    const alice = connect(first, { connectionParams: { Authorization: token } });
    const granted = await ask(alice, hold, { id: product.id });
    expect(granted).toEqual({ data: { createHold: { hold: { quantity: 1 }, userErrors: [] } } });
    class WithHeader extends WebSocket {
      constructor(url: string, protocol: string) {
        super(url, protocol, { headers: { authorization: token } });
      }
    }
    const byHeader = connect(first, { webSocketImpl: WithHeader });
    expect(await ask(byHeader, '{ orders { edges { cursor } } }')).toEqual({ data: { orders: { edges: [] } } });
  });

  it.each<[what: string, query: string, variables: Record<string, unknown>, code: string]>([
    ['a product that does not exist', STOCK, { ids: [UNKNOWN_ID] }, 'BAD_USER_INPUT'],
    ['an id that is no UUID', STOCK, { ids: ["' OR 1=1 --"] }, 'BAD_USER_INPUT'],
    ['no product at all', STOCK, { ids: [] }, 'BAD_USER_INPUT'],
    [
      '101 products',
      STOCK,
      { ids: Array.from({ length: 101 }, (_, n) => UNKNOWN_ID.replace('dead', String(1000 + n))) },
      'BAD_USER_INPUT',
    ],
    ['variables that do not fit', STOCK, { ids: 7.5 }, 'BAD_USER_INPUT'],
    ['an unknown field', 'subscription { stockChangd(productIds: []) { at } }', {}, 'GRAPHQL_VALIDATION_FAILED'],
    [
      'two subscriptions in one',
      `subscription { a: stockChanged(productIds: []) { at } b: stockChanged(productIds: []) { at } }`,
      {},
      'GRAPHQL_VALIDATION_FAILED',
    ],
    ['1,001 tokens', `subscription { ${'a '.repeat(1_001)} }`, {}, 'GRAPHQL_PARSE_FAILED'],
    [
      'thousands of aliases',
      `{ ${Array.from({ length: 6_000 }, (_, n) => `a${n}:__typename`).join(' ')} }`.slice(0, 60_000),
      {},
      'GRAPHQL_PARSE_FAILED',
    ],
    ['a document that is none', '{', {}, 'GRAPHQL_PARSE_FAILED'],
    ['a fragment cycle', 'subscription { ...A } fragment A on Subscription { ...A }', {}, 'GRAPHQL_VALIDATION_FAILED'],
  ])('refuses %s', async (_what, query, variables, code) => {
    const failure = await failureOf(connect(first), query, variables);
    expect(failure).toMatchObject([{ extensions: { code } }]);
    expect(JSON.stringify(failure)).not.toMatch(/stack|node_modules|postgres/i);
  });

  it('executes none of four mutations in one document', async () => {
    const product = await shop.product(9);
    const four = [1, 2, 3, 4].map((n) => `m${n}: createHold(input: { productId: "${product.id}" }) { hold { id } }`);
    const failure = await failureOf(connect(first), `mutation { ${four.join(' ')} }`);
    expect(failure).toMatchObject([{ message: expect.stringContaining('3 mutations') }]);
    expect(await shop.sql('SELECT available FROM stock WHERE product_id = $1', [product.id])).toEqual([
      { available: 9 },
    ]);
  });

  it('runs at most 20 operations at a time', async () => {
    const product = await shop.product(2);
    const client = connect(first);
    const watchings = Array.from({ length: 1_000 }, () => new Watching(client, [product.id]));
    const other = new Watching(connect(first), [product.id]);
    await other.until((told) => told.length === 1);
    expect((await holdOn(first, product)).body.data.createHold.userErrors).toEqual([]);
    const [refused, served] = [watchings.slice(20), watchings.slice(0, 20)];
    await other.until(() => other.last.availableStock === 1);
    await Promise.all(served.map((watching) => watching.until(() => watching.last?.availableStock === 1)));
    await served[0]!.until(() => refused.every(({ errors }) => errors !== null), 10_000);
    for (const { errors, told } of refused) {
      expect(errors).toEqual([expect.objectContaining({ extensions: { code: 'RATE_LIMITED' } })]);
      expect(told).toEqual([]);
    }
    expect(served.map(({ errors }) => errors)).toEqual(Array(20).fill(null));
  });

  it('refuses a token that does not verify, instead of serving it as anonymous', async () => {
    for (const authorization of ['Bearer nonsense', 'Basic YWxpY2U6', '', 7, {}]) {
      const client = connect(first, { connectionParams: { authorization } });
      expect(await failureOf(client, '{ serverTime }')).toMatchObject({ code: 4403 });
    }
  });

  it('is closed without a connection_init, and after too much data or a malformed message', async () => {
    const codeOf = (send: (socket: WebSocket) => void, protocol = 'graphql-transport-ws') =>
      new Promise<number>((resolve) => {
        const socket = new WebSocket(addressOf(first), protocol);
        socket.on('open', () => send(socket));
        socket.on('close', resolve);
        socket.on('error', () => undefined);
      });
    const subscribe = JSON.stringify({ type: 'subscribe', id: '1', payload: { query: '{ serverTime }' } });
    expect(await codeOf((socket) => socket.send('x'.repeat(70_000)))).toBe(1009);
    expect(await codeOf((socket) => socket.send('{"type":"nonsense"}'))).toBe(4400);
    expect(await codeOf((socket) => socket.send('}'))).toBe(4400);
    expect(await codeOf((socket) => socket.send(subscribe))).toBe(4401);
    expect(await codeOf(() => undefined, 'graphql-ws')).toBe(1006);
    expect(await codeOf(() => undefined)).toBe(4408);
  });

  it('is served at /graphql only, and HTTP points subscriptions to it', async () => {
    const status = await new Promise<number | undefined>((resolve) => {
      const socket = new WebSocket(addressOf(first).replace('/graphql', '/webhooks/payments'), 'graphql-transport-ws');
      socket.on('unexpected-response', (_request, response) => resolve(response.statusCode));
      socket.on('error', () => undefined);
    });
    expect(status).toBe(404);
    const answer = await first.gql(STOCK, { ids: [UNKNOWN_ID] });
    expect(answer).toMatchObject({
      status: 400,
      body: { errors: [{ message: expect.stringContaining('WebSocket') }] },
    });
  });

  it('is closed with 1001 when the server stops, before HTTP requests would be cut off', async () => {
    const server = await serve(shop);
    const product = await shop.product(1);
    const closed = new Promise<number>((resolve) => {
      const client = connect(server, { on: { closed: (event) => resolve((event as { code: number }).code) } });
      void new Watching(client, [product.id]).until((told) => told.length === 1).then(() => server.close());
    });
    const startedAt = performance.now();
    expect(await closed).toBe(1001);
    await server.close();
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });
});
