/** What the maintainer of ISO 4217 published, read from its own file: what the code's table is compared with. */
import { readFileSync } from 'node:fs';
import { projectPath } from '../../src/config';

/** List One as SIX published it on 25 June 2024. The package `currency-codes` ships the file as it was downloaded. */
const LIST_ONE = projectPath('node_modules', 'currency-codes', 'iso-4217-list-one.xml');

/** What SIX has amended since, until 1 January 2026: the Arab accounting dinar and the Caribbean guilder came, three currencies went. */
const NEW: readonly (readonly [string, number])[] = [
  ['XAD', 2],
  ['XCG', 2],
];
const WITHDRAWN = new Set(['ANG', 'BGN', 'CUC']);

/** Each currency with the digits of its minor unit. null: metals, testing codes and the like, which have no minor unit. */
export function listOne(): Map<string, number | null> {
  const entries = [...readFileSync(LIST_ONE, 'utf8').matchAll(/<CcyNtry>.*?<\/CcyNtry>/gs)].flatMap(([entry]) => {
    const code = /<Ccy>([A-Z]{3})<\/Ccy>/.exec(entry)?.[1];
    const digits = /<CcyMnrUnts>(\d|N\.A\.)<\/CcyMnrUnts>/.exec(entry)?.[1];
    if (code === undefined || digits === undefined || WITHDRAWN.has(code)) return [];
    return [[code, digits === 'N.A.' ? null : Number(digits)] as const];
  });
  return new Map([...entries, ...NEW]);
}

/** Those in which a price can be given. */
export const pricedCurrencies = (): [string, number][] =>
  [...listOne()].filter((entry): entry is [string, number] => entry[1] !== null).sort();
