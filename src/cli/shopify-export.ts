/** A Shopify product export: from the bytes of its CSV to products that may be put on sale, and to every line that may not. */
import { compile } from 'html-to-text';
import { checkedProduct, type NewProduct, type NewProductInput } from '../checkout/product-fields';
import { CallerError } from '../domain/errors';
import { minorDigits, parsePrice } from '../domain/money';
import { columnsIn, readCsv, shown, UnreadableExport } from './csv-file';
import type { InventoryLevel } from './shopify-inventory';

export interface GoodLine {
  readonly line: number;
  readonly product: NewProduct;
}

/** A line, and what there is to say of it; safe to print. */
export interface NotedLine {
  readonly line: number;
  readonly reason: string;
}

export interface ShopifyExport {
  readonly good: readonly GoodLine[];
  /** What is wrong with each, and what is wanted. */
  readonly bad: readonly NotedLine[];
  /** Good lines whose product will not be what it is in Shopify. */
  readonly doubts: readonly NotedLine[];
  /** Variants that are passed over because their product is a draft or archived; and because it is active, but hidden. */
  readonly inactive: readonly NotedLine[];
  readonly hidden: readonly NotedLine[];
  /** Lines that are no variant, but a further image of a product. */
  readonly images: number;
}

export interface ReadOptions {
  /** Units for each variant of which no file tells its stock. Left out: such a line is bad. */
  readonly stock?: number | undefined;
  /** The units of each SKU, in place of the export's own: see `readShopifyInventory`. */
  readonly inventory?: ReadonlyMap<string, InventoryLevel> | undefined;
  /** The same for every product: the sale's window and limit. */
  readonly terms?: Pick<NewProductInput, 'maxPerCustomer' | 'saleStartsAt' | 'saleEndsAt'>;
  /** Called with the share that was read, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** By their names in exports until 2025, and since. */
const COLUMNS = {
  handle: ['Handle', 'URL handle'],
  title: ['Title'],
  body: ['Body (HTML)', 'Body HTML', 'Description'],
  sku: ['Variant SKU', 'SKU'],
  quantity: ['Variant Inventory Qty', 'Inventory quantity'],
  price: ['Variant Price', 'Price'],
  option1: ['Option1 Value'],
  option2: ['Option2 Value'],
  option3: ['Option3 Value'],
  tracker: ['Variant Inventory Tracker', 'Inventory tracker'],
  policy: ['Variant Inventory Policy', 'Continue selling when out of stock'],
  published: ['Published', 'Published on online store'],
  giftCard: ['Gift Card'],
  status: ['Status'],
} as const;
type Column = keyof typeof COLUMNS;
const REQUIRED: readonly Column[] = ['handle', 'title', 'sku', 'quantity', 'price'];

/** Ten times what a description may have as text: the rest is tags. */
const MAX_HTML_LENGTH = 100_000;
/** What Shopify calls the one variant of a product that has none. */
const NO_OPTION = 'Default Title';
const STATUSES = ['active', 'draft', 'archived', 'unlisted'];

/**
 * Reads a whole export. Line numbers are those of the file, as an editor shows them: of a record that goes over several lines, the
 * first. Cells are data, never formulas, and HTML becomes plain text. Throws `UnreadableExport` when the file is no such CSV.
 */
export async function readShopifyExport(
  bytes: Uint8Array,
  currency: string,
  options: ReadOptions = {},
): Promise<ShopifyExport> {
  let reader: LineReader | undefined;
  for await (const { record, line, share } of readCsv(bytes)) {
    if (reader) reader.read(line, record);
    else reader = new LineReader(columnsOf(record, options), record.length, currency, options);
    options.onProgress?.(share);
  }
  if (!reader) throw new UnreadableExport('The file is empty');
  return reader;
}

function columnsOf(header: readonly string[], { stock, inventory }: ReadOptions): Map<Column, number> {
  const columns = columnsIn(header, COLUMNS);
  const isStockTold = stock !== undefined || inventory !== undefined;
  const missing = REQUIRED.filter((column) => !columns.has(column) && !(column === 'quantity' && isStockTold));
  if (missing.length === 0) return columns;
  const names = missing.map((column) => COLUMNS[column][0]).join(', ');
  const isStockAlone = missing.length === 1 && missing[0] === 'quantity';
  const hint = isStockAlone ? STOCK_ELSEWHERE : '';
  throw new UnreadableExport(`The first line names no column ${names}${hint}`);
}

const STOCK_ELSEWHERE =
  ': of a store with several locations Shopify exports the stock apart (Products > Inventory > Export). Give that file ' +
  'with --inventory, or --stock for the same number of units of each';

/** What a product's first line says, for its further variants. */
interface Parent {
  readonly title: string;
  readonly description: string | null;
  readonly visibility: Visibility;
  readonly isGiftCard: boolean;
}

/** Whether Shopify shows a product to its shoppers; if not, what hides it. */
type Visibility = 'shown' | { readonly hiddenBy: string; readonly isInactive: boolean };

class LineReader implements ShopifyExport {
  readonly good: GoodLine[] = [];
  readonly bad: NotedLine[] = [];
  readonly doubts: NotedLine[] = [];
  readonly inactive: NotedLine[] = [];
  readonly hidden: NotedLine[] = [];
  images = 0;
  /** By handle; a number is that of a first line that is bad. */
  private readonly parents = new Map<string, Parent | number>();
  private readonly lineOfSku = new Map<string, number>();

  constructor(
    private readonly columns: ReadonlyMap<Column, number>,
    private readonly width: number,
    private readonly currency: string,
    private readonly options: ReadOptions,
  ) {}

  read(line: number, record: readonly string[]): void {
    // A spreadsheet leaves such lines below its table.
    if (record.every((cell) => cell.trim() === '')) return;
    try {
      if (record.length !== this.width) {
        throw mistake(`has ${record.length} cells, and the first line has ${this.width}`);
      }
      const product = this.productOf(line, (column) => record[this.columns.get(column) ?? -1]?.trim() ?? '');
      if (product) this.good.push({ line, product });
    } catch (error) {
      if (!(error instanceof CallerError)) throw error;
      this.bad.push({ line, reason: error.message });
    }
  }

  /** null: the line is no unit on sale. */
  private productOf(line: number, cell: Cell): NewProduct | null {
    const parent = this.parentOf(line, cell);
    if (!isVariant(cell)) {
      this.images += 1;
      return null;
    }
    if (parent === undefined) {
      throw bad('Title', cell('title'), `a title; no line before it has one for ${shown(cell('handle'))}`);
    }
    if (typeof parent === 'number') throw mistake(`belongs to the product of line ${parent}, which is bad`);
    if (parent.visibility !== 'shown') {
      const { hiddenBy, isInactive } = parent.visibility;
      const list = isInactive ? this.inactive : this.hidden;
      list.push({ line, reason: `${shown(cell('sku'))} is passed over: ${hiddenBy}` });
      return null;
    }
    const sku = this.skuOf(cell('sku'));
    const product = checkedProduct({
      sku,
      name: nameOf(parent.title, [cell('option1'), cell('option2'), cell('option3')]),
      description: parent.description,
      priceMinor: priceOf(cell('price'), this.currency),
      currency: this.currency,
      totalStock: this.stockOf(sku, cell),
      ...this.options.terms,
    });
    this.lineOfSku.set(sku, line);
    for (const reason of doubtsOf(parent, cell)) this.doubts.push({ line, reason: `${shown(sku)} ${reason}` });
    return product;
  }

  private parentOf(line: number, cell: Cell): Parent | number | undefined {
    const handle = cell('handle');
    if (cell('title') === '') return this.parents.get(handle);
    // Until its line has been read without a mistake.
    this.parents.set(handle, line);
    const parent: Parent = {
      title: cell('title'),
      description: plainText(cell('body')),
      visibility: visibilityOf(cell),
      isGiftCard: isTrue('Gift Card', cell('giftCard')),
    };
    this.parents.set(handle, parent);
    return parent;
  }

  private skuOf(sku: string): string {
    if (sku === '') throw bad('Variant SKU', sku, 'a SKU: it names the product here');
    const earlier = this.lineOfSku.get(sku);
    if (earlier !== undefined) throw mistake(`SKU ${shown(sku)} stands in line ${earlier} already`);
    return sku;
  }

  private stockOf(sku: string, cell: Cell): number {
    const { stock, inventory } = this.options;
    const isUntracked = this.columns.has('tracker') && cell('tracker') === '';
    if (isUntracked) return stock ?? untold(`Shopify does not track the stock of ${shown(sku)}`);
    if (inventory) {
      const level = inventory.get(sku);
      if (level === undefined) return stock ?? untold(`SKU ${shown(sku)} is not in the inventory file`);
      if ('problem' in level) throw mistake(`SKU ${shown(sku)} ${level.problem}`);
      return level.units;
    }
    return stock !== undefined && cell('quantity') === '' ? stock : quantityOf(cell('quantity'));
  }
}

type Cell = (column: Column) => string;

function untold(problem: string): never {
  throw mistake(`${problem}: --stock says how many units such lines have`);
}

function visibilityOf(cell: Cell): Visibility {
  const status = cell('status').toLowerCase() || 'active';
  if (!STATUSES.includes(status)) throw bad('Status', cell('status'), `one of ${STATUSES.join(', ')}`);
  if (status === 'draft' || status === 'archived') return { hiddenBy: `its product is ${status}`, isInactive: true };
  if (status === 'unlisted') return { hiddenBy: 'its product is unlisted', isInactive: false };
  const isPublished = cell('published') === '' || isTrue('Published', cell('published'));
  return isPublished ? 'shown' : { hiddenBy: 'its product is not published', isInactive: false };
}

function isTrue(column: string, text: string): boolean {
  if (/^(true|false|)$/i.test(text)) return text.toLowerCase() === 'true';
  throw bad(column, text, 'true or false');
}

/** What Shopify does with the product and this shop does not. */
function doubtsOf({ isGiftCard }: Parent, cell: Cell): string[] {
  const sellsOn = ['continue', 'true'].includes(cell('policy').toLowerCase());
  return [
    ...(sellsOn ? ['goes on selling in Shopify when it is out of stock, and never here'] : []),
    ...(isGiftCard ? ['is a gift card in Shopify, and here a product like any other: nobody is sent a code'] : []),
  ];
}

function isVariant(cell: Cell): boolean {
  return (['title', 'sku', 'price', 'quantity', 'option1'] as const).some((column) => cell(column) !== '');
}

function nameOf(title: string, options: readonly string[]): string {
  const chosen = options.filter((option) => option !== '' && option !== NO_OPTION);
  return chosen.length === 0 ? title : `${title} – ${chosen.join(' / ')}`;
}

function priceOf(text: string, currency: string): number {
  const priceMinor = parsePrice(text, currency);
  if (priceMinor !== null) return priceMinor;
  const decimals = minorDigits(currency);
  const example = decimals === 0 ? '1299' : `12.${'99900'.slice(0, decimals)}`;
  throw bad('Variant Price', text, `a plain number that ${currency} can pay exactly, such as ${example}`);
}

function quantityOf(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw bad('Variant Inventory Qty', text, 'a whole number, 0 or more');
}

const htmlToText = compile({
  wordwrap: false,
  limits: { maxDepth: 200 },
  selectors: [
    { selector: 'a', options: { ignoreHref: true } },
    { selector: 'img', format: 'skip' },
    ...['h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'table'].map((selector) => ({ selector, options: { uppercase: false } })),
  ],
});

/** null: there is no description. */
function plainText(html: string): string | null {
  if (html.length > MAX_HTML_LENGTH) {
    throw mistake(`Body (HTML) has ${html.length} characters: give at most ${MAX_HTML_LENGTH}`);
  }
  return htmlToText(html).trim() || null;
}

function bad(column: string, found: string, wanted: string): CallerError {
  return mistake(`${column} is ${found === '' ? 'empty' : shown(found)}: give ${wanted}`);
}

function mistake(message: string): CallerError {
  return new CallerError('BAD_USER_INPUT', message);
}
