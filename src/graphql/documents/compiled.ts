/**
 * Executes operations from a plan: which fields are selected, and how each is resolved and completed, is computed once per
 * document and not per request (docs/decisions/0002-compiled-operations.md).
 *
 * graphql's `execute` is the specification of this file: answers, errors and effects are the same. Variables, arguments,
 * directives and merged selections use graphql's own functions, and promises are awaited in its order.
 * tests/graphql/compiled-operations.test.ts compares the two on generated documents.
 */
import {
  getArgumentValues,
  getNullableType,
  GraphQLError,
  isAbstractType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  locatedError,
  OperationTypeNode,
  responsePathAsArray,
  visit,
  type DocumentNode,
  type ExecutionResult,
  type FieldNode,
  type GraphQLField,
  type GraphQLLeafType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import { collectFields, collectSubfields } from 'graphql/execution/collectFields';
import { buildExecutionContext, buildResolveInfo, getFieldDef, type ExecutionContext } from 'graphql/execution/execute';
import { inspect } from 'graphql/jsutils/inspect';
import { addPath, type Path } from 'graphql/jsutils/Path';

/**
 * Fields in all plans of one operation together. A page of the shop needs fifty; fragments that spread one another reach 20,000
 * with a thousand tokens, and 256 documents are remembered.
 */
const MAX_PLANNED_FIELDS = 1_000;

/** Caches each compiled operation for as long as its document lives. */
export class CompiledOperations {
  private readonly compiled = new WeakMap<OperationDefinitionNode, CompiledOperation>();
  private readonly isCompiling: boolean;

  constructor(private readonly schema: GraphQLSchema) {
    this.isCompiling = hasPlans(schema);
  }

  /** `operation` belongs to the valid `document`. null: graphql has to execute the operations of this schema. */
  find(document: DocumentNode, operation: OperationDefinitionNode): CompiledOperation | null {
    if (!this.isCompiling) return null;
    let compiled = this.compiled.get(operation);
    if (!compiled) this.compiled.set(operation, (compiled = new CompiledOperation(this.schema, document, operation)));
    return compiled;
  }
}

/** A plan fixes the type of each value in advance, which rules out interfaces, unions and `isTypeOf`. */
function hasPlans(schema: GraphQLSchema): boolean {
  return !Object.values(schema.getTypeMap()).some(
    (type) => isAbstractType(type) || (isObjectType(type) && type.isTypeOf),
  );
}

export class CompiledOperation {
  /** By the values of the variables in conditions, which alone decide what is selected. */
  private readonly plans = new Map<string, Plan>();
  private readonly conditions: readonly string[];
  private plannedFields = 0;

  constructor(
    private readonly schema: GraphQLSchema,
    private readonly document: DocumentNode,
    private readonly operation: OperationDefinitionNode,
  ) {
    this.conditions = variablesOfConditions(document);
  }

  /**
   * null: the variables do not fit and nothing was executed; graphql reports why. Errors are as the resolvers threw them, not
   * masked.
   */
  execute(
    contextValue: unknown,
    variableValues: Record<string, unknown>,
  ): ExecutionResult | Promise<ExecutionResult> | null {
    const { schema, document, operation } = this;
    const operationName = operation.name?.value ?? null;
    const context = buildExecutionContext({ schema, document, operationName, variableValues, contextValue });
    if (!('schema' in context)) return null;
    const { collectedErrors } = context;
    const resultOf = (data: Record<string, unknown> | null): ExecutionResult =>
      collectedErrors.errors.length === 0 ? { data } : { errors: collectedErrors.errors, data };
    const failure = (error: unknown): ExecutionResult => {
      collectedErrors.add(error as GraphQLError, undefined);
      return resultOf(null);
    };
    try {
      const plan = this.planFor(context);
      const execution = new Execution(context, plan);
      const isMutation = operation.operation === OperationTypeNode.MUTATION;
      const data = isMutation ? execution.serially(plan.root) : execution.fields(plan.root, undefined);
      return isPromise(data) ? data.then(resultOf, failure) : resultOf(data);
    } catch (error) {
      return failure(error);
    }
  }

  private planFor(context: ExecutionContext): Plan {
    const key = this.conditions.map((name) => String(context.variableValues[name])).join();
    const known = this.plans.get(key);
    if (known) return known;
    const plan = new Plan(context, (added) => this.count(added));
    this.plans.set(key, plan);
    return plan;
  }

  private count(added: number): void {
    this.plannedFields += added;
    if (this.plannedFields <= MAX_PLANNED_FIELDS) return;
    // Executions in progress keep their plan; the next request makes a new one, as graphql does for each request.
    this.plans.clear();
    this.plannedFields = 0;
  }
}

/** In the whole document. A variable that this operation does not declare has no value. */
function variablesOfConditions(document: DocumentNode): string[] {
  const names = new Set<string>();
  visit(document, {
    Directive({ arguments: args }) {
      for (const { value } of args ?? []) if (value.kind === Kind.VARIABLE) names.add(value.name.value);
    },
  });
  return [...names];
}

interface PlannedField {
  readonly responseName: string;
  readonly nodes: readonly FieldNode[];
  readonly definition: GraphQLField<unknown, unknown>;
  readonly parentType: GraphQLObjectType;
  readonly shape: Shape;
  /** A property of its source, without arguments. */
  readonly isProperty: boolean;
  /** The selection on its object. Planned when the first object appears, because most documents select more than an answer has. */
  fields?: readonly PlannedField[];
}

/** A type in the form in which execution needs it. */
type Shape = { readonly isNullable: boolean } & (
  | { readonly kind: 'leaf'; readonly type: GraphQLLeafType }
  | { readonly kind: 'object'; readonly type: GraphQLObjectType }
  | { readonly kind: 'list'; readonly item: Shape }
);

class Plan {
  readonly root: readonly PlannedField[];

  constructor(
    context: ExecutionContext,
    private readonly onPlanned: (fields: number) => void,
  ) {
    const { schema, fragments, variableValues, operation } = context;
    const type = schema.getRootType(operation.operation)!;
    this.root = this.planned(
      schema,
      type,
      collectFields(schema, fragments, variableValues, type, operation.selectionSet),
    );
  }

  /** Throws what graphql throws for a condition without a value. */
  fieldsBelow(
    field: PlannedField,
    type: GraphQLObjectType,
    { schema, fragments, variableValues }: ExecutionContext,
  ): readonly PlannedField[] {
    return (field.fields ??= this.planned(
      schema,
      type,
      collectSubfields(schema, fragments, variableValues, type, field.nodes),
    ));
  }

  private planned(
    schema: GraphQLSchema,
    parentType: GraphQLObjectType,
    collected: ReadonlyMap<string, readonly FieldNode[]>,
  ): readonly PlannedField[] {
    // An empty selection takes memory, too.
    this.onPlanned(1 + collected.size);
    return [...collected].map(([responseName, nodes]) => {
      // The document is valid, so there is such a field.
      const definition = getFieldDef(schema, parentType, nodes[0]!)!;
      const isProperty = !definition.resolve && definition.args.length === 0;
      return { responseName, nodes, definition, parentType, shape: shapeOf(definition.type), isProperty };
    });
  }
}

function shapeOf(type: GraphQLOutputType): Shape {
  const isNullable = !isNonNullType(type);
  const nullable = getNullableType(type);
  if (isListType(nullable)) return { isNullable, kind: 'list', item: shapeOf(nullable.ofType as GraphQLOutputType) };
  if (isLeafType(nullable)) return { isNullable, kind: 'leaf', type: nullable };
  if (isObjectType(nullable)) return { isNullable, kind: 'object', type: nullable };
  throw new Error(`${String(type)} has no plan: its objects may be of several types`);
}

/** An object of an answer. Without a prototype `__proto__` is an ordinary response name, and V8 keeps the object in its fast form. */
const Selection = function () {} as unknown as new () => Selection;
Selection.prototype = Object.create(null);
type Selection = Record<string, unknown>;

/** Executes a plan for one request: graphql's `executeFields`, `executeField` and `completeValue`, step by step. */
class Execution {
  constructor(
    private readonly context: ExecutionContext,
    private readonly plan: Plan,
  ) {}

  /** For mutations: each begins when the one before it has ended. */
  serially(fields: readonly PlannedField[]): Selection | Promise<Selection> {
    let results: Selection | Promise<Selection> = new Selection();
    for (const field of fields) {
      results = isPromise(results)
        ? results.then((selection) => this.next(selection, field))
        : this.next(results, field);
    }
    return results;
  }

  private next(selection: Selection, field: PlannedField): Selection | Promise<Selection> {
    const result = this.field(field, undefined, undefined);
    if (isPromise(result)) {
      return result.then((value) => {
        selection[field.responseName] = value;
        return selection;
      });
    }
    selection[field.responseName] = result;
    return selection;
  }

  fields(fields: readonly PlannedField[], source: unknown, path?: Path): Selection | Promise<Selection> {
    const results = new Selection();
    let hasPromise = false;
    try {
      for (const field of fields) {
        const result = this.field(field, source, path);
        results[field.responseName] = result;
        if (isPromise(result)) hasPromise = true;
      }
    } catch (error) {
      if (!hasPromise) throw error;
      // The other promises are awaited, because they may be rejected, too.
      return settled(results).finally(() => {
        throw error;
      });
    }
    return hasPromise ? settled(results) : results;
  }

  private field(field: PlannedField, source: unknown, parentPath: Path | undefined): unknown {
    const path = addPath(parentPath, field.responseName, field.parentType.name);
    try {
      const result = this.resolve(field, source, path);
      const completed = isPromise(result)
        ? result.then((value) => this.complete(field, field.shape, path, value))
        : this.complete(field, field.shape, path, result);
      return isPromise(completed)
        ? completed.then(undefined, (error: unknown) => this.failed(error, field, field.shape, path))
        : completed;
    } catch (error) {
      return this.failed(error, field, field.shape, path);
    }
  }

  private resolve(field: PlannedField, source: unknown, path: Path): unknown {
    const { context } = this;
    const { definition } = field;
    if (field.isProperty) {
      if (!isObjectLike(source) && typeof source !== 'function') return undefined;
      const property = (source as Record<string, unknown>)[definition.name];
      if (typeof property !== 'function') return property;
    }
    const info = buildResolveInfo(context, definition, field.nodes, field.parentType, path);
    const args = argumentsOf(field, context);
    return (definition.resolve ?? context.fieldResolver)(source, args, context.contextValue, info);
  }

  private complete(field: PlannedField, shape: Shape, path: Path, value: unknown): unknown {
    if (value instanceof Error) throw value;
    if (value === null || value === undefined) {
      if (shape.isNullable) return null;
      const { parentType, definition } = field;
      throw new Error(`Cannot return null for non-nullable field ${parentType.name}.${definition.name}.`);
    }
    if (shape.kind === 'leaf') return serialized(shape.type, value);
    if (shape.kind === 'list') return this.list(field, shape.item, path, value);
    return this.fields(this.plan.fieldsBelow(field, shape.type, this.context), value, path);
  }

  private list(field: PlannedField, shape: Shape, path: Path, values: unknown): unknown {
    if (!isIterableObject(values)) {
      const { parentType, definition } = field;
      throw new GraphQLError(
        `Expected Iterable, but did not find one for field "${parentType.name}.${definition.name}".`,
      );
    }
    const items: unknown[] = [];
    let hasPromise = false;
    try {
      for (const value of values) {
        const item = this.item(field, shape, addPath(path, items.length, undefined), value);
        items.push(item);
        if (isPromise(item)) hasPromise = true;
      }
    } catch (error) {
      // Without a handler the rejection of another item would end the process.
      for (const item of items) if (isPromise(item)) item.catch(() => undefined);
      throw error;
    }
    return hasPromise ? Promise.all(items) : items;
  }

  private item(field: PlannedField, shape: Shape, path: Path, value: unknown): unknown {
    try {
      const item = isPromise(value)
        ? value.then((resolved) => this.complete(field, shape, path, resolved))
        : this.complete(field, shape, path, value);
      return isPromise(item) ? item.then(undefined, (error: unknown) => this.failed(error, field, shape, path)) : item;
    } catch (error) {
      return this.failed(error, field, shape, path);
    }
  }

  /** null in its place, or, where null is not allowed, throws to the parent. */
  private failed(error: unknown, { nodes }: PlannedField, { isNullable }: Shape, path: Path): null {
    const located = locatedError(error, nodes, responsePathAsArray(path));
    if (!isNullable) throw located;
    this.context.collectedErrors.add(located, path);
    return null;
  }
}

/** A new object for each call, because a resolver may change it. */
function argumentsOf({ definition, nodes }: PlannedField, { variableValues }: ExecutionContext) {
  return definition.args.length === 0 ? {} : getArgumentValues(definition, nodes[0]!, variableValues);
}

function serialized(type: GraphQLLeafType, value: unknown): unknown {
  const result: unknown = type.serialize(value);
  if (result !== null && result !== undefined) return result;
  throw new Error(
    `Expected \`${inspect(type)}.serialize(${inspect(value)})\` to ` +
      `return non-nullable value, returned: ${inspect(result)}`,
  );
}

function settled(results: Selection): Promise<Selection> {
  return Promise.all(Object.values(results)).then((values) => {
    const object = new Selection();
    Object.keys(results).forEach((key, index) => (object[key] = values[index]));
    return object;
  });
}

const isPromise = <T>(value: T | Promise<T>): value is Promise<T> =>
  typeof (value as Partial<Promise<unknown>> | null | undefined)?.then === 'function';

const isObjectLike = (value: unknown): value is object => typeof value === 'object' && value !== null;

const isIterableObject = (value: unknown): value is Iterable<unknown> =>
  typeof value === 'object' && typeof (value as Partial<Iterable<unknown>> | null)?.[Symbol.iterator] === 'function';
