/** What one operation may show: an order's lines have holds, which have an order, which has lines, and so on; moments likewise. */
import { GraphQLError } from 'graphql';

/** The largest page of the largest orders. Four times around one order of 50 lines would show six million. */
const MAX_LINES = 5_000;

/**
 * Counted as it is shown, for nobody knows before how many lines an order has. Whoever shows more is answered by one error in
 * place of all data: an error for each place that is left out would cost more than the places.
 */
export class Budget {
  private lines = 0;

  /** Order lines, or moments of a timeline. The list, or, once the operation has shown all it may, an empty one, which nobody will see. */
  spend<Line>(lines: Line[]): Line[] {
    this.lines += lines.length;
    return this.isExceeded ? [] : lines;
  }

  get isExceeded(): boolean {
    return this.lines > MAX_LINES;
  }

  get error(): GraphQLError {
    const message = `One operation may show ${MAX_LINES} order lines and moments: ask for a smaller page, or less deep`;
    return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT' } });
  }
}
