/** `npm run import -- FILE.csv`: puts the products of a Shopify export on sale. */
import '../node-version.cjs';
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { Presets, SingleBar } from 'cli-progress';
import { Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { importProducts, takenSkus } from '../../checkout/create-product';
import type { NewProduct } from '../../checkout/product-fields';
import { classify } from '../../postgres/pg-errors';
import { migrate } from '../../database/migrate';
import type { Database } from '../../database/database';
import { checkSaleWindow, MAX_INT } from '../../domain/input';
import { hasMinorUnit, minorDigits } from '../../domain/money';
import { shown, UnreadableExport } from './csv-file';
import { exitCodes, runCommand, wholeNumberOption } from '../options';
import {
  readShopifyExport,
  type GoodLine,
  type NotedLine,
  type ReadOptions,
  type ShopifyExport,
} from './shopify-products';
import { readShopifyInventory } from './shopify-inventory';
import { withDatabase } from '../with-database';

/** A million lines; more is surely another file. */
const MAX_FILE_BYTES = 200_000_000;
/** The start of a sale whose date is undecided: shoppers see the product as UPCOMING and cannot hold it. */
const UNDECIDED = new Date('9999-12-31T00:00:00Z');

interface Options {
  currency: string;
  skipBad: boolean;
  dryRun: boolean;
  stock?: number;
  inventory?: string;
  saleStartsAt?: Date;
  saleEndsAt?: Date;
  notOnSale: boolean;
  maxPerCustomer?: number;
}

const command = new Command('import')
  .description(
    'Imports a Shopify product export: each variant becomes a product, identified by its SKU. Uses DATABASE_URL, or the embedded\n' +
      'database if that is unset. A server may be running.',
  )
  .argument('<file.csv>', 'CSV with the columns Handle, Title, Variant SKU, Variant Inventory Qty and Variant Price')
  .option('--currency <code>', 'the currency of the prices', currencyCode, 'USD')
  .option('--inventory <file.csv>', 'take the stock from this inventory export, for stores with several locations')
  .option(
    '--stock <units>',
    'units of each variant whose stock is in no file, for example because it is untracked',
    wholeNumberOption(0, MAX_INT),
  )
  .option('--sale-starts-at <time>', 'when the sale opens, such as 2026-11-27T10:00:00Z (default: at once)', momentOf)
  .option('--sale-ends-at <time>', 'when the sale closes (default: never)', momentOf)
  .addOption(
    new Option('--not-on-sale', 'import without opening the sale; open it later with updateProduct')
      .default(false)
      .conflicts(['saleStartsAt', 'saleEndsAt']),
  )
  .option(
    '--max-per-customer <units>',
    'limit of units of each product for one customer',
    wholeNumberOption(1, MAX_INT),
  )
  .option('--skip-bad', 'import the good lines even if others are bad', false)
  .option('--dry-run', 'print what would happen to each line, without changing anything', false)
  .addHelpText(
    'after',
    `
All products are added in one transaction. An import never changes existing products: a SKU that exists is a bad line, so importing
a file twice is safe. Use the mutations adjustStock and updateProduct to change stock and prices.

Without --sale-starts-at or --not-on-sale the products are on sale as soon as the import has finished.

Body (HTML) becomes plain text. Skipped are lines that only add an image, and products that are drafts, archived, unlisted or not
published. A variant whose stock Shopify does not track is a bad line unless --stock gives its units.

Exit code: 0 the good lines were imported (with --dry-run: could be), 1 nothing was changed, 2 bad usage.

Examples:
  npm run import -- products_export.csv --currency EUR --dry-run
  npm run import -- products_export.csv --currency EUR --sale-starts-at 2026-11-27T10:00:00+01:00 --max-per-customer 2
  npm run import -- products_export.csv --inventory inventory_export.csv --not-on-sale`,
  )
  .action((file: string, options: Options) => importFile(file, options));

async function importFile(file: string, options: Options): Promise<void> {
  const { currency, skipBad, dryRun } = options;
  const readOptions = await readOptionsOf(options);
  const bytes = await readUpTo(file, MAX_FILE_BYTES);
  const found = await withBar('Reading ', 100, (show) =>
    readShopifyExport(bytes, currency, { ...readOptions, onProgress: (share) => show(Math.floor(share * 100)) }),
  );
  await withDatabase(async ({ database, url, migration }) => {
    if (!dryRun) await migrate(database, url, migration);
    const { good, bad } = await withoutTaken(database, found, dryRun);
    if (dryRun) {
      const added = good.map(({ line, product }) => ({
        line,
        reason: `would add ${productInWords(product, currency)}`,
      }));
      printLines(process.stdout, added);
    }
    printLines(process.stderr, [...bad, ...found.warnings, ...found.hidden, ...(dryRun ? found.inactive : [])]);
    if (bad.length > 0 && !skipBad) return refuse(good.length, bad.length, dryRun);
    const taken = dryRun ? [] : await addProducts(database, good, `import ${basename(file)}`.slice(0, 255));
    printLines(process.stderr, taken);
    if (taken.length > 0) refuse(good.length - taken.length, taken.length, dryRun);
    else process.stdout.write(`${summary(found, good.length, bad.length, options)}.\n`);
  });
}

/** Throws when the options contradict each other, or the inventory file cannot be read. */
async function readOptionsOf(options: Options): Promise<ReadOptions> {
  const { stock, inventory, maxPerCustomer } = options;
  const saleStartsAt = options.notOnSale ? UNDECIDED : options.saleStartsAt;
  const { saleEndsAt } = options;
  checkSaleWindow(saleStartsAt ?? null, saleEndsAt ?? null);
  if (saleEndsAt && saleEndsAt.getTime() <= Date.now()) {
    throw new Error(`--sale-ends-at ${saleEndsAt.toISOString()} is in the past, so nothing could be bought`);
  }
  return {
    stock,
    inventory: inventory === undefined ? undefined : await readInventory(inventory),
    terms: { maxPerCustomer, saleStartsAt, saleEndsAt },
  };
}

async function readInventory(file: string): ReturnType<typeof readShopifyInventory> {
  try {
    return await readShopifyInventory(await readUpTo(file, MAX_FILE_BYTES));
  } catch (error) {
    if (!(error instanceof UnreadableExport)) throw error;
    throw new Error(`The inventory file ${shown(file)} cannot be used. ${error.message}`);
  }
}

async function readUpTo(file: string, maxBytes: number): Promise<Uint8Array> {
  const found = await stat(file).catch(() => null);
  if (!found) throw new Error(`There is no file ${shown(file)}`);
  if (!found.isFile()) throw new Error(`${shown(file)} is not a file`);
  if (found.size > maxBytes) throw new Error(`The file has ${found.size} bytes; the limit of an import is ${maxBytes}`);
  return readFile(file);
}

async function withoutTaken(
  database: Database,
  { good, bad }: ShopifyExport,
  dryRun: boolean,
): Promise<{ good: readonly GoodLine[]; bad: readonly NotedLine[] }> {
  const products = good.map(({ product }) => product);
  const taken = await takenSkus({ database }, products).catch((error: unknown) => {
    // A dry run creates no tables, and without tables no SKU is taken.
    if (dryRun && classify(error).reason === UNDEFINED_TABLE) return new Set<string>();
    throw error;
  });
  return {
    good: good.filter(({ product }) => !taken.has(product.product.sku)),
    bad: [...bad, ...badBecauseTaken(good, taken)],
  };
}

/** PostgreSQL's SQLSTATE. */
const UNDEFINED_TABLE = '42P01';

function badBecauseTaken(lines: readonly GoodLine[], taken: ReadonlySet<string>): NotedLine[] {
  return lines
    .filter(({ product }) => taken.has(product.product.sku))
    .map(({ line, product }) => ({
      line,
      reason: `SKU ${shown(product.product.sku)} exists already: an import adds products and does not change any`,
    }));
}

/** Adds all products, or none; then it returns the lines whose SKUs were taken since they were checked. */
async function addProducts(
  database: Database,
  lines: readonly GoodLine[],
  reason: string,
): Promise<readonly NotedLine[]> {
  const products = lines.map(({ product }) => product);
  const imported = await withBar('Importing', lines.length, (show) =>
    importProducts({ database }, products, { actor: 'npm run import', reason }, show),
  );
  return imported.kind === 'imported' ? [] : badBecauseTaken(lines, imported.skus);
}

/** Shows progress on a terminal; draws nothing elsewhere. */
async function withBar<T>(
  title: string,
  total: number,
  work: (show: (done: number) => void) => Promise<T>,
): Promise<T> {
  const bar = new SingleBar({ format: `${title} {bar} {value}/{total}`, clearOnComplete: true }, Presets.rect);
  bar.start(total, 0);
  try {
    return await work((done) => bar.update(done));
  } finally {
    bar.stop();
  }
}

/** In the order of the file. */
function printLines(output: NodeJS.WritableStream, lines: readonly NotedLine[]): void {
  const sorted = [...lines].sort((a, b) => a.line - b.line);
  output.write(sorted.map(({ line, reason }) => `line ${line}: ${reason}\n`).join(''));
}

function refuse(good: number, bad: number, dryRun: boolean): void {
  const others = good > 0 && bad > 0 ? `; --skip-bad imports the other ${good}` : '';
  const outcome = dryRun ? 'nothing would be imported' : 'nothing was changed';
  process.stderr.write(`error: ${many(bad, 'line is', 'lines are')} bad, so ${outcome}${others}\n`);
  process.exitCode = exitCodes.failed;
}

function productInWords({ product, total }: NewProduct, currency: string): string {
  const digits = minorDigits(currency);
  const minor = String(product.priceMinor).padStart(digits + 1, '0');
  const price = digits === 0 ? minor : `${minor.slice(0, -digits)}.${minor.slice(-digits)}`;
  return `${shown(product.sku)}, ${shown(product.name)}: ${many(total, 'unit', 'units')} at ${price} ${currency}`;
}

function summary(found: ShopifyExport, good: number, bad: number, options: Options): string {
  const { images, inactive, hidden, warnings } = found;
  const { currency, notOnSale, saleStartsAt, saleEndsAt, maxPerCustomer, dryRun } = options;
  const skipped = (count: number, kind: string) =>
    count > 0 ? [`skipped ${many(count, 'line', 'lines')} of ${kind}`] : [];
  const more = [
    ...(notOnSale ? ['not on sale until updateProduct sets the start'] : []),
    ...(saleStartsAt ? [`on sale from ${saleStartsAt.toISOString()}`] : []),
    ...(saleEndsAt ? [`on sale until ${saleEndsAt.toISOString()}`] : []),
    ...(maxPerCustomer === undefined ? [] : [`at most ${maxPerCustomer} for each customer`]),
    ...(warnings.length > 0 ? [`${many(warnings.length, 'warning', 'warnings')}, see above`] : []),
    ...(bad > 0 ? [`skipped ${many(bad, 'bad line', 'bad lines')}`] : []),
    ...skipped(images, 'images'),
    ...skipped(inactive.length, 'drafts and archived products'),
    ...skipped(hidden.length, 'unlisted and unpublished products'),
  ];
  const done = dryRun ? 'Dry run: nothing was changed. An import would add' : 'Imported';
  return [`${done} ${many(good, 'product', 'products')}, priced in ${currency}`, ...more].join('; ');
}

const many = (count: number, one: string, others: string) => `${count} ${count === 1 ? one : others}`;

function currencyCode(text: string): string {
  if (!hasMinorUnit(text)) throw new InvalidArgumentError('Give an ISO 4217 code in capitals, such as EUR.');
  return text;
}

/** Requires a time zone, because a shop and its server are often in different ones. */
function momentOf(text: string): Date {
  if (z.iso.datetime({ offset: true }).safeParse(text).success) return new Date(text);
  throw new InvalidArgumentError(
    'Give a time with its zone, such as 2026-11-27T10:00:00Z or 2026-11-27T10:00:00+01:00.',
  );
}

void runCommand(command);
