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

/** ISO 4217: the currencies whose minor unit is not a hundredth. */
const MINOR_DIGITS: Readonly<Record<string, number>> = {
  ...digits(0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'),
  ...digits(3, 'BHD IQD JOD KWD LYD OMR TND'),
  ...digits(4, 'CLF UYW'),
};

function digits(count: number, currencies: string): Record<string, number> {
  return Object.fromEntries(currencies.split(' ').map((currency) => [currency, count]));
}

/** How many decimals an amount of the currency has: 49.99 USD are 4999, 5000 JPY are 5000, 1.500 KWD are 1500. */
export function minorDigits(currency: string): number {
  return MINOR_DIGITS[currency] ?? 2;
}

/**
 * A decimal price in minor units, exactly: digits are moved, nothing is calculated with fractions. null: no plain decimal number,
 * finer than the currency, or beyond 2^53 - 1. Zeros beyond the currency's decimals are no finer: `5000.00` JPY are 5000.
 */
export function parsePrice(text: string, currency: string): number | null {
  const match = /^(\d{1,16})(?:\.(\d{1,16}))?$/.exec(text);
  if (!match) return null;
  const decimals = minorDigits(currency);
  const fraction = (match[2] ?? '').replace(/0+$/, '').padEnd(decimals, '0');
  if (fraction.length > decimals) return null;
  const minor = Number(`${match[1]}${fraction}`);
  return Number.isSafeInteger(minor) ? minor : null;
}
