/** What one operation has cost so far. It is counted during execution, because nothing says beforehand how long lists are. */
import { GraphQLError, type FormattedExecutionResult, type GraphQLResolveInfo } from 'graphql';
import { CallerError } from '../../domain/errors';
import { BYTES_PER_UNIT, MAX_PRICE, priceOfItem, tooExpensive, type Priced } from './cost';

/** A page of 100 products whose descriptions have 10,000 characters of three bytes each has 3 MB. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** An event of a subscription is written for each watcher. The longest description fits twice. */
export const MAX_EVENT_BYTES = 128 * 1024;

/**
 * Once the budget is exceeded, lists are empty and the answer is one error in place of all data. An error for each omitted
 * item would cost more than the items.
 */
export class Budget {
  private spent = 0;
  private isMutation = false;

  /** Call before execution. */
  begin({ base, isMutation }: Priced): void {
    this.spent += base;
    this.isMutation = isMutation;
  }

  /** Returns the field's list, or, once the budget is exceeded, an empty one, which no client will see. */
  spend<Item>(items: Item[], info: GraphQLResolveInfo): Item[] {
    this.spent += items.length * priceOfItem(info);
    return this.isExceeded ? [] : items;
  }

  /** For texts that were read, whether the answer contains them or not. */
  spendText(characters: number): void {
    this.spent += characters / BYTES_PER_UNIT;
  }

  /** In units of `cost.ts`. */
  get price(): number {
    return this.spent;
  }

  get isExceeded(): boolean {
    return this.spent > MAX_PRICE;
  }

  /** Returns the answer, or the one error of an answer that cost too much or is too large. Call before it is written. */
  bounded(answer: FormattedExecutionResult): FormattedExecutionResult {
    if (this.isExceeded) return this.refusal(tooExpensive(this.spent));
    const bytes = bytesOf(answer, MAX_ANSWER_BYTES);
    this.spent += bytes / BYTES_PER_UNIT;
    return bytes > MAX_ANSWER_BYTES ? this.refusal(tooLarge(MAX_ANSWER_BYTES)) : answer;
  }

  private refusal({ code, message }: CallerError): FormattedExecutionResult {
    const done = this.isMutation ? '. The mutation was carried out: ask with a query for what it changed' : '';
    return { errors: [new GraphQLError(message + done, { extensions: { code } }).toJSON()], data: null };
  }
}

export function tooLarge(most: number): CallerError {
  const message = `The answer would have more than ${most} bytes: ask for fewer fields, or a smaller page`;
  return new CallerError('BAD_USER_INPUT', message);
}

/**
 * The size of an answer in bytes of JSON in UTF-8, before it is written: JSON.stringify would first hold all of it in memory.
 * Counting stops as soon as `most` is exceeded. Far below `most`, the characters of short texts count as one byte each, which
 * takes a tenth of the time.
 */
export function bytesOf(answer: unknown, most: number): number {
  const roughly = count(answer, most, quotedLength);
  return roughly * MAX_BYTES_PER_CHARACTER > most ? count(answer, most, writtenBytes) : roughly;
}

function count(answer: unknown, most: number, ofShortText: (text: string) => number): number {
  let bytes = 0;
  let longTexts: Map<string, number> | undefined;
  const ofText = (text: string): number => {
    if (text.length <= SHORT) return ofShortText(text);
    // A page full of aliases of one product repeats the same text.
    let own = longTexts?.get(text);
    if (own === undefined) (longTexts ??= new Map()).set(text, (own = writtenBytes(text)));
    return own;
  };
  const add = (value: unknown): void => {
    if (typeof value === 'string') bytes += ofText(value);
    else if (typeof value !== 'object' || value === null) bytes += value === undefined ? 0 : String(value).length;
    else if (Array.isArray(value)) {
      bytes += 2 + value.length;
      for (let index = 0; index < value.length && bytes <= most; index += 1) add(value[index]);
    } else if (typeof (value as { toJSON?: unknown }).toJSON === 'function') {
      add((value as { toJSON(): unknown }).toJSON());
    } else {
      bytes += 2;
      for (const key in value) {
        bytes += 2 + ofText(key);
        add((value as Record<string, unknown>)[key]);
        if (bytes > most) return;
      }
    }
  };
  add(answer);
  return bytes;
}

const SHORT = 64;
const ESCAPED = /["\\\u0000-\u001f\ud800-\udfff]/;
/** `\u001f`: no character takes more. */
const MAX_BYTES_PER_CHARACTER = 6;

const quotedLength = (text: string) => 2 + text.length;

/** With its quotes. Only a text that JSON may have to escape is written in order to be measured. */
function writtenBytes(text: string): number {
  if (ESCAPED.test(text)) return Buffer.byteLength(JSON.stringify(text));
  return 2 + Buffer.byteLength(text);
}
