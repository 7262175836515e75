/** The pages and probes for browsers and balancers: the playground without internet, the first page, health. */
import { connect } from 'node:net';
import { parse } from 'graphql';
import { Client as DatabaseClient } from 'pg';
import { seed } from '../../src/database/seed';
import { ERROR_CODES } from '../../src/domain/refusals';
import { schemaFor } from '../../src/graphql/schema';
import { untilSomebodyWaits } from '../support/database';
import { openServer, paymentMessage, type Client, type Reply, type TestServer } from '../support/server';
import { expire } from '../support/time';

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

const jsonOf = (text: string) => JSON.parse(text.replace(/^\s*\/\/.*$/gm, '') || '{}');

const operationsOf = (query: string) =>
  parse(query).definitions.flatMap((own) =>
    own.kind === 'OperationDefinition' ? [{ operation: own.operation, name: own.name!.value, own }] : [],
  );

const rootFieldsOf = (query: string) =>
  operationsOf(query).flatMap(({ own }) =>
    own.selectionSet.selections.map((field) => (field.kind === 'Field' ? field.name.value : '')),
  );

/** Sends the operation of a tab with the headers of that tab. */
function ask({ headers }: { headers: string }, question: object, to: Client = server) {
  return to.post(JSON.stringify(question), { 'content-type': 'application/json', ...jsonOf(headers) });
}

const assetsOf = (html: string) => [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);

describe('the playground', () => {
  test('the playground page loads nothing from the internet', async () => {
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('cache-control')).toBe('no-store');
    expect(page.text).not.toMatch(/(?:https?:)?\/\/[a-z]/i);
    const assets = assetsOf(page.text);
    expect(assets.length).toBeGreaterThanOrEqual(4);
    for (const asset of assets) expect(asset).toMatch(/^\/graphql\/assets\/[\w.]+$/);
  });

  test('its policy allows neither foreign sources nor inline scripts', () => {
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).toMatch(/default-src 'none'/);
    expect(policy).toMatch(/script-src 'self'(;|$)/);
    expect(policy).toMatch(/worker-src 'self' blob:/);
    expect(policy).toMatch(/frame-ancestors 'none'/);
    expect(policy).not.toMatch(/https?:|\*|unsafe-eval/);
    expect(page.text.match(/<script(?![^>]*(src=|type="application\/json"))/g)).toBeNull();
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('serves its assets as immutable', async () => {
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

  test('has tabs that run unchanged, with a product and with development tokens', async () => {
    for (const { query, variables, headers } of options.defaultTabs) {
      for (const { operation, name } of operationsOf(query)) {
        // Served over WebSocket; the contract's test validates it.
        if (operation === 'subscription') continue;
        const { status, body } = await ask({ headers }, { query, variables: jsonOf(variables), operationName: name });
        expect([name, status, body.errors]).toEqual([name, 200, undefined]);
      }
    }
    const { body } = await server.gql('{ products { edges { node { availableStock totalStock } } } }');
    // The tab HoldUnit has held one, and AdjustStock has found five more.
    expect(body.data.products.edges[0].node).toEqual({ availableStock: 9, totalStock: 10 });
  });

  test('has a tab for every mutation and says where to get a token', () => {
    const used = options.defaultTabs.flatMap(({ query }) => rootFieldsOf(query));
    const mutations = Object.keys(schemaFor({ environment: 'test' }).getMutationType()!.getFields());
    expect(mutations.filter((name) => !used.includes(name))).toEqual([]);
    expect(options.defaultTabs.every(({ headers }) => headers === '' || headers.includes('npm run token'))).toBe(true);
  });

  test('provokes each refusal except BUSY with the example products', async () => {
    const shop = await openServer();
    try {
      await seed(shop.app.database);
      const alice = shop.tokens.alice;
      const held = async (productId: string) => (await shop.hold(productId, {}, alice)).id as string;
      const [sneaker, inEuros] = ['01930000-0000-7000-8000-000000000001', '01930000-0000-7000-8000-000000000005'];
      const paid = await shop.order(await held(sneaker), alice);
      await shop.webhook(paymentMessage('succeeded', paid));
      const provoked = new Map<string, string[]>();
      for (const { query, variables: known, headers } of options.defaultTabs) {
        for (const { name } of operationsOf(query).filter((own) => own.name.startsWith('Refused'))) {
          const holds = { holdId: await held(sneaker), euroHoldId: await held(inEuros) };
          const variables = { ...jsonOf(known), ...holds, orderId: paid.id };
          if (name === 'RefusedHoldExpired') await expire(shop.sql, variables.holdId);
          const { body } = await ask({ headers }, { query, variables, operationName: name }, shop);
          const codes = Object.values<any>(body.data).flatMap((payload) => payload.userErrors ?? []);
          provoked.set(
            name,
            codes.map(({ code }) => code),
          );
        }
      }
      for (const [name, codes] of provoked) expect([name, codes]).toEqual([name, [expect.any(String)]]);
      expect([...provoked.values()].flat().sort()).toEqual(ERROR_CODES.filter((code) => code !== 'BUSY').sort());
      const { body } = await shop.gql(`{ product(id: "${inEuros}") { saleStatus } }`);
      expect(body.data.product.saleStatus).toBe('ON_SALE');
    } finally {
      await shop.close();
    }
  });

  test('is not served to programs', async () => {
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
  test('production serves the playground only when it is switched on, and then without tokens', async () => {
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
      expect(open.text).not.toMatch(/signInAs|simulatePayment/);
    } finally {
      await closed.close();
      await wanted.close();
    }
  });
});

test('GET / serves the storefront or says how to build it', async () => {
  const reply = await server.fetch('/', { headers: HTML });
  if (reply.status === 503) return expect(reply.text).toContain('npm run build');
  expect([reply.status, reply.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
  expect(reply.text).toMatch(/<title>Drop:/);
});

test('an unknown path is answered 404 without details', async () => {
  for (const path of ['/nothing', '/.env', '/graphql/../package.json', '/graphql/x', '/%00', '/%']) {
    const reply = await server.fetch(path);
    expect([400, 404]).toContain(reply.status);
    expect(reply.text).not.toMatch(/node_modules|\bat \S+ \(/);
  }
});

test('/livez and /readyz answer 200', async () => {
  for (const path of ['/livez', '/readyz']) {
    const reply = await server.fetch(path);
    expect([reply.status, JSON.parse(reply.text)]).toEqual([200, { status: 'ok' }]);
  }
});

test('a stopping server answers 503 on open connections and finishes the requests in progress', async () => {
  const stopping = await openServer();
  const product = await stopping.product(2);
  await stopping.hold(product.id);
  const client = new DatabaseClient({ connectionString: stopping.db.url });
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
