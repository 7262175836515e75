/** What one operation has cost so far, and what its answer may be: counted as it is made, as nothing says before how long its lists are. */
import { GraphQLError, type FormattedExecutionResult, type GraphQLResolveInfo } from 'graphql';
import { CallerError } from '../../domain/errors';
import { bytesOf } from './answer-size';
import { BYTES_PER_UNIT, MAX_PRICE, priceOfItem, tooExpensive, type Priced } from './cost';

/** A page of 100 products whose descriptions have 10,000 characters of three bytes each has 3 MB. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** One event of a subscription, which is written for each watcher: the longest description fits, twice. */
export const MAX_EVENT_BYTES = 128 * 1024;

/**
 * Once it is exceeded, lists are empty and the answer is one error in place of all data: an error for each place that is left
 * out would cost more than the places.
 */
export class Budget {
  private spent = 0;
  private isMutation = false;

  /** The operation that is executed. */
  begin({ base, isMutation }: Priced): void {
    this.spent += base;
    this.isMutation = isMutation;
  }

  /** What the field shows: its list, or, once the operation costs too much, an empty one, which no client will see. */
  spend<Item>(items: Item[], info: GraphQLResolveInfo): Item[] {
    this.spent += items.length * priceOfItem(info);
    return this.isExceeded ? [] : items;
  }

  /** Texts that were read, whether they are shown or not. */
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

  /** The answer, or, where it costs too much or is too large, the one error that says so. Before it is written. */
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
