/** `npm run rehearse` distinguishes a sale that kept its promises from one that broke them. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startApp, type App } from '../../src/app';
import { Random } from '../../src/tools/load/random';
import { arrivalTimes } from '../../src/tools/rehearse/arrivals';
import { History } from '../../src/tools/rehearse/history';
import { ticksUpTo } from '../../src/tools/rehearse/plot';
import type { Plan } from '../../src/tools/rehearse/plan';
import type { Summary } from '../../src/tools/rehearse/summary';
import { loadConfig } from '../../src/config';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { expectClean } from '../support/invariants';

const ROOT = resolve(__dirname, '../..');
const PROGRAM = ['-r', join(ROOT, 'tests/support/typescript.cjs'), join(ROOT, 'src/tools/rehearse/main.ts')];
const SMALL = ['--shoppers', '150', '--stock', '20', '--products', '2', '--duration-seconds', '4', '--json'];

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], settings: Record<string, string> = {}): Promise<Ended> {
  const env = { ...process.env, NODE_ENV: 'test', LOG_LEVEL: 'silent', ...settings };
  return new Promise((done) => {
    execFile(process.execPath, [...PROGRAM, ...args], { cwd: ROOT, env }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

const brokenIn = (summary: Summary) => summary.checks.filter((check) => check.broken > 0).map((check) => check.says);

/** Each corrupts one row, once the first hold exists. */
const CORRUPTIONS: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'a unit appears',
    `UPDATE stock SET available = available + 1
     WHERE product_id = (SELECT product_id FROM holds WHERE given_back_at IS NULL LIMIT 1) AND available < total`,
    ['the stock report adds up at every moment', 'reconcile recomputes everything from the facts'],
  ],
  [
    'an acknowledged hold is lost',
    `DELETE FROM holds WHERE id = (SELECT id FROM holds WHERE order_id IS NOT NULL ORDER BY id LIMIT 1)`,
    ['every acknowledged hold is there, with an allowed status', 'reconcile recomputes everything from the facts'],
  ],
  [
    'a payment is forgotten',
    `DELETE FROM payment_events WHERE event_id = (SELECT min(event_id) FROM payment_events WHERE outcome = 'APPLIED')`,
    // A retry would record it again, so the shoppers' own history may be complete.
    ['reconcile recomputes everything from the facts'],
  ],
];

describe('on a server', () => {
  let fresh: FreshDatabase;
  let app: App;
  let folder: string;

  beforeEach(async () => {
    fresh = await freshDatabase();
    const config = loadConfig({ NODE_ENV: 'test', PORT: '0', HOLD_TTL_SECONDS: '3', RATE_LIMIT: 'off' });
    app = await startApp(config, { databaseUrl: fresh.url, log: fresh.log });
    folder = mkdtempSync(join(tmpdir(), 'rehearsal-'));
  });
  afterEach(async () => {
    rmSync(folder, { recursive: true });
    await app.close();
    await fresh.close();
  });

  function rehearse(more: readonly string[] = [], settings: Record<string, string> = {}): Promise<Ended> {
    const args = [...SMALL, '--url', app.url, '--report', join(folder, 'report.html'), ...more];
    return run(args, { DATABASE_URL: fresh.url, ...settings });
  }

  test('a small rehearsal on a correct server keeps every promise and covers every behaviour', async () => {
    const { code, stdout, stderr } = await rehearse(['--never', '30', '--release', '20', '--refund', '20']);
    const summary = JSON.parse(stdout) as Summary;
    expect({ code, broken: brokenIn(summary), stderr: stderr.includes('error') }).toEqual({
      code: 0,
      broken: [],
      stderr: false,
    });
    expect(summary).toMatchObject({ ok: true, shoppers: { arrived: 150, left: 150 }, requests: { unanswered: 0 } });
    expect(summary.checks.filter((check) => check.checked === 0)).toEqual([]);
    expect(summary.holds.granted).toBeGreaterThan(10);
    expect(summary.refused.OUT_OF_STOCK).toBeGreaterThan(50);
    expect(summary.orders.statuses.PAID).toBeGreaterThan(0);
    expect(summary.products.map(({ total }) => total)).toEqual([10, 10]);
    for (const { mostClaimed, total } of summary.products) expect(mostClaimed).toBeLessThanOrEqual(total);
    await expectClean(fresh);

    const report = readFileSync(join(folder, 'report.html'), 'utf8');
    expect(report.match(/<svg/g)).toHaveLength(4 + summary.products.length);
    expect(report).toContain('Every promise was kept');
    expect(report).not.toMatch(/(src|href)=|@import|url\(|<script|NaN|undefined/);
  });

  test.each(CORRUPTIONS)('a rehearsal fails and says why after %s during the sale', async (_, corruption, seen) => {
    let isOver = false;
    const sabotage = async () => {
      for (let changed = 0; changed === 0 && !isOver; await sleep(20)) {
        changed = (await fresh.sql(`${corruption} RETURNING 1`)).length;
      }
    };
    const sabotaging = sabotage();
    const { code, stdout } = await rehearse().finally(() => (isOver = true));
    await sabotaging;
    const summary = JSON.parse(stdout) as Summary;
    expect({ code, ok: summary.ok }).toEqual({ code: 1, ok: false });
    expect(brokenIn(summary)).toEqual(expect.arrayContaining([...seen]));
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('checks failed');
  });

  test('a server with other secrets ends a rehearsal with one line', async () => {
    const { code, stdout, stderr } = await rehearse([], { JWT_SECRET: 'x'.repeat(32) });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^error: The server does not accept this configuration’s tokens/);
  });
});

test.each([
  [['--shoppers', '0'], /whole number from 1 to/],
  [['--stock', 'many'], /whole number/],
  [['--stock', '2', '--products', '3'], /--stock 2 is too little/],
  [['--on-time', '-1'], /whole number from 0/],
  [
    ['on-time', 'early', 'late', 'duplicate', 'failed', 'refund', 'mismatch', 'release', 'never'].flatMap((flag) => [
      `--${flag}`,
      '0',
    ]),
    /has to be above 0/,
  ],
  [['--url', 'http://shop.example'], /--allow-remote/],
  [['--url', 'ftp://localhost'], /http:\/\/ or https:\/\//],
  [['--url', 'http://localhost:1', '--start'], /give one of them/],
])('a rehearsal with bad usage ends with one line: %j', async (args, says) => {
  const { code, stdout, stderr } = await run(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr.split('\n')[0]).toMatch(says);
});

test('an unreachable server ends a rehearsal with one line', async () => {
  const ended = await run(['--url', 'http://127.0.0.1:1']);
  expect(ended).toMatchObject({ code: 1, stdout: '', stderr: 'error: Nothing listens at http://127.0.0.1:1.\n' });
});

describe('the parts', () => {
  const plan: Plan = {
    shoppers: 1_000,
    stock: 10,
    products: 3,
    durationSeconds: 60,
    seed: 7,
    connections: 1,
    shares: {} as Plan['shares'],
  };

  test('the same seed gives the same arrivals, most of them in a burst, all in time', () => {
    const times = arrivalTimes(plan, new Random(7));
    expect(times).toEqual(arrivalTimes(plan, new Random(7)));
    expect(times).not.toEqual(arrivalTimes(plan, new Random(8)));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times.at(-1)).toBeLessThan(60_000);
    expect(times.filter((ms) => ms < 10_000).length).toBeGreaterThan(500);
  });

  test('shares of behaviours are weights', () => {
    const random = new Random(1);
    const picks = Array.from({ length: 10_000 }, () => random.pick({ a: 1, b: 3, c: 0 }));
    expect(picks.filter((pick) => pick === 'a').length / 10_000).toBeCloseTo(0.25, 1);
    expect(picks).not.toContain('c');
  });

  test('units that may have been given back are not claimed, and are claimed again once paid', () => {
    let now = 0;
    const history = new History(() => now);
    const hold = (quantity: number, until: number) =>
      history.hold(
        { id: 'h', productId: 'p', quantity, total: { amountMinor: 1, currency: 'USD' }, expiresAt: '' },
        until,
      );
    const first = hold(2, 100);
    now = 10;
    history.mayEnd([first]);
    hold(3, 100);
    expect(history.mostClaimed('p')).toBe(3);
    now = 50;
    history.sold([first]);
    expect(history.mostClaimed('p')).toBe(5);
    now = 100;
    hold(3, 200);
    expect(history.mostClaimed('p')).toBe(5);
  });

  test.each([
    [1, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [34, [0, 10, 20, 30, 40]],
    [4_880, [0, 1_000, 2_000, 3_000, 4_000, 5_000]],
  ])('a plot’s axis up to %p has round ticks', (highest, ticks) => {
    expect(ticksUpTo(highest).map((tick) => Math.round(tick * 10) / 10)).toEqual(ticks);
  });
});
