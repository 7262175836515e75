/** The server serves everything in the public contract, and the committed schema equals the served one. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import {
  assertEnumType,
  assertInputObjectType,
  assertObjectType,
  astFromValue,
  buildSchema,
  isEnumType,
  isInputObjectType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
  isScalarType,
  isSpecifiedScalarType,
  parse,
  print,
  printSchema,
  validate,
  type GraphQLArgument,
  type GraphQLInputField,
  type GraphQLNamedType,
  type GraphQLObjectType,
} from 'graphql';
import { projectPath } from '../../src/config';
import { DOCUMENT_LIMITS } from '../../src/graphql/documents/limits';
import { EXAMPLES, readExample } from '../../src/graphql/playground/tabs';
import {
  checkoutSchema,
  developmentSchema,
  printedDevelopmentSchema,
  printedSchema,
  schemaFor,
} from '../../src/graphql/schema';

const read = (...path: string[]) => readFileSync(projectPath(...path), 'utf8');
const contract = buildSchema(read('tests', 'api', 'contract.graphql'));
const schema = checkoutSchema();

const promised = Object.values(contract.getTypeMap()).filter(
  (type) => !type.name.startsWith('__') && !isSpecifiedScalarType(type),
);

test.each(promised.map((type) => [type.name, type] as const))(
  'the schema has everything that the contract says of %s',
  (_name, type) => {
    expect(missingOf(type)).toEqual([]);
  },
);

test('a schema with a missing part fails the comparison', () => {
  const poorer = buildSchema(
    read('tests', 'api', 'contract.graphql')
      .replace('  sku: String!\n', '')
      .replace('quantity: PositiveInt! = 1', 'quantity: PositiveInt!')
      .replace(/OUT_OF_STOCK\s+PRODUCT_NOT_FOUND/, 'PRODUCT_NOT_FOUND')
      .replace('totalStock: Int!\n', 'totalStock: Int\n')
      .replace('orders(first: Int! = 20,', 'orders(first: Int! = 10,'),
  );
  const missing = promised.flatMap((type) => missingOf(type, poorer));
  expect(missing.map((line) => line.split(':')[0])).toEqual([
    'Product.sku',
    'Product.totalStock',
    'ErrorCode.OUT_OF_STOCK',
    'CreateHoldInput.quantity',
    'Query.orders(first)',
  ]);
});

test('schema/ equals what the code serves (else: npm run schema:emit)', () => {
  expect(read('schema', 'schema.graphql')).toBe(printedSchema());
  expect(read('schema', 'development.graphql')).toBe(printedDevelopmentSchema());
});

test('production has none of the mutations that development adds', () => {
  expect(printSchema(schemaFor({ environment: 'production' }))).toBe(printSchema(schema));
  const names = ['simulatePayment', 'signInAs'];
  for (const name of names) expect(schema.getMutationType()!.getFields()[name]).toBeUndefined();
  const mutations = schemaFor({ environment: 'development' }).getMutationType()!.getFields();
  for (const name of names) expect(mutations[name]?.description).toMatch(/^Development only/);
  expect(schema.getType('SimulatePaymentInput')).toBeUndefined();
});

test('the typed client equals what codegen generates from schema/ (else: npm run codegen)', () => {
  const codegen = projectPath('node_modules', '@graphql-codegen', 'cli', 'esm', 'bin.js');
  execFileSync(process.execPath, [codegen, '--config', 'codegen.yml', '--check'], {
    cwd: projectPath(),
    stdio: 'pipe',
  });
});

test('the description of each mutation lists the codes it refuses with, and BUSY', () => {
  const descriptions = Object.values(schema.getMutationType()!.getFields()).map((field) => field.description ?? '');
  for (const description of descriptions) expect(description).toMatch(/Refusals[:,].*\bBUSY\b/);
  const known = assertEnumType(schema.getType('ErrorCode')).getValues();
  const isMentioned = (code: string) => descriptions.some((text) => new RegExp(`\\b${code}\\b`).test(text));
  expect(known.map(({ name }) => name).filter((code) => !isMentioned(code))).toEqual([]);
});

test('the playground has a tab for each file in schema/examples', () => {
  const files = readdirSync(projectPath('schema', 'examples')).sort();
  expect(EXAMPLES.map(({ file }) => `${file}.graphql`).sort()).toEqual(files);
});

test.each(EXAMPLES.map((example) => [example.file, example] as const))(
  'the example %s of the playground is valid',
  (_name, example) => {
    const document = parse(readExample(example));
    const served = example.isForDevelopment ? developmentSchema() : schema;
    expect(validate(served, document).map((error) => error.message)).toEqual([]);
    expect(validate(served, document, DOCUMENT_LIMITS).map((error) => error.message)).toEqual([]);
  },
);

test('docs/errors.md names every error code of the contract', () => {
  const page = read('docs', 'errors.md');
  const codes = assertEnumType(contract.getType('ErrorCode')).getValues();
  expect(codes.map(({ name }) => name).filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});

/** The parts of a promised type that the schema lacks or has differently. */
function missingOf(type: GraphQLNamedType, actual = schema): string[] {
  const own = actual.getType(type.name);
  if (!own) return [`${type.name}: missing`];
  if (own.astNode?.kind !== type.astNode?.kind && own.constructor.name !== type.constructor.name) {
    return [`${type.name}: another kind`];
  }
  if (isScalarType(type)) return [];
  if (isEnumType(type)) {
    const values = new Set(
      assertEnumType(own)
        .getValues()
        .map((value) => value.name),
    );
    return type.getValues().flatMap(({ name }) => (values.has(name) ? [] : [`${type.name}.${name}: missing`]));
  }
  if (isInputObjectType(type)) {
    const inputs = Object.values(assertInputObjectType(own).getFields());
    return missingInputs(`${type.name}.`, '', Object.values(type.getFields()), inputs);
  }
  if (isObjectType(type)) return missingFields(type, assertObjectType(own));
  return [`${type.name}: not compared`];
}

function missingFields(type: GraphQLObjectType, own: GraphQLObjectType): string[] {
  return Object.values(type.getFields()).flatMap((field) => {
    const place = `${type.name}.${field.name}`;
    const actual = own.getFields()[field.name];
    if (!actual) return [`${place}: missing`];
    const sameType = String(actual.type) === String(field.type);
    return [
      ...(sameType ? [] : [`${place}: is ${String(actual.type)}, not ${String(field.type)}`]),
      ...missingInputs(`${place}(`, ')', field.args, actual.args),
    ];
  });
}

type Input = GraphQLArgument | GraphQLInputField;

function missingInputs(before: string, after: string, promised: readonly Input[], actual: readonly Input[]): string[] {
  const missing = promised.flatMap((input) => {
    const own = actual.find((other) => other.name === input.name);
    const place = `${before}${input.name}${after}`;
    if (!own) return [`${place}: missing`];
    return signatureOf(own) === signatureOf(input)
      ? []
      : [`${place}: is ${signatureOf(own)}, not ${signatureOf(input)}`];
  });
  const demanded = actual.filter(
    (own) =>
      !promised.some((input) => input.name === own.name) &&
      (isRequiredArgument(own as GraphQLArgument) || isRequiredInputField(own as GraphQLInputField)),
  );
  return [...missing, ...demanded.map((own) => `${before}${own.name}${after}: demanded, but never promised`)];
}

function signatureOf({ type, defaultValue }: Input): string {
  const value = defaultValue === undefined ? null : astFromValue(defaultValue, type);
  return value ? `${String(type)} = ${print(value)}` : String(type);
}
