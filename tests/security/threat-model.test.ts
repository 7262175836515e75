/** The figures of docs/threat-model.md are those of the code. */
import { readFileSync } from 'node:fs';
import { CHARACTERS_PER_POINT } from '../../src/admission/admission';
import { PRICE_PER_POINT } from '../../src/admission/operation';
import { defaultRateLimits, projectPath, rateClasses } from '../../src/config';
import { MAX_ANSWER_BYTES, MAX_EVENT_BYTES } from '../../src/graphql/documents/budget';
import { MAX_EVENT_PRICE, MAX_PRICE } from '../../src/graphql/documents/cost';
import * as limits from '../../src/graphql/documents/limits';
import { MAX_REMEMBERED } from '../../src/graphql/documents/remembered';
import { MAX_VALIDATION_ERRORS } from '../../src/graphql/http/apollo';
import { MAX_BODY_BYTES } from '../../src/graphql/http/routes';

const text = readFileSync(projectPath('docs', 'threat-model.md'), 'utf8');
const numbersIn = (part: string) => (part.match(/\d[\d,]*/g) ?? []).map((digits) => Number(digits.replaceAll(',', '')));
/** A table's rows, by what their first cell says. */
const tableOf = (heading: string) => {
  const section = text.slice(text.indexOf(`\n## ${heading}\n`)).split(/\n## /)[1]!;
  const rows = section.split('\n').filter((line) => line.startsWith('|'));
  return new Map(
    rows
      .slice(2)
      .map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      )
      .map(([name, ...cells]) => [name!.replaceAll('`', ''), cells]),
  );
};

test('docs/threat-model.md gives the document limits of the code', () => {
  const expected: Record<string, number[]> = {
    'long documents': [limits.MAX_TOKENS, limits.MAX_LENGTH, MAX_BODY_BYTES / 1024],
    aliases: [limits.MAX_ALIASES],
    batches: [limits.MAX_ROOT_MUTATION_FIELDS],
    depth: [limits.MAX_DEPTH],
    recursion: [MAX_PRICE],
    cost: [MAX_PRICE, MAX_EVENT_PRICE],
    'large answers': [MAX_ANSWER_BYTES, MAX_EVENT_BYTES],
    'validation itself (its rules are quadratic)': [
      limits.MAX_REPETITIONS,
      limits.MAX_FRAGMENTS,
      limits.MAX_DIRECTIVES,
      MAX_VALIDATION_ERRORS,
    ],
    'floods of different documents': [MAX_REMEMBERED],
  };
  const given = [...tableOf('GraphQL cheat sheet')].flatMap(([name, [, limit]]) => {
    const numbers = numbersIn(limit!);
    return numbers.length > 0 ? [[name, numbers] as const] : [];
  });
  expect(Object.fromEntries(given)).toEqual(expected);
});

test('docs/threat-model.md gives the default rate limits of the code', () => {
  const given = Object.fromEntries(
    [...tableOf('What is counted')].map(([name, [, customer, address]]) => [
      name,
      { perCustomer: numbersIn(customer!)[0] ?? null, perAddress: numbersIn(address!)[0] ?? null },
    ]),
  );
  expect(given).toEqual(Object.fromEntries(rateClasses.map((name) => [name, defaultRateLimits[name]])));
});

test('docs/threat-model.md gives the prices of a point of the code', () => {
  expect(text).toContain(
    `for each ${PRICE_PER_POINT.browse} units of the price, an operator's reading for each ${PRICE_PER_POINT.admin}`,
  );
  expect(text).toContain(`for each ${CHARACTERS_PER_POINT} characters`);
});
