/** Client libraries as they come, with their defaults: each buys, from the product to the order that is paid, and shows a refusal’s code. */
import { createHash } from 'node:crypto';
import { ApolloClient, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { cacheExchange, Client as UrqlClient, fetchExchange, subscriptionExchange, type Exchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { createClient, type Client as Socket } from 'graphql-ws';
import { WebSocket } from 'ws';
import { openClientShop, PROVIDERS, type ClientShop } from './shop';

const MONEY = 'amountMinor currency';
const PRODUCTS = `query Products { products(first: 50) { edges { node { ...Card } } } }
  fragment Card on Product { id name availableStock price { ${MONEY} } }`;
const HOLD = `mutation Hold($input: CreateHoldInput!) {
  createHold(input: $input) { hold { id status expiresAt total { ${MONEY} } } userErrors { code message } }
}`;
const ORDER = `mutation Order($input: CreateOrderInput!) {
  createOrder(input: $input) { order { id status total { ${MONEY} } } userErrors { code message } }
}`;
const STATUS = `query Status($id: ID!) { order(id: $id) { id status paidAt } }`;
const WATCH = `subscription Watch($ids: [ID!]!) { stockChanged(productIds: $ids) { availableStock } }`;

type Variables = Record<string, unknown>;

/** One library, set up in one way. */
interface Buyer {
  query(text: string, variables: Variables): Promise<any>;
  mutate(text: string, variables: Variables): Promise<any>;
  /** Absent: this way has no subscriptions. */
  watch?(text: string, variables: Variables, show: (data: any) => void): () => void;
  /** The code that the library shows of a failure. */
  codeOf(failure: any): unknown;
  close?(): unknown;
}

/** Every request of a buyer as it went over HTTP. */
interface Sent {
  readonly method: string;
  readonly headers: Headers;
  readonly extensions: Record<string, any> | undefined;
  readonly hasText: boolean;
}

let shop: ClientShop;
let sent: Sent[] = [];
const sockets: Socket[] = [];
/** Its types are an ES module's, which only `import()` may load here. */
let GraphQLClient: Awaited<
  typeof import('graphql-request', { with: { 'resolution-mode': 'import' } })
>['GraphQLClient'];
beforeAll(async () => {
  ({ GraphQLClient } = await import('graphql-request'));
  shop = await openClientShop();
});
beforeEach(() => (sent = []));
afterEach(async () => {
  for (const socket of sockets.splice(0)) await socket.dispose();
});
afterAll(() => shop.close());

const noticing: typeof fetch = (address, init) => {
  const { searchParams } = new URL(String(address));
  const body = JSON.parse((init?.body as string) ?? '{}') as { query?: string; extensions?: Record<string, any> };
  const inUrl = searchParams.get('extensions');
  sent.push({
    method: init?.method ?? 'GET',
    headers: new Headers(init?.headers),
    extensions: inUrl === null ? body.extensions : (JSON.parse(inUrl) as Record<string, any>),
    hasText: searchParams.has('query') || Boolean(body.query),
  });
  return fetch(address, init);
};

const address = () => `${shop.server.url}/graphql`;
const authorizing = (token: string | undefined): Record<string, string> =>
  token ? { authorization: `Bearer ${token}` } : {};
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** Delivers each message in a separate task, as browsers do: graphql-ws counts an operation twice when its end arrives in the same task. */
class BrowserWebSocket extends WebSocket {
  constructor(url: string, protocol: string) {
    super(url, protocol, { allowSynchronousEvents: false });
  }
}

function socketOf(token: string | undefined): Socket {
  const socket = createClient({
    url: address().replace('http', 'ws'),
    webSocketImpl: BrowserWebSocket,
    retryAttempts: 0,
    connectionParams: token ? { headers: { Authorization: `Bearer ${token}` } } : {},
  });
  sockets.push(socket);
  return socket;
}

function apollo(client: ApolloClient): Buyer {
  return {
    query: async (text, variables) => (await client.query({ query: gql(text), variables })).data,
    mutate: async (text, variables) => (await client.mutate({ mutation: gql(text), variables })).data,
    watch: (text, variables, show) => {
      const watching = client.subscribe({ query: gql(text), variables }).subscribe(({ data }) => show(data));
      return () => watching.unsubscribe();
    },
    // It turns a closed socket into its own error.
    codeOf: (failure) =>
      CombinedGraphQLErrors.is(failure)
        ? failure.errors[0]!.extensions?.['code']
        : Number(/^Socket closed with event (\d+)/.exec(failure.message)?.[1]),
    close: () => client.stop(),
  };
}

/** Its subscriptions over HTTP are another protocol, which this server does not speak. */
function withoutWatch({ watch: _watch, ...buyer }: Buyer): Buyer {
  return buyer;
}

function urql(exchanges: Exchange[], token: string | undefined): Buyer {
  const client = new UrqlClient({
    url: address(),
    fetch: noticing,
    fetchOptions: { headers: authorizing(token) },
    exchanges,
  });
  const dataOf = async (result: PromiseLike<{ data?: any; error?: Error }>) => {
    const { data, error } = await result;
    if (error) throw error;
    return data;
  };
  return {
    query: (text, variables) => dataOf(client.query(text, variables)),
    mutate: (text, variables) => dataOf(client.mutation(text, variables)),
    watch: (text, variables, show) => {
      const watching = client.subscription(text, variables).subscribe(({ data }) => show(data));
      return () => watching.unsubscribe();
    },
    codeOf: ({ graphQLErrors, networkError }) => graphQLErrors[0]?.extensions.code ?? networkError?.code,
  };
}

const overSocket = (socket: Socket, enableAllOperations: boolean): Exchange =>
  subscriptionExchange({
    enableAllOperations,
    forwardSubscription: ({ query = '', variables, extensions }) => ({
      subscribe: (sink) => ({
        unsubscribe: socket.subscribe(
          { query, variables: variables ?? {}, extensions: extensions ?? null },
          sink as never,
        ),
      }),
    }),
  });

function graphqlRequest(token: string | undefined): Buyer {
  const client = new GraphQLClient(address(), { headers: authorizing(token) });
  const ask = (text: string, variables: Variables): Promise<any> => client.request(text, variables);
  return { query: ask, mutate: ask, codeOf: (failure) => failure.response.errors[0].extensions.code };
}

function plainFetch(token: string | undefined): Buyer {
  const ask = async (query: string, variables: Variables): Promise<any> => {
    const response = await fetch(address(), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorizing(token) },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = (await response.json()) as { data: unknown; errors?: unknown[] };
    if (errors) throw errors[0];
    return data;
  };
  return { query: ask, mutate: ask, codeOf: (failure) => failure.extensions.code };
}

function plainSocket(socket: Socket): Buyer {
  const ask = async (query: string, variables: Variables): Promise<any> => {
    for await (const { data, errors } of socket.iterate({ query, variables })) {
      if (errors) throw new Error(JSON.stringify(errors));
      return data;
    }
  };
  return {
    query: ask,
    mutate: ask,
    watch: (query, variables, show) =>
      socket.subscribe(
        { query, variables },
        { next: ({ data }) => show(data), error: show, complete: () => undefined },
      ),
    codeOf: (failure) => (Array.isArray(failure) ? failure[0].extensions.code : failure.code),
  };
}

const httpLink = (token: string | undefined) =>
  new HttpLink({ uri: address(), fetch: noticing, headers: authorizing(token) });
const apolloClient = (link: ConstructorParameters<typeof ApolloClient>[0]['link']) =>
  new ApolloClient({
    link,
    cache: new InMemoryCache(),
    clientAwareness: { name: 'storefront', version: '1.0.0' },
  });

const BUYERS: Record<string, (token: string | undefined) => Buyer> = {
  'Apollo Client 4 by its defaults': (token) =>
    withoutWatch(apollo(new ApolloClient({ link: httpLink(token), cache: new InMemoryCache() }))),
  'Apollo Client 4 with client awareness, by GET': (token) =>
    withoutWatch(
      apollo(
        apolloClient(
          new HttpLink({
            uri: address(),
            fetch: noticing,
            headers: authorizing(token),
            useGETForQueries: true,
          }),
        ),
      ),
    ),
  'Apollo Client 4 with persisted queries': (token) =>
    withoutWatch(apollo(apolloClient(new PersistedQueryLink({ sha256 }).concat(httpLink(token))))),
  'Apollo Client 4 with persisted queries by GET': (token) =>
    withoutWatch(
      apollo(apolloClient(new PersistedQueryLink({ sha256, useGETForHashedQueries: true }).concat(httpLink(token)))),
    ),
  'Apollo Client 4 over WebSocket': (token) => apollo(apolloClient(new GraphQLWsLink(socketOf(token)))),
  'Apollo Client 4 with persisted queries over WebSocket': (token) =>
    apollo(apolloClient(new PersistedQueryLink({ sha256 }).concat(new GraphQLWsLink(socketOf(token))))),
  'urql by its defaults': (token) => urql([cacheExchange, fetchExchange, overSocket(socketOf(token), false)], token),
  'urql with persisted queries': (token) =>
    urql([cacheExchange, persistedExchange({}), fetchExchange, overSocket(socketOf(token), false)], token),
  'urql over WebSocket': (token) => urql([cacheExchange, overSocket(socketOf(token), true)], token),
  'graphql-request by its defaults': graphqlRequest,
  'plain fetch': plainFetch,
  'graphql-ws': (token) => plainSocket(socketOf(token)),
};

describe.each(Object.entries(BUYERS))('%s', (name, open) => {
  test.each(PROVIDERS)('buys, and is PAID once %s has reported it', async (provider) => {
    const { alice } = shop.server.tokens;
    const buyer = open(alice);
    const levels: number[] = [];
    const { id: productId } = await shop.product();
    const stop = buyer.watch?.(WATCH, { ids: [productId] }, ({ stockChanged }) =>
      levels.push(stockChanged.availableStock),
    );
    try {
      if (stop) await until(() => levels.length === 1);
      const { products } = await buyer.query(PRODUCTS, {});
      const product = products.edges.map((edge: any) => edge.node).find((node: any) => node.id === productId);
      expect(product).toMatchObject({ availableStock: 5, price: { amountMinor: 4_999, currency: 'USD' } });
      const { createHold } = await buyer.mutate(HOLD, { input: { productId, quantity: 1, idempotencyKey: 'one' } });
      expect(createHold).toMatchObject({ hold: { status: 'ACTIVE' }, userErrors: [] });
      const { createOrder } = await buyer.mutate(ORDER, { input: { holdIds: [createHold.hold.id] } });
      expect(createOrder).toMatchObject({ order: { status: 'PENDING_PAYMENT' }, userErrors: [] });
      await shop.pay(createOrder.order.id, provider);
      // A cache that knows the order as it was is the library's own business: a new buyer asks for it.
      const { order } = await open(alice).query(STATUS, { id: createOrder.order.id });
      expect(order).toMatchObject({ id: createOrder.order.id, status: 'PAID' });
      if (stop) await until(() => levels.length === 2);
      expect(levels).toEqual(stop ? [5, 4] : []);
    } finally {
      stop?.();
      buyer.close?.();
    }
  });

  test('shows the code of a refusal that comes before the operation', async () => {
    const buyer = open('nonsense');
    const failure = await buyer.query(STATUS, { id: '1' }).then(
      () => 'no failure',
      (error: unknown) => error,
    );
    const isSocket = /WebSocket|graphql-ws/.test(name);
    expect(buyer.codeOf(failure)).toBe(isSocket ? 4403 : 'UNAUTHENTICATED');
    buyer.close?.();
  });
});

describe('what these libraries send is what the tests above are about:', () => {
  test('Apollo Client adds clientLibrary to each request, its name and version as headers, and asks by hash', async () => {
    await BUYERS['Apollo Client 4 with persisted queries by GET']!(undefined).query(STATUS, { id: '1' });
    expect(sent.map(({ method, hasText }) => [method, hasText])).toEqual([
      ['GET', false],
      ['POST', true],
    ]);
    const [first] = sent;
    expect(first!.extensions).toMatchObject({
      clientLibrary: { name: '@apollo/client' },
      persistedQuery: { version: 1, sha256Hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
    expect(first!.headers.get('apollographql-client-name')).toBe('storefront');
    expect(first!.headers.get('accept')).toContain('application/graphql-response+json');
  });

  test('urql sends queries by GET without any header that forces a preflight', async () => {
    await BUYERS['urql by its defaults']!(undefined).query(STATUS, { id: '1' });
    expect(sent.map(({ method }) => method)).toEqual(['GET']);
    expect([...sent[0]!.headers.keys()]).toEqual(['accept']);
  });
});

async function until(isTrue: () => boolean): Promise<void> {
  const end = performance.now() + 5_000;
  while (!isTrue()) {
    if (performance.now() > end) throw new Error('what was waited for did not come within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
