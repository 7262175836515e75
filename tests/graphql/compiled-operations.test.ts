/** An operation means what graphql says it means, compiled or not: shown with documents made by chance. */
import { buildSchema, execute, getOperationAST, Kind, parse, visit, type FieldNode, type GraphQLSchema } from 'graphql';
import { CompiledOperations } from '../../src/graphql/documents/compiled';
import { checkoutSchema, developmentSchema } from '../../src/graphql/schema';
import { Random } from '../../src/tools/load/random';
import { Tally } from '../prove/tally';
import {
  compiledExecutor,
  DIFFERENCE,
  DOCUMENT_NEEDS,
  EVERY_SHAPE,
  proveDocuments,
  withChance,
  type ExecutorOf,
} from '../prove/documents';

const SEED = new Random(Date.now()).seed();

test.each<[string, () => GraphQLSchema, number]>([
  ['the schema of the shop', developmentSchema, 200],
  ['a schema with every shape', () => EVERY_SHAPE, 200],
])('every valid document of %s is executed as graphql executes it', async (name, schema, documents) => {
  const tally = new Tally();
  await proveDocuments(withChance(schema()), SEED, documents, compiledExecutor, tally);
  process.stdout.write(`${name}, seed ${SEED}: ${tally}\n`);
  expect(tally.missing(DOCUMENT_NEEDS)).toEqual([]);
});

const SKIPPED = (getOperationAST(parse('{ x @skip(if: true) }'))!.selectionSet.selections[0] as FieldNode).directives!;

/** Ways to execute that are wrong in one respect, as compilers of GraphQL have been. */
const MISTAKES: Record<string, ExecutorOf> = {
  'variables that are left out become null': (schema, document, operation) => {
    const right = compiledExecutor(schema, document, operation);
    const names = (operation.variableDefinitions ?? []).flatMap(({ variable, type, defaultValue }) =>
      type.kind === Kind.NON_NULL_TYPE || defaultValue ? [] : [[variable.name.value, null] as const],
    );
    return (context, variables) => right(context, { ...Object.fromEntries(names), ...variables });
  },
  'a variable that is null counts as left out': (schema, document, operation) => {
    const right = compiledExecutor(schema, document, operation);
    return (context, variables) =>
      right(context, Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== null)));
  },
  'conditions are judged once': (schema, document, operation) => {
    let first: Record<string, unknown> | undefined;
    return async (context, variables) => {
      first ??= variables;
      const judged = visit(document, {
        Directive: {
          enter: (node) => {
            const value = node.arguments?.[0]?.value;
            const name = value?.kind === Kind.VARIABLE ? value.name.value : undefined;
            if (name === undefined || typeof first![name] !== 'boolean') return undefined;
            const literal = { kind: Kind.BOOLEAN, value: first![name] as boolean } as const;
            return { ...node, arguments: [{ ...node.arguments![0]!, value: literal }] };
          },
        },
      });
      const result = await execute({
        schema,
        document: judged,
        operationName: operation.name?.value ?? null,
        variableValues: variables,
        contextValue: context,
      });
      return result.data === undefined ? null : result;
    };
  },
  'a fragment that is spread again adds nothing': (schema, document, operation) => {
    const seen = new Set<string>();
    const once = visit(document, {
      FragmentSpread: (node) => {
        if (seen.has(node.name.value)) return { ...node, directives: SKIPPED };
        seen.add(node.name.value);
        return undefined;
      },
    });
    const same = once.definitions.find(
      (node) => node.kind === Kind.OPERATION_DEFINITION && node.name?.value === operation.name?.value,
    );
    return compiledExecutor(schema, once, same as typeof operation);
  },
  'the keys of an answer are sorted': (schema, document, operation) => {
    const right = compiledExecutor(schema, document, operation);
    return async (context, variables) => {
      const result = await right(context, variables);
      if (!result?.data) return result;
      return { ...result, data: Object.fromEntries(Object.entries(result.data).sort(([a], [b]) => (a < b ? -1 : 1))) };
    };
  },
  'the first of several errors is enough': (schema, document, operation) => {
    const right = compiledExecutor(schema, document, operation);
    return async (context, variables) => {
      const result = await right(context, variables);
      return result?.errors ? { ...result, errors: result.errors.slice(0, 1) } : result;
    };
  },
};

test.each(Object.keys(MISTAKES))('the comparison finds an executor in which %s', async (mistake) => {
  const proof = proveDocuments(withChance(EVERY_SHAPE), SEED, 1_000, MISTAKES[mistake]!, new Tally());
  await expect(proof).rejects.toThrow(DIFFERENCE);
});

test('every operation of the shop is compiled, and a schema with interfaces or unions is left to graphql', () => {
  const document = parse('{ __typename }');
  const find = (schema: GraphQLSchema) => new CompiledOperations(schema).find(document, getOperationAST(document)!);
  for (const schema of [checkoutSchema(), developmentSchema()]) expect(find(schema)).not.toBeNull();
  const types = 'interface Named { name: String } type A implements Named { name: String } union Any = A';
  expect(find(buildSchema(`${types} type Query { named: Named any: Any }`))).toBeNull();
  expect(find(buildSchema('type Query { name: String }'))).not.toBeNull();
});

test('an operation remembers a bounded number of plans, whatever its conditions are asked with', () => {
  const names = Array.from({ length: 12 }, (_, n) => `b${n}`);
  const document = parse(`query (${names.map((name) => `$${name}: Boolean!`).join()}) {
    nodes @skip(if: true) { ${names.map((name) => `${name}: id @include(if: $${name})`).join(' ')} }
  }`);
  const operation = new CompiledOperations(EVERY_SHAPE).find(document, getOperationAST(document)!)!;
  for (let n = 0; n < 2 ** names.length; n += 1) {
    const variables = Object.fromEntries(names.map((name, bit) => [name, (n & (1 << bit)) > 0]));
    expect(operation.execute({}, variables)).toEqual({ data: {} });
  }
  expect((Reflect.get(operation, 'plans') as Map<string, unknown>).size).toBeLessThanOrEqual(1_000);
});

test('a list that fails leaves no rejection without a handler, which would end the process', async () => {
  const schema = buildSchema('type Query { list: [Item!]! } type Item { id: Int! }');
  // The second item fails at once, the first one later. jest fails a test that leaves a rejection behind.
  schema.getQueryType()!.getFields().list!.resolve = () => [Promise.resolve().then(() => ({ id: null })), null];
  const document = parse('{ list { id } }');
  const result = await new CompiledOperations(schema).find(document, getOperationAST(document)!)!.execute({}, {});
  await new Promise((resolve) => setImmediate(resolve));
  const message = 'Cannot return null for non-nullable field Query.list.';
  expect(result).toMatchObject({ data: null, errors: [{ message, path: ['list', 1] }] });
});
