/** `npm run import` adds all products of a file or none, says what is wrong line by line, and is safe to repeat. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { importProducts } from '../../src/checkout/create-product';
import { checkedProduct } from '../../src/checkout/product-fields';
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
    execFile(process.execPath, [built.path('src/cli/import/main.js'), ...args], { cwd: ROOT, env }, (error, out, err) =>
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

test('products of a real export can be bought after the import', async () => {
  const { code, out, err } = await importing(FIXTURE, '--currency', 'EUR');
  expect([code, err]).toEqual([0, '']);
  expect(out).toBe(
    'Imported 5 products, priced in EUR; skipped 1 line of images; skipped 2 lines of drafts and archived products.\n',
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

test('a second import of the same file changes nothing and says why', async () => {
  await importing(FIXTURE);
  const before = await snapshot(shop.sql);
  const { code, out, err } = await importing(FIXTURE);
  expect([code, out]).toEqual([1, '']);
  expect(err.split('\n')).toEqual([
    'line 2: SKU "AUR-42-NL" exists already: an import adds products and does not change any',
    'line 7: SKU "AUR-43-NL" exists already: an import adds products and does not change any',
    'line 9: SKU "PRINT-1" exists already: an import adds products and does not change any',
    'line 10: SKU "+1-555" exists already: an import adds products and does not change any',
    'line 13: SKU "ÜML-1" exists already: an import adds products and does not change any',
    'error: 5 lines are bad, so nothing was changed',
    '',
  ]);
  const skipping = await importing(FIXTURE, '--skip-bad');
  expect([skipping.code, skipping.out]).toEqual([0, expect.stringContaining('Imported 0 products')]);
  expect(await snapshot(shop.sql)).toEqual(before);
});

test('one bad line stops an import, unless --skip-bad imports the other lines', async () => {
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
  ['a file of something else', () => [join(ROOT, '.gitignore')], 1, /^error: .*has no column/],
])('an import of %s ends with one line that says what is wrong', async (_name, args, code, message) => {
  const ended = await importing(...args());
  expect(ended.code).toBe(code);
  expect(ended.err).toMatch(message);
  expect(ended.err).not.toMatch(/\n\s+at /);
});

const HIDDEN = resolve(__dirname, 'fixtures/products_hidden.csv');

test('an import skips hidden products, naming each line, and refuses untracked stock', async () => {
  const refused = await importing(HIDDEN);
  expect([refused.code, refused.out]).toEqual([1, '']);
  expect(refused.err.split('\n')).toEqual([
    'line 3: "HIDDEN-1" is skipped: its product is not published',
    'line 4: "UNLISTED-1" is skipped: its product is unlisted',
    'line 5: Shopify does not track the stock of "UNTRACKED-1": give the units of such lines with --stock',
    'line 6: "OVERSELL-1" continues to sell in Shopify when it is out of stock, but never here',
    'error: 1 line is bad, so nothing was changed; --skip-bad imports the other 2',
    '',
  ]);
  expect(await skus()).toEqual([]);

  const { code, out } = await importing(HIDDEN, '--stock', '20');
  expect([code, out]).toEqual([
    0,
    'Imported 3 products, priced in USD; 1 warning, see above; skipped 1 line of drafts and archived products; ' +
      'skipped 2 lines of unlisted and unpublished products.\n',
  ]);
  const stock = await shop.sql<{ sku: string; available: number }>(
    'SELECT sku, available FROM products JOIN stock ON product_id = id ORDER BY sku',
  );
  expect(stock.map(({ sku, available }) => [sku, available])).toEqual([
    ['OK-1', 5],
    ['OVERSELL-1', 0],
    ['UNTRACKED-1', 20],
  ]);
});

test('a dry run says what would happen to each line and changes nothing', async () => {
  const before = await snapshot(shop.sql);
  const { code, out, err } = await importing(HIDDEN, '--stock', '20', '--currency', 'KWD', '--dry-run');
  expect(code).toBe(0);
  expect(out.split('\n')).toEqual([
    'line 2: would add "OK-1", "OK": 5 units at 10.000 KWD',
    'line 5: would add "UNTRACKED-1", "Untracked": 20 units at 10.000 KWD',
    'line 6: would add "OVERSELL-1", "Oversell": 0 units at 10.000 KWD',
    expect.stringMatching(/^Dry run: nothing was changed. An import would add 3 products, priced in KWD; /),
    '',
  ]);
  expect(err).toMatch(/^line 3: "HIDDEN-1"[^]*\nline 7: "DRAFT-1" is skipped: its product is draft\n$/);
  const refused = await importing(HIDDEN, '--dry-run');
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/error: 1 line is bad, so nothing would be imported; --skip-bad imports the other 2\n$/);
  expect(await snapshot(shop.sql)).toEqual(before);

  await importing(HIDDEN, '--stock', '20');
  expect((await importing(HIDDEN, '--stock', '20', '--dry-run')).err).toMatch(/line 2: SKU "OK-1" exists already/);
});

test('options of an import set the sale window and the limit per customer', async () => {
  const file = await fileOf('a,A,S1,5,1.00');
  const { code, out } = await importing(
    ...[file, '--sale-starts-at', '2098-11-27T10:00:00+01:00', '--sale-ends-at', '2098-11-28T00:00:00Z'],
    ...['--max-per-customer', '2'],
  );
  expect([code, out]).toEqual([
    0,
    'Imported 1 product, priced in USD; on sale from 2098-11-27T09:00:00.000Z; on sale until 2098-11-28T00:00:00.000Z; ' +
      'at most 2 for each customer.\n',
  ]);
  const [row] = await shop.sql('SELECT id, sale_starts_at, sale_ends_at, max_per_customer FROM products');
  expect(row).toMatchObject({
    sale_starts_at: new Date('2098-11-27T09:00:00Z'),
    sale_ends_at: new Date('2098-11-28T00:00:00Z'),
    max_per_customer: 2,
  });
  const hold = await shop.createHold({ productId: String(row!.id), quantity: 1, customerId: 'alice' });
  expect(hold).toMatchObject({ granted: false, refusals: [{ code: 'SALE_NOT_STARTED' }] });
});

test('products imported with --not-on-sale cannot be held until updateProduct opens the sale', async () => {
  const { out } = await importing(await fileOf('a,A,S1,5,1.00'), '--not-on-sale');
  expect(out).toBe('Imported 1 product, priced in USD; not on sale until updateProduct sets the start.\n');
  const [row] = await shop.sql<{ id: string }>('SELECT id FROM products');
  const hold = () => shop.createHold({ productId: row!.id, quantity: 1, customerId: '' });
  expect(await hold()).toMatchObject({ granted: false, refusals: [{ code: 'SALE_NOT_STARTED' }] });
  await shop.updateProduct({ productId: row!.id, saleStartsAt: null });
  expect(await hold()).toMatchObject({ granted: true });
});

test('an import adds up the stock of several locations from the inventory export', async () => {
  const products = join(directory, 'several.csv');
  const inventory = join(directory, 'inventory.csv');
  await writeFile(products, 'Handle,Title,Variant SKU,Variant Inventory Tracker,Variant Price\na,A,S1,shopify,1.00\n');
  await writeFile(inventory, 'Handle,SKU,Location,Available (not editable)\na,S1,Berlin,10\na,S1,Paris,5\n');
  expect(await importing(products)).toMatchObject({ code: 1, err: expect.stringContaining('--inventory') });
  expect(await importing(products, '--inventory', inventory)).toMatchObject({ code: 0, err: '' });
  expect(await shop.sql('SELECT total, available FROM stock')).toEqual([{ total: 15, available: 15 }]);
});

test.each<[string, string[], number, RegExp]>([
  ['a time without a zone', ['--sale-starts-at', '2098-11-27T10:00:00'], 2, /with its zone, such as/],
  ['a day that does not exist', ['--sale-starts-at', '2098-02-30T10:00:00Z'], 2, /with its zone, such as/],
  ['a sale that is over', ['--sale-ends-at', '2020-01-01T00:00:00Z'], 1, /^error: --sale-ends-at 2020.* in the past/],
  [
    'a sale that ends before it begins',
    ['--sale-starts-at', '2098-01-02T00:00:00Z', '--sale-ends-at', '2098-01-01T00:00:00Z'],
    1,
    /^error: saleStartsAt must be before saleEndsAt/,
  ],
  ['two starts', ['--not-on-sale', '--sale-starts-at', '2098-01-02T00:00:00Z'], 2, /cannot be used with option/],
  ['a limit of nothing', ['--max-per-customer', '0'], 2, /whole number from 1/],
  ['stock below nothing', ['--stock', '-1'], 2, /whole number from 0/],
  ['an inventory that is not there', ['--inventory', 'nowhere.csv'], 1, /^error: There is no file "nowhere.csv"/],
  ['an inventory that is none', ['--inventory', FIXTURE], 1, /^error: The inventory file .*cannot be used/],
  ['a directory', ['--inventory', '/'], 1, /^error: "\/" is not a file/],
])('an import with %s is refused in one line and changes nothing', async (_name, args, code, message) => {
  const ended = await importing(FIXTURE, ...args);
  expect([ended.code, ended.out]).toEqual([code, '']);
  expect(ended.err).toMatch(message);
  expect(ended.err).not.toMatch(/\n\s+at /);
  expect(await skus()).toEqual([]);
});

test('an import of ten thousand lines takes seconds', async () => {
  const lines = Array.from({ length: 10_000 }, (_, n) => `h${n},Product ${n},SKU-${n},${n % 50},${n}.99`);
  const startedAt = performance.now();
  const { code, out } = await importing(await fileOf(...lines));
  expect([code, out]).toEqual([0, 'Imported 10000 products, priced in USD.\n']);
  expect(performance.now() - startedAt).toBeLessThan(30_000);
});

test('of two imports of the same SKU at the same time, one adds it and the other changes nothing', async () => {
  const productsOf = (only: string) =>
    ['SHARED', only].map((sku) => checkedProduct({ sku, name: sku, priceMinor: 1, currency: 'USD', totalStock: 1 }));
  const by = { actor: 'test', reason: 'test' };
  const results = await Promise.all(['A', 'B'].map((only) => importProducts(shop, productsOf(only), by)));
  expect(results.map(({ kind }) => kind).sort()).toEqual(['imported', 'taken']);
  expect(await skus()).toHaveLength(2);
});
