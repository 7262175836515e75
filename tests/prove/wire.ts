/** Malformed bytes on thousands of sockets, while well-behaved clients must be served as usual. */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensure, until } from './fixture';
import type { Random } from '../../src/tools/load/random';
import type { Tally } from './tally';

/** Events that must happen while time is left; the shutdown comes afterwards. */
export const WIRE_NEEDS = [
  ...['sockets', 'answers', 'refusals', 'WebSockets', 'upgrades ignored', 'requests beside', 'clean endings'],
];
const AT_ONCE = 24;
/** A socket is closed after this, in ms; some stay silent until the server closes them, and are counted at the end. */
const PATIENCE_MS = 1_500;
/** Above the server's own limits of 17 s for a request and 20 s for an answer. */
const SETTLE_MS = 30_000;
/** Time limit in ms of well-formed requests at the same time, generous for a busy machine. */
const BESIDE_MS = 10_000;
const STOP_MS = 15_000;
const MAX_GROWTH_BYTES = 150 * 1024 * 1024;
/** Connections to the database and the log, which may come and go. */
const FREE_DESCRIPTORS = 24;

/** A server process. */
export interface WireTarget {
  readonly url: string;
  readonly pid: number;
  /** Log events that no bytes from clients may cause: `uncaught`, `request.failed`. */
  complaints(): readonly string[];
  /** null: it is running. */
  death(): string | null;
  /** Sends SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
}

/**
 * Throws a Violation when the server ends, does not answer a well-formed request, leaks a descriptor or memory, or does not stop
 * in time. Ends the server.
 */
export async function proveWire(
  target: WireTarget,
  random: Random,
  isTimeLeft: () => boolean,
  tally: Tally,
): Promise<void> {
  // The first crowd's remains are what a process needs permanently.
  await crowd(target, random, tally, 4);
  await settle(target, tally);
  const before = usageOf(target.pid);
  while (isTimeLeft()) await crowd(target, random, tally, 10);
  await settle(target, tally);
  const after = usageOf(target.pid);
  ensure(after.descriptors <= before.descriptors + FREE_DESCRIPTORS, 'descriptors are kept', { before, after });
  ensure(after.bytes <= before.bytes + MAX_GROWTH_BYTES, 'memory is kept', { before, after });
  await stopAmidst(target, random, tally);
  const complaints = target.complaints().slice(0, 5);
  ensure(complaints.length === 0, 'bytes from outside made the server fail', { complaints });
}

async function crowd(target: WireTarget, random: Random, tally: Tally, times: number): Promise<void> {
  let isOver = false;
  const beside = Promise.all(BESIDE.map((ask) => insistently(() => !isOver, ask, target, tally)));
  const attackers = Array.from({ length: AT_ONCE }, async () => {
    const own = random.fork();
    for (let n = 0; n < times; n += 1) await attack(target, own, tally);
  });
  await Promise.all([beside, Promise.all(attackers).finally(() => (isOver = true))]);
  const death = target.death();
  ensure(death === null, 'the server ended', { death });
}

async function insistently(
  isWanted: () => boolean,
  ask: (url: string) => Promise<boolean>,
  target: WireTarget,
  tally: Tally,
): Promise<void> {
  while (isWanted()) {
    const answer = await ask(target.url).catch((error: unknown) => String((error as Error).cause ?? error));
    // A process that dies is known to be dead a moment after its sockets are.
    if (answer !== true) await sleep(500);
    const death = target.death();
    ensure(answer === true, 'a well-formed request beside the others was not answered', { answer, death });
    tally.add('requests beside');
    await sleep(20);
  }
}

const askJson = async (url: string, path: string, init: RequestInit): Promise<string> => {
  // Each on its own connection: one that the server closes as idle at this moment would be no fault.
  const headers = { 'content-type': 'application/json', connection: 'close', ...init.headers };
  const response = await fetch(`${url}${path}`, { ...init, headers, signal: AbortSignal.timeout(BESIDE_MS) });
  return `${response.status} ${await response.text()}`;
};
const BESIDE: readonly ((url: string) => Promise<boolean>)[] = [
  async (url) => {
    const key = randomUUID();
    const answer = await askJson(url, '/graphql', {
      method: 'POST',
      body: `{"query":"query A { a${key.slice(0, 8)}: serverTime }"}`,
    });
    return answer.startsWith(`200 {"data":{"a${key.slice(0, 8)}":"`);
  },
  async (url) => (await askJson(url, '/livez', {})) === '200 {"status":"ok"}',
  async (url) => (await askJson(url, '/webhooks/payments', { method: 'POST', body: '{}' })).startsWith('401 '),
];

/** One socket: what it sends, in which pieces, and how it ends. */
async function attack({ url }: WireTarget, random: Random, tally: Tally): Promise<void> {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  let said = '';
  const isReader = random.isTrue(0.85);
  if (isReader) socket.on('data', (chunk) => (said = (said + chunk.toString('latin1')).slice(0, 20_000)));
  else socket.pause();
  tally.add('sockets');
  for (const piece of pieces(bytesOf(random), random)) {
    if (socket.destroyed) break;
    socket.write(piece);
    if (random.isTrue(0.3)) await sleep(random.integer(0, 15));
  }
  await endOf(socket, closed, random);
  for (const [, status] of said.matchAll(/HTTP\/1\.1 (\d{3})/g)) {
    tally.add(status === '101' ? 'WebSockets' : Number(status) < 400 ? 'answers' : 'refusals');
  }
  if (/connection: close/i.test(said) && / 200 /.test(said)) tally.add('upgrades ignored');
}

async function endOf(socket: Socket, closed: Promise<void>, random: Random): Promise<void> {
  const way = random.oneOf(['destroy', 'reset', 'end', 'wait', 'half'] as const);
  if (way === 'reset') socket.resetAndDestroy();
  if (way === 'end' || way === 'half') socket.end();
  if (way !== 'destroy' && way !== 'reset') await Promise.race([closed, sleep(random.integer(0, PATIENCE_MS))]);
  socket.destroy();
}

function pieces(bytes: Buffer, random: Random): Buffer[] {
  if (random.isTrue(0.4)) return [bytes];
  const cuts = Array.from({ length: random.integer(1, 6) }, () => random.integer(0, bytes.length)).sort(
    (a, b) => a - b,
  );
  return [...cuts, bytes.length].map((cut, n) => bytes.subarray(n === 0 ? 0 : cuts[n - 1], cut));
}

function bytesOf(random: Random): Buffer {
  const parts = random.isTrue(0.25)
    ? [webSocket(random)]
    : Array.from({ length: random.integer(1, 4) }, () => request(random));
  const bytes = Buffer.concat(parts);
  return random.isTrue(0.5) ? bytes : mutated(bytes, random);
}

function mutated(bytes: Buffer, random: Random): Buffer {
  const at = random.integer(0, bytes.length - 1);
  const to = Math.min(bytes.length, at + random.integer(1, 40));
  const [head, middle, tail] = [bytes.subarray(0, at), bytes.subarray(at, to), bytes.subarray(to)];
  const noise = Buffer.from(Array.from({ length: random.integer(1, 12) }, () => random.integer(0, 255)));
  return Buffer.concat(
    random.oneOf([
      [head],
      [head, tail],
      [head, middle, middle, tail],
      [head, noise, tail],
      [head, noise, middle, tail],
    ]),
  );
}

const METHODS = [
  'GET',
  'GET',
  'POST',
  'POST',
  'POST',
  'HEAD',
  'PUT',
  'DELETE',
  'OPTIONS',
  'CONNECT',
  'TRACE',
  'QUERY',
  'get',
  'PRI',
  '',
];
const TARGETS = [
  ...[
    '/graphql',
    '/graphql',
    '/graphql',
    '/graphql/',
    '/graphql?query=%7BserverTime%7D',
    '/graphql?query=%FF',
    '/livez',
  ],
  ...['/readyz', '/metrics', '/webhooks/payments', '/webhooks/payments/stripe', '/', '/ops', '/assets/x.js', '/%zz'],
  ...[
    '//',
    '//[',
    '///',
    'http://',
    'http://[',
    'http://a/graphql',
    '*',
    '/..%2f..%2fetc/passwd',
    '/\u0000',
    'a:80',
    '',
  ],
  ...[`/${'a'.repeat(9_000)}`, '/graphql?', '/graphql#x', '/graphql%2f', '?', '/é'],
];
const VERSIONS = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', 'HTTP/1.1 '];
const HEADERS = [
  ...[
    'Host: b',
    'Host:',
    'Connection: close',
    'Connection: keep-alive',
    'Connection: Upgrade',
    'Connection: a, b, upgrade',
  ],
  ...[
    'Upgrade: h2c',
    'Upgrade: websocket',
    'Upgrade: foo/1, websocket',
    'HTTP2-Settings: AAMAAABkAAQAAP__',
    'Expect: 100-continue',
  ],
  ...[
    'Expect: x',
    'Content-Encoding: gzip',
    'Content-Encoding: Identity',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
  ],
  ...[
    'Transfer-Encoding: identity',
    'Content-Length: 0',
    'Content-Length: 5',
    'Content-Length: -1',
    'Content-Length: 99999999999999999999',
  ],
  ...[
    'Content-Length: 1e3',
    'Accept: text/html',
    'Accept: application/graphql-response+json',
    'Accept-Encoding: br;q=0, gzip;q=x',
  ],
  ...[
    'If-None-Match: W/"x", *',
    'Authorization: Bearer x',
    'Authorization: ',
    'Cookie: a=b',
    'Range: bytes=0-1',
    'TE: trailers',
  ],
  ...[
    'Trailer: Host',
    'X-Forwarded-For: ::::, [, 1.2.3.4:99999',
    'Forwarded: for="[',
    'Origin: null',
    'Sec-WebSocket-Version: 13',
  ],
  ...[
    'Sec-WebSocket-Key: x',
    'Sec-WebSocket-Protocol: graphql-transport-ws',
    `X-A: ${'a'.repeat(20_000)}`,
    ' folded: x',
    'no colon',
  ],
  ...['X-É: é', 'X:\u0000', 'X-Queue-Token: 1.x.y', '__proto__: x', 'constructor: y', 'apollo-require-preflight: 1'],
];
const BODIES = [
  ...[
    '{"query":"{ serverTime }"}',
    '{"query":"{ serverTime }"}',
    '{"query":"mutation { x }"}',
    '{',
    '[]',
    'null',
    '""',
    '',
    '\u0000',
  ],
  ...[
    '{"query":{}}',
    '{"query":"{a}","variables":"x"}',
    '{"query":"{a}","variables":{"__proto__":1}}',
    '[[['.repeat(5_000),
  ],
  ...[
    `{"query":"${'{a'.repeat(2_000)}"}`,
    '{"query":"{ __typename }","extensions":{"persistedQuery":{"sha256Hash":[]}}}',
  ],
];

function request(random: Random): Buffer {
  const body = random.isTrue(0.1) ? Buffer.from([0x7b, 0xff, 0xfe, 0x00]) : Buffer.from(random.oneOf(BODIES));
  const lines = [`${random.oneOf(METHODS)} ${random.oneOf(TARGETS)} ${random.oneOf(VERSIONS)}`];
  if (random.isTrue(0.9)) lines.push('Host: a');
  const type = random.oneOf([
    'application/json',
    'application/json',
    'application/json; charset=utf-16',
    'text/plain',
    'é',
    '',
  ]);
  if (random.isTrue(0.8)) lines.push(`Content-Type: ${type}`);
  for (let n = random.integer(0, 4); n > 0; n -= 1) lines.push(random.oneOf(HEADERS));
  const isChunked = random.isTrue(0.15);
  if (isChunked) lines.push('Transfer-Encoding: chunked');
  else if (random.isTrue(0.9))
    lines.push(`Content-Length: ${body.length + (random.isTrue(0.1) ? random.integer(-2, 200) : 0)}`);
  const head = Buffer.from(`${lines.join(random.isTrue(0.05) ? '\n' : '\r\n')}\r\n\r\n`);
  return Buffer.concat([head, isChunked ? chunked(body, random) : body]);
}

function chunked(body: Buffer, random: Random): Buffer {
  const size = random.isTrue(0.1)
    ? random.oneOf(['zz', '-1', 'ffffffffffffffffff', '0;a=b', ''])
    : body.length.toString(16);
  return Buffer.concat([
    Buffer.from(`${size}\r\n`),
    body,
    Buffer.from(`\r\n0\r\n${random.isTrue(0.1) ? 'Host: x\r\n' : ''}\r\n`),
  ]);
}

const MESSAGES = [
  ...[
    '{"type":"connection_init"}',
    '{"type":"connection_init"}',
    '{"type":"ping"}',
    '{"type":"pong","payload":{}}',
    '{}',
    'x',
    '',
  ],
  ...[
    '{"id":"1","type":"subscribe","payload":{"query":"{ serverTime }"}}',
    '{"id":"1","type":"complete"}',
    '{"type":"next"}',
  ],
  ...[
    '{"type":"connection_init","payload":{"authorization":[[]]}}',
    '{"id":"1","type":"subscribe","payload":{"query":null}}',
  ],
  ...[
    '{"id":"__proto__","type":"subscribe","payload":{"query":"subscription { stockChanged(productIds: [\\"x\\"]) { at } }"}}',
  ],
];

function webSocket(random: Random): Buffer {
  const lines = [
    `GET ${random.oneOf(['/graphql', '/graphql', '/graphql', '/graphql/', '/graphql?x', '/x', '//'])} HTTP/1.1`,
    ...['Host: a', 'Connection: Upgrade', 'Upgrade: websocket'],
    `Sec-WebSocket-Version: ${random.isTrue(0.9) ? 13 : 8}`,
    ...(random.isTrue(0.9) ? ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='] : []),
    ...(random.isTrue(0.9) ? ['Sec-WebSocket-Protocol: graphql-transport-ws'] : []),
    ...(random.isTrue(0.1) ? [random.oneOf(HEADERS)] : []),
  ];
  const frames = Array.from({ length: random.integer(0, 12) }, () => frame(random));
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), ...frames]);
}

function frame(random: Random): Buffer {
  const payload = random.isTrue(0.1) ? Buffer.from([0xc3, 0x28, 0xff]) : Buffer.from(random.oneOf(MESSAGES));
  const opcode = random.isTrue(0.75) ? 1 : random.oneOf([0, 1, 2, 3, 8, 9, 10, 11, 15]);
  const first = (random.isTrue(0.9) ? 0x80 : 0) | (random.isTrue(0.05) ? 0x40 : 0) | opcode;
  const mask = random.isTrue(0.95) ? 0x80 : 0;
  const key = Buffer.from([1, 2, 3, 4]);
  const length = payload.length + (random.isTrue(0.05) ? random.integer(1, 60) : 0);
  const head = length < 126 ? [first, mask | length] : [first, mask | 126, length >> 8, length & 0xff];
  if (random.isTrue(0.02)) return Buffer.from([first, mask | 127, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
  if (!mask) return Buffer.concat([Buffer.from(head), payload]);
  return Buffer.concat([Buffer.from(head), key, payload.map((byte, n) => byte ^ key[n % 4]!)]);
}

/** Once its clients are gone, the server must have no socket of theirs. */
async function settle({ url, pid, death }: WireTarget, tally: Tally): Promise<void> {
  const port = Number(new URL(url).port);
  const isQuiet = await until(SETTLE_MS, async () => socketsAt(port) === 0);
  ensure(isQuiet, 'sockets are kept whose clients are gone', { kept: socketsAt(port), death: death(), pid });
  tally.add('clean endings');
}

/** Accepted sockets of the port that a process still holds; in the kernel's table they have an inode. */
function socketsAt(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const LISTENS = '0A';
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, address, , state, , , , , , inode]) => address?.endsWith(local) && state !== LISTENS && inode !== '0')
    .length;
}

function usageOf(pid: number): { descriptors: number; bytes: number } {
  const descriptors = readdirSync(`/proc/${pid}/fd`).length;
  const kilobytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
  return { descriptors, bytes: kilobytes * 1_024 };
}

/** Half-sent, upgraded, refused and silent sockets, all open when the shutdown begins. */
async function stopAmidst(target: WireTarget, random: Random, tally: Tally): Promise<void> {
  const sockets = Array.from({ length: 60 }, () => {
    const socket = connect({ port: Number(new URL(target.url).port), host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => undefined);
    if (random.isTrue(0.5)) socket.resume();
    const bytes = bytesOf(random);
    socket.write(random.isTrue(0.5) ? bytes : bytes.subarray(0, random.integer(0, bytes.length)));
    return socket;
  });
  await sleep(200);
  const startedAt = performance.now();
  const code = await Promise.race([target.stop(), sleep(STOP_MS * 2, 'never' as const, { ref: false })]);
  const tookMs = Math.round(performance.now() - startedAt);
  for (const socket of sockets) socket.destroy();
  ensure(code === 0 && tookMs <= STOP_MS, 'a stop does not end in time', { code, tookMs });
  tally.add('stops');
}
