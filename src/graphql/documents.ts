/** Subscription documents, parsed and validated under the same limits as Apollo's; those that come often are remembered. */
import {
  getOperationAST,
  GraphQLError,
  OperationTypeNode,
  parse,
  specifiedRules,
  validate,
  type DocumentNode,
  type GraphQLSchema,
} from 'graphql';
import { DOCUMENT_LIMITS, MAX_TOKENS } from './limits';

/** A sale's crowd sends the page's own few; together with the next bound at most 1 MB of text. */
const MAX_REMEMBERED = 256;
const MAX_REMEMBERED_LENGTH = 4_096;

export interface Subscription {
  readonly document: DocumentNode;
  /** Not empty: it must not be executed. */
  readonly errors: readonly GraphQLError[];
}

/**
 * Answers what a text subscribes to; null when it is anything else, not even well-formed: then Apollo has the answer.
 * `hidesSchema`: messages suggest no names.
 */
export function subscriptionReader(
  schema: GraphQLSchema,
  { hidesSchema }: { hidesSchema: boolean },
): (query: string, operationName?: string | null) => Subscription | null {
  const remembered = new Map<string, Subscription | null>();
  return (query, operationName) => {
    const key = `${operationName ?? ''} ${query}`;
    const known = remembered.get(key);
    if (known !== undefined) return known;
    const subscription = read(schema, query, operationName, hidesSchema);
    if (key.length <= MAX_REMEMBERED_LENGTH) remembered.set(key, subscription);
    if (remembered.size > MAX_REMEMBERED) remembered.delete(remembered.keys().next().value!);
    return subscription;
  };
}

function read(
  schema: GraphQLSchema,
  query: string,
  operationName: string | null | undefined,
  hidesSchema: boolean,
): Subscription | null {
  const document = parsed(query);
  if (!document) return null;
  if (getOperationAST(document, operationName)?.operation !== OperationTypeNode.SUBSCRIPTION) return null;
  const errors = validate(schema, document, [...specifiedRules, ...DOCUMENT_LIMITS]).map(
    ({ message, nodes, extensions }) =>
      new GraphQLError(hidesSchema ? message.replace(/ ?Did you mean(.+?)\?$/, '') : message, {
        nodes,
        extensions: { code: 'GRAPHQL_VALIDATION_FAILED', ...extensions },
      }),
  );
  return { document, errors };
}

function parsed(query: string): DocumentNode | null {
  try {
    return parse(query, { maxTokens: MAX_TOKENS });
  } catch {
    return null;
  }
}
