/** Currencies are those of ISO 4217, with its minor units, and a price can be given in no other. */
import { CallerError } from '../../src/domain/errors';
import { checkCurrency } from '../../src/domain/input';
import { hasMinorUnit, minorDigits } from '../../src/domain/money';
import { listOne, pricedCurrencies } from '../support/currencies';

test('every currency of ISO 4217 has the digits that its List One gives it', () => {
  const priced = pricedCurrencies();
  expect(priced).toHaveLength(165);
  expect(priced.map(([code]) => [code, minorDigits(code)])).toEqual(priced);
  expect(priced.filter(([code]) => !hasMinorUnit(code))).toEqual([]);
});

test.each([
  ['HUF', 2],
  ['IDR', 2],
  ['IQD', 3],
  ['CLF', 4],
  ['JPY', 0],
  ['BHD', 3],
  ['ISK', 0],
  ['UGX', 0],
  ['MGA', 2],
  ['MRU', 2],
])('%s, of which browsers and payment providers have opinions of their own, has %i', (code, digits) => {
  expect(minorDigits(code)).toBe(digits);
});

test('no other code of three letters is taken for a currency', () => {
  const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];
  const codes = letters.flatMap((a) => letters.flatMap((b) => letters.map((c) => a + b + c)));
  const known = new Set(pricedCurrencies().map(([code]) => code));
  expect(codes.filter((code) => hasMinorUnit(code) !== known.has(code))).toEqual([]);
});

test.each<[why: string, code: string]>([
  ...[...listOne()]
    .filter(([, digits]) => digits === null)
    .map(([code]): [string, string] => ['has no minor unit', code]),
  ['was withdrawn', 'HRK'],
  ['was withdrawn', 'BGN'],
  ['is of no state', 'BTC'],
  ['is an object’s own', 'constructor'],
  ['is empty', ''],
])('a price in a code that %s is the caller’s mistake: %s', (_why, code) => {
  expect(() => checkCurrency(code)).toThrow(CallerError);
  expect(() => checkCurrency(code)).toThrow('currency must be a code of ISO 4217 with a minor unit');
});
