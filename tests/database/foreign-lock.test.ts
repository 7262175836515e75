/** P17: a lock that somebody else forgot keeps no more of PostgreSQL's connections than the pools have. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { readOrders, readPaymentEvents, readStockLevels } from '../../src/database/read-models';
import { findHolds } from '../../src/database/holds';
import { newId } from '../../src/database/ids';
import { Busy, Unavailable } from '../../src/domain/errors';
import { message, openShop, type Shop } from '../support/checkout';
import { databaseUrl } from '../support/cluster';

const POOL_SIZE = 3;
/** Two pools, live stock's connection, and the one for readiness. */
const CONNECTIONS = 2 * POOL_SIZE + 2;
/** Longer than an answer is waited for (6 s): by then whatever waits here longer than PostgreSQL lets it has been given up. */
const LOCKED_MS = 8_000;

let shop: Shop;
beforeAll(async () => {
  shop = await openShop({}, { poolSize: POOL_SIZE });
});
afterAll(() => shop.close());

/** Backends of this database that are not the test's own. */
async function backends(): Promise<{ count: number; waiting: number }> {
  const [row] = await shop.sql<{ count: number; waiting: number }>(
    `SELECT count(*)::int AS count, count(*) FILTER (WHERE wait_event_type = 'Lock')::int AS waiting FROM pg_stat_activity
     WHERE datname = current_database() AND backend_type = 'client backend' AND application_name = 'flash-sale'`,
  );
  return row!;
}

/** Several tables in one transaction may deadlock with the crowd, which takes them in another order: then again. */
async function lockAll(stranger: Client, tables: string): Promise<void> {
  for (;;) {
    try {
      await stranger.query('BEGIN');
      await stranger.query(`LOCK TABLE ${tables} IN ACCESS EXCLUSIVE MODE`);
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== '40P01') throw error;
      await stranger.query('ROLLBACK');
    }
  }
}

test.each(['stock', 'holds, orders, payment_events, products, stock'])(
  'while somebody else keeps a lock on %s, no more connections are open than the pools have, and no statement outlives its caller',
  async (tables) => {
    const product = await shop.product(1_000_000);
    const hold = await shop.hold(product);
    const stranger = new Client({ connectionString: databaseUrl(new URL(shop.url).pathname.slice(1)) });
    await stranger.connect();
    const page = { limit: 10, after: null };
    const asking: (() => Promise<unknown>)[] = [
      () => shop.database.read((em) => readStockLevels(em, [product.id], { withDescriptions: false })),
      () => shop.database.read((em) => findHolds(em, [hold.id])),
      () => shop.database.read((em) => readOrders(em, null, page)),
      () => shop.database.read((em) => readPaymentEvents(em, { outcome: null, openOnly: false }, page)),
      () => shop.database.readWatched((em) => readStockLevels(em, [product.id], { withDescriptions: false })),
      () => shop.createHold({ productId: product.id, quantity: 1, customerId: '' }),
      () => shop.receive(message('succeeded', { ...hold, id: newId() })),
      () => shop.sweep(),
      () => shop.database.ping(),
    ];
    let isOver = false;
    const errors: unknown[] = [];
    const crowd = asking.flatMap((ask) =>
      Array.from({ length: 3 }, async () => {
        while (!isOver) {
          await ask().catch((error: unknown) => errors.push(error));
          await sleep(10);
        }
      }),
    );
    let most = 0;
    try {
      await lockAll(stranger, tables);
      for (const patience = AbortSignal.timeout(LOCKED_MS); !patience.aborted; await sleep(100)) {
        most = Math.max(most, (await backends()).count);
      }
    } finally {
      isOver = true;
      await Promise.all(crowd);
      // Before the lock goes: what no caller waits for any more ends by its own lock timeout of 2 s, and not with the lock.
      let left = (await backends()).waiting;
      for (const patience = AbortSignal.timeout(3_000); left > 0 && !patience.aborted; await sleep(100)) {
        left = (await backends()).waiting;
      }
      await stranger.end();
      expect(left).toBe(0);
    }
    expect(most).toBeLessThanOrEqual(CONNECTIONS);
    expect(errors.filter((error) => !(error instanceof Busy || error instanceof Unavailable))).toEqual([]);
    expect((await shop.createHold({ productId: product.id, quantity: 1, customerId: '' })).granted).toBe(true);
  },
);
