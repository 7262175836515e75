/**
 * Many hot products and few connections: those that wait share a transaction, and nobody can tell from the answers. On Citus
 * each product keeps its own.
 */
import fc from 'fast-check';
import { openDatabase, type Database } from '../../src/database/database';
import type { Product } from '../../src/domain/records';
import { codesOf, openShop, serverOn, valueOf, type Server, type Shop } from '../support/checkout';
import { onOneServer } from '../support/citus';
import { expectClean } from '../support/invariants';
import { endSaleNow, expireNow } from '../support/time';

let shop: Shop;
let database: Database;
let server: Server;
/** One for each transaction of a batch. */
const names: string[] = [];
/** What becomes of the next shared transaction; null: nothing out of the ordinary. */
let losing: ((runAgain: () => Promise<unknown>) => Promise<unknown>) | null = null;
beforeAll(async () => {
  shop = await openShop();
  const opened = await openDatabase({ url: shop.url, poolSize: 2, log: shop.log });
  const inBatch: Database['inBatch'] = async (name, work) => {
    names.push(name);
    const answer = await opened.inBatch(name, work);
    const lose = name === 'createHolds' ? losing : null;
    if (!lose) return answer;
    losing = null;
    // As after a COMMIT whose answer was lost.
    return (await lose(() => opened.inBatch(name, (own) => work({ ...own, attempt: 2 })))) as typeof answer;
  };
  database = { ...opened, inBatch };
  server = serverOn(database, shop.log);
});
beforeEach(() => void names.splice(0));
afterEach(() => expectClean(shop));
afterAll(async () => {
  await database.close();
  await shop.close();
});

interface Asked {
  readonly product: number;
  readonly quantity: number;
  readonly customerId: string;
  readonly idempotencyKey: string | null;
}

const asked: fc.Arbitrary<Asked> = fc.record({
  product: fc.nat(11),
  quantity: fc.integer({ min: 1, max: 3 }),
  customerId: fc.constantFrom('', 'alice', 'bob'),
  idempotencyKey: fc.constantFrom(null, null, 'k1', 'k2'),
});

/** Of every kind: plenty, few, limited, sold out, over, and with an overdue hold in the way. */
async function range(): Promise<Product[]> {
  const products = await Promise.all(
    Array.from({ length: 12 }, (_, n) =>
      shop.product(n % 3 === 0 ? 100 : 3, { maxPerCustomer: n % 4 === 1 ? 2 : null }),
    ),
  );
  await endSaleNow(shop.sql, products[2]!.id);
  for (const n of [5, 9]) {
    const { id } = await shop.hold(products[n]!, { quantity: 2, customerId: 'alice' });
    await expireNow(shop.sql, id);
  }
  return products;
}

const ask = (products: readonly Product[], { product, ...request }: Asked) =>
  server.createHold({ ...request, productId: products[product]!.id });

onOneServer('a crowd over many products is answered as if each had come alone', async () => {
  let shared = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(asked, { minLength: 30, maxLength: 80 }), async (crowd) => {
      const [together, alone] = [await range(), await range()];
      names.splice(0);
      const answers = await Promise.all(crowd.map((request) => ask(together, request)));
      shared += names.filter((name) => name === 'createHolds').length;
      const replayed = [];
      for (const request of crowd) replayed.push(await ask(alone, request));
      const shown = (answer: (typeof answers)[number]) => (answer.granted ? answer.replay : codesOf(answer));
      expect(answers.map(shown)).toEqual(replayed.map(shown));
    }),
    { numRuns: 8 },
  );
  expect(shared).toBeGreaterThan(8);
});

onOneServer('forty products at once take a few transactions, and each its own units', async () => {
  const products = await Promise.all(Array.from({ length: 40 }, () => shop.product(5)));
  const answers = await Promise.all(
    products.flatMap((product, n) =>
      Array.from({ length: 3 }, () =>
        server.hold(product, { quantity: 1 + (n % 2), customerId: 'alice' }).catch(String),
      ),
    ),
  );
  expect(answers.filter((answer) => typeof answer !== 'string')).toHaveLength(20 * 3 + 20 * 2);
  expect(names.length).toBeLessThan(40);
  const left = await shop.sql<{ available: number }>('SELECT available FROM stock WHERE product_id = ANY ($1)', [
    products.map(({ id }) => id),
  ]);
  expect(left.map(({ available }) => available).sort()).toEqual([...Array(20).fill(1), ...Array(20).fill(2)]);
});

onOneServer('a product whose lock is taken holds up none of those that it came with', async () => {
  const products = await Promise.all(Array.from({ length: 20 }, () => shop.product(5)));
  const [stuck, ...others] = products as [Product, ...Product[]];
  const answered: string[] = [];
  let waiting: Promise<unknown> | undefined;
  await shop.database.inTransaction('test', async ({ em }) => {
    await em.execute('SELECT FROM stock WHERE product_id = ? FOR UPDATE', [stuck.id]);
    // The first two take both connections; the stuck one comes in the middle of those that share the next.
    const crowd = [...others.slice(0, 10), stuck, ...others.slice(10)];
    const answers = crowd.map((product) =>
      server.hold(product).then((hold) => {
        answered.push(hold.productId);
      }),
    );
    waiting = Promise.all(answers);
    await Promise.all(answers.filter((_, n) => crowd[n] !== stuck));
    expect(names).toContain('createHolds');
    expect(answered).not.toContain(stuck.id);
  });
  await waiting;
  expect(answered).toContain(stuck.id);
});

onOneServer('what fails for one product fails for no other of the same transaction', async () => {
  const products = await Promise.all(Array.from({ length: 12 }, () => shop.product(5)));
  const bad = products[7]!;
  await shop.sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$`);
  await shop.sql(
    `CREATE TRIGGER refuse BEFORE INSERT ON holds FOR EACH ROW WHEN (NEW.product_id = '${bad.id}') EXECUTE FUNCTION refuse()`,
  );
  const answers = await Promise.allSettled(
    products.map((product) => server.createHold({ productId: product.id, quantity: 1, customerId: '' })),
  );
  await shop.sql('DROP TRIGGER refuse ON holds');
  expect(names).toContain('createHolds');
  expect(answers[7]!.status).toBe('rejected');
  for (const [n, answer] of answers.entries())
    if (n !== 7) expect(answer.status === 'fulfilled' && valueOf(answer.value)).toBeTruthy();
});

onOneServer('a shared COMMIT whose answer is lost was a success, also while its rows are still locked', async () => {
  const products = await Promise.all(Array.from({ length: 12 }, () => shop.product(1)));
  losing = (runAgain) =>
    shop.database.inTransaction('test', async ({ em }) => {
      for (const { id } of products) await em.execute('SELECT FROM stock WHERE product_id = ? FOR UPDATE', [id]);
      return runAgain();
    });
  // Each has one unit: whoever does not know their own hold is told that there is none left.
  await Promise.all(products.map((product) => server.hold(product)));
  expect(losing).toBeNull();
  expect(await shop.sql('SELECT FROM holds WHERE product_id = ANY ($1)', [products.map(({ id }) => id)])).toHaveLength(
    12,
  );
});
