/** A real browser decides what pages of other origins may send here: preflights, and queries by GET that need none. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { inBrowser, openBrowser, type Visitors } from '../support/browser';
import { openServer, type TestServer } from '../support/server';

const HEADERS = {
  'content-type': 'application/json',
  'apollographql-client-name': 'storefront',
  'apollographql-client-version': '1.0.0',
  'sentry-trace': '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1',
  baggage: 'sentry-environment=production',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'vendor=1',
  'x-request-id': '1',
  'idempotency-key': '1',
  'x-tenant': 'shop',
};
const HOLD = 'mutation { createHold(input: { productId: "x" }) { userErrors { code } } }';
const URQL_ACCEPT =
  'application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed';

inBrowser('in a browser', () => {
  let visitors: Visitors;
  let server: TestServer;
  const pages: Server[] = [];
  const origins: string[] = [];
  beforeAll(async () => {
    for (const _ of ['listed', 'not listed']) {
      const page = createServer((_request, response) =>
        response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><link rel="icon" href="data:,">'),
      );
      await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
      pages.push(page);
      origins.push(`http://127.0.0.1:${(page.address() as AddressInfo).port}`);
    }
    server = await openServer({ CORS_ORIGINS: origins[0], CORS_HEADERS: 'x-tenant', PLAYGROUND: 'off' });
    visitors = await openBrowser();
  });
  afterEach(() => visitors.leave());
  afterAll(async () => {
    await visitors?.close();
    await server.close();
    for (const page of pages) {
      page.closeAllConnections();
      page.close();
    }
  });

  const open = async (origin: string): Promise<Page> => {
    const page = await visitors.openUnwatched();
    await page.goto(origin);
    return page;
  };
  const fetchIn = (page: Page, path: string, init: object): Promise<{ status: number; text: string } | string> =>
    page.evaluate(
      `fetch(${JSON.stringify(server.url + path)}, ${JSON.stringify(init)}).then(
        async (answer) => ({ status: answer.status, text: await answer.text() }), String)`,
    );
  const byGet = `/graphql?query=${encodeURIComponent('{ serverTime }')}`;

  test('a page of a listed origin may send the headers of clients, of tracing and of CORS_HEADERS, and queries by GET', async () => {
    const page = await open(origins[0]!);
    const authorization = `Bearer ${server.tokens.alice}`;
    const post = { method: 'POST', headers: { ...HEADERS, authorization }, body: JSON.stringify({ query: HOLD }) };
    // An Idempotency-Key is for mutations only.
    expect(await fetchIn(page, '/graphql', post)).toEqual({
      status: 200,
      text: expect.stringContaining('PRODUCT_NOT_FOUND'),
    });
    for (const answer of [
      await fetchIn(page, byGet, { headers: { accept: URQL_ACCEPT } }),
      await fetchIn(page, byGet, { headers: { accept: URQL_ACCEPT, authorization } }),
    ]) {
      expect(answer).toEqual({ status: 200, text: expect.stringContaining('serverTime') });
    }
  });

  test('a page of an origin that is not listed executes nothing', async () => {
    const page = await open(origins[1]!);
    // A browser hides blocked answers from the page, so the test counts the answers of the server.
    const answers: [method: string, status: number][] = [];
    const note = (message: unknown) => {
      const { request, response } = message as { request: IncomingMessage; response: ServerResponse };
      if (request.url?.startsWith('/graphql')) answers.push([request.method!, response.statusCode]);
    };
    subscribe('http.server.response.finish', note);
    await fetchIn(page, '/graphql', { method: 'POST', headers: HEADERS, body: '{"query":"{ serverTime }"}' });
    await fetchIn(page, byGet, { headers: { accept: URQL_ACCEPT } });
    await fetchIn(page, byGet, { mode: 'no-cors', headers: { accept: 'application/json' } });
    await page.evaluate(
      `new Promise((done) => { const image = new Image(); image.onerror = done; image.src = ${JSON.stringify(server.url + byGet)}; })`,
    );
    unsubscribe('http.server.response.finish', note);
    // The preflight names no origin that may go on, so the browser sends no POST.
    expect(answers).toEqual([
      ['OPTIONS', 204],
      ['GET', 400],
      ['GET', 400],
      ['GET', 400],
    ]);
  });
});
