/** `npm run import -- FILE.csv`: puts the products of a Shopify export on sale. */
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { Presets, SingleBar } from 'cli-progress';
import { Command, InvalidArgumentError } from 'commander';
import { importProducts, takenSkus } from '../checkout/import-products';
import { migrate } from '../database/migrate';
import type { Database } from '../database/orm';
import { exitCodes, runCommand } from './options';
import { readShopifyExport, shown, type BadLine, type GoodLine, type ShopifyExport } from './shopify-export';
import { withDatabase } from './with-database';

/** A million lines; more is surely another file. */
const MAX_FILE_BYTES = 200_000_000;

interface Options {
  currency: string;
  skipBad: boolean;
}

const command = new Command('import')
  .description(
    'Puts the products of a Shopify product export on sale: one for each variant, named by its SKU. Works on DATABASE_URL, or\n' +
      'on the embedded database when that is unset, beside a running server or without one.',
  )
  .argument('<file.csv>', 'with the columns Handle, Title, Variant SKU, Variant Inventory Qty and Variant Price')
  .option('--currency <code>', 'the currency of its prices', currencyCode, 'USD')
  .option('--skip-bad', 'import the good lines although others are bad', false)
  .addHelpText(
    'after',
    `
All products are added in one transaction, or none is. An import never changes a product: a SKU that is on sale already is a bad
line, so importing a file twice is safe (the second time every line is bad, and nothing changes). Stock and prices of products on
sale are changed with the mutations adjustStock and updateProduct.

Body (HTML) becomes plain text. Passed over: lines that only add an image, and products that are drafts or archived.

Exit code: 0 when the good lines were imported; 1 when nothing was changed; 2 on bad usage.

Example:
  npm run import -- products_export.csv --currency EUR`,
  )
  .action((file: string, options: Options) => importFile(file, options));

async function importFile(file: string, { currency, skipBad }: Options): Promise<void> {
  const found = await readExport(file, currency);
  await withDatabase(async ({ database, url, migration }) => {
    await migrate(database, url, migration);
    const { good, bad } = await withoutTaken(database, found);
    report(bad);
    if (bad.length > 0 && !skipBad) return giveUp(good.length, bad.length);
    const taken = await add(database, good, `import ${basename(file)}`.slice(0, 255));
    report(taken);
    if (taken.length > 0) giveUp(good.length - taken.length, taken.length);
    else say(summary(found, good.length, bad.length, currency));
  });
}

async function readExport(file: string, currency: string): Promise<ShopifyExport> {
  const { size } = await stat(file).catch(() => {
    throw new Error(`There is no file ${shown(file)}`);
  });
  if (size > MAX_FILE_BYTES) throw new Error(`The file has ${size} bytes; ${MAX_FILE_BYTES} may be imported at once`);
  const bytes = await readFile(file);
  return withBar('Reading ', 100, (show) =>
    readShopifyExport(bytes, currency, (share) => show(Math.floor(share * 100))),
  );
}

async function withoutTaken(
  database: Database,
  { good, bad }: ShopifyExport,
): Promise<{ good: readonly GoodLine[]; bad: readonly BadLine[] }> {
  const products = good.map(({ product }) => product);
  const taken = await takenSkus({ database }, products);
  return {
    good: good.filter(({ product }) => !taken.has(product.product.sku)),
    bad: [...bad, ...badBecauseTaken(good, taken)].sort((a, b) => a.line - b.line),
  };
}

function badBecauseTaken(lines: readonly GoodLine[], taken: ReadonlySet<string>): BadLine[] {
  return lines
    .filter(({ product }) => taken.has(product.product.sku))
    .map(({ line, product }) => ({
      line,
      reason: `SKU ${shown(product.product.sku)} is on sale already: an import adds products and changes none`,
    }));
}

/** Adds all of them; or none, and answers the lines whose SKUs somebody else has put on sale since they were read. */
async function add(database: Database, lines: readonly GoodLine[], reason: string): Promise<readonly BadLine[]> {
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

function report(lines: readonly BadLine[]): void {
  process.stderr.write(lines.map(({ line, reason }) => `line ${line}: ${reason}\n`).join(''));
}

function giveUp(good: number, bad: number): void {
  const others = good > 0 && bad > 0 ? `; --skip-bad imports the other ${good}` : '';
  process.stderr.write(`error: ${many(bad, 'line is', 'lines are')} bad, so nothing was changed${others}\n`);
  process.exitCode = exitCodes.failed;
}

function summary({ images, inactive }: ShopifyExport, good: number, bad: number, currency: string): string {
  const more = [
    ...(bad > 0 ? [`skipped ${many(bad, 'bad line', 'bad lines')}`] : []),
    ...(images > 0 ? [`passed over ${many(images, 'line', 'lines')} of images`] : []),
    ...(inactive > 0 ? [`passed over ${many(inactive, 'line', 'lines')} of drafts and archived products`] : []),
  ];
  return [`Imported ${many(good, 'product', 'products')}, priced in ${currency}`, ...more].join('; ');
}

const many = (count: number, one: string, others: string) => `${count} ${count === 1 ? one : others}`;
const say = (line: string) => process.stdout.write(`${line}.\n`);

function currencyCode(text: string): string {
  if (!Intl.supportedValuesOf('currency').includes(text)) {
    throw new InvalidArgumentError('Give an ISO 4217 code in capitals, such as EUR.');
  }
  return text;
}

void runCommand(command);
