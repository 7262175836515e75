/** P3 and P4 for orders, and the order of locks, with parallel connections. */
import { setTimeout as sleep } from 'node:timers/promises';
import { orderIdOf } from '../../src/database/ids';
import type { Hold, Product } from '../../src/domain/records';
import { onOneServer } from '../support/citus';
import { replayed } from '../../src/domain/refusals';
import {
  codesOf,
  holdIds,
  message,
  newKey,
  openShop,
  untilTaken,
  valueOf,
  type Server,
  type Shop,
} from '../support/checkout';
import { expectClean } from '../support/invariants';
import { collide, collideWithLock, fairly, lockOfHold, stampede } from '../support/races';
import { makeOrderOverdue } from '../support/time';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

const placeOrder =
  (holds: readonly Hold[], idempotencyKey: string | null | undefined = null, customerId = '') =>
  (server: Server) =>
    server.createOrder({ holdIds: holdIds(holds), customerId, idempotencyKey });

async function twoProducts(units = 10): Promise<[Product, Product]> {
  return [await shop.product(units), await shop.product(units)];
}

/** Pairs of holds, of five products in a ring, so that carts of different pairs want the same products too. */
async function neighbours(count: number): Promise<[Hold, Hold][]> {
  const ring = await Promise.all(Array.from({ length: 5 }, () => shop.product(100)));
  const holdOf = (n: number) => untilTaken(() => shop.hold(ring[n % ring.length]!));
  return Promise.all(Array.from({ length: count }, (_, n) => Promise.all([holdOf(n), holdOf(n + 1)])));
}

// On Citus every order has a transaction of its own.
onOneServer('locked holds of other products do not delay an order', async () => {
  const locked: Hold[] = [];
  for (let n = 0; n < 4; n += 1) locked.push(await shop.hold(await shop.product(1)));
  const free = await shop.hold(await shop.product(1));
  let server: Server;
  const waiting = locked.map((hold) => (opened: Server) => placeOrder([hold])((server = opened)));
  const answers = await collideWithLock(shop, locked.map(lockOfHold), waiting, async () => {
    // As many transactions as orders share are waiting now.
    expect(await placeOrder([free])(server)).toMatchObject({ granted: true });
  });
  for (const answer of answers) expect(answer.granted).toBe(true);
});

describe('carts in opposite directions', () => {
  test('of two carts with the same holds in opposite order one gets them, and nothing deadlocks', async () => {
    const [a, b] = await twoProducts();
    const holds = [await shop.hold(a), await shop.hold(b)];
    const carts = [placeOrder(holds), placeOrder(holds.toReversed())];
    const answers = await fairly(shop, () =>
      collideWithLock(shop, holds.map(lockOfHold), carts, async () => undefined),
    );
    expect(answers.filter((answer) => answer.granted)).toHaveLength(1);
    expect(answers.flatMap(codesOf)).toEqual(['HOLD_ALREADY_USED', 'HOLD_ALREADY_USED']);
  });

  test('200 clients want 20 pairs of holds, half of them the other way round: each pair is ordered once', async () => {
    const pairs = await neighbours(20);
    const answers = await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all(
          Array.from({ length: 200 }, (_, n) => {
            const pair = pairs[n % 20]!;
            // Each server is asked for each pair in both directions, and its neighbour in the opposite ones.
            const round = Math.floor(n / 20);
            const asked = Math.floor(round / 2);
            const cart = (round + asked) % 2 === 0 ? pair : pair.toReversed();
            return untilTaken(() => placeOrder(cart)(serverOf(asked)));
          }),
        ),
      ),
    );
    const winners = answers.flatMap((answer, n) => (answer.granted ? [n % 20] : []));
    expect(winners.sort((a, b) => a - b)).toEqual(Array.from(pairs.keys()));
    const refused = answers.filter((answer) => !answer.granted).map(codesOf);
    expect(refused).toEqual(Array(180).fill(['HOLD_ALREADY_USED', 'HOLD_ALREADY_USED']));
  });

  test('200 cancellations of 100 carts in both directions give all units back, each once', async () => {
    const pairs = await neighbours(100);
    const orders = await Promise.all(
      pairs.map((pair, n) => untilTaken(() => placeOrder(n % 2 === 0 ? pair : pair.toReversed())(shop))),
    );
    await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all(
          [...orders, ...orders.toReversed()].map((order, n) =>
            untilTaken(() => serverOf(n).cancelOrder(valueOf(order).id)),
          ),
        ),
      ),
    );
    const productIds = [...new Set(pairs.flat().map(({ productId }) => productId))];
    const stock = await shop.sql('SELECT total, available FROM stock WHERE product_id = ANY ($1)', [productIds]);
    expect(stock).toEqual(Array(5).fill({ total: 100, available: 100 }));
  });
});

describe('one key, one order', () => {
  test('copies of a request on many servers name one order', async () => {
    const hold = await shop.hold(await shop.product(1));
    const copy = placeOrder([hold], newKey());
    const answers = await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all(Array.from({ length: 60 }, (_, n) => untilTaken(() => copy(serverOf(n))))),
      ),
    );
    expect(new Set(answers.map((answer) => valueOf(answer).id)).size).toBe(1);
    expect(answers.filter((answer) => answer.granted && !answer.replay)).toHaveLength(1);
  });

  test('a copy that waits for the first is a replay', async () => {
    const hold = await shop.hold(await shop.product(1));
    const copy = placeOrder([hold], newKey());
    const { first, others } = await fairly(shop, () => collide(shop, copy, [copy]));
    expect(others).toEqual([replayed(valueOf(first))]);
  });

  test('one key for two carts at once makes one order, and refuses the other cart', async () => {
    const [a, b] = await twoProducts();
    const [one, other] = [await shop.hold(a), await shop.hold(b)];
    const key = newKey();
    const { first, others } = await fairly(shop, () =>
      collide(shop, placeOrder([one], key), [placeOrder([other], key)]),
    );
    expect(first.granted).toBe(true);
    expect(others.map(codesOf)).toEqual([['IDEMPOTENCY_KEY_REUSED']]);
  });

  // On Citus each order has a transaction of its own: there is no batch.
  onOneServer(
    'two keys that two batches use for different carts, in opposite directions, do not deadlock',
    async () => {
      const [a, b] = await twoProducts();
      const keys = [newKey(), newKey()];
      const ids = keys.map((key) => orderIdOf('', key));
      // Each server: one order that goes at once, and two behind it that share the next transaction.
      const batch = async (product: Product, own: readonly string[]) => {
        const [one, two, three] = await Promise.all(Array.from({ length: 3 }, () => shop.hold(product)));
        return (server: Server) =>
          Promise.all([
            placeOrder([one!])(server),
            placeOrder([two!], own[0])(server),
            placeOrder([three!], own[1])(server),
          ]);
      };
      const sides = [await batch(a, keys), await batch(b, keys.toReversed())];
      // Somebody is about to write the first id, and then does not: both batches have come as far as they can by then.
      const claim = {
        text: `INSERT INTO orders (id, customer_id, status, total_minor, currency, placed_by, payment_due_at, created_at)
        VALUES ($1, '', 'PENDING_PAYMENT', 0, 'USD', 'CUSTOMER', now(), now())`,
        values: [ids[0]],
      };
      const answers = await fairly(shop, () =>
        collideWithLock(
          shop,
          claim,
          sides,
          async (sql) => void (await sql('DELETE FROM orders WHERE id = $1', [ids[0]])),
        ),
      );
      expect(answers.flat().filter((answer) => answer.granted)).toHaveLength(4);
      expect(answers.flat().flatMap(codesOf)).toEqual(['IDEMPOTENCY_KEY_REUSED', 'IDEMPOTENCY_KEY_REUSED']);
    },
  );

  test('of two orders of one hold one gets it', async () => {
    const hold = await shop.hold(await shop.product(1));
    const { first, others } = await fairly(shop, () => collide(shop, placeOrder([hold]), [placeOrder([hold])]));
    expect(first.granted).toBe(true);
    expect(others.map(codesOf)).toEqual([['HOLD_ALREADY_USED']]);
  });
});

describe('an unpaid order is cancelled once', () => {
  test.each([
    ['its shopper', 'the sweep'],
    ['the sweep', 'its shopper'],
  ])('by %s, while %s waits', async (winner) => {
    const product = await shop.product(2);
    const order = await shop.orderOf(product);
    await makeOrderOverdue(shop.sql, order.id);
    const cancel = async (server: Server) => void (await server.cancelOrder(order.id));
    const sweep = async (server: Server) => void (await server.sweep());
    const [first, second] = winner === 'the sweep' ? [sweep, cancel] : [cancel, sweep];
    await fairly(shop, () => collide(shop, first, [second]));
    const [row] = await shop.sql('SELECT cancelled_by AS by FROM orders WHERE id = $1', [order.id]);
    expect(row).toEqual({ by: winner === 'the sweep' ? 'PAYMENT_WINDOW' : 'CUSTOMER' });
    expect(await shop.sql('SELECT available FROM stock WHERE product_id = $1', [product.id])).toEqual([
      { available: 2 },
    ]);
  });

  test('200 unpaid orders in both directions that four servers sweep while their shoppers cancel and pay give their units back once', async () => {
    const pairs = await neighbours(200);
    const orders = await Promise.all(
      pairs.map((pair, n) => untilTaken(() => placeOrder(n % 2 === 0 ? pair : pair.toReversed())(shop))),
    );
    const placed = orders.map(valueOf);
    for (const order of placed) await makeOrderOverdue(shop.sql, order.id);
    await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all([
          ...Array.from({ length: 8 }, (_, n) => untilTaken(() => serverOf(n).sweep())),
          ...placed
            .filter((_, n) => n % 5 === 0)
            .map((order, n) => untilTaken(() => serverOf(n).cancelOrder(order.id))),
          ...placed
            .filter((_, n) => n % 5 === 1)
            .map((order, n) => untilTaken(() => serverOf(n).receive(message('succeeded', order)))),
        ]),
      ),
    );
    // What was busy is left to the next sweep.
    for (let left = 1; left > 0;) left = (await shop.sweep()).skipped;
    const rows = await shop.sql<{ status: string; n: number }>(
      'SELECT status, count(*)::int AS n FROM orders WHERE id = ANY ($1) GROUP BY status',
      [placed.map((order) => order.id)],
    );
    const count = (status: string) => rows.find((row) => row.status === status)?.n ?? 0;
    expect(count('CANCELLED') + count('PAID') + count('REFUND_DUE')).toBe(200);
    expect(count('PENDING_PAYMENT')).toBe(0);
    expect(count('PAID') + count('REFUND_DUE')).toBe(40);
  });

  // On Citus each order has a transaction of its own.
  onOneServer(
    'orders of a busy product are left to the next sweep, and those of other products are cancelled',
    async () => {
      const [busy, free] = await twoProducts();
      const orders = [await shop.orderOf(busy), await shop.orderOf(busy), await shop.orderOf(free)];
      for (const order of orders) await makeOrderOverdue(shop.sql, order.id);
      const lock = { text: 'SELECT FROM stock WHERE product_id = $1 FOR UPDATE', values: [busy.id] };
      const sweeps = await fairly(shop, () =>
        collideWithLock(shop, lock, [(server) => server.sweep()], async (sql) => {
          // The sweep waits, and by now it has cancelled the order of the other product.
          const rows = await sql('SELECT status FROM orders WHERE id = $1', [orders[2]!.id]);
          expect(rows).toEqual([{ status: 'CANCELLED' }]);
          await sleep(400);
        }),
      );
      expect(sweeps).toEqual([expect.objectContaining({ cancelledOrders: 1, skipped: 1 })]);
      expect(await shop.sweep()).toMatchObject({ cancelledOrders: 2, skipped: 0 });
    },
  );

  test('stock is taken off sale while a shopper takes the last unit: one of them is refused', async () => {
    const product = await shop.product(1);
    const take = (server: Server) => server.createHold({ productId: product.id, quantity: 1, customerId: '' });
    const { others } = await fairly(shop, () =>
      collide(shop, (server) => server.adjustStock({ productId: product.id, delta: -1 }), [take]),
    );
    expect(others.map(codesOf)).toEqual([['OUT_OF_STOCK']]);
  });
});
