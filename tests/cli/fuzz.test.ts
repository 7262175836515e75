/** For any file: each row is accounted for once, with its line, or the file is refused in one sentence. */
import fc from 'fast-check';
import { UnreadableExport } from '../../src/cli/import/csv-file';
import { readShopifyExport, type ShopifyExport } from '../../src/cli/import/shopify-products';
import { readShopifyInventory } from '../../src/cli/import/shopify-inventory';

const RUNS = 500;

const HEADER = [
  ...['Handle', 'Title', 'Body (HTML)', 'Published', 'Option1 Value', 'Variant SKU', 'Variant Inventory Tracker'],
  ...['Variant Inventory Qty', 'Variant Inventory Policy', 'Variant Price', 'Image Src', 'Gift Card', 'Status'],
];

/** Usual cells and malicious ones. */
const cell = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('', ' ', 'a', 'b', 'TRUE', 'false', '0', '1', '25', '-1', '1.5', '9.99', '1e3'),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom('active', 'draft', 'unlisted', 'shopify', 'continue', 'deny', 'not stocked'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('"', '""', 'a\nb', '\r\n', ',', ';', '\t', '=1+1', '\0', '\ufeff', '\u2028', '🛒'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('<p>x</p>', '<', '&#0;', '<table><tr><td>'.repeat(50), '__proto__', 'constructor'),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
);
/** A row of a valid export with at most two cells changed. */
const likely = fc
  .tuple(
    fc.tuple(
      ...[fc.constantFrom('a', 'b', 'c'), fc.constantFrom('A', 'B', ''), fc.constantFrom('', '<p>x</p>')],
      ...[fc.constantFrom('true', 'true', 'false', ''), fc.constantFrom('S', 'M', '')],
      ...[fc.nat(99).map((n) => `SKU-${n}`), fc.constantFrom('shopify', 'shopify', ''), fc.nat(99).map(String)],
      ...[fc.constantFrom('deny', 'continue'), fc.nat(99).map((n) => `${n}.50`), fc.constantFrom('', 'x.jpg')],
      ...[fc.constantFrom('false', 'true', ''), fc.constantFrom('active', 'active', 'draft', 'unlisted', '')],
    ),
    fc.array(fc.tuple(fc.nat(HEADER.length - 1), cell), { maxLength: 2 }),
  )
  .map(([cells, changes]) => {
    const changed = [...cells];
    for (const [at, other] of changes) changed[at] = other;
    return changed;
  });
const image = fc
  .constantFrom('a', 'b')
  .map((handle) => HEADER.map((name) => ({ Handle: handle, 'Image Src': 'x.jpg' })[name] ?? ''));
const row = fc.oneof(
  { weight: 6, arbitrary: likely },
  { weight: 1, arbitrary: image },
  { weight: 3, arbitrary: fc.array(cell, { minLength: HEADER.length, maxLength: HEADER.length }) },
  { weight: 1, arbitrary: fc.array(cell, { minLength: 1, maxLength: HEADER.length + 2 }) },
);
const quoted = (text: string) => (/[",\r\n]/.test(text) || text === '' ? `"${text.replaceAll('"', '""')}"` : text);

function listedLines({ good, bad, hidden, inactive }: ShopifyExport): number[] {
  return [good, bad, hidden, inactive].flatMap((lines) => lines.map(({ line }) => line));
}

test('each row of an export is exactly one of good, bad, skipped or an image', async () => {
  const seen = { good: 0, bad: 0, hidden: 0, inactive: 0, images: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 12 }), fc.constantFrom('\n', '\r\n'), async (rows, lineEnd) => {
      const lines = [HEADER, ...rows].map((cells) => cells.map(quoted).join(','));
      const found = await readShopifyExport(Buffer.from(lines.join(lineEnd)), 'USD', { stock: 5 });
      // Counted as an editor does: every line break counts, even in quoted cells.
      const starts: number[] = [];
      let line = 1;
      for (const text of lines) {
        starts.push(line);
        line += text.split(/\r\n|\r|\n/).length;
      }
      const expected = rows.flatMap((cells, at) =>
        cells.every((text) => text.trim() === '') ? [] : [starts[at + 1]!],
      );
      const listed = listedLines(found);
      expect(new Set(listed).size).toBe(listed.length);
      expect(listed.filter((at) => !expected.includes(at))).toEqual([]);
      expect(listed.length + found.images).toBe(expected.length);
      for (const { reason } of [...found.bad, ...found.warnings, ...found.hidden]) {
        expect(reason).toMatch(/^[^\n\r\u0000-\u001f]{5,400}$/);
      }
      for (const name of ['good', 'bad', 'hidden', 'inactive'] as const) seen[name] += found[name].length;
      seen.images += found.images;
    }),
    { numRuns: RUNS },
  );
  // Proves that the generator reaches every list.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
});

const damages = fc.array(fc.tuple(fc.nat(), fc.nat(20), fc.uint8Array({ maxLength: 6 })));

/** Truncates, splices and inserts bytes, as broken downloads, spreadsheets and disks do. */
function damaged(header: readonly string[], rows: fc.Arbitrary<readonly (readonly string[])[]>): fc.Arbitrary<Buffer> {
  return fc.tuple(rows, damages).map(([cells, places]) => {
    let bytes = Buffer.from([header, ...cells].map((line) => line.map(quoted).join(',')).join('\n'));
    for (const [place, length, inserted] of places) {
      const at = place % (bytes.length + 1);
      bytes = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + length)]);
    }
    return bytes;
  });
}

const units = fc.oneof(cell, fc.nat(9).map(String));
const ofInventory = fc.array(fc.tuple(cell, fc.constantFrom('S1', 'S2', ''), units, units), { maxLength: 8 });

test.each<[string, fc.Arbitrary<Buffer>, (bytes: Buffer) => Promise<unknown>]>([
  ['product export', damaged(HEADER, fc.array(row, { maxLength: 8 })), (bytes) => readShopifyExport(bytes, 'JPY')],
  ['inventory export', damaged(['Handle', 'SKU', 'Location', 'Available'], ofInventory), readShopifyInventory],
  ['inventory export of columns', damaged(['Handle', 'SKU', 'Berlin', 'Paris'], ofInventory), readShopifyInventory],
])('a damaged %s is either parsed or refused in one sentence', async (_name, files, read) => {
  const ended = { read: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(fc.oneof(files, files, fc.uint8Array({ maxLength: 300 }).map(Buffer.from)), async (bytes) => {
      try {
        await read(bytes);
        ended.read += 1;
      } catch (error) {
        ended.refused += 1;
        expect(error).toBeInstanceOf(UnreadableExport);
        expect((error as Error).message).toMatch(/^The [^\n\r\u0000-\u001f]{10,600}$/);
      }
    }),
    { numRuns: RUNS },
  );
  for (const count of Object.values(ended)) expect(count).toBeGreaterThan(0);
});
