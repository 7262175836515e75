/** The sweep's timer: a wall clock that is set forward or back neither stops it nor blocks the event loop. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startSweepJob, type Job } from '../../src/jobs/sweep-job';
import { openShop, type Shop } from '../support/checkout';
import { expectClean } from '../support/invariants';
import { expire } from '../support/time';
import { stepWallClock } from '../support/wall-clock';

/** A sweep is due every second; on a busy machine each takes its time. */
const SWEPT_WITHIN_MS = 15_000;
/** Walking through three days, second by second, took 65 s; what is measured here is two or three ticks. */
const MAX_CPU_MS = 2_000;
const HOUR_MS = 3_600_000;

let shop: Shop;
let job: Job;
beforeAll(async () => {
  shop = await openShop();
});
beforeEach(() => {
  job = startSweepJob(shop.sweep, '* * * * * *', shop.log);
});
afterEach(async () => {
  jest.useRealTimers();
  await job.stop();
  await expectClean(shop);
});
afterAll(() => shop.close());

async function expectSwept(): Promise<void> {
  const hold = await shop.hold(await shop.product(1));
  await expire(shop.sql, hold.id);
  const isClosed = async () =>
    (await shop.sql('SELECT FROM holds WHERE id = $1 AND closed_at IS NOT NULL', [hold.id])).length > 0;
  for (const patience = AbortSignal.timeout(SWEPT_WITHIN_MS); !(await isClosed()); await sleep(50)) {
    if (patience.aborted) throw new Error(`no sweep within ${SWEPT_WITHIN_MS} ms`);
  }
}

test('the sweep goes on when the wall clock is set back by an hour', async () => {
  await expectSwept();
  stepWallClock(-HOUR_MS);
  await expectSwept();
  await expectSwept();
});

test('the sweep goes on when the wall clock is set forward by an hour', async () => {
  await expectSwept();
  stepWallClock(HOUR_MS);
  await expectSwept();
  await expectSwept();
});

test('a wall clock that is set forward by three days, as after a suspend, does not block the event loop', async () => {
  await expectSwept();
  const before = process.cpuUsage();
  stepWallClock(72 * HOUR_MS);
  await expectSwept();
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1_000).toBeLessThan(MAX_CPU_MS);
});

test('a sweep that is due only in the distant future runs at once when the wall clock is set in either direction', async () => {
  await job.stop();
  job = startSweepJob(shop.sweep, '0 0 1 1 *', shop.log);
  for (const step of [-HOUR_MS, HOUR_MS]) {
    const swept = expectSwept();
    await sleep(100);
    stepWallClock(step);
    await swept;
  }
});
