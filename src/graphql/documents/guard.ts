/** Checks the text of a document before anything expensive is done with it. */
import {
  getOperationAST,
  GraphQLError,
  OperationTypeNode,
  validate,
  type DocumentNode,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import type { Admission, Asking } from '../../admission/admission';
import { CallerError } from '../../domain/errors';
import { DOCUMENT_LIMITS, MAX_LENGTH, parseDocument } from './limits';
import type { KnownDocuments } from './known';

export interface Subscription {
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
  /** When it is not empty, the subscription must not be executed. */
  readonly errors: readonly GraphQLError[];
}

export interface DocumentGuard {
  /**
   * Throws what refuses a text before it is validated: `CallerError` FORBIDDEN where only trusted documents are served,
   * `RateLimited`, or the `GraphQLError` of a limit. Returns for a text that cannot be parsed: Apollo reports why.
   */
  check(text: string, asking: Asking): Promise<void>;
  /**
   * The valid or refused subscription in a text that has passed `check`. null: it is something else, perhaps not even
   * well-formed, and Apollo has the answer.
   */
  readSubscription(text: string, operationName?: string | null): Promise<Subscription | null>;
}

export function documentGuard(options: {
  readonly schema: GraphQLSchema;
  readonly admission: Admission;
  readonly documents: KnownDocuments;
  readonly persistedOnly: boolean;
  /** Error messages suggest no names of the schema. */
  readonly hidesSchema: boolean;
}): DocumentGuard {
  const { schema, admission, documents, persistedOnly, hidesSchema } = options;
  const { remembered } = documents;
  return {
    check: async (text, asking) => {
      const isTrusted = documents.isTrusted(text);
      if (persistedOnly && !isTrusted) throw notTrusted();
      if (isTrusted || remembered.knows(text)) return;
      await admission.mayRead(asking, Math.min(text.length, MAX_LENGTH));
      if (text.length > MAX_LENGTH) throw tooLong();
      // graphql's own rules are quadratic in places, so the limits come before them. Nobody checks them again.
      const document = parseDocument(text);
      const [problem] = document ? validate(schema, document, DOCUMENT_LIMITS) : [];
      if (problem) throw problem;
    },
    readSubscription: async (text, operationName) => {
      const key = `subscription ${text}`;
      const known = await remembered.get(key);
      const document = known ?? parseDocument(text);
      const operation = document && getOperationAST(document, operationName);
      if (operation?.operation !== OperationTypeNode.SUBSCRIPTION) return null;
      const errors = known ? [] : validationErrors(schema, document!, hidesSchema);
      if (!known && errors.length === 0) await remembered.set(key, document!);
      return { document: document!, operation, errors };
    },
  };
}

export const notTrusted = () =>
  new CallerError('FORBIDDEN', 'Only the operations of the shop itself are served here (PERSISTED_ONLY)');

/** In the parser's words for too many tokens, so a sender gets the same answer whichever bound the text meets first. */
const tooLong = () =>
  new GraphQLError(`Syntax Error: A document may have ${MAX_LENGTH} characters`, {
    extensions: { code: 'GRAPHQL_PARSE_FAILED' },
  });

function validationErrors(schema: GraphQLSchema, document: DocumentNode, hidesSchema: boolean): GraphQLError[] {
  return validate(schema, document).map(
    ({ message, nodes, extensions }) =>
      new GraphQLError(hidesSchema ? message.replace(/ ?Did you mean(.+?)\?$/, '') : message, {
        nodes,
        extensions: { code: 'GRAPHQL_VALIDATION_FAILED', ...extensions },
      }),
  );
}
