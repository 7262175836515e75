/** P1, P4 and the limit per customer, with parallel connections. */
import type { Product } from '../../src/domain/records';
import {
  ALICE,
  codesOf,
  newKey,
  openShop,
  refusalsOf,
  untilTaken,
  valueOf,
  type Server,
  type Shop,
} from '../support/checkout';
import { expectClean, violations } from '../support/invariants';
import { collide, collideWithLock, fairly, stampede } from '../support/races';
import { endSaleNow, expireNow } from '../support/time';
import { naiveHold, naiveLimitedHold } from './controls/naive';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

const STOCK_OF = { text: 'SELECT FROM stock WHERE product_id = $1 FOR UPDATE' };
const hold =
  (product: Product, more: { quantity?: number; customerId?: string; idempotencyKey?: string } = {}) =>
  (server: Server) =>
    server.createHold({ productId: product.id, quantity: 1, customerId: '', ...more });
const available = async (product: Product) =>
  (await shop.sql<{ available: number }>('SELECT available FROM stock WHERE product_id = $1', [product.id]))[0]!
    .available;

describe('parallel holds never oversell', () => {
  test('parallel holds never oversell', async () => {
    const product = await shop.product(50);
    const answers = await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all(
          Array.from({ length: 600 }, (_, n) =>
            untilTaken(() => hold(product, { quantity: 1 + (n % 3) })(serverOf(n))),
          ),
        ),
      ),
    );
    const granted = answers.filter((answer) => answer.granted);
    expect(granted.reduce((sum, answer) => sum + valueOf(answer).quantity, 0)).toBe(50);
    expect(await available(product)).toBe(0);
    const refusals = answers.flatMap(refusalsOf);
    expect(refusals).toHaveLength(600 - granted.length);
    expect(new Set(refusals.map(({ message }) => message))).toEqual(
      new Set(['No available stock left for the product']),
    );
  });

  test('a hundred shoppers and one unit make one hold', async () => {
    const product = await shop.product(1);
    const answers = await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all(Array.from({ length: 100 }, (_, n) => untilTaken(() => hold(product)(serverOf(n))))),
      ),
    );
    expect(answers.filter((answer) => answer.granted)).toHaveLength(1);
  });

  test('a request that waits for the last unit finds it taken', async () => {
    const product = await shop.product(1);
    const { first, others } = await fairly(shop, () => collide(shop, hold(product), [hold(product), hold(product)]));
    expect(first.granted).toBe(true);
    expect(others.map(codesOf)).toEqual([['OUT_OF_STOCK'], ['OUT_OF_STOCK']]);
  });

  test('control: without a lock the same race oversells', async () => {
    const product = await shop.product(1);
    const { first, others } = await collide(shop, naiveHold(product), [naiveHold(product)]);
    expect([first, ...others]).toEqual([true, true]);
    expect(await violations(shop)).not.toEqual([]);
    await shop.sql('DELETE FROM holds WHERE product_id = $1', [product.id]);
    await shop.sql('UPDATE stock SET available = total WHERE product_id = $1', [product.id]);
  });
});

test('a hold that becomes overdue while another shopper waits is theirs', async () => {
  const product = await shop.product(1);
  const { id } = await shop.hold(product);
  const [answer] = await fairly(shop, () =>
    collideWithLock(shop, { ...STOCK_OF, values: [product.id] }, [hold(product)], (sql) => expireNow(sql, id)),
  );
  expect(answer!.granted).toBe(true);
});

test('a sale that ends while a shopper waits is over for them', async () => {
  const product = await shop.product(1);
  const [answer] = await fairly(shop, () =>
    collideWithLock(shop, { ...STOCK_OF, values: [product.id] }, [hold(product)], (sql) => endSaleNow(sql, product.id)),
  );
  expect(codesOf(answer!)).toEqual(['SALE_ENDED']);
});

describe('one key, one hold', () => {
  test('copies of a request on many servers name one hold', async () => {
    const product = await shop.product(10);
    const idempotencyKey = newKey();
    const answers = await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all(
          Array.from({ length: 60 }, (_, n) => untilTaken(() => hold(product, { idempotencyKey })(serverOf(n)))),
        ),
      ),
    );
    expect(new Set(answers.map((answer) => valueOf(answer).id)).size).toBe(1);
    expect(answers.filter((answer) => answer.granted && !answer.replay)).toHaveLength(1);
    expect(await available(product)).toBe(9);
  });

  test('a copy that waits for the first is a replay, also of the last unit', async () => {
    const product = await shop.product(1);
    const same = hold(product, { idempotencyKey: newKey() });
    const { first, others } = await fairly(shop, () => collide(shop, same, [same]));
    expect(others).toMatchObject([{ granted: true, replay: true, value: valueOf(first) }]);
  });
});

describe('nobody passes the limit per customer', () => {
  test('parallel requests of one customer stay within the limit', async () => {
    const product = await shop.product(50, { maxPerCustomer: 2 });
    const answers = await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all(
          Array.from({ length: 60 }, (_, n) => untilTaken(() => hold(product, { customerId: ALICE })(serverOf(n)))),
        ),
      ),
    );
    expect(answers.filter((answer) => answer.granted)).toHaveLength(2);
    expect(new Set(answers.flatMap(codesOf))).toEqual(new Set(['LIMIT_PER_CUSTOMER']));
  });

  test('a request that waits for another of its customer is judged after it', async () => {
    const product = await shop.product(5, { maxPerCustomer: 1 });
    const own = hold(product, { customerId: ALICE });
    const { others } = await fairly(shop, () => collide(shop, own, [own]));
    expect(others.map(codesOf)).toEqual([['LIMIT_PER_CUSTOMER']]);
  });

  test('control: a limit that is read with the lock is passed', async () => {
    const product = await shop.product(5, { maxPerCustomer: 1 });
    const own = naiveLimitedHold(product, ALICE);
    const { first, others } = await collide(shop, own, [own]);
    expect([first, ...others]).toEqual([true, true]);
  });
});

test('a product whose lock is taken does not slow another on the same server', async () => {
  const [slow, fast] = [await shop.product(5), await shop.product(5)];
  let waiting: Server | undefined;
  let isAnswered = false;
  const waiter = async (server: Server) => {
    waiting = server;
    const answer = await hold(slow)(server);
    isAnswered = true;
    return answer;
  };
  const [answer] = await fairly(shop, () =>
    collideWithLock(shop, { ...STOCK_OF, values: [slow.id] }, [waiter], async () => {
      // The waiter would be refused after 2 s: the other is answered meanwhile, not after it.
      expect((await hold(fast)(waiting!)).granted).toBe(true);
      expect(isAnswered).toBe(false);
    }),
  );
  expect(answer!.granted).toBe(true);
});
