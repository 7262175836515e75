/**
 * Nobody waits for a clock to come back: the wall clock of a server's machine, or of the database's, is set forward or back,
 * and sweep, rates, stock and orders go on.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config';
import { ratesOf } from '../../src/admission/rates';
import { readClock } from '../../src/database/clock';
import { openDatabase, type Database } from '../../src/database/database';
import { createTables } from '../../src/tools/load/scratch-database';
import { RateLimited } from '../../src/domain/errors';
import { closeLogger } from '../../src/telemetry/logger';
import { message, serverOn, type Server } from '../support/checkout';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { canFakeTime, childClock, type ChildClock } from '../support/faketime';
import { expectClean } from '../support/invariants';
import { testLogger } from '../support/log';
import { buildProject, type Build, type RunningServer } from '../support/process';
import { canReplicate, startPostgres, type PostgresServer } from '../support/replication';
import { expire } from '../support/time';
import { stepWallClock } from '../support/wall-clock';

const HOUR = 3_600;
const log = testLogger();
afterAll(() => closeLogger(log));

const describeWithFaketime = canFakeTime ? describe : describe.skip;
const describeWithPostgres = canFakeTime && canReplicate ? describe : describe.skip;

describeWithFaketime('a server whose wall clock is set', () => {
  /** Ticks come every second; on a busy machine each takes its time. */
  const SWEPT_WITHIN_MS = 20_000;
  /** Walking through three days, second by second, took 65 s of CPU. */
  const MAX_CPU_SECONDS = 5;

  let db: FreshDatabase;
  let build: Build;
  let clock: ChildClock;
  let server: RunningServer;
  beforeAll(async () => {
    clock = childClock();
    [db, build] = await Promise.all([freshDatabase(), buildProject()]);
    server = await build.start({ DATABASE_URL: db.url, ...clock.env });
  });
  afterAll(async () => {
    await build.remove();
    clock.remove();
    await expectClean(db);
    await db.close();
  });

  /** CPU time of the server's process so far, in s. */
  const cpuSeconds = () => {
    const fields = readFileSync(`/proc/${server.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };

  async function expectSwept(): Promise<void> {
    const hold = await server.hold((await server.product(1)).id);
    await expire(db.sql, hold.id);
    const isClosed = async () =>
      (await db.sql('SELECT FROM holds WHERE id = $1 AND closed_at IS NOT NULL', [hold.id])).length > 0;
    for (const patience = AbortSignal.timeout(SWEPT_WITHIN_MS); !(await isClosed()); await sleep(50)) {
      if (patience.aborted) throw new Error(`no sweep within ${SWEPT_WITHIN_MS} ms`);
    }
  }

  // From half an hour ahead to half an hour behind: the test’s own tokens stay valid.
  test.each([
    ['forward by half an hour', HOUR / 2],
    ['back by an hour', -HOUR / 2],
    ['to the right time', 0],
  ])('%s sweeps, holds and answers as before', async (_, seconds) => {
    await expectSwept();
    clock.setOffset(seconds);
    await expectSwept();
    await expectSwept();
  });

  test('a clock three days ahead, as after a suspend, does not block the sweep’s timer or a stop', async () => {
    const hold = await server.hold((await server.product(1)).id);
    const before = cpuSeconds();
    clock.setOffset(72 * HOUR);
    await expire(db.sql, hold.id);
    for (const patience = AbortSignal.timeout(SWEPT_WITHIN_MS); ; await sleep(50)) {
      expect((await fetch(`${server.url}/livez`)).status).toBe(200);
      const rows = await db.sql('SELECT FROM holds WHERE id = $1 AND closed_at IS NOT NULL', [hold.id]);
      if (rows.length > 0) break;
      if (patience.aborted) throw new Error(`no sweep within ${SWEPT_WITHIN_MS} ms`);
    }
    expect(cpuSeconds() - before).toBeLessThan(MAX_CPU_SECONDS);
    clock.setOffset(0);
    expect((await server.end('SIGTERM')).code).toBe(0);
  });
});

describe('a rate window', () => {
  afterEach(() => jest.useRealTimers());

  test.each([-HOUR, HOUR])(
    'ends after its 10 s when the wall clock is set by %d s, and reports the right time',
    async (seconds) => {
      const config = loadConfig({ NODE_ENV: 'production', RATE_LIMIT: 'hold=1/1', ...PRODUCTION });
      const rates = ratesOf(config, log);
      const counted = {
        customerId: 'alice',
        client: { address: '203.0.113.7', isLoopback: false, queueToken: undefined },
      };
      await rates.count('hold', counted, 1);
      stepWallClock(seconds * 1_000);
      const startedAt = performance.now();
      const retryAfter: number[] = [];
      for (let isLimited = true; isLimited;) {
        try {
          await rates.count('hold', counted, 1);
          if (performance.now() - startedAt > 20_000) throw new Error('never limited');
          // Set forward, the window has ended at once: the next one is as long as any.
          isLimited = retryAfter.length === 0;
        } catch (error) {
          if (!(error instanceof RateLimited)) throw error;
          retryAfter.push(error.retryAfterMs);
          if (performance.now() - startedAt > 15_000) throw error;
          await sleep(500);
        }
      }
      expect(Math.max(...retryAfter)).toBeLessThanOrEqual(10_000);
    },
  );
});

describeWithPostgres('a database whose clock is set', () => {
  let clock: ChildClock;
  let postgres: PostgresServer & { close(): Promise<void> };
  let database: Database;
  let shop: Server;
  beforeAll(async () => {
    clock = childClock();
    postgres = await startPostgres(clock.env);
    await createTables(postgres.url, log);
    database = await openDatabase({ url: postgres.url, poolSize: 4, log });
    shop = serverOn(database, log, { holdTtlSeconds: 1, orderPaymentWindowSeconds: 1 });
  });
  afterAll(async () => {
    await database.close();
    await postgres.close();
    clock.remove();
  });

  test.each([
    ['back by an hour', -HOUR],
    ['forward by two hours', HOUR],
    ['to the right time', 0],
  ])('%s sells, expires, cancels and settles by its own time, and reconcile is clean', async (_, seconds) => {
    const product = await shop.product(10);
    const [before, early] = [await shop.hold(product), await shop.hold(product)];
    const paid = await shop.order(early);
    clock.setOffset(seconds);
    const databaseNow = await database.read(readClock);
    expect(Math.abs(databaseNow.getTime() - Date.now() - seconds * 1_000)).toBeLessThan(60_000);

    // Rows from before the step have times in the future, or long past.
    await shop.receive(message('succeeded', paid));
    const [hold, ordered] = [await shop.hold(product), await shop.orderOf(product)];
    expect(Math.abs(hold.expiresAt.getTime() - databaseNow.getTime())).toBeLessThan(60_000);
    await sleep(1_100);
    const swept = await shop.sweep();
    expect(swept.expiredHolds).toBeGreaterThanOrEqual(1);
    expect(swept.cancelledOrders).toBeGreaterThanOrEqual(1);
    const states = await postgres.sql<{ id: string; status: string }>(
      `SELECT id, status FROM holds WHERE id = '${hold.id}' UNION ALL SELECT id, status FROM orders WHERE id = '${ordered.id}'`,
    );
    expect(states.map(({ status }) => status)).toEqual(['EXPIRED', 'CANCELLED']);
    // With the clock set back an earlier hold is still live, and can be released.
    await shop.releaseHold(before.id);
    await expectClean(postgres);
  });
});

const PRODUCTION = {
  JWT_SECRET: 'a secret of this test, and long enough',
  WEBHOOK_SECRETS: `whsec_${Buffer.alloc(24, 1).toString('base64')}`,
  DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
};
