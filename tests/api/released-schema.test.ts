/** Clients of the last release go on working: a change that breaks them has to stand in CHANGELOG.md. */
import { readFileSync } from 'node:fs';
import { buildSchema, DangerousChangeType, findBreakingChanges, findDangerousChanges } from 'graphql';
import { projectPath } from '../../src/config';
import { printedReleasedSchema, printedSchema } from '../../src/graphql/schema';

const read = (...path: string[]) => readFileSync(projectPath(...path), 'utf8');
const released = read('schema', 'released.graphql');
/** From its heading to the next one. */
const unreleased = read('CHANGELOG.md')
  .split(/^## Unreleased$/m)[1]!
  .split(/^## /m)[0]!;

const plain = (text: string) => text.replaceAll('`', '').replaceAll(/\s+/g, ' ');

/** What breaks clients of the schema `from` and is not in `changes`. graphql calls a changed default only dangerous. */
function unannounced(from: string, to: string, changes: string): string[] {
  const [before, after] = [buildSchema(from), buildSchema(to)];
  const defaults = findDangerousChanges(before, after).filter(
    ({ type }) => type === DangerousChangeType.ARG_DEFAULT_VALUE_CHANGE,
  );
  return [...findBreakingChanges(before, after), ...defaults]
    .map(({ description }) => description.replace(/\.$/, ''))
    .filter((description) => !plain(changes).includes(plain(description)));
}

test('the schema breaks clients of the last release only where CHANGELOG.md says so', () => {
  expect(unannounced(released, printedSchema(), unreleased)).toEqual([]);
});

test('schema/released.graphql is of the version in package.json (else: npm run schema:emit -- --release)', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const [heading] = printedReleasedSchema(version).split('\n');
  expect(released.split('\n')[0]).toBe(heading);
});

const broken = printedSchema()
  .replace(/^ {2}sku: String!\n/m, '')
  .replace('hold(id: ID!): Hold', 'hold(id: ID!, customer: ID!): Hold')
  .replaceAll('first: Int! = 20', 'first: Int! = 10');

test('a removed field, a new required argument and another default break clients', () => {
  const changes = unannounced(printedSchema(), broken, '');
  expect(changes).toContain('A required arg customer on Query.hold was added');
  expect(changes).toContainEqual(expect.stringMatching(/sku was removed$/));
  expect(changes).toContainEqual(expect.stringMatching(/^Query\.orders arg first has changed defaultValue/));
});

test('a break that CHANGELOG.md names is accepted', () => {
  const announced = unannounced(printedSchema(), broken, '').map((change) => `- ${change}: for a reason.`);
  expect(unannounced(printedSchema(), broken, announced.join('\n').replace('customer on', '`customer`\n  on'))).toEqual(
    [],
  );
});
