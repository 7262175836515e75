/** Parses a Shopify product export into products to put on sale, and accounts for every other line. */
import { compile } from 'html-to-text';
import { checkedProduct, type NewProduct, type NewProductInput } from '../../checkout/product-fields';
import { CallerError } from '../../domain/errors';
import { minorDigits, parsePrice } from '../../domain/money';
import { columnsIn, readCsv, shown, UnreadableExport } from './csv-file';
import type { InventoryLevel } from './shopify-inventory';

export interface GoodLine {
  readonly line: number;
  readonly product: NewProduct;
}

/** A remark about a line, safe to print. */
export interface NotedLine {
  readonly line: number;
  readonly reason: string;
}

export interface ShopifyExport {
  readonly good: readonly GoodLine[];
  /** Lines that cannot be imported; the reason says what to change. */
  readonly bad: readonly NotedLine[];
  /** Good lines whose product will behave differently than in Shopify. */
  readonly warnings: readonly NotedLine[];
  /** Variants that are skipped because their product is a draft or archived. */
  readonly inactive: readonly NotedLine[];
  /** Variants that are skipped because their product is active, but hidden from shoppers. */
  readonly hidden: readonly NotedLine[];
  /** Number of lines that only add an image to a product. */
  readonly images: number;
}

export interface ReadOptions {
  /** Units of each variant whose stock is in no file. If omitted, such a line is bad. */
  readonly stock?: number | undefined;
  /** Units by SKU, from `readShopifyInventory`; they replace those in the product export. */
  readonly inventory?: ReadonlyMap<string, InventoryLevel> | undefined;
  /** Sale window and limit, the same for every product. */
  readonly terms?: Pick<NewProductInput, 'maxPerCustomer' | 'saleStartsAt' | 'saleEndsAt'>;
  /** Called with the share of the file that was read, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** Column names in exports before and since 2025. */
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

/** Ten times the limit of a description as text, to allow for tags. */
const MAX_HTML_LENGTH = 100_000;
/** Shopify's option value for a product without variants. */
const NO_OPTION = 'Default Title';
const STATUSES = ['active', 'draft', 'archived', 'unlisted'];

/**
 * Parses a whole export. Cells are data, never formulas; HTML becomes plain text. Throws `UnreadableExport` when the file is not
 * such an export.
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
  const isStockGiven = stock !== undefined || inventory !== undefined;
  const missing = REQUIRED.filter((column) => !columns.has(column) && !(column === 'quantity' && isStockGiven));
  if (missing.length === 0) return columns;
  const names = missing.map((column) => COLUMNS[column][0]).join(', ');
  const isOnlyStockMissing = missing.length === 1 && missing[0] === 'quantity';
  throw new UnreadableExport(`The first line has no column ${names}${isOnlyStockMissing ? STOCK_HINT : ''}`);
}

const STOCK_HINT =
  ': for stores with several locations Shopify exports the stock separately (Products > Inventory > Export). Give that ' +
  'file with --inventory, or the same number of units for each variant with --stock';

/** Values of a product's first line that apply to its other variants. */
interface Parent {
  readonly title: string;
  readonly description: string | null;
  readonly visibility: Visibility;
  readonly isGiftCard: boolean;
}

/** Whether Shopify shows a product to shoppers; if not, why. */
type Visibility = 'shown' | { readonly hiddenBy: string; readonly isInactive: boolean };

class LineReader implements ShopifyExport {
  readonly good: GoodLine[] = [];
  readonly bad: NotedLine[] = [];
  readonly warnings: NotedLine[] = [];
  readonly inactive: NotedLine[] = [];
  readonly hidden: NotedLine[] = [];
  images = 0;
  /** By handle. A number instead of a parent is the line of a product whose first line is bad. */
  private readonly parents = new Map<string, Parent | number>();
  private readonly lineOfSku = new Map<string, number>();

  constructor(
    private readonly columns: ReadonlyMap<Column, number>,
    private readonly width: number,
    private readonly currency: string,
    private readonly options: ReadOptions,
  ) {}

  read(line: number, record: readonly string[]): void {
    // Spreadsheets leave blank rows below a table.
    if (record.every((cell) => cell.trim() === '')) return;
    try {
      if (record.length !== this.width) {
        throw mistake(`has ${record.length} cells; the first line has ${this.width}`);
      }
      const product = this.productOf(line, (column) => record[this.columns.get(column) ?? -1]?.trim() ?? '');
      if (product) this.good.push({ line, product });
    } catch (error) {
      if (!(error instanceof CallerError)) throw error;
      this.bad.push({ line, reason: error.message });
    }
  }

  /** null: the line adds no product. */
  private productOf(line: number, cell: Cell): NewProduct | null {
    const parent = this.parentOf(line, cell);
    if (!isVariant(cell)) {
      this.images += 1;
      return null;
    }
    if (parent === undefined) {
      throw bad('Title', cell('title'), `a title, because no earlier line has one for ${shown(cell('handle'))}`);
    }
    if (typeof parent === 'number') throw mistake(`belongs to the product of line ${parent}, which is bad`);
    if (parent.visibility !== 'shown') {
      const { hiddenBy, isInactive } = parent.visibility;
      const list = isInactive ? this.inactive : this.hidden;
      list.push({ line, reason: `${shown(cell('sku'))} is skipped: ${hiddenBy}` });
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
    for (const reason of warningsOf(parent, cell)) this.warnings.push({ line, reason: `${shown(sku)} ${reason}` });
    return product;
  }

  private parentOf(line: number, cell: Cell): Parent | number | undefined {
    const handle = cell('handle');
    if (cell('title') === '') return this.parents.get(handle);
    // Stays if reading this line throws, so that its variants can name it.
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
    if (sku === '') throw bad('Variant SKU', sku, 'a SKU, which identifies the product');
    const earlier = this.lineOfSku.get(sku);
    if (earlier !== undefined) throw mistake(`SKU ${shown(sku)} is already in line ${earlier}`);
    return sku;
  }

  private stockOf(sku: string, cell: Cell): number {
    const { stock, inventory } = this.options;
    const isUntracked = this.columns.has('tracker') && cell('tracker') === '';
    if (isUntracked) return stock ?? refuseUnknownStock(`Shopify does not track the stock of ${shown(sku)}`);
    if (inventory) {
      const level = inventory.get(sku);
      if (level === undefined) return stock ?? refuseUnknownStock(`SKU ${shown(sku)} is not in the inventory file`);
      if ('problem' in level) throw mistake(`SKU ${shown(sku)} ${level.problem}`);
      return level.units;
    }
    return stock !== undefined && cell('quantity') === '' ? stock : quantityOf(cell('quantity'));
  }
}

type Cell = (column: Column) => string;

function refuseUnknownStock(problem: string): never {
  throw mistake(`${problem}: give the units of such lines with --stock`);
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

/** How the product will behave differently than in Shopify. */
function warningsOf({ isGiftCard }: Parent, cell: Cell): string[] {
  const sellsOn = ['continue', 'true'].includes(cell('policy').toLowerCase());
  return [
    ...(sellsOn ? ['continues to sell in Shopify when it is out of stock, but never here'] : []),
    ...(isGiftCard ? ['is a gift card in Shopify, but an ordinary product here: no code is sent'] : []),
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
  throw bad(
    'Variant Price',
    text,
    `a plain number without fractions of the smallest unit of ${currency}, such as ${example}`,
  );
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

/** null: no text is left. */
function plainText(html: string): string | null {
  if (html.length > MAX_HTML_LENGTH) {
    throw mistake(`Body (HTML) has ${html.length} characters; at most ${MAX_HTML_LENGTH} are accepted`);
  }
  return htmlToText(html).trim() || null;
}

function bad(column: string, found: string, wanted: string): CallerError {
  return mistake(`${column} is ${found === '' ? 'empty' : shown(found)}: give ${wanted}`);
}

function mistake(message: string): CallerError {
  return new CallerError('BAD_USER_INPUT', message);
}
