/** Parsing Shopify exports: products, line numbers, and what is wrong with each bad line. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { shown, UnreadableExport } from '../../src/cli/import/csv-file';
import { readShopifyExport, type ReadOptions } from '../../src/cli/import/shopify-products';
import { readShopifyInventory } from '../../src/cli/import/shopify-inventory';
import { minorDigits, parsePrice } from '../../src/domain/money';

const FIXTURE = resolve(__dirname, 'fixtures/products_export.csv');
const HEADER = 'Handle,Title,Variant SKU,Variant Inventory Qty,Variant Price,Body (HTML)';

const read = (text: string | Buffer, currency = 'USD', options?: ReadOptions) =>
  readShopifyExport(Buffer.from(text as string), currency, options);
const readLines = (...lines: string[]) => read([HEADER, ...lines].join('\n'));
const badOf = async (...lines: string[]) => (await readLines(...lines)).bad;

test('each variant of an export becomes a product; images, drafts and archived products are skipped', async () => {
  const { good, bad, warnings, hidden, images, inactive } = await read(await readFile(FIXTURE));
  expect([bad, warnings, hidden]).toEqual([[], [], []]);
  expect([images, inactive.length]).toEqual([1, 2]);
  const products = good.map(({ line, product: { product, total } }) => ({
    ...{ line, sku: product.sku, name: product.name, description: product.description },
    ...{ price: product.priceMinor, total },
  }));
  const aurora = {
    description: 'Fifty pairs, numbered.\n\n * Vegan & light\n * "First edition"',
    price: 18_900,
    total: 25,
  };
  expect(products).toEqual([
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

test('the column names of exports since 2025 are known', async () => {
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
    ['no SKU', 'a,A,,1,1.00,', 'Variant SKU is empty: give a SKU, which identifies the product'],
    ['no quantity', 'a,A,S,,1.00,', 'Variant Inventory Qty is empty: give a whole number, 0 or more'],
    ['a negative quantity', 'a,A,S,-1,1.00,', 'Variant Inventory Qty is "-1": give a whole number, 0 or more'],
    ['half a unit', 'a,A,S,1.5,1.00,', 'Variant Inventory Qty is "1.5": give a whole number, 0 or more'],
    ['too many units', 'a,A,S,2147483648,1.00,', 'totalStock must be a whole number from 0 to 2147483647'],
    [
      'no price',
      'a,A,S,1,,',
      'Variant Price is empty: give a plain number without fractions of the smallest unit of USD, such as 12.99',
    ],
    [
      'a price in words',
      'a,A,S,1,free,',
      'Variant Price is "free": give a plain number without fractions of the smallest unit of USD, such as 12.99',
    ],
    [
      'a third of a cent',
      'a,A,S,1,0.333,',
      'Variant Price is "0.333": give a plain number without fractions of the smallest unit of USD, such as 12.99',
    ],
    [
      'a price below nothing',
      'a,A,S,1,-1,',
      'Variant Price is "-1": give a plain number without fractions of the smallest unit of USD, such as 12.99',
    ],
    [
      'a formula for a price',
      'a,A,S,1,=1+1,',
      'Variant Price is "=1+1": give a plain number without fractions of the smallest unit of USD, such as 12.99',
    ],
    [
      'a price with separators',
      'a,A,S,1,"1,299.00",',
      'Variant Price is "1,299.00": give a plain number without fractions of the smallest unit of USD, such as 12.99',
    ],
    ['a variant of nothing', 'a,,S,1,1.00,', 'Title is empty: give a title, because no earlier line has one for "a"'],
    ['a title that is too long', `a,${'A'.repeat(256)},S,1,1.00,`, 'name must have 1 to 255 characters'],
    ['a NUL', 'a,A\0B,S,1,1.00,', 'name must be well-formed Unicode text without NUL'],
    ['a story for a description', `a,A,S,1,1.00,${'x'.repeat(10_001)}`, 'description must have 0 to 10000 characters'],
    ['a cell too many', 'a,A,S,1,1.00,,', 'has 7 cells; the first line has 6'],
  ])('a line with %s is bad', async (_name, line, reason) => {
    expect(await badOf('ok,OK,OK,1,1.00,', line, 'ok2,OK,OK2,1,1.00,')).toEqual([{ line: 3, reason }]);
  });

  test('a line that repeats a SKU is bad and names the earlier line', async () => {
    expect(await badOf('a,A,S,1,1.00,', 'b,B,S,1,1.00,')).toEqual([
      { line: 3, reason: 'SKU "S" is already in line 2' },
    ]);
  });

  test('line numbers are those of an editor, even after quoted line breaks and empty lines', async () => {
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

  test('the error about an invalid CSV file contains no control characters of the file', async () => {
    const reading = read(`${HEADER}\na,A,S,1,1.00,"x"\u001b[2J\n`);
    await expect(reading).rejects.toThrow(
      /^The record that begins after line 1 is not valid CSV: a closing quote is not followed/,
    );
  });

  test('control characters of a cell are escaped when it is shown', () => {
    expect(shown('\u001b[2J\u009b31m\u202eevil"')).toBe('"\\u001b[2J\\u009b31m\\u202eevil\\""');
  });
});

describe('a product that Shopify hides from its shoppers is not put on sale', () => {
  const header = 'Handle,Title,Published,Variant SKU,Variant Inventory Qty,Variant Price,Status';
  const readOne = (published: string, status: string) => read(`${header}\na,A,${published},S,1,1.00,${status}\n`);

  test.each([
    ['true', 'active'],
    ['TRUE', 'Active'],
    ['', ''],
  ])('a product with Published %j and Status %j is imported', async (published, status) => {
    expect(await readOne(published, status)).toMatchObject({ good: [{ line: 2 }], bad: [], hidden: [], inactive: [] });
  });

  test.each<[string, string, 'hidden' | 'inactive', string]>([
    ['false', 'active', 'hidden', '"S" is skipped: its product is not published'],
    ['FALSE', '', 'hidden', '"S" is skipped: its product is not published'],
    ['true', 'unlisted', 'hidden', '"S" is skipped: its product is unlisted'],
    ['true', 'UNLISTED', 'hidden', '"S" is skipped: its product is unlisted'],
    ['false', 'draft', 'inactive', '"S" is skipped: its product is draft'],
    ['true', 'archived', 'inactive', '"S" is skipped: its product is archived'],
  ])('a product with Published %j and Status %j is listed as %s', async (published, status, list, reason) => {
    expect(await readOne(published, status)).toMatchObject({ good: [], bad: [], [list]: [{ line: 2, reason }] });
  });

  test.each([
    ['WAHR', 'active', 'Published is "WAHR": give true or false'],
    ['true', 'scheduled', 'Status is "scheduled": give one of active, draft, archived, unlisted'],
  ])('a product with Published %j and Status %j is a bad line', async (published, status, reason) => {
    expect(await readOne(published, status)).toMatchObject({ good: [], bad: [{ line: 2, reason }] });
  });

  test('a hidden product hides its variants, with the column names since 2025, too', async () => {
    const { good, hidden } = await read(
      'Title,URL handle,Published on online store,SKU,Option1 value,Price,Inventory quantity\n' +
        'A,a,FALSE,S1,1,1.00,1\n,a,,S2,2,1.00,1\nB,b,TRUE,S3,1,1.00,1\n',
    );
    expect([good.map(({ line }) => line), hidden.map(({ line }) => line)]).toEqual([[4], [2, 3]]);
  });
});

describe('stock that Shopify does not track', () => {
  const header = 'Handle,Title,Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Price';
  const lines = [
    header,
    'a,A,TRACKED,shopify,3,1.00',
    'b,B,FREE,,0,1.00',
    'c,C,OLD,,7,1.00',
    'd,D,ELSE,shipwire,2,1.00',
  ];

  test('a variant with untracked stock is a bad line and does not silently become SOLD_OUT', async () => {
    const { good, bad } = await read(lines.join('\n'));
    expect(good.map(({ product }) => product.product.sku)).toEqual(['TRACKED', 'ELSE']);
    expect(bad).toEqual([
      { line: 3, reason: expect.stringMatching(/^Shopify does not track the stock of "FREE": give the units/) },
      { line: 4, reason: expect.stringMatching(/^Shopify does not track the stock of "OLD": give the units/) },
    ]);
  });

  test('a variant with untracked stock gets the units given by the caller', async () => {
    const { good, bad } = await read(lines.join('\n'), 'USD', { stock: 50 });
    expect(bad).toEqual([]);
    expect(good.map(({ product }) => product.total)).toEqual([3, 50, 50, 2]);
  });
});

test.each([
  ['Variant Inventory Policy', 'continue', '"S" continues to sell in Shopify when it is out of stock, but never here'],
  [
    'Continue selling when out of stock',
    'TRUE',
    '"S" continues to sell in Shopify when it is out of stock, but never here',
  ],
  ['Gift Card', 'true', expect.stringMatching(/^"S" is a gift card in Shopify/)],
])('a variant with %s %s is imported with a warning that names its line', async (column, cell, reason) => {
  const text = `Handle,Title,Variant SKU,Variant Inventory Qty,Variant Price,${column}\na,A,S,0,1.00,${cell}`;
  expect(await read(text)).toMatchObject({ good: [{ line: 2 }], bad: [], warnings: [{ line: 2, reason }] });
});

describe('a store with several locations', () => {
  const products = 'Handle,Title,Variant SKU,Variant Inventory Tracker,Variant Price';
  const lines = [products, 'a,A,S1,shopify,1.00', 'b,B,S2,shopify,1.00', 'c,C,S3,,1.00'];
  const withInventory = async (text: string, stock?: number) =>
    read(lines.join('\n'), 'USD', { inventory: await readShopifyInventory(Buffer.from(text)), stock });
  const all = 'Handle,Title,Option1 Name,Option1 Value,SKU,HS Code,COO,Location,Bin name,Incoming (not editable),';
  const quantities = 'Unavailable (not editable),Committed (not editable),Available (not editable),';
  const byLine = `${all}${quantities}On hand (current),On hand (new)`;

  test('the error about a product export without stock says where to find the stock', async () => {
    await expect(read(lines.join('\n'))).rejects.toThrow(
      /has no column Variant Inventory Qty: for stores with several locations .* --inventory, or .* --stock/,
    );
    const { good } = await read(lines.join('\n'), 'USD', { stock: 9 });
    expect(good.map(({ product }) => product.total)).toEqual([9, 9, 9]);
  });

  test('stock is summed from an inventory export with one line for each location', async () => {
    const { good, bad } = await withInventory(
      [
        byLine,
        'a,A,Title,Default Title,S1,,,Berlin,A1,0,1,2,10,13,',
        'a,A,Title,Default Title,S1,,,Paris,,0,0,0,5,5,',
        'b,B,Title,Default Title,S2,,,Berlin,,0,0,0,4,4,',
        'b,B,Title,Default Title,S2,,,Paris,,not stocked,not stocked,not stocked,not stocked,not stocked,',
        ',,,,,,,Paris,,0,0,0,x,1,',
      ].join('\n'),
    );
    expect(good.map(({ product }) => product.total)).toEqual([15, 4]);
    expect(bad).toEqual([{ line: 4, reason: expect.stringContaining('does not track the stock of "S3"') }]);
  });

  test('stock is summed from an inventory export with one column for each location', async () => {
    const { good } = await withInventory(
      [
        'Handle,Title,Option1 Name,Option1 Value,SKU,HS Code,COO,Berlin,"Paris, Rive Gauche"',
        'a,A,Title,Default Title,S1,,,10,-3',
        'b,B,Title,Default Title,S2,,,not stocked,Not stocked',
      ].join('\n'),
      50,
    );
    expect(good.map(({ product }) => product.total)).toEqual([7, 0, 50]);
  });

  test.each([
    ['no such SKU', [], /^SKU "S1" is not in the inventory file: give the units/],
    ['no number', ['a,A,S1,Berlin,ten'], /^SKU "S1" has "ten" at "Berlin" in line 2 of the inventory file/],
    ['nothing', ['a,A,S1,Berlin,'], /^SKU "S1" has an empty cell at "Berlin" in line 2 of the inventory file/],
    ['half a unit', ['a,A,S1,Berlin,1.5'], /^SKU "S1" has "1.5" at "Berlin"/],
    ['less than nothing', ['a,A,S1,Berlin,-5', 'a,A,S1,Paris,2'], /^SKU "S1" has -3 units over all locations/],
    ['one location twice', ['a,A,S1,Berlin,5', 'z,Z,S1,Berlin,2'], /^SKU "S1" has two lines for "Berlin" .* 2 and 3/],
    ['a cell too many', ['a,A,S1,Berlin,5,6'], /^SKU "S1" has 6 cells in line 2 of the inventory file, not 5/],
  ])('an inventory export with %s for a SKU causes one bad line', async (_name, inventory, reason) => {
    const others = 'b,B,S2,Berlin,1';
    const { good, bad } = await withInventory(['Handle,Title,SKU,Location,Available', ...inventory, others].join('\n'));
    expect(good.map(({ line }) => line)).toEqual([3]);
    expect(bad[0]).toEqual({ line: 2, reason: expect.stringMatching(reason) });
  });

  test.each([
    ['', /empty/],
    ['Handle;SKU;Location;Available', /separated by semicolons; they must be separated by commas/],
    ['Handle,SKU,Location,On hand', /has no column Available/],
    ['Handle,SKU,COO', /has no location/],
    ['SKU,Location,Available,Available', /"Available" and "Available", which mean the same/],
  ])('an inventory file that begins with %j is refused', async (text, message) => {
    await expect(withInventory(text)).rejects.toThrow(UnreadableExport);
    await expect(withInventory(text)).rejects.toThrow(message);
  });
});

test('empty rows are not counted as images', async () => {
  expect(await readLines('a,A,S,1,1.00,', ',,,,,', ' ,,, ,,', '')).toMatchObject({ good: [{}], bad: [], images: 0 });
});

test('variants of a product whose first line is bad are bad and name that line', async () => {
  expect(await badOf(`a,A,S1,1,1.00,${'<i>'.repeat(40_000)}`, 'a,,S2,1,1.00,')).toEqual([
    { line: 2, reason: expect.stringMatching(/^Body \(HTML\) has 120000 characters/) },
    { line: 3, reason: 'belongs to the product of line 2, which is bad' },
  ]);
});

describe('a file that is no such export is refused as a whole', () => {
  test.each<[string, string | Buffer, RegExp]>([
    ['nothing', '', /empty/],
    ['another table', 'Name,Price\nA,1\n', /has no column Handle, Title, Variant SKU, Variant Inventory Qty/],
    ['semicolons', HEADER.replaceAll(',', ';'), /separated by commas/],
    ['UTF-16', Buffer.from(HEADER, 'utf16le'), /has no column|UTF-8/],
    ['Latin-1', Buffer.from(`${HEADER}\na,Köln,S,1,1.00,`, 'latin1'), /UTF-8/],
    ['cp1252', Buffer.from(`${HEADER}\r\na,A,S,1,1.00,\r\na,50 \x80,S,1,1.00,`, 'latin1'), /UTF-8 \(see line 3\)/],
    ['semicolons and quotes', `${HEADER},x\na,"A";1`.replaceAll(',', ';'), /separated by commas/],
    ['tabs', HEADER.replaceAll(',', '\t'), /separated by commas/],
    ['one column twice', `${HEADER},title\n`, /"Title" and "title", which mean the same/],
    ['one column by two names', `${HEADER},SKU\n`, /"Variant SKU" and "SKU", which mean the same/],
    [
      'a quote that is never closed',
      `${HEADER}\na,A,S,1,1.00,\nb,"B,S2,1,1.00,\nc,C,S3,1,1.00,`,
      /after line 2 is not valid CSV/,
    ],
    ['a quote in the middle', `${HEADER}\na,A"B"C,S,1,1.00,`, /after line 1 is not valid CSV/],
  ])('a product export is refused for %s', async (_name, text, message) => {
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
  ])('the HTML %j becomes plain text', async (html, text) => {
    const { good } = await readLines(`a,A,S,1,1.00,"${html.replaceAll('"', '""')}"`);
    expect(good[0]!.product.product.description?.replace('\u00a0', ' ') ?? null).toBe(text);
  });

  test('thousands of open tags are parsed, and more are refused', async () => {
    expect((await readLines(`a,A,S,1,1.00,${'<div>'.repeat(5_000)}x`)).good).toHaveLength(1);
    expect(await badOf(`a,A,S,1,1.00,${'<div>'.repeat(100_000)}x`)).toEqual([
      { line: 2, reason: 'Body (HTML) has 500001 characters; at most 100000 are accepted' },
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
  ])('the price %s in %s is parsed without rounding', (text, currency, minor) => {
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
