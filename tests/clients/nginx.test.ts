/** The server behind nginx with docs/deploy/nginx.conf: TLS, HTTP/2, WebSocket, kept connections, clients' addresses. */
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, type ClientHttp2Session } from 'node:http2';
import { Agent, request } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { projectPath } from '../../src/config';
import { findFreePort } from '../../src/tools/load/ports';
import { paymentMessage, signedWebhook } from '../support/server';
import { openClientShop, type ClientShop } from './shop';

const run = promisify(execFile);
/** Debian does not put it into the PATH of all users. */
const NGINX = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/opt/homebrew/bin/nginx'].find((path) => existsSync(path));
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
const hasCurl = spawnSync('curl', ['--version']).stdout?.includes('HTTP2') ?? false;
const START_WITHIN_MS = 10_000;

if (!NGINX || !hasOpenssl)
  process.stderr.write('nginx or openssl is not installed, so no proxy is tested: apt-get install nginx openssl\n');
if (!hasCurl) process.stderr.write('curl with HTTP/2 is not installed, so it is not tested: apt-get install curl\n');

const HOLD =
  'mutation($id: ID!) { createHold(input: { productId: $id }) { hold { id total { amountMinor currency } } } }';
const ORDER =
  'mutation($id: ID!) { createOrder(input: { holdIds: [$id] }) { order { id total { amountMinor currency } } } }';
const STATUS = 'query($id: ID!) { order(id: $id) { status } }';
const WATCH = 'subscription($id: ID!) { stockChanged(productIds: [$id]) { availableStock } }';

interface Proxy {
  readonly url: string;
  readonly certificate: Buffer;
  stop(): Promise<void>;
}

/** Runs docs/deploy/nginx.conf, with ports and files of this machine in place of the example’s. */
async function startNginx(serverUrl: string): Promise<Proxy> {
  const directory = await mkdtemp(join(tmpdir(), 'flashsale-nginx-'));
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', certificate],
  ]);
  const port = await findFreePort();
  const example = await readFile(projectPath('docs', 'deploy', 'nginx.conf'), 'utf8');
  const changes: [string, string][] = [
    ['server 127.0.0.1:4000;', `server ${new URL(serverUrl).host};`],
    ['listen 443 ', `listen 127.0.0.1:${port} `],
    ['/etc/ssl/flashsale/tls.crt', certificate],
    ['/etc/ssl/flashsale/tls.key', key],
  ];
  const own = changes.reduce((config, [from, to]) => {
    expect(config).toContain(from);
    return config.replace(from, to);
  }, example);
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(directory, name)};`,
  );
  const file = join(directory, 'nginx.conf');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  await writeFile(
    file,
    `daemon off; worker_processes 1; pid ${join(directory, 'pid')}; error_log stderr warn; ${user}
     events {}
     http { access_log off; ${folders.join(' ')}\n${own} }`,
  );
  const child = spawn(NGINX!, ['-c', file, '-p', directory], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => (said += chunk));
  const ended = once(child, 'close');
  await untilItListens(port, child, () => said);
  return {
    url: `https://127.0.0.1:${port}`,
    certificate: await readFile(certificate),
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function untilItListens(port: number, child: ChildProcess, said: () => string): Promise<void> {
  const end = performance.now() + START_WITHIN_MS;
  for (;;) {
    const socket = connectTcp(port, '127.0.0.1');
    const isOpen = await new Promise((resolve) =>
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false)),
    );
    socket.destroy();
    if (isOpen) return;
    if (child.exitCode !== null || performance.now() > end) throw new Error(`nginx does not serve: ${said()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** One connection of HTTP/2, and any number of questions on it. */
function overHttp2(session: ClientHttp2Session, token?: string) {
  return async (path: string, body: string, headers: Record<string, string> = {}) => {
    const stream = session.request({
      ...{ ':method': 'POST', ':path': path, 'content-type': 'application/json' },
      ...(token && { authorization: `Bearer ${token}` }),
      ...headers,
    });
    const answered = once(stream, 'response') as Promise<[Record<string, unknown>]>;
    stream.end(body);
    const [[answer], answerText] = await Promise.all([answered, text(stream)]);
    return { status: answer[':status'], body: JSON.parse(answerText) as any };
  };
}

(NGINX && hasOpenssl ? describe : describe.skip)('behind nginx', () => {
  let shop: ClientShop;
  let proxy: Proxy;
  beforeAll(async () => {
    shop = await openClientShop({
      TRUSTED_PROXIES: '127.0.0.1',
      RATE_LIMIT: 'hold=-/5,loopback=on',
    });
    proxy = await startNginx(shop.server.url);
  });
  afterAll(async () => {
    await proxy?.stop();
    await shop.close();
  });

  /** The sockets on which the server, in this process, receives requests during `work`. */
  const socketsDuring = async (work: () => Promise<unknown>): Promise<Set<Socket>> => {
    const sockets = new Set<Socket>();
    const note = (message: unknown) => void sockets.add((message as { socket: Socket }).socket);
    subscribe('http.server.request.start', note);
    try {
      await work();
    } finally {
      unsubscribe('http.server.request.start', note);
    }
    return sockets;
  };

  test('a shopper buys over HTTP/2, with live stock over WebSocket, and the provider reports through it', async () => {
    const { alice } = shop.server.tokens;
    const { id } = await shop.product();
    class Trusting extends WebSocket {
      constructor(url: string, protocol: string) {
        super(url, protocol, { ca: proxy.certificate });
      }
    }
    const socket = createClient({
      url: `${proxy.url.replace('https', 'wss')}/graphql`,
      webSocketImpl: Trusting,
      retryAttempts: 0,
      connectionParams: { authorization: `Bearer ${alice}` },
    });
    const session = connect(proxy.url, { ca: proxy.certificate });
    try {
      const levels = socket.iterate<{ stockChanged: { availableStock: number } }>({
        query: WATCH,
        variables: { id },
      });
      const nextLevel = async () => (await levels.next()).value.data.stockChanged.availableStock as number;
      expect(await nextLevel()).toBe(5);
      const ask = overHttp2(session, alice);
      const graphql = async (query: string, variables: object) => {
        const { status, body } = await ask('/graphql', JSON.stringify({ query, variables }));
        expect([status, body.errors]).toEqual([200, undefined]);
        return body.data;
      };
      const { createHold } = await graphql(HOLD, { id });
      expect(await nextLevel()).toBe(4);
      const { createOrder } = await graphql(ORDER, { id: createHold.hold.id });
      const { body, headers } = signedWebhook(paymentMessage('succeeded', createOrder.order));
      const paid = await overHttp2(session)('/webhooks/payments', String(body), headers);
      expect(paid).toMatchObject({ status: 200, body: { outcome: 'APPLIED' } });
      expect(await graphql(STATUS, { id: createOrder.order.id })).toEqual({ order: { status: 'PAID' } });
      const bySocket = await socket.iterate({ query: STATUS, variables: { id: createOrder.order.id } }).next();
      expect(bySocket.value).toEqual({ data: { order: { status: 'PAID' } } });
    } finally {
      session.close();
      await socket.dispose();
    }
  });

  test('connections stay open on both sides, with requests in sequence and in parallel', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: proxy.certificate });
    const ask = () =>
      new Promise<boolean>((resolve, reject) => {
        const asking = request(
          `${proxy.url}/graphql`,
          { method: 'POST', agent, headers: { 'content-type': 'application/json' } },
          (answer) =>
            void text(answer).then((body) => resolve(body.includes('serverTime') && asking.reusedSocket), reject),
        );
        asking.on('error', reject).end('{"query":"{ serverTime }"}');
      });
    try {
      const reused: boolean[] = [];
      const one = await socketsDuring(async () => {
        for (let n = 0; n < 50; n++) reused.push(await ask());
      });
      expect(reused.filter(Boolean)).toHaveLength(49);
      expect(one.size).toBeLessThanOrEqual(2);
      const session = connect(proxy.url, { ca: proxy.certificate });
      const many = await socketsDuring(async () => {
        for (let round = 0; round < 5; round++) {
          const answers = await Promise.all(
            Array.from({ length: 20 }, () => overHttp2(session)('/graphql', '{"query":"{ serverTime }"}')),
          );
          for (const { status } of answers) expect(status).toBe(200);
        }
      });
      session.close();
      // 100 requests, 20 at a time: more than 20 connections were opened for nothing.
      expect(many.size).toBeLessThanOrEqual(20);
    } finally {
      agent.destroy();
    }
  });

  // Other systems have only one loopback address.
  (process.platform === 'linux' ? test : test.skip)(
    'each client is limited by its own address and not by a forged X-Forwarded-For',
    async () => {
      const { id } = await shop.product();
      const holdFrom = (localAddress: string, forwarded: string) =>
        new Promise<any>((resolve, reject) => {
          const headers = { 'content-type': 'application/json', 'x-forwarded-for': forwarded };
          const asking = request(
            `${proxy.url}/graphql`,
            { method: 'POST', ca: proxy.certificate, agent: false, localAddress, headers },
            (answer) => void text(answer).then((body) => resolve(JSON.parse(body)), reject),
          );
          asking.on('error', reject).end(JSON.stringify({ query: HOLD, variables: { id } }));
        });
      const codes = async (address: string) => {
        const found = [];
        for (let n = 0; n < 6; n++) {
          const { errors } = await holdFrom(address, `203.0.113.${n}`);
          found.push(errors?.[0].extensions.code);
        }
        return found;
      };
      const limited = [...Array(5).fill(undefined), 'RATE_LIMITED'];
      expect(await codes('127.0.0.2')).toEqual(limited);
      expect(await codes('127.0.0.3')).toEqual(limited);
    },
  );

  test('a bad token is 401 in the requested media type, and an unpublished path is 404', async () => {
    const session = connect(proxy.url, { ca: proxy.certificate });
    try {
      const accept = 'application/graphql-response+json,application/json;q=0.9';
      const refused = await overHttp2(session, 'nonsense')('/graphql', '{"query":"{ serverTime }"}', { accept });
      expect(refused).toMatchObject({ status: 401, body: { errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] } });
      const metrics = session.request({ ':path': '/metrics' });
      const [[answer]] = await Promise.all([once(metrics, 'response'), text(metrics)]);
      expect(answer[':status']).toBe(404);
    } finally {
      session.close();
    }
  });

  (hasCurl ? test : test.skip)('curl speaks HTTP/2 with it', async () => {
    const certificate = join(await mkdtemp(join(tmpdir(), 'flashsale-curl-')), 'certificate.pem');
    await writeFile(certificate, proxy.certificate);
    const { stdout } = await run('curl', [
      ...['-sS', '--cacert', certificate, '-w', '\n%{http_version} %{http_code}'],
      ...['-H', 'content-type: application/json', '--data', '{"query":"{ serverTime }"}', `${proxy.url}/graphql`],
    ]);
    await rm(join(certificate, '..'), { recursive: true });
    expect(stdout).toMatch(/^\{"data":\{"serverTime":"[^"]+"\}\}\s+2 200$/);
  });
});
