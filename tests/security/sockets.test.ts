/** P17 on raw sockets: upgrades, pipelining, clients that do not read, stops. No resource leaks, and other clients are not affected. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { WebSocket } from 'ws';
import { openApp, type Target } from './open-app';

let target: Target;
beforeAll(async () => {
  target = await openApp({ KEEP_ALIVE_SECONDS: '72' });
});
afterAll(() => target.close());

const opened: Socket[] = [];
afterEach(() => opened.splice(0).forEach((socket) => socket.destroy()));

async function open({ url }: { url: string }): Promise<Socket> {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  opened.push(socket);
  await once(socket, 'connect');
  return socket;
}
const closeOf = async (socket: Socket): Promise<string> => {
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  await Promise.race([once(socket, 'close'), once(socket, 'end')]);
  return text;
};
/** Both ends of each connection in this process, and those to PostgreSQL. */
const socketsInUse = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
const until = async (isSo: () => boolean, ms = 15_000): Promise<void> => {
  for (const patience = AbortSignal.timeout(ms); !isSo() && !patience.aborted;) await sleep(20);
};

const QUERY = '{"query":"{ serverTime }"}';
const post = (path: string, headers = '', body = QUERY) =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

describe('an upgrade', () => {
  const h2c = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n';

  test.each([
    ['a query', post('/graphql', h2c), /^HTTP\/1\.1 200 [^]*"serverTime"/],
    ['a webhook', post('/webhooks/payments', h2c, '{}'), /^HTTP\/1\.1 401 [^]*signature/],
    ['health', `GET /livez HTTP/1.1\r\nHost: a\r\n${h2c}\r\n`, /^HTTP\/1\.1 200 [^]*"ok"/],
    ['an unknown path', `GET /x HTTP/1.1\r\nHost: a\r\n${h2c}\r\n`, /^HTTP\/1\.1 404 /],
    ['a WebSocket elsewhere', `GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n`, /404/],
  ])('to an unsupported protocol is ignored: %s', async (_name, bytes, answer) => {
    const socket = await open(target);
    socket.write(bytes);
    // node drops what comes in the same packet behind it, so nothing else may be asked on this connection.
    const text = await closeOf(socket);
    expect(text).toMatch(answer);
    expect(text.toLowerCase()).toContain('\r\nconnection: close\r\n');
  });

  test('behind an unanswered request is not accepted, and both are answered in order', async () => {
    const socket = await open(target);
    const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n';
    socket.write(
      `${post('/graphql')}GET /graphql HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n`,
    );
    const text = await closeOf(socket);
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400']);
  });

  test('that is refused leaves no open socket, whatever its client does', async () => {
    const before = socketsInUse();
    const headers = 'Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n';
    for (let i = 0; i < 60; i++) {
      const socket = await open(target);
      socket.write(`POST /x HTTP/1.1\r\n${headers}`);
      // The body arrives in a separate packet, after the answer.
      await once(socket, 'data');
      socket.write('hello');
      socket.end();
    }
    await until(() => socketsInUse() <= before);
    expect(socketsInUse()).toBeLessThanOrEqual(before);
  });

  test('by curl --http2 gets a normal answer on every route', async () => {
    const curl = async (...args: string[]) => {
      const { stdout } = await promisify(execFile)('curl', [
        '-s',
        '-m',
        '10',
        '--http2',
        '-w',
        ' %{http_code}',
        ...args,
      ]);
      return stdout.replaceAll(/\s+/g, ' ');
    };
    const json = ['-H', 'content-type: application/json'];
    expect(await curl(...json, '-d', QUERY, `${target.url}/graphql`)).toMatch(/"serverTime".* 200$/);
    expect(await curl(...json, '-d', '{}', `${target.url}/webhooks/payments`)).toMatch(/signature.* 401$/);
    expect(await curl(`${target.url}/livez`)).toBe('{"status":"ok"} 200');
  });
});

describe('a request that could be read in two ways is refused with what to send instead:', () => {
  const latin1 = Buffer.from('{"query":"{ serverTime }#\xff"}', 'latin1');
  const json = { 'content-type': 'application/json' };
  test.each<[string, RequestInit & { path?: string }, number, RegExp]>([
    ['a gzip body', { headers: { ...json, 'content-encoding': 'gzip' } }, 415, /not encoded as gzip/],
    ['a zstd body', { headers: { ...json, 'content-encoding': 'zstd' } }, 415, /not encoded as zstd/],
    ['two encodings', { headers: { ...json, 'content-encoding': 'identity, br' } }, 415, /not encoded as identity, br/],
    ['UTF-16', { headers: { 'content-type': 'application/json; charset=utf-16' } }, 415, /in UTF-8, not in utf-16/],
    ['Latin-1', { headers: { 'content-type': 'application/json;charset="ISO-8859-1"' } }, 415, /not in ISO-8859-1/],
    ['bytes that are not UTF-8', { headers: json, body: latin1 }, 400, /not well-formed UTF-8/],
    [
      'an address that is not UTF-8',
      {
        method: 'GET',
        path: '/graphql?query=%7BserverTime%7D%23%FF',
        body: null,
        headers: { 'apollo-require-preflight': '1' },
      },
      400,
      /percent-encoded UTF-8/,
    ],
  ])('%s', async (_name, { path = '/graphql', ...init }, status, message) => {
    const reply = await fetch(`${target.url}${path}`, { method: 'POST', body: QUERY, ...init });
    const { errors, data } = (await reply.json()) as {
      errors: { message: string; extensions: object }[];
      data: unknown;
    };
    expect([reply.status, data, errors]).toEqual([
      status,
      undefined,
      [{ message: expect.stringMatching(message), extensions: { code: 'BAD_REQUEST' } }],
    ]);
  });

  test.each([
    ['two Host headers', 'Host: b\r\n', /^HTTP\/1\.1 400 [^]*Send the header host once/],
    ['two content types', 'content-type: text/plain\r\n', /^HTTP\/1\.1 400 [^]*Send the header content-type once/],
    [
      'two tokens',
      'Authorization: a\r\nauthorization: b\r\n',
      /^HTTP\/1\.1 400 [^]*Send the header authorization once/,
    ],
  ])('%s', async (_name, headers, answer) => {
    const socket = await open(target);
    socket.write(post('/graphql', headers));
    expect(await closeOf(socket)).toMatch(answer);
  });

  test('a transfer coding that is not chunked', async () => {
    const socket = await open(target);
    const chunk = `${QUERY.length.toString(16)}\r\n${QUERY}\r\n0\r\n\r\n`;
    socket.write(
      `POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n${chunk}`,
    );
    expect(await closeOf(socket)).toMatch(/^HTTP\/1\.1 501 [^]*transfer coding gzip, chunked/);
  });

  test('no Host at all', async () => {
    const socket = await open(target);
    socket.write(post('/graphql').replace('Host: a\r\n', ''));
    expect(await closeOf(socket)).toMatch(/^HTTP\/1\.1 400 [^]*Send the header host/);
  });

  test('a binary WebSocket message', async () => {
    const socket = new WebSocket(`${target.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    await once(socket, 'open');
    socket.send(Buffer.from('{"type":"connection_init"}'), { binary: true });
    const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
    expect([code, String(reason)]).toEqual([1003, 'Send text messages']);
  });
});

test.each([
  ['Identity as the encoding of a body', '/graphql', { 'content-encoding': 'Identity' }, 200],
  ['UTF-8 in capitals and quotes', '/graphql', { 'content-type': 'application/json; charset="UTF-8"' }, 200],
  ['a slash behind the address', '/graphql/', {}, 200],
  ['Identity on the webhook’s body', '/webhooks/payments', { 'content-encoding': 'Identity' }, 401],
])('%s is accepted', async (_name, path, headers, status) => {
  const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: QUERY };
  expect((await fetch(`${target.url}${path}`, init)).status).toBe(status);
});

test('HEAD /graphql has the status and the headers of GET, and no body', async () => {
  for (const [path, headers] of [
    ['/graphql?query=%7BserverTime%7D', { 'apollo-require-preflight': '1' }],
    ['/graphql', { accept: 'text/html' }],
    ['/graphql', {}],
  ] as const) {
    const [get, head] = await Promise.all(
      ['GET', 'HEAD'].map((method) => fetch(`${target.url}${path}`, { method, headers: { ...headers } })),
    );
    expect([path, head!.status, head!.headers.get('content-type')]).toEqual([
      path,
      get!.status,
      get!.headers.get('content-type'),
    ]);
    expect(await head!.text()).toBe('');
    await get!.text();
  }
});

test('an idle connection stays open for KEEP_ALIVE_SECONDS, longer than balancers keep theirs', async () => {
  const { headers } = await new Promise<{ headers: Record<string, unknown> }>((resolve, reject) =>
    request(`${target.url}/livez`, { agent: new Agent({ keepAlive: true }) }, (response) => {
      response.resume().on('end', () => resolve(response as never));
    })
      .on('error', reject)
      .end(),
  );
  expect(headers['keep-alive']).toBe('timeout=72');
  const own = await openApp({ KEEP_ALIVE_SECONDS: '1' });
  try {
    const socket = await open(own);
    socket.write('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await closeOf(socket)).toMatch(/^HTTP\/1\.1 200 /);
  } finally {
    await own.close();
  }
});

test('requests that one socket pipelines take turns with those of other sockets', async () => {
  const count = 400;
  const pipeliner = await open(target);
  let answers = 0;
  let tail = '';
  pipeliner.on('data', (chunk) => {
    tail += String(chunk);
    const parts = tail.split('HTTP/1.1 ');
    answers += parts.length - 1;
    tail = parts.at(-1)!.slice(-8);
  });
  const bodies = Array.from({ length: count }, (_, i) => post('/graphql', '', `{"query":"{ serverTime }","n":${i}}`));
  pipeliner.write(bodies.join(''));
  const overtaken: number[] = [];
  const other = new Agent({ keepAlive: true, maxSockets: 1 });
  while (answers < count && overtaken.length < 100) {
    const before = answers;
    await new Promise<void>((resolve, reject) =>
      request(`${target.url}/livez`, { agent: other }, (response) => response.resume().on('end', resolve))
        .on('error', reject)
        .end(),
    );
    overtaken.push(answers - before);
  }
  other.destroy();
  await until(() => answers >= count, 50_000);
  expect(answers).toBe(count);
  // Each event-loop turn answers one pipelined request; a request on another socket takes a few turns.
  expect(overtaken.length).toBeGreaterThan(5);
  expect(Math.max(...overtaken)).toBeLessThan(50);
});

test('a client that half-closes its socket after its requests gets every answer', async () => {
  const socket = await open(target);
  socket.end(post('/graphql').repeat(3));
  expect((await closeOf(socket)).match(/HTTP\/1\.1 200[^]*?"serverTime"/g)).toHaveLength(3);
});

test('garbage behind a complete request is answered after it', async () => {
  const socket = await open(target);
  socket.write(`${post('/graphql')}garbage\r\n\r\n`);
  const text = await closeOf(socket);
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400']);
});

test('headers that are too large are answered 431 while they still arrive', async () => {
  for (const size of [100_000, 1_000_000]) {
    const socket = connect(Number(new URL(target.url).port), '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => (text += String(chunk)));
    // A reset would be an error, and might have come before the answer.
    const failed = once(socket, 'error').then(([error]) => error as Error);
    socket.write(`GET / HTTP/1.1\r\nHost: a\r\nX-A: ${'a'.repeat(size)}\r\n\r\n`);
    expect(await Promise.race([failed, once(socket, 'close').then(() => 'closed')])).toBe('closed');
    expect(text).toMatch(/^HTTP\/1\.1 431 /);
  }
});

test('a client that reads nothing is closed within 30 s, and others are not affected', async () => {
  const own = await openApp({ PLAYGROUND: 'on' });
  try {
    const page = await (await fetch(`${own.url}/graphql`, { headers: { accept: 'text/html' } })).text();
    const [asset] = /\/graphql\/assets\/graphiql\.\w+\.js/.exec(page)!;
    for (let i = 0; i < 40; i++) {
      const socket = await open(own);
      socket.pause();
      socket.write(`GET ${asset} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n`);
    }
    const whole = Number(
      (await fetch(`${own.url}${asset}`, { method: 'HEAD', headers: { 'accept-encoding': 'identity' } })).headers.get(
        'content-length',
      ),
    );
    await sleep(25_000);
    expect((await own.ask('{ serverTime }')).status).toBe(200);
    // It reads what the kernel had buffered, and then the end: a client that reads too late loses its answer.
    const got = await Promise.all(opened.map(async (socket) => (await closeOf(socket.resume())).length));
    expect(whole).toBeGreaterThan(5_000_000);
    expect(Math.max(...got)).toBeLessThan(whole);
  } finally {
    await own.close();
  }
});

test('a stop ends in time, whatever sockets are open', async () => {
  const own = await openApp();
  await Promise.all(
    [
      '',
      'POST /graphql HTTP/1.1\r\nHost: a\r\n',
      'POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{',
      'POST /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n',
      'GET /graphql HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7\r\n\r\n',
      'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n',
    ].map(async (bytes) => {
      const socket = await open(own);
      socket.write(bytes);
      return socket;
    }),
  );
  await sleep(200);
  const before = performance.now();
  await own.close();
  expect(performance.now() - before).toBeLessThan(15_000);
});
