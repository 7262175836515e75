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

/**
 * ISO 4217, List One as SIX published it on 1 January 2026: the currencies by the digits of their minor unit. Codes without a
 * minor unit (precious metals, special drawing rights, XTS, XXX) are left out: no price can be given in them. What Intl or a
 * browser knows is no replacement: they give the digits that are usually shown, and differ for HUF, IDR, IQD and a dozen others.
 */
const CURRENCIES: Readonly<Record<number, string>> = {
  0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF',
  2:
    'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE ' +
    'CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD ' +
    'HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK ' +
    'MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD ' +
    'RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH ' +
    'USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG',
  3: 'BHD IQD JOD KWD LYD OMR TND',
  4: 'CLF UYW',
};

const MINOR_DIGITS: ReadonlyMap<string, number> = new Map(
  Object.entries(CURRENCIES).flatMap(([digits, codes]) => codes.split(' ').map((code) => [code, Number(digits)])),
);

/** Whether a price can be given in it: in ISO 4217's List One, and with a minor unit. */
export const hasMinorUnit = (currency: string): boolean => MINOR_DIGITS.has(currency);

/**
 * How many decimals an amount of the currency has: 49.99 USD are 4999, 5000 JPY are 5000, 1.500 KWD are 1500. 2 for a code that
 * ISO 4217 does not list: a withdrawn currency of an old product, or whatever a payment message has named.
 */
export function minorDigits(currency: string): number {
  return MINOR_DIGITS.get(currency) ?? 2;
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
