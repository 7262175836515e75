/** A Shopify export is read as an editor shows it: its units, its lines, and what is wrong with each. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { readShopifyExport, shown, UnreadableExport } from '../../src/cli/shopify-export';
import { minorDigits, parsePrice } from '../../src/domain/money';

const FIXTURE = resolve(__dirname, 'fixtures/products_export.csv');
const HEADER = 'Handle,Title,Variant SKU,Variant Inventory Qty,Variant Price,Body (HTML)';

const read = (text: string | Buffer, currency = 'USD') => readShopifyExport(Buffer.from(text as string), currency);
const readLines = (...lines: string[]) => read([HEADER, ...lines].join('\n'));
const badOf = async (...lines: string[]) => (await readLines(...lines)).bad;

test('an export becomes a product a variant, with images, drafts and archived products passed over', async () => {
  const { good, bad, images, inactive } = await read(await readFile(FIXTURE));
  expect(bad).toEqual([]);
  expect([images, inactive]).toEqual([1, 2]);
  const read_ = good.map(({ line, product: { product, total } }) => ({
    ...{ line, sku: product.sku, name: product.name, description: product.description },
    ...{ price: product.priceMinor, total },
  }));
  const aurora = {
    description: 'Fifty pairs, numbered.\n\n * Vegan & light\n * "First edition"',
    price: 18_900,
    total: 25,
  };
  expect(read_).toEqual([
    { line: 2, sku: 'AUR-42-NL', name: 'Aurora Runner – 42 / Northern Lights', ...aurora },
    { line: 7, sku: 'AUR-43-NL', name: 'Aurora Runner – 43 / Northern Lights', ...aurora },
    {
      ...{ line: 9, sku: 'PRINT-1', name: 'Night Train, hand-pulled print' },
      ...{ description: 'There is exactly one.', price: 95_000, total: 1 },
    },
    {
      ...{ line: 10, sku: '+1-555', name: '=HYPERLINK("http://evil.example","click")' },
      ...{ description: "@SUM(1+1)*cmd|' /C calc'!A0", price: 450, total: 3 },
    },
    { line: 13, sku: 'ÜML-1', name: 'Grüße aus Köln – 日本', description: null, price: 0, total: 0 },
  ]);
});

test('exports of 2025 and later name their columns otherwise', async () => {
  const { good } = await read(
    'Title,URL handle,Description,Status,SKU,Option1 name,Option1 value,Price,Inventory quantity\n' +
      'Shirt,shirt,<b>Warm</b>,Active,S-1,Size,L,20.00,4\n',
  );
  expect(good[0]!.product).toMatchObject({
    product: { sku: 'S-1', name: 'Shirt – L', description: 'Warm', priceMinor: 2_000 },
    total: 4,
  });
});

describe('a bad line is named by its number and its reason', () => {
  test.each<[string, string, string]>([
    ['no SKU', 'a,A,,1,1.00,', 'Variant SKU is empty: give a SKU: it names the product here'],
    ['no quantity', 'a,A,S,,1.00,', 'Variant Inventory Qty is empty: give a whole number, 0 or more'],
    ['a negative quantity', 'a,A,S,-1,1.00,', 'Variant Inventory Qty is "-1": give a whole number, 0 or more'],
    ['half a unit', 'a,A,S,1.5,1.00,', 'Variant Inventory Qty is "1.5": give a whole number, 0 or more'],
    ['too many units', 'a,A,S,2147483648,1.00,', 'totalStock must be a whole number from 0 to 2147483647'],
    ['no price', 'a,A,S,1,,', 'Variant Price is empty: give a plain number that USD can pay exactly, such as 12.99'],
    [
      'a price in words',
      'a,A,S,1,free,',
      'Variant Price is "free": give a plain number that USD can pay exactly, such as 12.99',
    ],
    [
      'a third of a cent',
      'a,A,S,1,0.333,',
      'Variant Price is "0.333": give a plain number that USD can pay exactly, such as 12.99',
    ],
    [
      'a price below nothing',
      'a,A,S,1,-1,',
      'Variant Price is "-1": give a plain number that USD can pay exactly, such as 12.99',
    ],
    [
      'a formula for a price',
      'a,A,S,1,=1+1,',
      'Variant Price is "=1+1": give a plain number that USD can pay exactly, such as 12.99',
    ],
    [
      'a price with separators',
      'a,A,S,1,"1,299.00",',
      'Variant Price is "1,299.00": give a plain number that USD can pay exactly, such as 12.99',
    ],
    ['a variant of nothing', 'a,,S,1,1.00,', 'Title is empty: give a title; no line before it has one for "a"'],
    ['a title that is too long', `a,${'A'.repeat(256)},S,1,1.00,`, 'name must have 1 to 255 characters'],
    ['a NUL', 'a,A\0B,S,1,1.00,', 'name must be well-formed Unicode text without NUL'],
    ['a story for a description', `a,A,S,1,1.00,${'x'.repeat(10_001)}`, 'description must have 0 to 10000 characters'],
    ['a cell too many', 'a,A,S,1,1.00,,', 'has 7 cells, and the first line has 6'],
  ])('%s', async (_name, line, reason) => {
    expect(await badOf('ok,OK,OK,1,1.00,', line, 'ok2,OK,OK2,1,1.00,')).toEqual([{ line: 3, reason }]);
  });

  test('a SKU given twice', async () => {
    expect(await badOf('a,A,S,1,1.00,', 'b,B,S,1,1.00,')).toEqual([
      { line: 3, reason: 'SKU "S" stands in line 2 already' },
    ]);
  });

  test('its number is that of the file, whatever was quoted or left empty before it', async () => {
    const lines = [
      'a,A,S1,1,1.00,"one',
      'two',
      '',
      'four"',
      '',
      '',
      'b,"B',
      '",S2,x,1.00,',
      '',
      'c,C,S3,x,1.00,""',
      'd,D,S4,x,1,"',
      '',
      '"',
    ];
    expect((await badOf(...lines)).map(({ line }) => line)).toEqual([8, 11, 12]);
    const asWindows = await read(`\ufeff${[HEADER, ...lines].join('\r\n')}`);
    expect(asWindows.bad.map(({ line }) => line)).toEqual([8, 11, 12]);
    const asOldMac = await read([HEADER, ...lines].join('\r'));
    expect(asOldMac.bad.map(({ line }) => line)).toEqual([8, 11, 12]);
  });

  test('what is shown of it cannot speak to a terminal', () => {
    expect(shown('\u001b[2J\u009b31m\u202eevil"')).toBe('"\\u001b[2J\\u009b31m\\u202eevil\\""');
  });
});

describe('a file that is no such export is refused as a whole', () => {
  test.each<[string, string | Buffer, RegExp]>([
    ['nothing', '', /empty/],
    ['another table', 'Name,Price\nA,1\n', /names no column Handle, Title, Variant SKU, Variant Inventory Qty/],
    ['semicolons', HEADER.replaceAll(',', ';'), /separated by commas/],
    ['UTF-16', Buffer.from(HEADER, 'utf16le'), /names no column|UTF-8/],
    ['Latin-1', Buffer.from(`${HEADER}\na,Köln,S,1,1.00,`, 'latin1'), /UTF-8/],
    [
      'a quote that is never closed',
      `${HEADER}\na,A,S,1,1.00,\nb,"B,S2,1,1.00,\nc,C,S3,1,1.00,`,
      /after line 2 is no CSV/,
    ],
    ['a quote in the middle', `${HEADER}\na,A"B"C,S,1,1.00,`, /after line 1 is no CSV/],
  ])('%s', async (_name, text, message) => {
    const reading = read(text);
    await expect(reading).rejects.toThrow(UnreadableExport);
    await expect(reading).rejects.toThrow(message);
  });
});

describe('HTML becomes text', () => {
  test.each([
    ['<p>One</p><p>Two</p>', 'One\n\nTwo'],
    ['<h1>Big</h1>', 'Big'],
    ['<a href="https://a.example">there</a><img src="x" alt="y">', 'there'],
    ['<style>p{}</style><script>alert(1)</script>', null],
    ['5 &lt; 6 &amp;&nbsp;7', '5 < 6 & 7'],
    ['<p onclick="x()">a<b', 'a'],
    ['', null],
  ])('%j', async (html, text) => {
    const { good } = await readLines(`a,A,S,1,1.00,"${html.replaceAll('"', '""')}"`);
    expect(good[0]!.product.product.description?.replace('\u00a0', ' ') ?? null).toBe(text);
  });

  test('thousands of open tags are no danger, and more are refused', async () => {
    expect((await readLines(`a,A,S,1,1.00,${'<div>'.repeat(5_000)}x`)).good).toHaveLength(1);
    expect(await badOf(`a,A,S,1,1.00,${'<div>'.repeat(100_000)}x`)).toEqual([
      { line: 2, reason: 'Body (HTML) has 500001 characters: give at most 100000' },
    ]);
  });
});

describe('a price is moved into minor units without a fraction on the way', () => {
  test.each<[string, string, number | null]>([
    ['19.99', 'USD', 1_999],
    ['0.07', 'USD', 7],
    ['1.1', 'USD', 110],
    ['8', 'USD', 800],
    ['1.10000', 'USD', 110],
    ['1.005', 'USD', null],
    ['90071992547409.91', 'USD', 9_007_199_254_740_991],
    ['90071992547409.92', 'USD', null],
    ['1500', 'JPY', 1_500],
    ['1500.00', 'JPY', 1_500],
    ['1500.50', 'JPY', null],
    ['1.234', 'KWD', 1_234],
    ['1.2345', 'KWD', null],
    ['1e3', 'USD', null],
    ['.5', 'USD', null],
    ['5.', 'USD', null],
    ['', 'USD', null],
    ['٥', 'USD', null],
    ['1'.repeat(400), 'USD', null],
  ])('%s %s', (text, currency, minor) => {
    expect(parsePrice(text, currency)).toBe(minor);
  });

  test.each([
    ['EUR', 2],
    ['ISK', 0],
    ['BHD', 3],
    ['CLF', 4],
  ])('%s has %i decimals', (currency, decimals) => {
    expect(minorDigits(currency)).toBe(decimals);
  });
});
