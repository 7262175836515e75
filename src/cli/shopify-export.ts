/** A Shopify product export: from the bytes of its CSV to products that may be put on sale, and to every line that may not. */
import { CsvError, parse } from 'csv-parse';
import { compile } from 'html-to-text';
import { checkedProduct, type NewProduct } from '../checkout/put-on-sale';
import { CallerError } from '../domain/errors';
import { minorDigits, parsePrice } from '../domain/money';

export interface GoodLine {
  readonly line: number;
  readonly product: NewProduct;
}

export interface BadLine {
  readonly line: number;
  /** What is wrong, and what is wanted; safe to print. */
  readonly reason: string;
}

export interface ShopifyExport {
  readonly good: readonly GoodLine[];
  readonly bad: readonly BadLine[];
  /** Lines that are no unit on sale: further images of a product, and products that are drafts or archived. */
  readonly images: number;
  readonly inactive: number;
}

/** The file as a whole cannot be read. */
export class UnreadableExport extends Error {
  override readonly name = 'UnreadableExport';
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
  status: ['Status'],
} as const;
type Column = keyof typeof COLUMNS;
const REQUIRED: readonly Column[] = ['handle', 'title', 'sku', 'quantity', 'price'];

/** Longer than any record of an export; a quote that is never closed would swallow the rest of the file. */
const MAX_RECORD_LENGTH = 2_000_000;
/** Ten times what a description may have as text: the rest is tags. */
const MAX_HTML_LENGTH = 100_000;
/** What Shopify calls the one variant of a product that has none. */
const NO_OPTION = 'Default Title';
const INACTIVE = ['draft', 'archived'];

/**
 * Reads a whole export. Line numbers are those of the file, as an editor shows them: of a record that goes over several lines, the
 * first. Cells are data, never formulas, and HTML becomes plain text. Throws `UnreadableExport` when the file is no such CSV.
 * `onProgress` is told the share that was read, from 0 to 1.
 */
export async function readShopifyExport(
  bytes: Uint8Array,
  currency: string,
  onProgress: (share: number) => void = () => undefined,
): Promise<ShopifyExport> {
  const text = decode(bytes);
  let reader: LineReader | undefined;
  for await (const { record, line, share } of records(text)) {
    if (reader) reader.read(line, record);
    else reader = new LineReader(columnsOf(record), record.length, currency);
    onProgress(share);
  }
  if (!reader) throw new UnreadableExport('The file is empty');
  return reader;
}

/** Line ends become \n, in quoted cells too: lines can then be counted. A byte order mark goes. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r\n?/g, '\n');
  } catch {
    throw new UnreadableExport('The file is not in UTF-8: export it again, or save it as “CSV UTF-8”');
  }
}

interface CsvRecord {
  readonly record: string[];
  readonly line: number;
  readonly share: number;
}

async function* records(text: string): AsyncGenerator<CsvRecord> {
  let goodUntil = 0;
  const parser = parse(text, {
    ...{ info: true, raw: true, relax_column_count: true, skip_empty_lines: true, record_delimiter: '\n' },
    max_record_size: MAX_RECORD_LENGTH,
    on_record: (record: string[], { lines }) => {
      goodUntil = lines;
      return record;
    },
  });
  let read = 0;
  try {
    for await (const { record, info, raw } of parser as AsyncIterable<ParsedRecord>) {
      read += raw.length;
      // `info.lines` is where the record ends; `raw` begins with the empty lines before it.
      const lineBreaks = raw.replace(/^\n+|\n$/g, '').split('\n').length - 1;
      yield { record, line: info.lines - lineBreaks, share: read / text.length };
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new UnreadableExport(`The record that begins after line ${goodUntil} is no CSV: ${error.message}`);
  }
}

interface ParsedRecord {
  readonly record: string[];
  readonly info: { readonly lines: number };
  readonly raw: string;
}

function columnsOf(header: readonly string[]): Map<Column, number> {
  const names = header.map((name) => name.trim().toLowerCase());
  const columns = new Map<Column, number>();
  for (const [column, accepted] of Object.entries(COLUMNS) as [Column, readonly string[]][]) {
    const at = names.findIndex((name) => accepted.some((other) => other.toLowerCase() === name));
    if (at >= 0) columns.set(column, at);
  }
  const missing = REQUIRED.filter((column) => !columns.has(column)).map((column) => COLUMNS[column][0]);
  if (missing.length > 0) {
    const hint = header.length === 1 ? '; are its columns separated by commas?' : '';
    throw new UnreadableExport(`The first line names no column ${missing.join(', ')}${hint}`);
  }
  return columns;
}

/** What a product's first line says, for its further variants. */
interface Parent {
  readonly title: string;
  readonly description: string | null;
  readonly isActive: boolean;
}

class LineReader implements ShopifyExport {
  readonly good: GoodLine[] = [];
  readonly bad: BadLine[] = [];
  images = 0;
  inactive = 0;
  private readonly parents = new Map<string, Parent>();
  private readonly lineOfSku = new Map<string, number>();

  constructor(
    private readonly columns: ReadonlyMap<Column, number>,
    private readonly width: number,
    private readonly currency: string,
  ) {}

  read(line: number, record: readonly string[]): void {
    try {
      if (record.length !== this.width) {
        throw new CallerError('BAD_USER_INPUT', `has ${record.length} cells, and the first line has ${this.width}`);
      }
      const product = this.productOf(line, (column) => record[this.columns.get(column) ?? -1]?.trim() ?? '');
      if (product) this.good.push({ line, product });
    } catch (error) {
      if (!(error instanceof CallerError)) throw error;
      this.bad.push({ line, reason: error.message });
    }
  }

  /** null: the line is no unit on sale. */
  private productOf(line: number, cell: (column: Column) => string): NewProduct | null {
    const parent = this.parentOf(cell);
    if (!isVariant(cell)) {
      this.images += 1;
      return null;
    }
    if (!parent) throw bad('Title', cell('title'), `a title; no line before it has one for ${shown(cell('handle'))}`);
    if (!parent.isActive) {
      this.inactive += 1;
      return null;
    }
    const product = checkedProduct({
      sku: this.skuOf(cell('sku')),
      name: nameOf(parent.title, [cell('option1'), cell('option2'), cell('option3')]),
      description: parent.description,
      priceMinor: priceOf(cell('price'), this.currency),
      currency: this.currency,
      totalStock: quantityOf(cell('quantity')),
    });
    this.lineOfSku.set(product.product.sku, line);
    return product;
  }

  private parentOf(cell: (column: Column) => string): Parent | undefined {
    const handle = cell('handle');
    if (cell('title') === '') return this.parents.get(handle);
    const parent: Parent = {
      title: cell('title'),
      description: plainText(cell('body')),
      isActive: !INACTIVE.includes(cell('status').toLowerCase()),
    };
    this.parents.set(handle, parent);
    return parent;
  }

  private skuOf(sku: string): string {
    if (sku === '') throw bad('Variant SKU', sku, 'a SKU: it names the product here');
    const earlier = this.lineOfSku.get(sku);
    if (earlier !== undefined)
      throw new CallerError('BAD_USER_INPUT', `SKU ${shown(sku)} stands in line ${earlier} already`);
    return sku;
  }
}

function isVariant(cell: (column: Column) => string): boolean {
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
    throw new CallerError(
      'BAD_USER_INPUT',
      `Body (HTML) has ${html.length} characters: give at most ${MAX_HTML_LENGTH}`,
    );
  }
  return htmlToText(html).trim() || null;
}

function bad(column: string, found: string, wanted: string): CallerError {
  return new CallerError('BAD_USER_INPUT', `${column} is ${found === '' ? 'empty' : shown(found)}: give ${wanted}`);
}

/** Quoted and cut; what a terminal would obey, or show in another order, is escaped. */
export function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80)).replace(
    /[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
