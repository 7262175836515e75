/** HTTP before any route: headers, origins, proxies, slow clients, idle sockets, clients that hang up. */
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { clientsOf } from '../../src/admission/clients';
import { projectPath } from '../../src/config';
import { signPayload } from '../../src/webhooks/signature';
import { expectClean } from '../support/invariants';
import { LEAK } from '../support/server';
import { HOLD, openApp, PRODUCTION, type Target } from './open-app';

let target: Target;
beforeAll(async () => {
  target = await openApp({
    PLAYGROUND: 'on',
    HSTS_MAX_AGE_SECONDS: '31536000',
    CORS_ORIGINS: 'https://shop.example',
    KEEP_ALIVE_SECONDS: '15',
  });
});
afterAll(() => target.close());

describe('security headers:', () => {
  const json = { 'content-type': 'application/json' };
  test.each<[string, string, RequestInit, number]>([
    ['an answer of GraphQL', '/graphql', { method: 'POST', headers: json, body: '{"query":"{__typename}"}' }, 200],
    ['a body that cannot be read', '/graphql', { method: 'POST', headers: json, body: '{' }, 400],
    [
      'a token that does not verify',
      '/graphql',
      { method: 'POST', headers: { ...json, authorization: 'x' }, body: '{}' },
      401,
    ],
    ['a body that is too large', '/graphql', { method: 'POST', headers: json, body: 'x'.repeat(300_000) }, 413],
    ['the playground', '/graphql', { headers: { accept: 'text/html' } }, 200],
    ['the storefront, built or not', '/', {}, existsSync(projectPath('dist', 'web', 'index.html')) ? 200 : 503],
    ['a webhook without a signature', '/webhooks/payments', { method: 'POST', headers: json, body: '{}' }, 401],
    ['health', '/livez', {}, 200],
    ['readiness', '/readyz', {}, 200],
    ['a path that nobody knows', '/etc/passwd', {}, 404],
    ['a method that nobody knows', '/livez', { method: 'DELETE' }, 404],
  ])('%s', async (_name, path, init, status) => {
    const { headers, status: answered } = await fetch(`${target.url}${path}`, init);
    expect(answered).toBe(status);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('strict-transport-security')).toBe('max-age=31536000');
    expect(headers.get('server')).toBeNull();
    expect(headers.get('x-powered-by')).toBeNull();
  });

  test('the policy of the playground allows its scripts', async () => {
    const { headers } = await fetch(`${target.url}/graphql`, { headers: { accept: 'text/html' } });
    expect(headers.get('content-security-policy')).toContain("script-src 'self'");
  });
});

describe('a page of another origin', () => {
  const preflight = (url: string, origin: string) =>
    fetch(`${url}/graphql`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,authorization,x-queue-token',
      },
    });

  test('may call with a token, but not with cookies, when it is listed', async () => {
    const { headers, status } = await preflight(target.url, 'https://shop.example');
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-origin')).toBe('https://shop.example');
    expect(headers.get('access-control-allow-headers')).toMatch(/authorization.*x-queue-token/);
    expect(headers.get('access-control-allow-credentials')).toBeNull();
    expect(headers.get('vary')?.toLowerCase()).toContain('origin');
    const answer = await target.ask('{ __typename }', undefined, { headers: { origin: 'https://shop.example' } });
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://shop.example');
    expect(answer.headers.get('access-control-expose-headers')).toContain('retry-after');
  });

  test.each(['https://evil.example', 'https://shop.example.evil.example', 'http://shop.example', 'null'])(
    'that is not may not: %s',
    async (origin) => {
      const { headers } = await preflight(target.url, origin);
      expect(headers.get('access-control-allow-origin')).toBeNull();
      const answer = await target.ask('{ __typename }', undefined, { headers: { origin } });
      expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    },
  );

  test('may not call when no origin is listed', async () => {
    const own = await openApp();
    try {
      const { headers, status } = await preflight(own.url, 'https://shop.example');
      expect(status).toBe(404);
      expect(headers.get('access-control-allow-origin')).toBeNull();
    } finally {
      await own.close();
    }
  });
});

describe('the address of a client', () => {
  let doubts: string[];
  let logged: string[];
  beforeEach(() => {
    doubts = [];
    logged = [];
  });
  const telemetry = () => ({
    metrics: { clientDoubt: (reason: string) => void doubts.push(reason) },
    log: {
      warn: (details: { reason: string }, text: string) => void logged.push(`${details.reason}: ${text}`),
    } as never,
  });
  const clientBehind = (
    trustedProxies: readonly string[] | number,
    peer: string,
    headers: Readonly<Record<string, string>>,
  ) => clientsOf({ trustedProxies }, telemetry())({ socket: { remoteAddress: peer }, headers } as never);
  const addressOf = (trustedProxies: readonly string[] | number, peer: string, forwarded?: string) =>
    clientBehind(trustedProxies, peer, forwarded === undefined ? {} : { 'x-forwarded-for': forwarded });

  test.each<[string, readonly string[] | number, string, string | undefined, string]>([
    ['is its own', [], '203.0.113.7', undefined, '203.0.113.7'],
    ['is never what it says itself', [], '203.0.113.7', '10.0.0.1', '203.0.113.7'],
    ['is what a trusted proxy says', ['10.0.0.0/8'], '10.0.0.1', '203.0.113.7', '203.0.113.7'],
    ['is not what an untrusted one says', ['10.0.0.0/8'], '203.0.113.9', '10.0.0.5', '203.0.113.9'],
    ['is not what was written before', ['10.0.0.0/8'], '10.0.0.1', '1.1.1.1, 203.0.113.7', '203.0.113.7'],
    ['is found behind several proxies', ['10.0.0.0/8'], '10.0.0.1', '203.0.113.7, 10.0.0.2, 10.0.0.3', '203.0.113.7'],
    ['is as many hops away as is said', 1, '10.0.0.1', '1.1.1.1, 203.0.113.7', '203.0.113.7'],
    ['is two hops away', 2, '10.0.0.1', '1.1.1.1, 203.0.113.7', '1.1.1.1'],
    ['is what the proxy says in its place', 1, '10.0.0.1', 'hello', '10.0.0.1 hello'],
    ['stays the proxy’s when it says nothing', 1, '10.0.0.1', '', '10.0.0.1'],
    ['is IPv4 where it was mapped', [], '::ffff:203.0.113.7', undefined, '203.0.113.7'],
    ['is the network of an IPv6 one', [], '2001:db8::1', undefined, '2001:db8:0:0::/64'],
    ['is the network of a long IPv6 one', [], '2001:db8:1:2:3:4:5:6', undefined, '2001:db8:1:2::/64'],
    ['may be unknown', [], undefined as never, undefined, ''],
  ])('%s', (_name, proxies, peer, forwarded, address) => {
    expect(addressOf(proxies, peer, forwarded).address).toBe(address);
  });

  test('counts as this machine only for loopback connections', () => {
    expect(addressOf([], '127.0.0.1').isLoopback).toBe(true);
    expect(addressOf([], '::1').isLoopback).toBe(true);
    expect(addressOf([], '::ffff:127.0.0.1').isLoopback).toBe(true);
    expect(addressOf([], '203.0.113.7', '127.0.0.1').isLoopback).toBe(false);
    expect(addressOf(1, '127.0.0.1', '203.0.113.7').isLoopback).toBe(false);
  });

  describe('is read from every form that proxies write', () => {
    test.each([
      ['Azure Application Gateway, AWS with ports', '203.0.113.7:5678', '203.0.113.7'],
      ['IPv6 with a port', '[2001:db8:1:2::3]:5678', '2001:db8:1:2::/64'],
      ['IPv4 in brackets with a port', '[203.0.113.7]:5678', '203.0.113.7'],
      ['IPv6 in brackets', '[2001:db8:1:2::3]', '2001:db8:1:2::/64'],
      ['IPv6 in capitals', '2001:DB8:1:2:0:0:0:3', '2001:db8:1:2::/64'],
      ['IPv6 with a zone', 'fe80::1%eth0', 'fe80:0:0:0::/64'],
      ['IPv6 with a zone, brackets and a port', '[fe80::1%25eth0]:443', 'fe80:0:0:0::/64'],
      ['quotes', '"203.0.113.7"', '203.0.113.7'],
      ['quotes, brackets and a port', '"[2001:db8:1:2::3]:5678"', '2001:db8:1:2::/64'],
      ['IPv4 in IPv6', '::ffff:203.0.113.7', '203.0.113.7'],
      ['IPv4 in IPv6, in hexadecimal', '::ffff:cb00:7107', '203.0.113.7'],
      ['IPv4 in IPv6, with a port', '[::ffff:cb00:7107]:5678', '203.0.113.7'],
      ['IPv4 behind a NAT64', '64:ff9b::cb00:7107', '203.0.113.7'],
      ['empty elements', ' , 203.0.113.7 , ,', '203.0.113.7'],
      ['tabs', '1.1.1.1,\t203.0.113.7\t', '203.0.113.7'],
      ['a proxy with a port behind it', '203.0.113.7, 10.0.0.2:443', '203.0.113.7'],
    ])('%s: %s', (_name, header, address) => {
      expect(addressOf(['10.0.0.0/8'], '10.0.0.1', header).address).toBe(address);
      expect(doubts).toEqual([]);
    });

    test.each([
      ['for=203.0.113.7', '203.0.113.7'],
      ['For="203.0.113.7:4711"', '203.0.113.7'],
      ['For="[2001:db8:cafe::17]:4711"', '2001:db8:cafe:0::/64'],
      ['proto=https;for=203.0.113.7;by=10.0.0.1', '203.0.113.7'],
      ['for=1.1.1.1, for=203.0.113.7;proto=http', '203.0.113.7'],
      ['for=203.0.113.7, for="10.0.0.2:80";by=_lb', '203.0.113.7'],
      ['host="a;for=1.1.1.1";for=203.0.113.7', '203.0.113.7'],
      ['host="a\\", for=1.1.1.1";for=203.0.113.7', '203.0.113.7'],
      // A client's unclosed quote does not swallow the element that the proxy appended.
      ['for="1.1.1.1, for=203.0.113.7', '203.0.113.7'],
      ['for="\\, for=203.0.113.7;host="shop.example"', '203.0.113.7'],
    ])('Forwarded of RFC 7239: %s', (forwarded, address) => {
      expect(clientBehind(['10.0.0.0/8'], '10.0.0.1', { forwarded }).address).toBe(address);
      expect(doubts).toEqual([]);
    });

    test('both headers when they agree', () => {
      const headers = { 'x-forwarded-for': '1.1.1.1, 203.0.113.7', forwarded: 'for="203.0.113.7:80"' };
      expect(clientBehind(1, '10.0.0.1', headers).address).toBe('203.0.113.7');
      expect(doubts).toEqual([]);
    });
  });

  describe('is counted apart and logged as doubtful when no proxy names it', () => {
    test.each([
      ['unknown', '10.0.0.1 unknown'],
      ['_hidden', '10.0.0.1 _hidden'],
      ['_SEVKISEK', '10.0.0.1 _SEVKISEK'],
      ['999.9.9.9', '10.0.0.1 999.9.9.9'],
      ['unknown:5678', '10.0.0.1 unknown'],
      ['_hidden:_port', '10.0.0.1 _hidden'],
      ['1.2.3', '10.0.0.1 1.2.3'],
      ['[2001:db8::1', '10.0.0.1 [2001:db8::1'],
      ['x'.repeat(500), `10.0.0.1 ${'x'.repeat(64)}`],
    ])('X-Forwarded-For: %s', (text, address) => {
      expect(addressOf(1, '10.0.0.1', `203.0.113.9, ${text}`).address).toBe(address);
      expect(doubts).toEqual(['UNREADABLE']);
      expect(addressOf(1, '10.0.0.1', '203.0.113.7').address).toBe('203.0.113.7');
    });

    test.each(['for=unknown', 'for="_gazonk"', 'proto=https', 'for'])('Forwarded: %s', (forwarded) => {
      expect(clientBehind(1, '10.0.0.1', { forwarded }).address).toMatch(/^10\.0\.0\.1 /);
      expect(doubts).toEqual(['UNREADABLE']);
    });

    test.each([
      ['127.0.0.1', { 'x-forwarded-for': 'unknown' }],
      ['127.0.0.1', { 'x-forwarded-for': '203.0.113.7', forwarded: 'for=127.0.0.1' }],
      ['10.0.0.1', { 'x-forwarded-for': '127.0.0.1' }],
      ['10.0.0.1', { forwarded: 'for="[::1]"' }],
    ])('is never taken for this machine: from %s with %j', (peer, headers) => {
      expect(clientBehind(1, peer, headers as Record<string, string>).isLoopback).toBe(false);
    });

    test('shares its limits with similar clients when its two headers disagree, so that neither header lifts them', () => {
      const ask = (one: string, other: string) =>
        clientBehind(1, '10.0.0.1', { 'x-forwarded-for': one, forwarded: `for=${other}` }).address;
      expect(ask('1.1.1.1', '203.0.113.7')).toBe(ask('203.0.113.7', '2.2.2.2'));
      expect(ask('1.1.1.1', '203.0.113.7')).toBe('10.0.0.1 two headers');
      expect(new Set(doubts)).toEqual(new Set(['TWO_HEADERS']));
    });
  });

  describe('is reported when many clients share it', () => {
    test.each<[string, readonly string[] | number, Readonly<Record<string, string>>, string]>([
      ['TRUSTED_PROXIES is unset', [], { 'x-forwarded-for': '203.0.113.7' }, 'UNNAMED_PROXY'],
      ['TRUSTED_PROXIES is unset, for Forwarded', [], { forwarded: 'for=203.0.113.7' }, 'UNNAMED_PROXY'],
      ['TRUSTED_PROXIES names another', ['192.0.2.1'], { 'x-forwarded-for': '203.0.113.7' }, 'UNNAMED_PROXY'],
      ['a named proxy writes nothing', ['10.0.0.1'], {}, 'NO_HEADER'],
      ['a named proxy writes an empty header', 1, { 'x-forwarded-for': ' ' }, 'NO_HEADER'],
    ])('because %s', (_name, proxies, headers, reason) => {
      expect(clientBehind(proxies, '10.0.0.1', headers).address).toBe('10.0.0.1');
      expect(doubts).toEqual([reason]);
      expect(logged).toEqual([expect.stringContaining(reason)]);
      expect(logged[0]).toMatch(/TRUSTED_PROXIES/);
    });

    test('because a proxy behind the named one is not named', () => {
      const clientOf = clientsOf({ trustedProxies: ['10.0.0.1'] }, telemetry());
      const ask = (forwarded: string) =>
        clientOf({ socket: { remoteAddress: '10.0.0.1' }, headers: { 'x-forwarded-for': forwarded } } as never);
      for (let n = 1; n <= 9; n++) ask(`203.0.113.${n}, 198.51.100.1`);
      for (let n = 0; n < 50; n++) ask(`203.0.113.${n % 9}, 198.51.100.2`);
      expect(doubts).toEqual([]);
      expect(ask('203.0.113.10, 198.51.100.1').address).toBe('198.51.100.1');
      expect(doubts).toEqual(['RELAY']);
    });

    test('is logged once a minute for each reason, while every request is counted', () => {
      const clientOf = clientsOf({ trustedProxies: 1 }, telemetry());
      const now = jest.spyOn(performance, 'now');
      try {
        for (const [atMs, forwarded] of [
          ...[[0, 'unknown'] as const, [1, 'unknown'] as const, [2, ''] as const, [59_999, 'unknown'] as const],
          [60_001, 'unknown'] as const,
        ]) {
          now.mockReturnValue(atMs);
          clientOf({ socket: { remoteAddress: '10.0.0.1' }, headers: { 'x-forwarded-for': forwarded } } as never);
        }
      } finally {
        now.mockRestore();
      }
      expect(doubts).toHaveLength(5);
      expect(logged.map((line) => line.split(':')[0])).toEqual(['UNREADABLE', 'NO_HEADER', 'UNREADABLE']);
    });
  });

  test.each([
    ['X-Forwarded-For', (junk: string) => ({ 'x-forwarded-for': `${junk}, 203.0.113.7` })],
    ['Forwarded', (junk: string) => ({ forwarded: `${junk}, for=203.0.113.7` })],
  ])('costs no more for 16 kB of junk in %s', (_name, headersOf) => {
    const junks = [',', '"', '\\', ' ', 'for=', 'a=";', '\\"', '[', ':'].map((part) =>
      part.repeat(16_000 / part.length),
    );
    const before = process.cpuUsage();
    for (const junk of junks) {
      for (let n = 0; n < 20; n++) {
        expect(clientBehind(1, '10.0.0.1', headersOf(junk)).address).toBe('203.0.113.7');
        clientBehind(1, '10.0.0.1', { forwarded: junk, 'x-forwarded-for': junk });
      }
    }
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1_000).toBeLessThan(2_000);
  });

  test('is read from several lines of one header', async () => {
    const own = await openApp({ TRUSTED_PROXIES: '1', RATE_LIMIT: 'browse=-/2,loopback=on', PLAYGROUND: 'off' });
    try {
      const ask = async (lines: string[]) => {
        const socket = connect(Number(new URL(own.url).port), '127.0.0.1');
        const body = '{"query":"{ __typename }"}';
        socket.write(
          ['POST /graphql HTTP/1.1', 'Host: x', 'Content-Type: application/json', 'Connection: close', ...lines]
            .concat(`Content-Length: ${body.length}`, '', body)
            .join('\r\n'),
        );
        let text = '';
        socket.on('data', (chunk) => (text += String(chunk)));
        await once(socket, 'close');
        return Number(text.split(' ')[1]);
      };
      const xff = (...values: string[]) => values.map((value) => `X-Forwarded-For: ${value}`);
      const statuses = [];
      for (let n = 0; n < 3; n++) statuses.push(await ask(xff(`192.0.2.${n}`, '203.0.113.7:1234')));
      statuses.push(await ask(xff('203.0.113.7', '203.0.113.8')));
      for (let n = 0; n < 3; n++)
        statuses.push(await ask([`Forwarded: for=192.0.2.${n}`, 'Forwarded: for="203.0.113.9:1"']));
      expect(statuses).toEqual([200, 200, 429, 200, 200, 200, 429]);
    } finally {
      await own.close();
    }
  });
});

describe('a socket', () => {
  const open = async (url: string): Promise<Socket> => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };
  const answerOf = async (socket: Socket): Promise<string> => {
    let text = '';
    socket.on('data', (chunk) => (text += String(chunk)));
    await once(socket, 'close');
    return text;
  };

  test('a slow or silent socket is closed within 20 s', async () => {
    const post = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"q`;
    const headers = 'POST /graphql HTTP/1.1\r\nHost: x\r\nX-A';
    const sent = [headers, post('/graphql'), post('/webhooks/payments')];
    const answered = 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n';
    const startedAt = performance.now();
    const send = async (bytes: string, goOn: (socket: Socket) => void = () => undefined) => {
      const socket = await open(target.url);
      socket.write(bytes);
      const everySecond = setInterval(() => goOn(socket), 1_000);
      const answer = await answerOf(socket);
      clearInterval(everySecond);
      return answer;
    };
    const drip = (socket: Socket) => void (socket.writable && socket.write('x'));
    const [served, ...late] = await Promise.all([
      send(answered),
      send(''),
      ...sent.map((bytes) => send(bytes)),
      // A byte a second is no sign of life.
      ...sent.map((bytes) => send(bytes, drip)),
    ]);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect(served).toMatch(/^HTTP\/1.1 200/);
    expect(late).toHaveLength(7);
    for (const answer of late) expect(answer).toMatch(/^HTTP\/1.1 408/);
    expect([served, ...late].join()).not.toMatch(LEAK);
  });

  test('two thousand silent sockets keep no shopper waiting', async () => {
    const productId = await target.product(3);
    const sockets: Socket[] = [];
    try {
      // No more at once than may wait to be taken.
      while (sockets.length < 2_000)
        sockets.push(...(await Promise.all(Array.from({ length: 200 }, () => open(target.url)))));
      const tookMs = [];
      for (let i = 0; i < 3; i++) {
        const askedAt = performance.now();
        expect((await target.ask(HOLD, { input: { productId } })).data.createHold.hold.status).toBe('ACTIVE');
        tookMs.push(performance.now() - askedAt);
      }
      expect(Math.min(...tookMs)).toBeLessThan(1_000);
      expect(sockets.filter(({ readyState }) => readyState === 'open')).toHaveLength(2_000);
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });

  test('a socket beyond MAX_CONNECTIONS is closed at once, and the others are served', async () => {
    const own = await openApp({ MAX_CONNECTIONS: '20' });
    try {
      const sockets = await Promise.all(Array.from({ length: 20 }, () => open(own.url)));
      const extra = await open(own.url);
      await once(extra, 'close');
      sockets[0]!.write('GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      expect(await answerOf(sockets[0]!)).toMatch(/^HTTP\/1.1 200/);
      for (const socket of sockets) socket.destroy();
    } finally {
      await own.close();
    }
  });

  test.each([
    ['a header of 100 kB', `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(100_000)}\r\n\r\n`, 431],
    ['no HTTP at all', 'hello\r\n\r\n', 400],
    ['two lengths', 'POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello', 400],
    [
      'a length and chunks',
      'POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
  ])('a socket that sends %s is answered without details about the server', async (_name, sent, status) => {
    const socket = await open(target.url);
    socket.write(sent);
    socket.end();
    const text = await answerOf(socket);
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status}`));
    expect(text.toLowerCase()).toContain('x-content-type-options: nosniff');
    expect(text).not.toMatch(LEAK);
  });

  test('a client that hangs up after sending has one hold, which its key finds', async () => {
    const productId = await target.product(100);
    const bodies = Array.from({ length: 50 }, (_, i) =>
      JSON.stringify({ query: HOLD, variables: { input: { productId, idempotencyKey: `key-${i}` } } }),
    );
    await Promise.all(
      bodies.map(async (body) => {
        const socket = await open(target.url);
        const headers = `Host: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
        await new Promise<void>((resolve) =>
          socket.write(`POST /graphql HTTP/1.1\r\n${headers}\r\n\r\n${body}`, () => resolve()),
        );
        socket.destroy();
      }),
    );
    await sleep(200);
    const answers = await Promise.all(bodies.map((body) => target.ask(JSON.parse(body))));
    const ids = answers.map((answer) => answer.data.createHold.hold.id as string);
    expect(new Set(ids).size).toBe(50);
    const [row] = await target.db.sql<{ n: number }>('SELECT count(*)::int AS n FROM holds WHERE product_id = $1', [
      productId,
    ]);
    expect(row!.n).toBe(50);
    await expectClean(target.db);
  });
});

test('bad webhook signatures of one address are limited, good ones never', async () => {
  const own = await openApp({ ...PRODUCTION, RATE_LIMIT: 'webhook=-/3,loopback=on' });
  try {
    const body = JSON.stringify({ event_id: 'evt_1', type: 'customer.created', data: {} });
    const timestamp = Math.floor(Date.now() / 1_000);
    const send = (secret: string) =>
      fetch(`${own.url}/webhooks/payments`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': 'evt_1',
          'webhook-timestamp': String(timestamp),
          'webhook-signature': signPayload({ id: 'evt_1', timestamp, body, secret }),
        },
        body,
      });
    const wrong = `whsec_${Buffer.alloc(24, 8).toString('base64')}`;
    const seen: number[] = [];
    for (let i = 0; i < 5; i++) seen.push((await send(wrong)).status);
    expect(seen).toEqual([401, 401, 401, 429, 429]);
    expect((await send(wrong)).headers.get('retry-after')).toMatch(/^\d+$/);
    for (let i = 0; i < 20; i++) expect((await send(PRODUCTION.WEBHOOK_SECRETS)).status).toBe(200);
  } finally {
    await own.close();
  }
});
