/** A crowd against a real server: exactly as many holds as there are units, and what expires is back at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { expectClean } from '../support/invariants';
import { buildProject, type Build, type RunningServer } from '../support/process';
import { insist, type Payload } from '../support/server';
import { newKey } from '../support/checkout';

let db: FreshDatabase;
let build: Build;
let server: RunningServer;
beforeAll(async () => {
  [db, build] = await Promise.all([freshDatabase(), buildProject()]);
  server = await build.start({ DATABASE_URL: db.url, LOG_LEVEL: 'warn', HOLD_TTL_SECONDS: '600' });
});
afterAll(async () => {
  await build.remove();
  await db.close();
});

const SHOPPERS = 500;
const ROUNDS = Number(process.env.CROWD_ROUNDS ?? 3);

/** Everybody at once; what each was answered. */
async function crowd(shoppers: number, productId: string): Promise<Payload[]> {
  const keys = Array.from({ length: shoppers }, newKey);
  return Promise.all(
    keys.map((idempotencyKey) => insist(() => server.mutate('createHold', { productId, idempotencyKey }))),
  );
}

async function expectSoldOut(answers: readonly Payload[], productId: string, units: number): Promise<void> {
  const holds = answers.filter(({ object }) => object !== null);
  const refused = answers.filter(({ object }) => object === null);
  expect(holds).toHaveLength(units);
  expect(new Set(holds.map(({ object }) => object.id)).size).toBe(units);
  expect(refused.map(({ codes }) => codes)).toEqual(Array(answers.length - units).fill(['OUT_OF_STOCK']));
  for (const { userErrors } of refused) expect(userErrors[0]!.message).toBe('No available stock left for the product');
  const { body } = await server.gql(`{ product(id: "${productId}") { availableStock totalStock saleStatus } }`);
  expect(body.data.product).toEqual({ availableStock: 0, totalStock: units, saleStatus: 'FULLY_HELD' });
  const rows = await db.sql<{ n: number }>('SELECT count(*)::int AS n FROM holds WHERE product_id = $1', [productId]);
  expect(rows[0]!.n).toBe(units);
  await expectClean(db);
}

test.each(Array.from({ length: ROUNDS }, (_, index) => index + 1))(
  'parallel holds never oversell: 500 shoppers, 50 units, 50 holds (round %d)',
  async () => {
    const { id } = await server.product(50);
    await expectSoldOut(await crowd(SHOPPERS, id), id, 50);
  },
);

test.each(Array.from({ length: ROUNDS }, (_, index) => index + 1))(
  'one unit and 100 shoppers make one hold (round %d)',
  async () => {
    const { id } = await server.product(1);
    await expectSoldOut(await crowd(100, id), id, 1);
  },
);

test.each(Array.from({ length: ROUNDS }, (_, index) => index + 1))(
  'no customer passes their limit, however many requests they send at once (round %d)',
  async () => {
    const { id: productId } = await server.product(50, { maxPerCustomer: 2 });
    const answers = await Promise.all(
      [server.tokens.alice, server.tokens.bob].flatMap((token) =>
        Array.from({ length: 40 }, () => server.mutate('createHold', { productId }, token)),
      ),
    );
    expect(answers.filter(({ object }) => object !== null)).toHaveLength(4);
    expect(answers.filter(({ codes }) => codes[0] === 'LIMIT_PER_CUSTOMER')).toHaveLength(76);
    await expectClean(db);
  },
);

describe('with HOLD_TTL_SECONDS=2 an expired hold gives its units back', () => {
  test('within a second of the expiry, by the sweep', async () => {
    const sweeping = await build.start({ DATABASE_URL: db.url, HOLD_TTL_SECONDS: '2' });
    const { id: productId } = await sweeping.product(3);
    const hold = await sweeping.hold(productId, { quantity: 3 });
    const dueAt = Date.parse(hold.expiresAt);
    expect(dueAt - Date.parse(hold.createdAt)).toBe(2_000);
    for (;;) {
      const [row] = await db.sql<{ available: number; at: Date; closed: Date | null }>(
        'SELECT available, clock_timestamp() AS at, closed_at AS closed FROM stock JOIN holds USING (product_id) WHERE product_id = $1',
        [productId],
      );
      if (row!.available === 3) {
        expect(row!.closed!.getTime()).toBeGreaterThanOrEqual(dueAt);
        // A tick each second, and the time that this busy machine may take for it.
        expect(row!.closed!.getTime() - dueAt).toBeLessThan(1_500);
        break;
      }
      expect(row!.at.getTime() - dueAt).toBeLessThan(5_000);
      await sleep(20);
    }
    expect((await sweeping.mutate('createOrder', { holdIds: hold.id })).codes).toEqual(['HOLD_EXPIRED']);
    expect((await sweeping.mutate('releaseHold', { holdId: hold.id })).codes).toEqual(['HOLD_EXPIRED']);
    expect((await sweeping.end('SIGTERM')).code).toBe(0);
    await expectClean(db);
  });

  test('to createHold at once, without a sweep', async () => {
    // The other server's sweep would do the bookkeeping here as well.
    await server.end('SIGTERM');
    const lazy = await build.start({ DATABASE_URL: db.url, HOLD_TTL_SECONDS: '2', SWEEP_CRON: 'off' });
    const { id: productId } = await lazy.product(1);
    const hold = await lazy.hold(productId);
    const early = await lazy.mutate('createHold', { productId });
    expect(early.codes).toEqual(['OUT_OF_STOCK']);
    expect(early.userErrors[0]!.stockReturnsAt).toBe(hold.expiresAt);
    let next = early;
    while (next.object === null) {
      await sleep(20);
      next = await lazy.mutate('createHold', { productId });
    }
    const late = Date.parse(next.object.createdAt) - Date.parse(hold.expiresAt);
    expect(late).toBeGreaterThanOrEqual(0);
    expect(late).toBeLessThan(1_000);
    expect((await lazy.mutate('createOrder', { holdIds: hold.id })).codes).toEqual(['HOLD_EXPIRED']);
    expect((await lazy.order(next.object.id)).status).toBe('PENDING_PAYMENT');
    expect((await lazy.end('SIGTERM')).code).toBe(0);
    await expectClean(db);
  });
});
