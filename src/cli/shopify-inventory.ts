/** A Shopify inventory export: the units of each SKU over all locations, which product exports of such stores do not have. */
import { columnsIn, readCsv, shown, UnreadableExport } from './csv-file';

/** What the file says of one SKU. */
export type InventoryLevel =
  | { readonly units: number }
  /** Why its units are not known; safe to print. */
  | { readonly problem: string };

const COLUMNS = {
  sku: ['SKU', 'Variant SKU'],
  location: ['Location'],
  available: ['Available (not editable)', 'Available'],
} as const;
/** Those of the export with one column a location that are no location. */
const NO_LOCATION = new Set([
  ...['handle', 'title', 'sku', 'variant sku', 'barcode', 'hs code', 'coo', 'bin name'],
  ...[1, 2, 3].flatMap((n) => [`option${n} name`, `option${n} value`]),
]);
/** Every product export has them, and no inventory export has one of them. */
const OF_PRODUCTS = ['Vendor', 'Variant Price', 'Price'];
const NOT_STOCKED = 'not stocked';

/** What one line says of one SKU at one location. */
interface Entry {
  readonly line: number;
  readonly location: string;
  readonly cell: string;
}

/**
 * Reads both forms that Shopify exports: one line for each SKU and location with the column Available, and one line for each
 * SKU with a column for each location. Units are those that may be sold ("Available"), summed over the file's locations; "not
 * stocked" is none. A bad cell is a problem of its SKU alone. Throws `UnreadableExport` when the file is no such CSV.
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
          `The first line has a column ${shown(foreign)}: the file is a product export, and no inventory export`,
        );
      }
      if (skuAt < 0) throw new UnreadableExport(`The first line names no column SKU`);
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
        'The first line names no column Available: export the inventory with all quantity types, or with Available alone',
      );
    }
    return (line, record) => [{ line, location: cellAt(record, locationAt), cell: cellAt(record, availableAt) }];
  }
  const places = [...header.keys()].filter((at) => !NO_LOCATION.has(header[at]!.trim().toLowerCase()));
  if (places.length === 0) throw new UnreadableExport('The first line names no location');
  return (line, record) => places.map((at) => ({ line, location: header[at]!.trim(), cell: cellAt(record, at) }));
}

function levelOf(entries: readonly Entry[]): InventoryLevel {
  const lineOf = new Map<string, number>();
  let units = 0;
  for (const { line, location, cell } of entries) {
    const earlier = lineOf.get(location);
    if (earlier !== undefined) {
      return { problem: `stands twice for ${shown(location)} in the inventory file, in lines ${earlier} and ${line}` };
    }
    lineOf.set(location, line);
    if (cell.toLowerCase() === NOT_STOCKED) continue;
    if (!/^-?\d{1,10}$/.test(cell)) {
      const found = cell === '' ? 'nothing' : shown(cell);
      return {
        problem: `has ${found} at ${shown(location)} in line ${line} of the inventory file: give a whole number`,
      };
    }
    units += Number(cell);
  }
  return units < 0 ? { problem: `has ${units} units over all locations in the inventory file` } : { units };
}
