/** WORKERS=2: every scrape covers all workers, and no sum falls when a worker dies. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { build, ROOT, type Build } from '../support/build';
import { openShop, type Shop } from '../support/checkout';
import { findFreePort } from '../../src/tools/load/ports';

const READY_WITHIN_MS = 30_000;

let shop: Shop;
let built: Build;
let server: ChildProcess;
let url: string;
const said: string[] = [];

beforeAll(async () => {
  shop = await openShop();
  built = await build();
  const port = await findFreePort();
  url = `http://127.0.0.1:${port}`;
  server = spawn(process.execPath, [built.path('src/main.js')], {
    cwd: ROOT,
    env: {
      ...process.env,
      ...{ NODE_ENV: 'development', WORKERS: '2', PORT: String(port), DATABASE_URL: shop.url },
      ...{ LOG_FILE: 'off', LOG_LEVEL: 'warn', SWEEP_CRON: 'off', DATABASE_POOL_SIZE: '2' },
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [server.stdout!, server.stderr!]) stream.on('data', (text) => said.push(String(text)));
  await untilReady();
});

afterAll(async () => {
  if (server.exitCode === null) {
    server.kill('SIGTERM');
    await once(server, 'exit');
  }
  await built.remove();
  await shop.close();
});

async function untilReady(): Promise<void> {
  for (const patience = AbortSignal.timeout(READY_WITHIN_MS); ; await sleep(100)) {
    const ready = await fetch(`${url}/readyz`).catch(() => null);
    if (ready?.ok) return;
    if (patience.aborted || server.exitCode !== null) throw new Error(`the server is not ready: ${said.join('')}`);
  }
}

/** Uses a new connection each time, so that the workers take turns. */
const ownConnection = { connection: 'close' };

async function scrape(): Promise<Map<string, number>> {
  const text = await (await fetch(`${url}/metrics`, { headers: ownConnection })).text();
  const lines = text.split('\n').filter((line) => line.startsWith('flashsale_'));
  return new Map(lines.map((line) => line.split(' ') as [string, string]).map(([name, value]) => [name, +value]));
}

async function hold(productId: string): Promise<void> {
  const query = `mutation { createHold(input: { productId: "${productId}" }) { hold { id } userErrors { code } } }`;
  const headers = { 'content-type': 'application/json', ...ownConnection };
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ query }),
  });
  expect(await response.json()).toMatchObject({ data: { createHold: { userErrors: [] } } });
}

const granted = 'flashsale_holds_total{result="GRANTED"}';

test('every scrape covers all workers, before and after one of them dies', async () => {
  const created = await shop.createProduct({
    ...{ sku: 'SHARED', name: 'Shared', priceMinor: 100, currency: 'USD', totalStock: 100, actor: 'test' },
  });
  if (!created.granted) throw new Error('not created');
  for (let n = 0; n < 20; n++) await hold(created.value.id);
  for (let n = 0; n < 6; n++) {
    const values = await scrape();
    expect(values.get(granted)).toBe(20);
    expect(values.get('flashsale_hold_duration_seconds_count')).toBe(20);
    // Read by one worker, not added up.
    expect(values.get('flashsale_stock_available{product="SHARED"}')).toBe(80);
    expect(values.get('flashsale_invariant_violations')).toBe(0);
    expect(values.get('flashsale_pool_waiting')).toBe(0);
  }

  const [victim] = await workerPids();
  process.kill(victim!, 'SIGKILL');
  // Until the primary notices, Node may give the dead worker a connection, which stays unanswered.
  await untilSaid('worker.died');
  for (let n = 0; n < 6; n++) {
    expect((await scrape()).get(granted)).toBe(20);
    await sleep(50);
  }
  await hold(created.value.id);
  expect((await scrape()).get(granted)).toBe(21);
});

async function untilSaid(word: string): Promise<void> {
  for (const patience = AbortSignal.timeout(5_000); !said.join('').includes(word); await sleep(20)) {
    if (patience.aborted) throw new Error(`the server did not say ${word}: ${said.join('')}`);
  }
}

async function workerPids(): Promise<number[]> {
  const ps = spawn('ps', ['-A', '-o', 'ppid=,pid=']);
  const text: string[] = [];
  ps.stdout.on('data', (part) => text.push(String(part)));
  await once(ps, 'close');
  const pairs = text
    .join('')
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  return pairs.filter(([parent]) => parent === server.pid).map(([, pid]) => pid!);
}
