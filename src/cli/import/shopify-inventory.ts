/** Parses a Shopify inventory export: the units of each SKU, which product exports of stores with several locations lack. */
import { columnsIn, readCsv, shown, UnreadableExport } from './csv-file';

export type InventoryLevel =
  | { readonly units: number }
  /** Why the units are unknown; safe to print. */
  | { readonly problem: string };

const COLUMNS = {
  sku: ['SKU', 'Variant SKU'],
  location: ['Location'],
  available: ['Available (not editable)', 'Available'],
} as const;
/** Columns that are not locations, in exports with one column for each location. */
const NO_LOCATION = new Set([
  ...['handle', 'title', 'sku', 'variant sku', 'barcode', 'hs code', 'coo', 'bin name'],
  ...[1, 2, 3].flatMap((n) => [`option${n} name`, `option${n} value`]),
]);
/** Columns of product exports that inventory exports never have. */
const OF_PRODUCTS = ['Vendor', 'Variant Price', 'Price'];
const NOT_STOCKED = 'not stocked';

/** The cell of one SKU at one location. */
interface Entry {
  readonly line: number;
  readonly location: string;
  readonly cell: string;
}

/**
 * Reads both of Shopify's forms: one line for each SKU and location with the column Available, or one line for each SKU with a
 * column for each location. Units are those that can be sold ("Available"), summed over all locations; "not stocked" counts as
 * none. A bad cell affects only its SKU. Throws `UnreadableExport` when the file is not such an export.
 */
export async function readShopifyInventory(bytes: Uint8Array): Promise<ReadonlyMap<string, InventoryLevel>> {
  let header: readonly string[] | undefined;
  let entriesOf: ((line: number, record: readonly string[]) => Entry[]) | undefined;
  let skuAt = -1;
  const entries = new Map<string, Entry[]>();
  const problems = new Map<string, string>();
  for await (const { record, line } of readCsv(bytes)) {
    if (!header) {
      header = record;
      const columns = columnsIn(record, COLUMNS);
      skuAt = columns.get('sku') ?? -1;
      const foreign = record.find((name) => OF_PRODUCTS.includes(name.trim()));
      if (foreign !== undefined) {
        throw new UnreadableExport(
          `The first line has a column ${shown(foreign)}: the file is a product export, not an inventory export`,
        );
      }
      if (skuAt < 0) throw new UnreadableExport('The first line has no column SKU');
      entriesOf = entryReader(record, columns);
      continue;
    }
    const sku = record[skuAt]?.trim() ?? '';
    if (sku === '') continue;
    const known = entries.get(sku) ?? [];
    entries.set(sku, known);
    if (record.length === header.length) known.push(...entriesOf!(line, record));
    else problems.set(sku, `has ${record.length} cells in line ${line} of the inventory file, not ${header.length}`);
  }
  return new Map(
    [...entries].map(([sku, found]) => {
      const problem = problems.get(sku);
      return [sku, problem === undefined ? levelOf(found) : { problem }];
    }),
  );
}

function entryReader(
  header: readonly string[],
  columns: ReadonlyMap<keyof typeof COLUMNS, number>,
): (line: number, record: readonly string[]) => Entry[] {
  const locationAt = columns.get('location');
  const availableAt = columns.get('available');
  const cellAt = (record: readonly string[], at: number) => record[at]?.trim() ?? '';
  if (locationAt !== undefined) {
    if (availableAt === undefined) {
      throw new UnreadableExport(
        'The first line has no column Available: export the inventory with all quantity types, or only with Available',
      );
    }
    return (line, record) => [{ line, location: cellAt(record, locationAt), cell: cellAt(record, availableAt) }];
  }
  const locations = [...header.keys()].filter((at) => !NO_LOCATION.has(header[at]!.trim().toLowerCase()));
  if (locations.length === 0) throw new UnreadableExport('The first line has no location');
  return (line, record) => locations.map((at) => ({ line, location: header[at]!.trim(), cell: cellAt(record, at) }));
}

function levelOf(entries: readonly Entry[]): InventoryLevel {
  const lineOf = new Map<string, number>();
  let units = 0;
  for (const { line, location, cell } of entries) {
    const earlier = lineOf.get(location);
    if (earlier !== undefined) {
      return { problem: `has two lines for ${shown(location)} in the inventory file, lines ${earlier} and ${line}` };
    }
    lineOf.set(location, line);
    if (cell.toLowerCase() === NOT_STOCKED) continue;
    if (!/^-?\d{1,10}$/.test(cell)) {
      const found = cell === '' ? 'an empty cell' : shown(cell);
      return {
        problem: `has ${found} at ${shown(location)} in line ${line} of the inventory file: give a whole number`,
      };
    }
    units += Number(cell);
  }
  return units < 0 ? { problem: `has ${units} units over all locations in the inventory file` } : { units };
}
