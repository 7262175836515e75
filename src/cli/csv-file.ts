/** A CSV file as shops export it: from its bytes to records, each with the number of its line. */
import { CsvError, parse } from 'csv-parse';

/** The file as a whole cannot be read. */
export class UnreadableExport extends Error {
  override readonly name = 'UnreadableExport';
}

export interface CsvRecord {
  readonly record: readonly string[];
  /** As an editor shows it: of a record that goes over several lines, the first. */
  readonly line: number;
  /** How much of the file has been read, from 0 to 1. */
  readonly share: number;
}

interface ParsedRecord {
  readonly record: string[];
  readonly info: { readonly lines: number };
  readonly raw: string;
}

/** Longer than any record of an export; a quote that is never closed would swallow the rest of the file. */
const MAX_RECORD_LENGTH = 2_000_000;

/** csv-parse's own messages repeat bytes of the file, which a terminal might obey. */
const PROBLEMS: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: 'a quote is never closed',
  CSV_INVALID_CLOSING_QUOTE: 'a closing quote is followed by something else than a comma (inside quotes, write two)',
  INVALID_OPENING_QUOTE: 'a quote stands in a cell that does not begin with one (quote the cell, and write two inside)',
  CSV_MAX_RECORD_SIZE: `it has more than ${MAX_RECORD_LENGTH} characters; is a quote not closed?`,
};

/** The first record is the header. Throws `UnreadableExport` when the bytes are no CSV in UTF-8, with the line where it stops. */
export async function* readCsv(bytes: Uint8Array): AsyncGenerator<CsvRecord> {
  const text = decode(bytes);
  refuseOtherSeparators(text.slice(0, text.search(/\n|$/)));
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
    const problem = PROBLEMS[error.code] ?? shown(error.message);
    throw new UnreadableExport(`The record that begins after line ${goodUntil} is no CSV: ${problem}`);
  }
  if (goodUntil === 0) throw new UnreadableExport('The file is empty');
}

/** Before the CSV is parsed: a cell that is quoted for another separator is no CSV at all, and the error would speak of quotes. */
function refuseOtherSeparators(header: string): void {
  const found = header.includes(',') ? undefined : [';', '\t'].find((separator) => header.includes(separator));
  if (found === undefined) return;
  const name = found === ';' ? 'semicolons' : 'tabs';
  throw new UnreadableExport(`The columns of the first line are separated by ${name}, and must be separated by commas`);
}

/** Line ends become \n, in quoted cells too: lines can then be counted. A byte order mark goes. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r\n?/g, '\n');
  } catch {
    throw new UnreadableExport(
      `The file is not in UTF-8 (see line ${firstUndecodableLine(bytes)}): export it again, or save it as “CSV UTF-8”`,
    );
  }
}

function firstUndecodableLine(bytes: Uint8Array): number {
  // Bytes without a meaning become U+FFFD, and no line break is lost in front of the first of them.
  const lossy = new TextDecoder('utf-8').decode(bytes).replace(/\r\n?/g, '\n');
  return lossy.slice(0, lossy.indexOf('\ufffd')).split('\n').length;
}

/**
 * Where each column stands, by any of the names it goes by; names are compared without regard to case. Throws
 * `UnreadableExport` when two columns claim one meaning: which of them counts would be a guess.
 */
export function columnsIn<Column extends string>(
  header: readonly string[],
  accepted: Readonly<Record<Column, readonly string[]>>,
): Map<Column, number> {
  const names = header.map((name) => name.trim().toLowerCase());
  const columns = new Map<Column, number>();
  for (const [column, known] of Object.entries(accepted) as [Column, readonly string[]][]) {
    const places = names.flatMap((name, at) => (known.some((other) => other.toLowerCase() === name) ? [at] : []));
    if (places.length > 1) {
      const both = places.map((at) => shown(header[at]!.trim())).join(' and ');
      throw new UnreadableExport(`The first line has ${both}, which mean the same: remove one of the columns`);
    }
    if (places.length === 1) columns.set(column, places[0]!);
  }
  return columns;
}

/** Quoted and cut; what a terminal would obey, or show in another order, is escaped. */
export function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80)).replace(
    /[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
