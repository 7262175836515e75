/**
 * Random valid documents for a schema of every shape, with variables that fit and that do not, and resolvers that answer
 * randomly: values, nulls, errors, promises.
 *
 * Each document is executed by graphql, the reference, and by the implementation that is compared with it.
 */
import { inspect } from 'node:util';
import {
  buildSchema,
  execute,
  getNamedType,
  getNullableType,
  getOperationAST,
  GraphQLError,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  lexicographicSortSchema,
  parse,
  responsePathAsArray,
  typeFromAST,
  validate,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLInputType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLResolveInfo,
  type GraphQLScalarType,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import { CompiledOperations } from '../../src/graphql/documents/compiled';
import { ensure } from './fixture';
import { developmentSchema } from '../../src/graphql/schema';
import { Random } from '../../src/tools/load/random';
import type { Tally } from './tally';

/** Executes an operation. null: the variables do not fit, and nothing was executed. */
export type Executor = (context: unknown, variables: Record<string, unknown>) => Promise<ExecutionResult | null>;
export type ExecutorOf = (
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
) => Executor;

/** A run without one of these proves nothing. */
export const DOCUMENT_NEEDS = [
  'documents',
  'executions',
  'refused variables',
  'errors',
  'conditions',
  'fragments spread again',
  'arguments left out',
  'merged fields',
];

/** Every shape of the language but interfaces and unions; schemas with those are executed by graphql. */
export const EVERY_SHAPE = buildSchema(`
  enum Colour { RED GREEN BLUE }
  scalar Even
  input Inner { id: ID!, count: Int! = 3, text: String = "t", list: [Int!], colour: Colour! = RED, deeper: Inner, grid: [[Inner!]] }
  input Outer { inner: Inner!, many: [Inner!]! = [{ id: "x" }], optional: Inner = { id: "y", count: 1 }, flag: Boolean, even: Even }
  input Choice @oneOf { number: Int, text: String, inner: Inner }
  type Query {
    node(id: ID!): Node
    certain(id: ID! = "z", colour: Colour = GREEN): Node!
    nodes(first: Int! = 2, filter: Outer): [Node!]!
    some(choice: Choice, numbers: [Int!]! = [1, 2]): [Node]!
    grid(outer: Outer! = { inner: { id: "w" } }): [[Node!]]
    leaf(x: Int = 5, colours: [Colour!] = [RED], outer: Outer, even: Even = 2, when: Boolean): String!
    names: [String!]
  }
  type Node {
    id: ID!
    name: String
    colour: Colour!
    even: Even
    self: Node!
    other: Node
    children(first: Int! = 1, of: Inner): [Node!]
    all: [Node!]!
    sum(by: Int! = 1, inner: Inner): Int!
    any(input: Inner, choice: Choice): Float
  }
  type Mutation {
    change(outer: Outer!): Node!
    set(id: ID!, inner: Inner, n: Int! = 1, even: Even): Node
    swap(a: [Inner!], b: Boolean! = true): Int
  }
`);
const even = (value: unknown): number => {
  if (typeof value === 'number' && value % 2 === 0) return value;
  throw new TypeError('Even takes numbers that are even');
};
Object.assign(EVERY_SHAPE.getType('Even') as GraphQLScalarType, { serialize: even, parseValue: even });

const VARIABLE_SETS = 4;

/** For `npm run prove -- --only documents`. */
const DOCUMENTS = 10_000;

/** Half of them for the shop's schema, half for the one with every shape. */
export async function proveAllDocuments(seed: number, tally: Tally): Promise<void> {
  for (const schema of [developmentSchema(), EVERY_SHAPE]) {
    await proveDocuments(withChance(schema), seed, DOCUMENTS / 2, compiledExecutor, tally);
  }
}

/** Throws `Violation` at the first difference, with everything needed to reproduce it. */
export async function proveDocuments(
  schema: GraphQLSchema,
  seed: number,
  documents: number,
  executorOf: ExecutorOf,
  tally: Tally,
): Promise<void> {
  const random = new Random(seed);
  await withHandledRejections(async () => {
    let count = 0;
    while (count < documents) {
      const { text, document } = new DocumentMaker(schema, random.fork()).document();
      // The generator does not know every rule, such as fields that cannot be merged.
      if (validate(schema, document).length > 0) {
        tally.add('invalid (not counted)');
        continue;
      }
      count += 1;
      await compareDocument(schema, text, document, random.fork(), executorOf, tally);
    }
  });
}

/**
 * graphql leaves the promises of a list's items without a handler when another item fails at once, which would end this
 * process. (Another test shows that the server's implementation does not.)
 */
async function withHandledRejections(work: () => Promise<void>): Promise<void> {
  const { then } = Promise.prototype;
  Promise.prototype.then = function (...handlers) {
    const next = then.apply(this, handlers as never);
    void then.call(next, undefined, () => undefined);
    return next as never;
  };
  try {
    await work();
  } finally {
    Promise.prototype.then = then;
  }
}

/** The server's implementation. */
export const compiledExecutor: ExecutorOf = (schema, document, operation) => {
  let operations = compilers.get(schema);
  if (!operations) compilers.set(schema, (operations = new CompiledOperations(schema)));
  const compiled = operations.find(document, operation);
  if (!compiled) throw new Error('this schema is left to graphql: nothing is compared');
  return async (context, variables) => compiled.execute(context, variables);
};
const compilers = new WeakMap<GraphQLSchema, CompiledOperations>();

async function compareDocument(
  schema: GraphQLSchema,
  text: string,
  document: DocumentNode,
  random: Random,
  executorOf: ExecutorOf,
  tally: Tally,
): Promise<void> {
  tally.add('documents');
  if (/@(skip|include)/.test(text)) tally.add('conditions');
  const spreads = text.match(/\.\.\.\s*F\d+/g) ?? [];
  if (new Set(spreads).size < spreads.length) tally.add('fragments spread again');
  const names = document.definitions.flatMap((node) => (node.kind === 'OperationDefinition' ? [node.name?.value] : []));
  const operationName = random.oneOf(names);
  const operation = getOperationAST(document, operationName)!;
  const executor = executorOf(schema, document, operation);
  for (let n = 0; n < VARIABLE_SETS; n += 1) {
    const variables = variablesFor(schema, operation, random);
    const world = random.seed();
    const [expected, actual] = [new World(world), new World(world)];
    const right = await execute({
      schema,
      document,
      operationName: operationName ?? null,
      variableValues: variables,
      contextValue: expected,
    });
    const compared = await executor(actual, variables);
    const answers = [answerOf(right.data === undefined ? null : right), answerOf(compared)] as const;
    // Waits for whatever was still in progress when the answer was returned.
    await new Promise((resolve) => setImmediate(resolve));
    tally.add('executions');
    if (right.errors) tally.add(right.data === undefined ? 'refused variables' : 'errors');
    for (const { leftOut, merged } of expected.calls) {
      if (leftOut) tally.add('arguments left out');
      if (merged) tally.add('merged fields');
    }
    const difference = differenceOf(
      [...expected.calls.map(({ effect }) => effect), answers[0]],
      [...actual.calls.map(({ effect }) => effect), answers[1]],
    );
    ensure(!difference, DIFFERENCE, { text, variables: written(variables), ...difference });
  }
}

/** The first difference in calls or results; null: none. */
function differenceOf(graphql: readonly string[], compared: readonly string[]) {
  const at = graphql.findIndex((line, index) => line !== compared[index]);
  if (at < 0 && graphql.length === compared.length) return null;
  return { graphql: graphql[at], compared: compared[at] };
}

export const DIFFERENCE = 'an operation means what graphql says it means';

/** With the order of keys, and what was thrown for each error. */
function answerOf(result: ExecutionResult | null): string {
  if (!result) return 'the variables do not fit';
  const errors = result.errors?.map((error) => [error.toJSON(), error.name, String(error.originalError)]);
  return JSON.stringify({ keys: Object.keys(result), data: result.data, errors });
}

interface Call {
  readonly effect: string;
  readonly leftOut: boolean;
  readonly merged: boolean;
}

/** The resolvers of one execution, which record their calls in order. Equal seeds give equal answers. */
class World {
  readonly calls: Call[] = [];

  constructor(readonly seed: number) {}

  /** The arguments as they are recorded. */
  asked(args: Record<string, unknown>, info: GraphQLResolveInfo): string {
    const { path, fieldNodes, fieldName, returnType, parentType } = info;
    const given = written(args);
    const nodes = fieldNodes.map(({ loc }) => loc?.start).join();
    const place = `${responsePathAsArray(path).join('.')} ${parentType.name}.${fieldName}: ${String(returnType)}`;
    // The same for all fields of an execution.
    const { operation, variableValues, fragments, rootValue } = info;
    const shared =
      variableValues === this.variables
        ? ''
        : written([operation.name?.value, variableValues, rootValue, Object.keys(fragments)]);
    this.variables = variableValues;
    const leftOut = parentType.getFields()[fieldName]?.args.some(({ name }) => !(name in args)) ?? false;
    this.calls.push({ effect: `${place} ${given} at ${nodes} ${shared}`, leftOut, merged: fieldNodes.length > 1 });
    return given;
  }

  private variables: unknown;
}

/** Includes everything that a resolver could see of a value: undefined properties, prototypes, the order of keys. */
const written = (value: unknown) => inspect(value, { depth: null, breakLength: Infinity, maxArrayLength: null });

/** The seed of an object, which determines all its fields. */
const SEED = Symbol('seed');
interface Source {
  [SEED]: number;
}

/**
 * A copy of the schema whose fields answer randomly. Some have resolvers, others are read from their source, which has values,
 * promises and functions.
 */
export function withChance(original: GraphQLSchema): GraphQLSchema {
  const schema = lexicographicSortSchema(original);
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) || type.name.startsWith('__')) continue;
    for (const field of Object.values(type.getFields())) {
      delete field.resolve;
      const isRoot = [schema.getQueryType(), schema.getMutationType()].includes(type);
      if (!isRoot && hash(`${type.name}.${field.name}`) % 3 > 0) continue;
      field.resolve = (source: Source | undefined, args: Record<string, unknown>, world: World, info) => {
        const seed = hash(`${source?.[SEED] ?? world.seed} ${field.name} ${world.asked(args, info)}`);
        spoil(args, info, seed);
        return answer(field.type, new Random(seed));
      };
    }
  }
  return schema;
}

/** Copies arguments, because resolvers may change them. (graphql, too, shares a default of the schema.) */
function spoil(args: Record<string, unknown>, { fieldNodes }: GraphQLResolveInfo, seed: number): void {
  if (seed % 5 > 0) return;
  for (const { name, value } of fieldNodes[0]!.arguments ?? []) {
    const arg = args[name.value];
    if (value.kind === 'ObjectValue' && typeof arg === 'object' && arg !== null) Object.assign(arg, { spoilt: true });
    if (seed % 2 === 0) delete args[name.value];
  }
  args.spoilt = true;
}

/** Now or later, a value or a failure. */
function answer(type: GraphQLOutputType, random: Random): unknown {
  const ticks = random.isTrue(0.3) ? random.integer(0, 4) : -1;
  const value = () => {
    if (!random.isTrue(0.04)) return valueOf(type, random);
    // Resolvers may throw anything.
    // eslint-disable-next-line @typescript-eslint/only-throw-error
    throw random.oneOf([
      new Error('broken'),
      new GraphQLError('refused', { extensions: { code: 'FORBIDDEN', detail: random.integer(0, 9) } }),
      'a text',
      undefined,
    ]);
  };
  return ticks < 0 ? value() : later(ticks, value);
}

async function later(ticks: number, value: () => unknown): Promise<unknown> {
  for (let n = 0; n < ticks; n += 1) await Promise.resolve();
  return value();
}

function valueOf(type: GraphQLOutputType, random: Random): unknown {
  if (random.isTrue(isNonNullType(type) ? 0.01 : 0.12)) return random.oneOf([null, undefined, new Error('returned')]);
  const nullable = getNullableType(type);
  if (isListType(nullable)) {
    const item = nullable.ofType as GraphQLOutputType;
    if (random.isTrue(0.02)) return 'not a list';
    const items = Array.from({ length: random.integer(0, 2) }, () =>
      random.isTrue(0.1) ? later(1, () => valueOf(item, random)) : valueOf(item, random),
    );
    return random.isTrue(0.1) ? new Set(items) : items;
  }
  if (isLeafType(nullable))
    return random.isTrue(0.02) ? { not: 'a leaf' } : (LEAVES[nullable.name]?.(random) ?? enumValue(nullable, random));
  return isObjectType(nullable) ? source(nullable, random.seed()) : null;
}

const enumValue = (type: unknown, random: Random) =>
  isEnumType(type) ? random.oneOf(type.getValues()).value : 'a scalar';

const LEAVES: Readonly<Record<string, (random: Random) => unknown>> = {
  ID: (random) => (random.isTrue(0.5) ? `id${random.integer(0, 9)}` : random.integer(0, 9)),
  String: (random) => `text ${random.integer(0, 9)}`,
  Int: (random) => random.integer(-5, 5),
  Float: (random) => random.integer(-5, 5) / 2,
  Boolean: (random) => random.isTrue(0.5),
  DateTime: (random) => new Date(random.integer(0, 2_000_000_000)),
  PositiveInt: (random) => random.integer(1, 9),
  SafeInt: (random) => random.integer(-9, 9),
  Even: (random) => random.integer(0, 4) * (random.isTrue(0.9) ? 2 : 1),
};

function source(type: GraphQLObjectType, seed: number): Source {
  const made: Source = { [SEED]: seed };
  for (const field of Object.values(type.getFields())) {
    if (field.resolve) continue;
    const random = new Random(hash(`${seed} ${field.name}`));
    if (random.isTrue(0.2)) {
      // Called with arguments: a method of its source.
      const method = function (this: Source, args: Record<string, unknown>, world: World, info: GraphQLResolveInfo) {
        const given = world.asked(args, info);
        if (this !== made) throw new Error('a method was taken away from its source');
        return answer(field.type, new Random(hash(`${seed} ${field.name} ${given}`)));
      };
      Object.assign(made, { [field.name]: method });
    } else {
      // graphql reads it twice, so it must be the same value each time.
      const at = random.seed();
      Object.defineProperty(made, field.name, { get: () => answer(field.type, new Random(at)), enumerable: true });
    }
  }
  return made;
}

/** FNV-1a */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let n = 0; n < text.length; n += 1) value = Math.imul(value ^ text.charCodeAt(n), 0x01000193);
  return value >>> 0;
}

interface Variable {
  readonly name: string;
  readonly declaration: string;
}

/** One document. Fields with the same response name have the same arguments, so that they can be merged. */
class DocumentMaker {
  private readonly menus = new Map<string, { head: string; type: GraphQLOutputType; name: string }[]>();
  private readonly variables = new Map<string, Variable>();
  private readonly fragments: { name: string; type: GraphQLObjectType; body: string }[] = [];
  private readonly planned: { name: string; type: GraphQLObjectType }[];

  constructor(
    private readonly schema: GraphQLSchema,
    private readonly random: Random,
  ) {
    const types = Object.values(schema.getTypeMap()).filter(
      (type): type is GraphQLObjectType =>
        isObjectType(type) && !type.name.startsWith('__') && type !== schema.getSubscriptionType(),
    );
    this.planned = Array.from({ length: random.integer(0, 5) }, (_, n) => ({
      name: `F${n}`,
      type: random.oneOf(types),
    }));
  }

  document(): { text: string; document: DocumentNode } {
    const { schema, random } = this;
    // A fragment spreads only later ones, which are generated first, so there are no cycles.
    for (let n = this.planned.length - 1; n >= 0; n -= 1) {
      const { name, type } = this.planned[n]!;
      this.fragments.unshift({ name, type, body: this.selections(type, 1, n + 1) });
    }
    const count = random.isTrue(0.85) ? 1 : 2;
    const operations = Array.from({ length: count }, (_, n) => {
      const isMutation = schema.getMutationType() && random.isTrue(0.35);
      const type = isMutation ? schema.getMutationType()! : schema.getQueryType()!;
      return { keyword: isMutation ? 'mutation' : 'query', name: `O${n}`, body: this.selections(type, 3, 0) };
    });
    const used = this.reachable(operations.map(({ body }) => body).join());
    const texts = operations.map(({ keyword, name, body }) => {
      const below = this.reachable(body).map((fragment) => fragment.body);
      const declared = [...this.variables.values()]
        .filter((variable) => [body, ...below].some((text) => new RegExp(`\\$${variable.name}\\b`).test(text)))
        .map(({ declaration }) => declaration);
      return `${keyword} ${name}${declared.length > 0 ? `(${declared.join(', ')})` : ''} ${body}`;
    });
    const text = [...texts, ...used.map(({ name, type, body }) => `fragment ${name} on ${type.name} ${body}`)].join(
      '\n',
    );
    return { text, document: parse(text) };
  }

  private reachable(text: string): { name: string; type: GraphQLObjectType; body: string }[] {
    let known = text;
    const found = new Set<(typeof this.fragments)[number]>();
    for (const fragment of this.fragments) {
      if (!new RegExp(`\\.\\.\\. ${fragment.name}\\b`).test(known)) continue;
      found.add(fragment);
      known += fragment.body;
    }
    return [...found];
  }

  private selections(type: GraphQLObjectType, depth: number, firstFragment: number): string {
    const { random } = this;
    const parts: string[] = [];
    for (let n = random.integer(1, 4); n > 0; n -= 1) {
      const spreadable = this.planned.slice(firstFragment).filter((fragment) => fragment.type === type);
      const choice = random.next();
      if (choice < 0.3 && spreadable.length > 0) {
        parts.push(`... ${random.oneOf(spreadable).name}${this.conditions()}`);
      } else if (choice < 0.45 && depth > 0) {
        const condition = random.isTrue(0.6) ? ` on ${type.name}` : '';
        parts.push(`...${condition}${this.conditions()} ${this.selections(type, depth - 1, firstFragment)}`);
      } else if (choice < 0.52) {
        parts.push(`${random.isTrue(0.3) ? 'kind: ' : ''}__typename${this.conditions()}`);
      } else {
        parts.push(this.field(type, depth, firstFragment) ?? '__typename');
      }
    }
    return `{ ${parts.join(' ')} }`;
  }

  private field(type: GraphQLObjectType, depth: number, firstFragment: number): string | null {
    const { random } = this;
    const menu = this.menuOf(type).filter((entry) => depth > 0 || isLeafType(getNamedType(entry.type)));
    if (menu.length === 0) return null;
    const entry = random.oneOf(menu);
    const named = getNamedType(entry.type);
    const below = isObjectType(named) ? ` ${this.selections(named, depth - 1, firstFragment)}` : '';
    return `${entry.head}${this.conditions()}${below}`;
  }

  /** Few, so that names are often selected again. */
  private menuOf(type: GraphQLObjectType): { head: string; type: GraphQLOutputType; name: string }[] {
    const known = this.menus.get(type.name);
    if (known) return known;
    const { random } = this;
    const fields = Object.values(type.getFields());
    const menu = Array.from({ length: 5 }, (_, n) => {
      const field = random.oneOf(fields);
      const args = field.args.flatMap((arg) => {
        const isRequired = isNonNullType(arg.type) && arg.defaultValue === undefined;
        if (!isRequired && random.isTrue(0.35)) return [];
        return [`${arg.name}: ${this.value(arg.type, arg.defaultValue !== undefined, 3)}`];
      });
      const alias = random.isTrue(0.4) || field.args.length > 0 ? `${field.name}${n}: ` : '';
      return {
        head: `${alias}${field.name}${args.length > 0 ? `(${args.join(', ')})` : ''}`,
        type: field.type,
        name: field.name,
      };
    });
    this.menus.set(type.name, menu);
    return menu;
  }

  private conditions(): string {
    const { random } = this;
    const one = () => {
      const name = random.oneOf(['skip', 'include']);
      if (random.isTrue(0.3)) return ` @${name}(if: ${random.isTrue(0.5)})`;
      const type = this.schema.getType('Boolean') as GraphQLInputType;
      return ` @${name}(if: $${this.variable(type, true, false)})`;
    };
    if (random.isTrue(0.7)) return '';
    const first = one();
    const second = random.isTrue(0.2) ? one() : '';
    return first.slice(0, 4) === second.slice(0, 4) ? first : first + second;
  }

  /** A literal, a variable, or a literal that contains variables. `hasDefault`: the place has a default, so null may come in a variable. */
  private value(type: GraphQLInputType, hasDefault: boolean, depth: number): string {
    const { random } = this;
    const isRequired = isNonNullType(type);
    const nullable = getNullableType(type) as GraphQLInputType;
    if (random.isTrue(0.4)) return `$${this.variable(nullable, isRequired, hasDefault)}`;
    if (!isRequired && random.isTrue(0.15)) return 'null';
    if (isListType(nullable)) {
      const item = nullable.ofType as GraphQLInputType;
      if (random.isTrue(0.15)) return this.value(item, false, depth - 1);
      return `[${Array.from({ length: random.integer(0, 2) }, () => this.value(item, false, depth - 1)).join(', ')}]`;
    }
    if (isInputObjectType(nullable)) {
      const all = Object.values(nullable.getFields());
      const fields = nullable.isOneOf ? [random.oneOf(all)] : all;
      const parts = fields.flatMap((field) => {
        const isNeeded = (isNonNullType(field.type) && field.defaultValue === undefined) || nullable.isOneOf;
        if (!isNeeded && (depth <= 0 || random.isTrue(0.4))) return [];
        return [`${field.name}: ${this.value(field.type, field.defaultValue !== undefined, depth - 1)}`];
      });
      return `{ ${parts.join(', ')} }`;
    }
    return literalOf(inputValue(nullable, random, 0), nullable);
  }

  /** A variable of this type or a stricter one; of a looser one if the place has a default. */
  private variable(nullable: GraphQLInputType, isRequired: boolean, hasDefault: boolean): string {
    const { random } = this;
    const isStrict = isRequired ? !(hasDefault && random.isTrue(0.7)) : random.isTrue(0.2);
    const needsDefault = isRequired && !hasDefault;
    const isLoose = isStrict && needsDefault && random.isTrue(0.4);
    const isNonNull = isStrict && !isLoose;
    const given = isLoose || random.isTrue(0.25) ? inputValue(nullable, random, 2) : undefined;
    const defaultText = given === undefined ? '' : ` = ${literalOf(given, nullable)}`;
    const declared = `${String(nullable)}${isNonNull ? '!' : ''}${defaultText}`;
    const known = this.variables.get(declared);
    if (known && random.isTrue(0.8)) return known.name;
    const name = `v${this.variables.size}`;
    this.variables.set(known ? `${declared} ${name}` : declared, { name, declaration: `$${name}: ${declared}` });
    return name;
  }
}

/** As JSON. Never null at the top, so that it may be a default. */
function inputValue(type: GraphQLInputType, random: Random, depth: number): unknown {
  const nullable = getNullableType(type) as GraphQLInputType;
  if (isListType(nullable)) {
    return Array.from({ length: random.integer(0, 2) }, () =>
      inputOrNull(nullable.ofType as GraphQLInputType, random, depth - 1),
    );
  }
  if (isInputObjectType(nullable)) {
    const all = Object.values(nullable.getFields());
    const fields = nullable.isOneOf ? [random.oneOf(all)] : all;
    return Object.fromEntries(
      fields.flatMap((field) => {
        const isNeeded = isNonNullType(field.type) && field.defaultValue === undefined;
        if (!isNeeded && !nullable.isOneOf && (depth <= 0 || random.isTrue(0.4))) return [];
        const value = nullable.isOneOf
          ? inputValue(field.type, random, depth - 1)
          : inputOrNull(field.type, random, depth - 1);
        return [[field.name, value]];
      }),
    );
  }
  if (isEnumType(nullable)) return random.oneOf(nullable.getValues()).name;
  const value = LEAVES[(nullable as { name: string }).name]?.(random) ?? 'a scalar';
  return value instanceof Date ? value.toISOString() : value;
}

const inputOrNull = (type: GraphQLInputType, random: Random, depth: number) =>
  !isNonNullType(type) && random.isTrue(0.2) ? null : inputValue(type, random, depth);

function literalOf(value: unknown, type: GraphQLInputType): string {
  const nullable = getNullableType(type) as GraphQLInputType;
  if (value === null) return 'null';
  if (isListType(nullable)) {
    return `[${(value as unknown[]).map((item) => literalOf(item, nullable.ofType as GraphQLInputType)).join(', ')}]`;
  }
  if (isInputObjectType(nullable)) {
    const fields = nullable.getFields();
    return `{ ${Object.entries(value as object)
      .map(([name, item]) => `${name}: ${literalOf(item, fields[name]!.type)}`)
      .join(', ')} }`;
  }
  return isEnumType(nullable) ? String(value) : JSON.stringify(value);
}

const WRONG = [null, 'wrong', 1.5, -1, true, [], {}, [null], { nobody: 'knows' }, 2 ** 40] as const;

/** Missing, null, right or wrong; sometimes one that the operation does not declare. */
function variablesFor(
  schema: GraphQLSchema,
  operation: OperationDefinitionNode,
  random: Random,
): Record<string, unknown> {
  const variables: Record<string, unknown> = {};
  const isCareless = random.isTrue(0.1);
  for (const { variable, type, defaultValue } of operation.variableDefinitions ?? []) {
    const isRequired = type.kind === 'NonNullType' && !defaultValue;
    if (!isRequired && random.isTrue(0.3)) continue;
    const name = variable.name.value;
    if (isCareless && random.isTrue(0.3)) variables[name] = random.oneOf(WRONG);
    else if (type.kind !== 'NonNullType' && random.isTrue(0.2)) variables[name] = null;
    else variables[name] = inputValue(typeOf(schema, type), random, 2);
  }
  if (random.isTrue(0.1)) variables.unknown = 1;
  return variables;
}

type TypeNode = NonNullable<OperationDefinitionNode['variableDefinitions']>[number]['type'];

function typeOf(schema: GraphQLSchema, node: TypeNode): GraphQLInputType {
  return typeFromAST(schema, node as never) as GraphQLInputType;
}
