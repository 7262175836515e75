/** The benchmark's open model: latency counts from the moment a request was due. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { runPaced, type PacedOrder, type Stream } from '../../src/tools/bench/paced-load';

interface SlowServer {
  readonly port: number;
  /** Arrival of each request of a stream, in ms since the server started. */
  readonly arrivals: Map<string, number[]>;
}

let server: Server | undefined;
afterEach(async () => {
  const closed = new Promise((resolve) => server!.close(resolve));
  server!.closeAllConnections();
  await closed;
});

/** Answers each request after the `pauseMs` of its stream. */
async function serve(pauseMs: (stream: string, sinceMs: number) => number): Promise<SlowServer> {
  const arrivals = new Map<string, number[]>();
  const startedAt = performance.now();
  server = createServer(({ url = '' }, response) => {
    const sinceMs = performance.now() - startedAt;
    arrivals.set(url, [...(arrivals.get(url) ?? []), sinceMs]);
    setTimeout(() => response.end('granted'), pauseMs(url, sinceMs));
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, arrivals };
}

const stream = (name: string, perSecond: number): Stream => ({
  request: Buffer.from(`POST ${name} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n`),
  perSecond,
  expected: ['granted'],
  writes: name === '/probe',
});

const order = (port: number): PacedOrder => ({
  kind: 'paced',
  port,
  leadInMs: 200,
  measuredMs: 1_000,
  probe: stream('/probe', 50),
  noise: stream('/noise', 200),
});

test('a paced load keeps sending while nothing is answered, and counts every request', async () => {
  const { port, arrivals } = await serve((name) => (name === '/noise' ? 1_500 : 0));
  const told: object[] = [];
  const result = await runPaced(order(port), (message) => told.push(message));

  expect(result).toMatchObject({ wrong: null, answers: 50, answersInAll: 60, noise: { answers: 200, perSecond: 200 } });
  expect(told).toEqual([{ kind: 'begun' }, { kind: 'ended' }]);
  const noise = arrivals.get('/noise')!;
  expect(noise).toHaveLength(240);
  // The first answer comes after the last request was sent.
  expect(noise.at(-1)! - noise[0]!).toBeLessThan(1_500);
  expect(noise.at(-1)! - noise[0]!).toBeGreaterThan(1_100);
});

test('a stalled server is charged for every request that it delays', async () => {
  const { port } = await serve((_, sinceMs) => Math.max(0, 800 - sinceMs));
  const { wrong, p50Ms, p99Ms } = await runPaced(order(port), () => undefined);

  // Requests are due evenly from 200 to 1,200 ms: the first waited 600 ms, those after 800 ms did not wait.
  expect(wrong).toBeNull();
  expect(p99Ms).toBeGreaterThan(500);
  expect(p50Ms).toBeGreaterThan(50);
  expect(p50Ms).toBeLessThan(200);
});

test('latency counts from the moment a request was due, and a late generator reports itself', async () => {
  const { port } = await serve(() => 0);
  const running = runPaced(order(port), () => undefined);
  await sleep(400);
  for (const until = performance.now() + 400; performance.now() < until;);
  const { wrong, late, p99Ms, noise } = await running;

  expect(p99Ms).toBeGreaterThan(300);
  expect(noise.behindMs).toBeGreaterThan(300);
  expect(wrong).toBeNull();
  expect(late).toMatch(/^the load generator sent a tenth of its requests \d+ ms late or more$/);
});

test('the first wrong answer ends a paced load', async () => {
  const { port, arrivals } = await serve(() => 0);
  const wanted = order(port);
  const { wrong } = await runPaced({ ...wanted, probe: { ...wanted.probe, expected: ['refused'] } }, () => undefined);

  expect(wrong).toBe('200 granted');
  expect(arrivals.get('/probe')!.length).toBeLessThan(5);
});
