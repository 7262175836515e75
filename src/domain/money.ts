/** Exact money: integers in the currency's minor unit, never beyond 2^53 - 1. */
import { CallerError } from './errors';

/** `quantity × unitPriceMinor`, or the caller's mistake when the product leaves the exact integers. */
export function lineTotal(quantity: number, unitPriceMinor: number): number {
  return exact(quantity * unitPriceMinor);
}

/** The sum of what several holds cost, or the caller's mistake when it leaves the exact integers. */
export function sumOfLines(lines: Iterable<{ quantity: number; unitPriceMinor: number }>): number {
  let total = 0;
  for (const line of lines) total = exact(total + lineTotal(line.quantity, line.unitPriceMinor));
  return total;
}

function exact(amountMinor: number): number {
  if (!Number.isSafeInteger(amountMinor)) {
    throw new CallerError(
      'BAD_USER_INPUT',
      'quantity × price must stay within 2^53 - 1 minor units: ask for fewer units',
    );
  }
  return amountMinor;
}
