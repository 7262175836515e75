/** P2 and P3, with parallel connections: units of an overdue hold come back once, to exactly one. */
import { importProducts } from '../../src/checkout/create-product';
import { checkedProduct } from '../../src/checkout/product-fields';
import type { Hold, Product } from '../../src/domain/records';
import {
  codesOf,
  eventOf,
  holdIds,
  message,
  newKey,
  openShop,
  untilTaken,
  valueOf,
  type Server,
  type Shop,
} from '../support/checkout';
import { expectClean, violations } from '../support/invariants';
import { collide, collideWithLock, fairly, lockOfHold, SERVERS, stampede } from '../support/races';
import { expire, expireEachIn, expireNow } from '../support/time';
import { naiveSweep } from './controls/naive';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(async () => {
  // A sweep of the next test must not stop at what this one left.
  await shop.sweep();
  await expectClean(shop);
});
afterAll(() => shop.close());

const createHold = (product: Product) => (server: Server) =>
  server.createHold({ productId: product.id, quantity: 1, customerId: '' });
const sweep = (server: Server) => server.sweep();
const stock = async (product: Product) =>
  (await shop.sql('SELECT total, available FROM stock WHERE product_id = $1', [product.id]))[0];

async function overdueHolds(product: Product, count: number): Promise<Hold[]> {
  const holds = await Promise.all(Array.from({ length: count }, () => shop.hold(product)));
  await expire(shop.sql, ...holdIds(holds));
  return holds;
}

describe('hold expiry gives stock back', () => {
  test('hold expiry gives stock back', async () => {
    const product = await shop.product(5);
    await overdueHolds(product, 5);
    const answers = await fairly(shop, () =>
      stampede(shop, (serverOf) => {
        const shoppers = Array.from({ length: 40 }, (_, n) => untilTaken(() => createHold(product)(serverOf(n))));
        const sweeps = Array.from({ length: SERVERS }, (_, n) => untilTaken(() => serverOf(n).sweep()));
        return Promise.all(sweeps).then(() => Promise.all(shoppers));
      }),
    );
    expect(answers.filter((answer) => answer.granted)).toHaveLength(5);
    expect(await stock(product)).toEqual({ total: 5, available: 0 });
  });

  test('two sweeps at once give each unit back once', async () => {
    const product = await shop.product(3);
    await overdueHolds(product, 3);
    const { first, others } = await fairly(shop, () => collide(shop, sweep, [sweep]));
    expect([first.expiredHolds, ...others.map((swept) => swept.expiredHolds)]).toEqual([3, 0]);
    expect(await stock(product)).toEqual({ total: 3, available: 3 });
  });

  test('control: a sweep that does not look again gives units back twice', async () => {
    const product = await shop.product(3);
    const [hold] = await overdueHolds(product, 1);
    const kept = await shop.hold(product);
    await collide(shop, naiveSweep(product), [naiveSweep(product)]);
    expect((await violations(shop)).map(({ promise }) => promise)).toContain('P1');
    await shop.sql('UPDATE stock SET available = 2 WHERE product_id = $1', [product.id]);
    expect([hold!.status, kept.status]).toEqual(['ACTIVE', 'ACTIVE']);
  });

  test('a shopper who waits for the sweep gets what it gave back', async () => {
    const product = await shop.product(1);
    await overdueHolds(product, 1);
    const { others } = await fairly(shop, () => collide(shop, sweep, [createHold(product)]));
    expect(others[0]!.granted).toBe(true);
  });

  test('a sweep that waits for a shopper finds the hold closed', async () => {
    const product = await shop.product(1);
    await overdueHolds(product, 1);
    const { first, others } = await fairly(shop, () => collide(shop, createHold(product), [sweep]));
    expect(first.granted).toBe(true);
    expect(others[0]!.expiredHolds).toBe(0);
  });
});

describe('a hold closes once', () => {
  test('a hold that becomes overdue while its order waits is not ordered', async () => {
    const product = await shop.product(1);
    const hold = await shop.hold(product);
    const { id } = hold;
    const order = (server: Server) => server.createOrder({ holdIds: [id], customerId: '' });
    const [answer] = await fairly(shop, () =>
      collideWithLock(shop, lockOfHold(hold), [order], (sql) => expireNow(sql, id)),
    );
    expect(codesOf(answer!)).toEqual(['HOLD_EXPIRED']);
  });

  test('an order and a release of one hold: one wins', async () => {
    const product = await shop.product(1);
    const { id } = await shop.hold(product);
    const order = (server: Server) => server.createOrder({ holdIds: [id], customerId: '' });
    const release = (server: Server) => server.releaseHold(id);
    const { first, others } = await fairly(shop, () => collide(shop, order, [release]));
    expect(first.granted).toBe(true);
    expect(others.map(codesOf)).toEqual([['HOLD_ALREADY_USED']]);
  });

  test('a release and an order of one hold: one wins', async () => {
    const product = await shop.product(1);
    const { id } = await shop.hold(product);
    const order = (server: Server) => server.createOrder({ holdIds: [id], customerId: '' });
    const { others } = await fairly(shop, () => collide(shop, (server) => server.releaseHold(id), [order]));
    expect(others.map(codesOf)).toEqual([['HOLD_RELEASED']]);
  });
});

/** What became of a payment; `inTime`: before its hold ended; `isResold`: the next shopper has the unit. */
interface End {
  readonly inTime: boolean;
  readonly status: string;
  readonly outcome: string;
  readonly isResold: boolean;
}

/** Of 50 products with one unit each: its hold ends about now, and its payment, the next shopper and a sweep come at once. */
async function payAtExpiry(serverOf: (n: number) => Server, leadMs: number): Promise<End[]> {
  const added = Array.from({ length: 50 }, (_, n) =>
    checkedProduct({ sku: newKey(), name: `Last of ${n}`, priceMinor: 1_000, currency: 'USD', totalStock: 1 }),
  );
  await importProducts(shop, added, { actor: 'test', reason: 'test' });
  const products = added.map(({ product }) => product);
  const holds = await Promise.all(products.map((product, n) => untilTaken(() => serverOf(n).hold(product))));
  await expireEachIn(shop.sql, holdIds(holds), (n) => leadMs + (n % 7));
  const [payments, shoppers] = await Promise.all([
    Promise.all(holds.map((hold, n) => untilTaken(() => serverOf(n).receive(message('succeeded', hold))))),
    Promise.all(products.map((product, n) => untilTaken(() => createHold(product)(serverOf(n + 1))))),
    untilTaken(() => serverOf(0).sweep()),
  ]);
  const orders = await shop.sql<{ id: string; status: string; created_at: Date }>(
    'SELECT id, status, created_at FROM orders WHERE id = ANY ($1::uuid[])',
    [payments.map((payment) => eventOf(payment).orderId)],
  );
  const expiries = await shop.sql<{ id: string; expires_at: Date }>(
    'SELECT id, expires_at FROM holds WHERE id = ANY ($1::uuid[])',
    [holdIds(holds)],
  );
  return payments.map((payment, n) => {
    const { outcome, orderId } = eventOf(payment);
    const { status, created_at } = orders.find(({ id }) => id === orderId)!;
    const { expires_at } = expiries.find(({ id }) => id === holds[n]!.id)!;
    return { inTime: created_at < expires_at, status, outcome, isResold: shoppers[n]!.granted };
  });
}

describe('expiry against payment', () => {
  test('a payment that waits for the sweep takes the unit again', async () => {
    const product = await shop.product(1);
    const [hold] = await overdueHolds(product, 1);
    const pay = (server: Server) => server.receive(message('succeeded', hold!));
    const { others } = await fairly(shop, () => collide(shop, sweep, [pay]));
    expect(eventOf(others[0]!).outcome).toBe('APPLIED');
    expect(await stock(product)).toEqual({ total: 1, available: 0 });
  });

  test('a sweep that waits for a payment leaves its unit alone', async () => {
    const product = await shop.product(1);
    const [hold] = await overdueHolds(product, 1);
    const pay = (server: Server) => server.receive(message('succeeded', hold!));
    const { first, others } = await fairly(shop, () => collide(shop, pay, [sweep]));
    expect(eventOf(first).outcome).toBe('APPLIED');
    expect(others[0]).toMatchObject({ expiredHolds: 0 });
  });

  test('a payment and a shopper after the same unit: one gets it, and the money is not lost', async () => {
    const product = await shop.product(1);
    const [hold] = await overdueHolds(product, 1);
    const pay = (server: Server) => server.receive(message('succeeded', hold!));
    const { first, others } = await fairly(shop, () => collide(shop, createHold(product), [pay]));
    expect(first.granted).toBe(true);
    expect(eventOf(others[0]!).outcome).toBe('REFUND_DUE');
  });

  test('expiry and payment at the same instant, 500 times: one wins, and the other is recorded', async () => {
    /** How far ahead the expiries are, in ms. Where half of the payments come in time depends on the machine. */
    let leadMs = 8;
    const ends = await fairly(shop, () =>
      stampede(shop, async (serverOf) => {
        const all: End[] = [];
        for (let block = 0; block < 10; block += 1) {
          const some = await payAtExpiry(serverOf, leadMs);
          leadMs *= some.filter(({ inTime }) => inTime).length < some.length / 2 ? 2 : 1 / 2;
          all.push(...some);
        }
        return all;
      }),
    );
    expect(ends).toHaveLength(500);
    // A late payment takes the unit again, unless the next shopper was there first.
    const paid = { status: 'PAID', outcome: 'APPLIED', isResold: false };
    const late = { status: 'REFUND_DUE', outcome: 'REFUND_DUE', isResold: true };
    for (const { inTime, ...end } of ends) expect(inTime ? [paid] : [paid, late]).toContainEqual(end);
    // Else nothing was at the same instant.
    expect(ends).toContainEqual({ inTime: true, ...paid });
    expect(ends).toContainEqual({ inTime: false, ...late });
    // 1,500 requests and a sweep beside them: 6 s, and many times that where the disk is busy with others.
  }, 180_000);

  test('an order that is placed while its hold is overdue at the sweep is refused, and its unit is back', async () => {
    const product = await shop.product(1);
    const [hold] = await overdueHolds(product, 1);
    const order = (server: Server) => server.createOrder({ holdIds: [hold!.id], customerId: '' });
    const { others } = await fairly(shop, () => collide(shop, sweep, [order]));
    expect(others.map(codesOf)).toEqual([['HOLD_EXPIRED']]);
    expect(valueOf(await createHold(product)(shop)).quantity).toBe(1);
  });
});
