/** Reads the CSV files that shops export into records with line numbers. */
import { CsvError, parse } from 'csv-parse';

/** The whole file is unusable. */
export class UnreadableExport extends Error {
  override readonly name = 'UnreadableExport';
}

export interface CsvRecord {
  readonly record: readonly string[];
  /** As an editor numbers it; the first line of a record that spans several. */
  readonly line: number;
  /** How much of the file has been read, from 0 to 1. */
  readonly share: number;
}

interface ParsedRecord {
  readonly record: string[];
  readonly info: { readonly lines: number };
  readonly raw: string;
}

/** Longer than any real record: an unclosed quote would swallow the rest of the file. */
const MAX_RECORD_LENGTH = 2_000_000;

/** Replaces csv-parse's messages, which repeat bytes of the file that a terminal might interpret. */
const PROBLEMS: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: 'a quote is never closed',
  CSV_INVALID_CLOSING_QUOTE: 'a closing quote is not followed by a comma (double a quote inside a quoted cell)',
  INVALID_OPENING_QUOTE: 'an unquoted cell contains a quote (quote the cell, and double the quote inside)',
  CSV_MAX_RECORD_SIZE: `it has more than ${MAX_RECORD_LENGTH} characters; is a quote not closed?`,
};

/** The first record is the header. Throws `UnreadableExport`, naming the line, when the bytes are not CSV in UTF-8. */
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
    throw new UnreadableExport(`The record that begins after line ${goodUntil} is not valid CSV: ${problem}`);
  }
  if (goodUntil === 0) throw new UnreadableExport('The file is empty');
}

/** Runs before parsing, because a file with another separator would only cause a misleading error about quotes. */
function refuseOtherSeparators(header: string): void {
  const found = header.includes(',') ? undefined : [';', '\t'].find((separator) => header.includes(separator));
  if (found === undefined) return;
  const name = found === ';' ? 'semicolons' : 'tabs';
  throw new UnreadableExport(`The columns are separated by ${name}; they must be separated by commas`);
}

/** Normalises line ends to \n, even in quoted cells, so that lines can be counted. Drops a byte order mark. */
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
  // The first undecodable byte becomes U+FFFD; line breaks before it are intact.
  const lossy = new TextDecoder('utf-8').decode(bytes).replace(/\r\n?/g, '\n');
  return lossy.slice(0, lossy.indexOf('\ufffd')).split('\n').length;
}

/**
 * The index of each column, found by any of its accepted names, in any case. Throws `UnreadableExport` when two columns have
 * the same meaning, because choosing one would be a guess.
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

/** Quotes and truncates text for printing; escapes control characters and characters that reorder text. */
export function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80)).replace(
    /[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
