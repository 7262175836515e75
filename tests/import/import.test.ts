/** `npm run import` adds all products of a file or none, says what is wrong line by line, and is safe to repeat. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { importProducts } from '../../src/checkout/import-products';
import { checkedProduct } from '../../src/checkout/put-on-sale';
import { build, ROOT, type Build } from '../support/build';
import { openShop, type Shop } from '../support/checkout';
import { expectClean, snapshot } from '../support/invariants';

const FIXTURE = resolve(__dirname, 'fixtures/products_export.csv');
const HEADER = 'Handle,Title,Variant SKU,Variant Inventory Qty,Variant Price';

let shop: Shop;
let built: Build;
let directory: string;
beforeAll(async () => {
  built = await build();
  directory = await mkdtemp(join(tmpdir(), 'import-'));
});
afterAll(async () => {
  await built.remove();
  await rm(directory, { recursive: true });
});
beforeEach(async () => (shop = await openShop()));
afterEach(async () => {
  await expectClean(shop);
  await shop.close();
});

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function importing(...args: string[]): Promise<Ended> {
  const env = { PATH: process.env.PATH, NODE_ENV: 'test', DATABASE_URL: shop.url, LOG_FILE: 'off' };
  return new Promise((done) =>
    execFile(process.execPath, [built.path('src/cli/import.js'), ...args], { cwd: ROOT, env }, (error, out, err) =>
      done({ code: Number(error?.code ?? 0), out, err }),
    ),
  );
}

async function fileOf(...lines: string[]): Promise<string> {
  const file = join(directory, `${lines.length}-${Math.random()}.csv`);
  await writeFile(file, [HEADER, ...lines].join('\n'));
  return file;
}

const skus = async () =>
  (await shop.sql<{ sku: string }>('SELECT sku FROM products ORDER BY sku')).map((row) => row.sku);

test('a real export is on sale, and can be bought', async () => {
  const { code, out, err } = await importing(FIXTURE, '--currency', 'EUR');
  expect([code, err]).toEqual([0, '']);
  expect(out).toBe(
    'Imported 5 products, priced in EUR; passed over 1 line of images; passed over 2 lines of drafts and archived products.\n',
  );
  const [row] = await shop.sql<{ id: string }>(
    `SELECT p.id, p.name, p.price_minor, p.currency, s.total, s.available, a.delta, a.actor, a.reason
     FROM products p JOIN stock s ON s.product_id = p.id JOIN stock_adjustments a ON a.product_id = p.id
     WHERE sku = 'AUR-43-NL'`,
  );
  expect(row).toMatchObject({
    ...{
      name: 'Aurora Runner – 43 / Northern Lights',
      price_minor: '18900',
      currency: 'EUR',
      total: 25,
      available: 25,
    },
    ...{ delta: 25, actor: 'npm run import', reason: 'import products_export.csv' },
  });
  expect(await shop.createHold({ productId: row!.id, quantity: 2, customerId: '' })).toMatchObject({ granted: true });
});

test('a second import of the same file changes nothing, and says why', async () => {
  await importing(FIXTURE);
  const before = await snapshot(shop.sql);
  const { code, out, err } = await importing(FIXTURE);
  expect([code, out]).toEqual([1, '']);
  expect(err.split('\n')).toEqual([
    'line 2: SKU "AUR-42-NL" is on sale already: an import adds products and changes none',
    'line 7: SKU "AUR-43-NL" is on sale already: an import adds products and changes none',
    'line 9: SKU "PRINT-1" is on sale already: an import adds products and changes none',
    'line 10: SKU "+1-555" is on sale already: an import adds products and changes none',
    'line 13: SKU "ÜML-1" is on sale already: an import adds products and changes none',
    'error: 5 lines are bad, so nothing was changed',
    '',
  ]);
  const skipping = await importing(FIXTURE, '--skip-bad');
  expect([skipping.code, skipping.out]).toEqual([0, expect.stringContaining('Imported 0 products')]);
  expect(await snapshot(shop.sql)).toEqual(before);
});

test('one bad line, and nothing is changed; --skip-bad imports the others', async () => {
  const file = await fileOf('a,A,S1,1,1.00', 'b,B,S2,1,free', 'c,C,S3,1,1.00');
  const refused = await importing(file);
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/^line 3: Variant Price is "free"/);
  expect(refused.err).toMatch(/1 line is bad, so nothing was changed; --skip-bad imports the other 2\n$/);
  expect(await skus()).toEqual([]);

  const skipped = await importing(file, '--skip-bad');
  expect([skipped.code, skipped.out]).toEqual([0, 'Imported 2 products, priced in USD; skipped 1 bad line.\n']);
  expect(skipped.err).toMatch(/^line 3: /);
  expect(await skus()).toEqual(['S1', 'S3']);
});

test.each<[string, () => string[], number, RegExp]>([
  ['no file', () => [], 2, /missing required argument/],
  ['a file that is not there', () => [join(directory, 'nowhere.csv')], 1, /^error: There is no file/],
  ['a currency that does not exist', () => [FIXTURE, '--currency', 'usd'], 2, /ISO 4217/],
  ['a file of something else', () => [join(ROOT, '.gitignore')], 1, /^error: .*names no column/],
])('%s is told in one line', async (_name, args, code, message) => {
  const ended = await importing(...args());
  expect(ended.code).toBe(code);
  expect(ended.err).toMatch(message);
  expect(ended.err).not.toMatch(/\n\s+at /);
});

test('ten thousand lines take seconds', async () => {
  const lines = Array.from({ length: 10_000 }, (_, n) => `h${n},Product ${n},SKU-${n},${n % 50},${n}.99`);
  const startedAt = performance.now();
  const { code, out } = await importing(await fileOf(...lines));
  expect([code, out]).toEqual([0, 'Imported 10000 products, priced in USD.\n']);
  expect(performance.now() - startedAt).toBeLessThan(30_000);
});

test('two imports of the same SKU at the same time: one adds it, the other changes nothing', async () => {
  const productsOf = (only: string) =>
    ['SHARED', only].map((sku) => checkedProduct({ sku, name: sku, priceMinor: 1, currency: 'USD', totalStock: 1 }));
  const by = { actor: 'test', reason: 'test' };
  const results = await Promise.all(['A', 'B'].map((only) => importProducts(shop, productsOf(only), by)));
  expect(results.map(({ kind }) => kind).sort()).toEqual(['imported', 'taken']);
  expect(await skus()).toHaveLength(2);
});
