/** Subscription documents: Apollo executes none, so they are parsed and validated here, under the same rules. */
import {
  getOperationAST,
  GraphQLError,
  OperationTypeNode,
  parse,
  specifiedRules,
  validate,
  type DocumentNode,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import type { RememberedDocuments } from './guard';
import { DOCUMENT_LIMITS, MAX_TOKENS } from './limits';

export interface Subscription {
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
  /** Not empty: it must not be executed. */
  readonly errors: readonly GraphQLError[];
}

export type SubscriptionReader = (text: string, operationName?: string | null) => Promise<Subscription | null>;

/**
 * Answers what a text subscribes to; null when it is anything else, not even well-formed: then Apollo has the answer.
 * What passes every rule is remembered, beside Apollo's own documents. `hidesSchema`: messages suggest no names.
 */
export function subscriptionReader(
  schema: GraphQLSchema,
  remembered: RememberedDocuments,
  { hidesSchema }: { hidesSchema: boolean },
): SubscriptionReader {
  return async (text, operationName) => {
    const key = `subscription ${text}`;
    const known = await remembered.get(key);
    const document = known ?? parsed(text);
    const operation = document && getOperationAST(document, operationName);
    if (operation?.operation !== OperationTypeNode.SUBSCRIPTION) return null;
    const errors = known ? [] : problemsOf(schema, document!, hidesSchema);
    if (!known && errors.length === 0) await remembered.set(key, document!);
    return { document: document!, operation, errors };
  };
}

function problemsOf(schema: GraphQLSchema, document: DocumentNode, hidesSchema: boolean): GraphQLError[] {
  return validate(schema, document, [...specifiedRules, ...DOCUMENT_LIMITS]).map(
    ({ message, nodes, extensions }) =>
      new GraphQLError(hidesSchema ? message.replace(/ ?Did you mean(.+?)\?$/, '') : message, {
        nodes,
        extensions: { code: 'GRAPHQL_VALIDATION_FAILED', ...extensions },
      }),
  );
}

function parsed(text: string): DocumentNode | null {
  try {
    return parse(text, { maxTokens: MAX_TOKENS });
  } catch {
    return null;
  }
}
