/** What a browser and a balancer ask for: the playground without internet, the first page, and health. */
import { connect } from 'node:net';
import { Client } from 'pg';
import { untilSomebodyWaits } from '../support/database';
import { openServer, type Reply, type TestServer } from '../support/server';

const HTML = { accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8' };
const production = {
  NODE_ENV: 'production',
  JWT_SECRET: 'p'.repeat(32),
  WEBHOOK_SECRETS: `whsec_${Buffer.alloc(24, 1).toString('base64')}`,
};

let server: TestServer;
let page: Reply;
let options: { defaultTabs: { query: string; variables: string; headers: string }[]; endpoint: string };
beforeAll(async () => {
  server = await openServer();
  await server.product(5, { name: 'The only one' });
  page = await server.fetch('/graphql', { headers: HTML });
  const data = /<script type="application\/json" id="playground">(.*?)<\/script>/s.exec(page.text)![1]!;
  options = JSON.parse(data).options;
});
afterAll(() => server.close());

const assetsOf = (html: string) => [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);

describe('the playground', () => {
  test('is a page that asks nothing of the internet', async () => {
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('cache-control')).toBe('no-store');
    expect(page.text).not.toMatch(/(?:https?:)?\/\/[a-z]/i);
    const assets = assetsOf(page.text);
    expect(assets.length).toBeGreaterThanOrEqual(4);
    for (const asset of assets) expect(asset).toMatch(/^\/graphql\/assets\/[\w.]+$/);
  });

  test('allows nothing from elsewhere, and no script in the page', () => {
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).toMatch(/default-src 'none'/);
    expect(policy).toMatch(/script-src 'self'(;|$)/);
    expect(policy).toMatch(/worker-src 'self' blob:/);
    expect(policy).toMatch(/frame-ancestors 'none'/);
    expect(policy).not.toMatch(/https?:|\*|unsafe-eval/);
    expect(page.text.match(/<script(?![^>]*(src=|type="application\/json"))/g)).toBeNull();
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('has its parts, which a browser may keep for ever', async () => {
    const workers = JSON.parse(/id="playground">(.*?)<\/script>/s.exec(page.text)![1]!).workers as Record<
      string,
      string
    >;
    for (const path of [...assetsOf(page.text), ...Object.values(workers)]) {
      const [packed, plain] = [
        await server.fetch(path),
        await server.fetch(path, { headers: { 'accept-encoding': 'identity' } }),
      ];
      expect(packed.status).toBe(200);
      expect(packed.headers.get('content-encoding')).toBe('gzip');
      expect(plain.headers.get('content-encoding')).toBeNull();
      expect(packed.text).toBe(plain.text);
      expect(packed.headers.get('cache-control')).toMatch(/immutable/);
      expect(packed.headers.get('x-content-type-options')).toBe('nosniff');
    }
    expect((await server.fetch('/graphql/assets/none.js')).status).toBe(404);
    expect((await server.fetch('/graphql/assets/..%2f..%2fpackage.json')).status).toBe(404);
  });

  test('has tabs that run as they are: with a product, and with tokens of the development secret', async () => {
    const jsonOf = (text: string) => JSON.parse(text.replace(/^\s*\/\/.*$/gm, '') || '{}');
    for (const { query, variables, headers } of options.defaultTabs) {
      const token = (jsonOf(headers).Authorization as string | undefined)?.replace('Bearer ', '');
      const { status, body } = await server.gql(query, jsonOf(variables), token);
      expect([query.split('\n')[0], status, body.errors]).toEqual([query.split('\n')[0], 200, undefined]);
    }
    const { body } = await server.gql('{ products { edges { node { availableStock totalStock } } } }');
    // The tab HoldUnit has held one, and AdjustStock has found five more.
    expect(body.data.products.edges[0].node).toEqual({ availableStock: 9, totalStock: 10 });
  });

  test('is no answer for a program', async () => {
    for (const accept of ['application/json', '*/*']) {
      const reply = await server.fetch('/graphql?query={__typename}', {
        headers: { accept, 'apollo-require-preflight': '1' },
      });
      expect(JSON.parse(reply.text)).toEqual({ data: { __typename: 'Query' } });
    }
    const posted = await server.fetch('/graphql', {
      method: 'POST',
      headers: { ...HTML, 'content-type': 'application/json' },
      body: '{"query":"{__typename}"}',
    });
    expect(JSON.parse(posted.text)).toEqual({ data: { __typename: 'Query' } });
  });
});

describe('in production', () => {
  test('there is no playground, unless it is wanted; then it holds no token', async () => {
    const closed = await openServer(production);
    const wanted = await openServer({ ...production, PLAYGROUND: 'on' });
    try {
      const none = await closed.fetch('/graphql', { headers: HTML });
      expect(none.status).toBe(400);
      expect(none.text).not.toMatch(/<html/i);
      expect((await closed.fetch(assetsOf(page.text)[0]!)).status).toBe(404);
      const open = await wanted.fetch('/graphql', { headers: HTML });
      expect(open.status).toBe(200);
      expect(open.text).not.toMatch(/Bearer ey/);
      expect(open.text).toContain('npm run token');
    } finally {
      await closed.close();
      await wanted.close();
    }
  });
});

test('GET / is the storefront, or says how to build it', async () => {
  const reply = await server.fetch('/', { headers: HTML });
  if (reply.status === 503) return expect(reply.text).toContain('npm run build');
  expect([reply.status, reply.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
  expect(reply.text).toMatch(/<title>Drop:/);
});

test('what nobody serves is 404, and says nothing', async () => {
  for (const path of ['/nothing', '/.env', '/graphql/../package.json', '/graphql/x', '/%00', '/%']) {
    const reply = await server.fetch(path);
    expect([400, 404]).toContain(reply.status);
    expect(reply.text).not.toMatch(/node_modules|\bat \S+ \(/);
  }
});

test('livez and readyz say yes', async () => {
  for (const path of ['/livez', '/readyz']) {
    const reply = await server.fetch(path);
    expect([reply.status, JSON.parse(reply.text)]).toEqual([200, { status: 'ok' }]);
  }
});

test('a server that stops says so to whoever is still connected, and answers what it has begun', async () => {
  const stopping = await openServer();
  const product = await stopping.product(2);
  await stopping.hold(product.id);
  const client = new Client({ connectionString: stopping.db.url });
  await client.connect();
  await client.query('BEGIN');
  await client.query('SELECT FROM stock WHERE product_id = $1 FOR UPDATE', [product.id]);
  const begun = stopping.mutate('createHold', { productId: product.id });
  await untilSomebodyWaits(stopping.sql);
  // Half of a question, so that its connection is not idle when the stop begins.
  const { hostname, port } = new URL(stopping.url);
  const socket = connect(Number(port), hostname);
  let heard = '';
  socket.on('data', (data) => (heard += data));
  const ended = new Promise((resolve) => socket.on('close', resolve));
  socket.write('GET /readyz HTTP/1.1\r\nhost: x\r\n');
  await stopping.fetch('/livez');
  const closed = stopping.app.close();
  socket.write('\r\n');
  await ended;
  expect(heard).toMatch(/^HTTP\/1\.1 503 [^]*connection: close[^]*the server is stopping/i);
  await client.query('COMMIT');
  await client.end();
  expect((await begun).object.status).toBe('ACTIVE');
  await closed;
  await expect(stopping.fetch('/livez')).rejects.toThrow();
  await stopping.close();
});
