/** Operations that are asked for again and again, compiled: graphql's interpreter takes a seventh of a small request's time. */
import type { DocumentNode, ExecutionResult, GraphQLSchema, OperationDefinitionNode } from 'graphql';
import { compileQuery, isCompiledQuery, type CompiledQuery } from 'graphql-jit';

/** Compiling takes some milliseconds: a flood of different documents shall not have them. */
const COMPILE_AFTER = 100;

interface Asked {
  times: number;
  /** null: it cannot be compiled, and stays with graphql. */
  compiled?: CompiledQuery | null;
}

/** Known for as long as their documents are remembered. */
export class CompiledOperations {
  private readonly asked = new WeakMap<OperationDefinitionNode, Asked>();

  constructor(private readonly schema: GraphQLSchema) {}

  /** Compiled, if it is time. The document is valid, and the operation one of its own. */
  find(document: DocumentNode, operation: OperationDefinitionNode): CompiledQuery | null {
    let asked = this.asked.get(operation);
    if (!asked) this.asked.set(operation, (asked = { times: 0 }));
    if (asked.compiled === undefined) {
      asked.times += 1;
      if (asked.times <= COMPILE_AFTER) return null;
      asked.compiled = compile(this.schema, document, operation);
    }
    return asked.compiled;
  }
}

/** null: graphql-jit knows no way. */
export function compile(
  schema: GraphQLSchema,
  document: DocumentNode,
  { name }: OperationDefinitionNode,
): CompiledQuery | null {
  const compiled = compileQuery(schema, document, name?.value ?? '');
  return isCompiledQuery(compiled) ? compiled : null;
}

/**
 * null: the variables do not fit, nothing was executed, and graphql shall say so in its own words. Errors are as the
 * resolvers threw them, not masked.
 */
export async function execute(
  compiled: CompiledQuery,
  variables: Record<string, unknown>,
  context: unknown,
): Promise<ExecutionResult | null> {
  const result = await compiled.query(undefined, context, variables);
  return result.data === undefined ? null : result;
}
