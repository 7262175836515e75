/** `npm run import -- FILE.csv`: puts the products of a Shopify export on sale. */
import './node-version.cjs';
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { Presets, SingleBar } from 'cli-progress';
import { Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { importProducts, takenSkus } from '../checkout/create-product';
import type { NewProduct } from '../checkout/product-fields';
import { classify } from '../postgres/pg-errors';
import { migrate } from '../database/migrate';
import type { Database } from '../database/database';
import { checkSaleWindow, MAX_INT } from '../domain/input';
import { hasMinorUnit, minorDigits } from '../domain/money';
import { shown, UnreadableExport } from './csv-file';
import { exitCodes, runCommand, wholeNumberOption } from './options';
import {
  readShopifyExport,
  type GoodLine,
  type NotedLine,
  type ReadOptions,
  type ShopifyExport,
} from './shopify-export';
import { readShopifyInventory } from './shopify-inventory';
import { withDatabase } from './with-database';

/** A million lines; more is surely another file. */
const MAX_FILE_BYTES = 200_000_000;
/** The start of a sale that is not decided yet: shoppers see the product as UPCOMING, and nobody can hold it. */
const NOT_DECIDED_YET = new Date('9999-12-31T00:00:00Z');

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
    'Puts the products of a Shopify product export on sale: one for each variant, named by its SKU. Works on DATABASE_URL, or\n' +
      'on the embedded database when that is unset, beside a running server or without one.',
  )
  .argument('<file.csv>', 'with the columns Handle, Title, Variant SKU, Variant Inventory Qty and Variant Price')
  .option('--currency <code>', 'the currency of its prices', currencyCode, 'USD')
  .option('--inventory <file.csv>', 'take the stock from this inventory export: a store with several locations has one')
  .option(
    '--stock <units>',
    'units of each variant of which no file tells the stock, such as untracked ones',
    wholeNumberOption(0, MAX_INT),
  )
  .option('--sale-starts-at <time>', 'when the sale opens, such as 2026-11-27T10:00:00Z; left out: at once', momentOf)
  .option('--sale-ends-at <time>', 'when the sale closes; left out: never', momentOf)
  .addOption(
    new Option('--not-on-sale', 'put nothing on sale yet: updateProduct opens the sale of each product later')
      .default(false)
      .conflicts(['saleStartsAt', 'saleEndsAt']),
  )
  .option(
    '--max-per-customer <units>',
    'units that one customer may have of each product',
    wholeNumberOption(1, MAX_INT),
  )
  .option('--skip-bad', 'import the good lines although others are bad', false)
  .option('--dry-run', 'print what would happen to each line, and change nothing', false)
  .addHelpText(
    'after',
    `
All products are added in one transaction, or none is. An import never changes a product: a SKU that is on sale already is a bad
line, so importing a file twice is safe (the second time every line is bad, and nothing changes). Stock and prices of products on
sale are changed with the mutations adjustStock and updateProduct.

Without --sale-starts-at or --not-on-sale the products can be bought as soon as the import has ended.

Body (HTML) becomes plain text. Passed over: lines that only add an image, and products that are drafts, archived, unlisted or not
published. A variant whose stock Shopify does not track is a bad line unless --stock says how many units it has.

Exit code: 0 when the good lines were imported (--dry-run: would be); 1 when nothing was changed; 2 on bad usage.

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
    if (dryRun) print(good.map(({ line, product }) => ({ line, reason: `would add ${inWords(product, currency)}` })));
    report([...bad, ...found.doubts, ...found.hidden, ...(dryRun ? found.inactive : [])]);
    if (bad.length > 0 && !skipBad) return giveUp(good.length, bad.length, dryRun);
    const taken = dryRun ? [] : await add(database, good, `import ${basename(file)}`.slice(0, 255));
    report(taken);
    if (taken.length > 0) giveUp(good.length - taken.length, taken.length, dryRun);
    else say(summary(found, good.length, bad.length, options));
  });
}

/** What is the same for all lines. Throws when the options contradict each other, or the inventory file cannot be read. */
async function readOptionsOf(options: Options): Promise<ReadOptions> {
  const { stock, inventory, maxPerCustomer } = options;
  const saleStartsAt = options.notOnSale ? NOT_DECIDED_YET : options.saleStartsAt;
  const { saleEndsAt } = options;
  checkSaleWindow(saleStartsAt ?? null, saleEndsAt ?? null);
  if (saleEndsAt && saleEndsAt.getTime() <= Date.now()) {
    throw new Error(`--sale-ends-at ${saleEndsAt.toISOString()} is in the past: nothing could be bought`);
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
  if (!found.isFile()) throw new Error(`${shown(file)} is no file`);
  if (found.size > maxBytes) throw new Error(`The file has ${found.size} bytes; ${maxBytes} may be imported at once`);
  return readFile(file);
}

async function withoutTaken(
  database: Database,
  { good, bad }: ShopifyExport,
  dryRun: boolean,
): Promise<{ good: readonly GoodLine[]; bad: readonly NotedLine[] }> {
  const products = good.map(({ product }) => product);
  const taken = await takenSkus({ database }, products).catch((error: unknown) => {
    // A dry run makes no tables; where there are none, no SKU is taken.
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
      reason: `SKU ${shown(product.product.sku)} is on sale already: an import adds products and changes none`,
    }));
}

/** Adds all of them; or none, and answers the lines whose SKUs somebody else has put on sale since they were read. */
async function add(database: Database, lines: readonly GoodLine[], reason: string): Promise<readonly NotedLine[]> {
  const products = lines.map(({ product }) => product);
  const imported = await withBar('Importing', lines.length, (show) =>
    importProducts({ database }, products, { actor: 'npm run import', reason }, show),
  );
  return imported.kind === 'imported' ? [] : badBecauseTaken(lines, imported.skus);
}

/** Draws on a terminal, and nowhere else. */
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

/** In the order of the file, on standard error. */
function report(lines: readonly NotedLine[]): void {
  const sorted = [...lines].sort((a, b) => a.line - b.line);
  process.stderr.write(sorted.map(inOneLine).join(''));
}

function print(lines: readonly NotedLine[]): void {
  process.stdout.write(lines.map(inOneLine).join(''));
}

const inOneLine = ({ line, reason }: NotedLine) => `line ${line}: ${reason}\n`;

function giveUp(good: number, bad: number, dryRun: boolean): void {
  const others = good > 0 && bad > 0 ? `; --skip-bad imports the other ${good}` : '';
  const outcome = dryRun ? 'nothing would be imported' : 'nothing was changed';
  process.stderr.write(`error: ${many(bad, 'line is', 'lines are')} bad, so ${outcome}${others}\n`);
  process.exitCode = exitCodes.failed;
}

function inWords({ product, total }: NewProduct, currency: string): string {
  const digits = minorDigits(currency);
  const minor = String(product.priceMinor).padStart(digits + 1, '0');
  const price = digits === 0 ? minor : `${minor.slice(0, -digits)}.${minor.slice(-digits)}`;
  return `${shown(product.sku)}, ${shown(product.name)}: ${many(total, 'unit', 'units')} at ${price} ${currency}`;
}

function summary(found: ShopifyExport, good: number, bad: number, options: Options): string {
  const { images, inactive, hidden, doubts } = found;
  const { currency, notOnSale, saleStartsAt, saleEndsAt, maxPerCustomer, dryRun } = options;
  const passedOver = (count: number, what: string) =>
    count > 0 ? [`passed over ${many(count, 'line', 'lines')} of ${what}`] : [];
  const more = [
    ...(notOnSale ? ['not on sale until updateProduct says when'] : []),
    ...(saleStartsAt ? [`on sale from ${saleStartsAt.toISOString()}`] : []),
    ...(saleEndsAt ? [`on sale until ${saleEndsAt.toISOString()}`] : []),
    ...(maxPerCustomer === undefined ? [] : [`at most ${maxPerCustomer} for each customer`]),
    ...(doubts.length > 0 ? [`${many(doubts.length, 'doubt', 'doubts')}, see above`] : []),
    ...(bad > 0 ? [`skipped ${many(bad, 'bad line', 'bad lines')}`] : []),
    ...passedOver(images, 'images'),
    ...passedOver(inactive.length, 'drafts and archived products'),
    ...passedOver(hidden.length, 'unlisted and unpublished products'),
  ];
  const done = dryRun ? 'Nothing was changed: this was a dry run. It would have imported' : 'Imported';
  return [`${done} ${many(good, 'product', 'products')}, priced in ${currency}`, ...more].join('; ');
}

const many = (count: number, one: string, others: string) => `${count} ${count === 1 ? one : others}`;
const say = (line: string) => process.stdout.write(`${line}.\n`);

function currencyCode(text: string): string {
  if (!hasMinorUnit(text)) throw new InvalidArgumentError('Give an ISO 4217 code in capitals, such as EUR.');
  return text;
}

/** With its time zone: a shop and its server are often in different ones. */
function momentOf(text: string): Date {
  if (z.iso.datetime({ offset: true }).safeParse(text).success) return new Date(text);
  throw new InvalidArgumentError(
    'Give a time with its zone, such as 2026-11-27T10:00:00Z or 2026-11-27T10:00:00+01:00.',
  );
}

void runCommand(command);
