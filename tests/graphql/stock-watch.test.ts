/** The poller behind live stock, with levels that the test decides. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Unavailable } from '../../src/domain/errors';
import type { StockLevels, TimedLevel } from '../../src/graphql/live/level-reader';
import { StockWatch } from '../../src/graphql/live/stock-watch';
import { closeLogger } from '../../src/telemetry/logger';
import { testLogger } from '../support/log';

const log = testLogger();
afterAll(() => closeLogger(log));

const ID = '01930000-0000-7000-8000-000000000001';

class Levels {
  loads = 0;
  available = 10;
  fails: Error | null = null;
  /** By how much the database's clock was set, in ms. */
  stepMs = 0;

  async load(id: string): Promise<TimedLevel | null> {
    this.loads += 1;
    if (this.fails) throw this.fails;
    if (id !== ID) return null;
    const product = {
      id,
      sku: 'S',
      name: 'N',
      description: null,
      priceMinor: 1,
      currency: 'USD',
      maxPerCustomer: null,
      saleStartsAt: null,
      saleEndsAt: null,
      listed: true,
    };
    const at = new Date(Date.now() + this.stepMs);
    return { product, at, askedAtMs: performance.now(), available: this.available, total: 10, mayComeBack: false };
  }
}

let levels: Levels;
let watch: StockWatch;
beforeEach(() => {
  levels = new Levels();
  watch = new StockWatch(levels as unknown as StockLevels, log);
});
afterEach(() => watch.close());

const availableOf = async (watcher: AsyncIterator<{ availableStock: number }>) =>
  (await watcher.next()).value.availableStock as number;

it('tells the current level first, then nothing until it changes', async () => {
  const watcher = watch.watch([ID]);
  expect(await availableOf(watcher)).toBe(10);
  const next = watcher.next();
  expect(await Promise.race([next.then(() => 'told'), sleep(700, 'silent')])).toBe('silent');
  levels.available = 9;
  expect((await next).value.availableStock).toBe(9);
});

it.each([-3_600_000, 3_600_000])('goes on telling when the clock of the database is set by %d ms', async (stepMs) => {
  const watcher = watch.watch([ID]);
  expect(await availableOf(watcher)).toBe(10);
  levels.stepMs = stepMs;
  levels.available = 9;
  expect(await availableOf(watcher)).toBe(9);
});

it('keeps only the latest level for a reader that is slow', async () => {
  const watcher = watch.watch([ID]);
  expect(await availableOf(watcher)).toBe(10);
  for (const available of [9, 8, 7]) {
    levels.available = available;
    await sleep(250);
  }
  expect(await availableOf(watcher)).toBe(7);
  expect(await Promise.race([watcher.next().then(() => 'told'), sleep(300, 'silent')])).toBe('silent');
});

it('reads no more often for two thousand watchers than for one, and not at all for none', async () => {
  const watchers = Array.from({ length: 2_000 }, () => watch.watch([ID]));
  await Promise.all(watchers.map((watcher) => watcher.next()));
  const before = levels.loads;
  await sleep(1_100);
  expect(levels.loads - before).toBeGreaterThanOrEqual(3);
  expect(levels.loads - before).toBeLessThanOrEqual(6);

  await Promise.all(watchers.map((watcher) => watcher.return!()));
  await sleep(250);
  const after = levels.loads;
  await sleep(500);
  expect(levels.loads).toBe(after);
});

it('gives all watchers the same object, so that what is made of it can be shared', async () => {
  const [a, b] = [watch.watch([ID]), watch.watch([ID])];
  await Promise.all([a.next(), b.next()]);
  levels.available = 3;
  const [one, other] = await Promise.all([a.next(), b.next()]);
  expect(one.value).toBe(other.value);
});

it('waits while the database is away, and goes on by itself', async () => {
  levels.fails = new Unavailable();
  const watcher = watch.watch([ID]);
  const first = watcher.next();
  expect(await Promise.race([first.then(() => 'told'), sleep(600, 'silent')])).toBe('silent');
  levels.fails = null;
  expect((await first).value.availableStock).toBe(10);
});

it('ends with BAD_USER_INPUT for a product that does not exist', async () => {
  const watcher = watch.watch([ID, '01930000-0000-7000-8000-00000000000f']);
  const told = async () => {
    for (;;) await watcher.next();
  };
  await expect(told()).rejects.toMatchObject({ code: 'BAD_USER_INPUT', message: expect.stringContaining('00000f') });
  expect(await watcher.next()).toEqual({ value: undefined, done: true });
});

it('ends a reader that waits when it leaves', async () => {
  const watcher = watch.watch([ID]);
  await watcher.next();
  const waiting = watcher.next();
  await watcher.return!();
  expect(await waiting).toEqual({ value: undefined, done: true });
});
