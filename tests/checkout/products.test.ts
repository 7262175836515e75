/** createProduct, updateProduct and adjustStock: what operators do to a sale. */
import { randomUUID } from 'node:crypto';
import { findProductBySku, findProducts } from '../../src/database/products';
import { readProducts, readStockReports } from '../../src/database/read-models';
import { CallerError } from '../../src/domain/errors';
import type { Product } from '../../src/domain/records';
import { newKey, openShop, valueOf, type Shop } from '../support/checkout';
import { expectClean, expectNothingMoved, expectRefused } from '../support/invariants';
import { expire } from '../support/time';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

const input = { sku: 'SKU', name: 'Name', priceMinor: 1, currency: 'USD', totalStock: 3, actor: 'operator' };
const stock = async ({ id }: Product) =>
  (await shop.sql('SELECT total, available FROM stock WHERE product_id = $1', [id]))[0];
const adjustments = ({ id }: Product) =>
  shop.sql('SELECT delta, reason, actor FROM stock_adjustments WHERE product_id = $1 ORDER BY created_at', [id]);

describe('createProduct', () => {
  test('createProduct writes the product, its stock and the first adjustment', async () => {
    const product = valueOf(await shop.createProduct({ ...input, sku: ' S-1 ', description: 'Fine' }));
    expect(product).toMatchObject({ sku: 'S-1', name: 'Name', description: 'Fine', maxPerCustomer: null });
    expect(await stock(product)).toEqual({ total: 3, available: 3 });
    expect(await adjustments(product)).toEqual([{ delta: 3, reason: 'createProduct', actor: 'operator' }]);
  });

  test('a product may start without units', async () => {
    expect(await stock(await shop.product(0))).toEqual({ total: 0, available: 0 });
  });

  test('createProduct refuses a SKU that is taken, and leaves nothing', async () => {
    await shop.createProduct({ ...input, sku: 'S-2' });
    await expectRefused(shop, () => shop.createProduct({ ...input, sku: 'S-2' }), 'SKU_TAKEN');
  });

  test.each([
    { name: '  ' },
    { priceMinor: -1 },
    { priceMinor: 1.5 },
    { currency: 'usd' },
    { totalStock: -1 },
    { totalStock: 2 ** 31 },
    { maxPerCustomer: 0 },
    { saleStartsAt: new Date(1), saleEndsAt: new Date(1) },
    { description: 'a\u0000b' },
  ])('does not take %j', async (more) => {
    await expectNothingMoved(shop, () =>
      expect(shop.createProduct({ ...input, sku: randomUUID(), ...more })).rejects.toThrow(CallerError),
    );
  });
});

test('a product that is not listed is in no page of products, is found by id and SKU, and can be bought', async () => {
  const product = await shop.product(1, { listed: false });
  const listed = async () => {
    const page = await shop.database.read((em) =>
      readProducts(em, { limit: 1_000, after: null }, { withDescriptions: false }),
    );
    return page.some(({ id }) => id === product.id);
  };
  expect(await listed()).toBe(false);
  expect((await shop.database.read((em) => findProducts(em, [product.id]))).map(({ id }) => id)).toEqual([product.id]);
  expect(await shop.database.read((em) => findProductBySku(em, product.sku))).toEqual(product);
  const reports = await shop.database.read((em) => readStockReports(em, { limit: 1_000, after: null }));
  expect(reports.map((report) => report.product.id)).toContain(product.id);
  await shop.hold(product);
  expect(valueOf(await shop.updateProduct({ productId: product.id, listed: true }))).toEqual({
    ...product,
    listed: true,
  });
  expect(await listed()).toBe(true);
});

describe('updateProduct', () => {
  test('updateProduct changes the given fields and no others', async () => {
    const product = await shop.product(1, { maxPerCustomer: 2, description: 'Old', saleEndsAt: new Date(5) });
    const changed = valueOf(await shop.updateProduct({ productId: product.id, name: 'New', maxPerCustomer: null }));
    expect(changed).toMatchObject({ ...product, name: 'New', maxPerCustomer: null });
    const bare = valueOf(await shop.updateProduct({ productId: product.id, description: null, saleEndsAt: null }));
    expect(bare).toEqual({ ...changed, description: null, saleEndsAt: null });
  });

  test('without a change answers the product as it is', async () => {
    const product = await shop.product(1);
    const answer = await expectNothingMoved(shop, () => shop.updateProduct({ productId: product.id }));
    expect(valueOf(answer)).toMatchObject(product);
  });

  test('refuses an unknown product', async () => {
    await expectRefused(shop, () => shop.updateProduct({ productId: randomUUID(), name: 'x' }), 'PRODUCT_NOT_FOUND');
    await expectRefused(shop, () => shop.updateProduct({ productId: 'no id', name: 'x' }), 'PRODUCT_NOT_FOUND');
  });

  test('updateProduct rejects null for name or price and a window that ends before it starts', async () => {
    const product = await shop.product(1, { saleStartsAt: new Date(10) });
    await expectNothingMoved(shop, async () => {
      for (const change of [{ name: null }, { priceMinor: null }, { priceMinor: -1 }, { maxPerCustomer: 0 }]) {
        await expect(shop.updateProduct({ productId: product.id, ...change })).rejects.toThrow(CallerError);
      }
      // Half of the window was set before.
      await expect(shop.updateProduct({ productId: product.id, saleEndsAt: new Date(9) })).rejects.toThrow(CallerError);
    });
  });
});

describe('adjustStock', () => {
  test('adjustStock adds and removes units, and records each change', async () => {
    const product = await shop.product(3);
    expect((await shop.adjustStock({ productId: product.id, delta: 2 })).granted).toBe(true);
    expect((await shop.adjustStock({ productId: product.id, delta: -4 })).granted).toBe(true);
    expect(await stock(product)).toEqual({ total: 1, available: 1 });
    expect((await adjustments(product)).map(({ delta }) => delta)).toEqual([3, 2, -4]);
  });

  test('adjustStock refuses to go below the units that are held or ordered', async () => {
    const product = await shop.product(3);
    await shop.hold(product, { quantity: 2 });
    await expectRefused(shop, () => shop.adjustStock({ productId: product.id, delta: -2 }), 'STOCK_BELOW_COMMITTED');
    expect((await shop.adjustStock({ productId: product.id, delta: -1 })).granted).toBe(true);
  });

  test('adjustStock takes the units of overdue holds', async () => {
    const product = await shop.product(2);
    await expire(shop.sql, (await shop.hold(product, { quantity: 2 })).id);
    expect((await shop.adjustStock({ productId: product.id, delta: -2 })).granted).toBe(true);
    expect(await stock(product)).toEqual({ total: 0, available: 0 });
  });

  test('adjustStock has one effect for each key', async () => {
    const product = await shop.product(1);
    const change = { productId: product.id, delta: 1, idempotencyKey: newKey() };
    await shop.adjustStock(change);
    expect(await expectNothingMoved(shop, () => shop.adjustStock(change))).toMatchObject({ replay: true });
    await expectRefused(shop, () => shop.adjustStock({ ...change, delta: 2 }), 'IDEMPOTENCY_KEY_REUSED');
    const answers = await Promise.all([1, 2, 3].map(() => shop.adjustStock({ ...change, idempotencyKey: 'same' })));
    expect(answers.filter((answer) => answer.granted && !answer.replay)).toHaveLength(1);
    expect(await stock(product)).toEqual({ total: 3, available: 3 });
  });

  test('adjustStock refuses an unknown product, 0, and totals that are no Int', async () => {
    const product = await shop.product(1);
    await expectRefused(shop, () => shop.adjustStock({ productId: randomUUID(), delta: 1 }), 'PRODUCT_NOT_FOUND');
    await expectNothingMoved(shop, async () => {
      for (const delta of [0, 0.5, 2 ** 31 - 1]) {
        await expect(shop.adjustStock({ productId: product.id, delta })).rejects.toThrow(CallerError);
      }
    });
  });
});
