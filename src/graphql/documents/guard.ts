/** Checks the text of a document before anything expensive is done with it, and remembers valid documents. */
import {
  getOperationAST,
  GraphQLError,
  OperationTypeNode,
  specifiedRules,
  validate,
  type DocumentNode,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import type { Admission, Asking } from '../../admission/admission';
import { CallerError } from '../../domain/errors';
import { DOCUMENT_LIMITS, MAX_LENGTH, parseDocument } from './limits';
import type { TrustedDocuments } from './trusted';

/** Valid documents in memory: at 1,000 tokens each, about 100 MB at most. */
export const MAX_REMEMBERED = 256;

/**
 * The store of parsed and valid documents for Apollo and for subscriptions, bounded by count. (Apollo's default measures each
 * document by turning it into JSON.)
 */
export class RememberedDocuments {
  private readonly texts = new Set<string>();
  private readonly byKey = new LRUCache<string, DocumentNode>({
    max: MAX_REMEMBERED,
    dispose: (document) => this.texts.delete(textOf(document)),
  });

  get size(): number {
    return this.byKey.size;
  }

  knows(text: string): boolean {
    return this.texts.has(text);
  }

  async get(key: string): Promise<DocumentNode | undefined> {
    return this.byKey.get(key);
  }

  async set(key: string, document: DocumentNode): Promise<void> {
    this.byKey.set(key, document);
    this.texts.add(textOf(document));
  }

  async delete(key: string): Promise<boolean> {
    return this.byKey.delete(key);
  }
}

const textOf = ({ loc }: DocumentNode) => loc?.source.body ?? '';

export interface Subscription {
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
  /** When it is not empty, the subscription must not be executed. */
  readonly errors: readonly GraphQLError[];
}

export interface DocumentGuard {
  readonly remembered: RememberedDocuments;
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
  readonly trusted: TrustedDocuments;
  readonly persistedOnly: boolean;
  /** Error messages suggest no names of the schema. */
  readonly hidesSchema: boolean;
}): DocumentGuard {
  const { schema, admission, trusted, persistedOnly, hidesSchema } = options;
  const remembered = new RememberedDocuments();
  return {
    remembered,
    check: async (text, asking) => {
      const isTrusted = trusted.has(text);
      if (persistedOnly && !isTrusted) throw notTrusted();
      if (isTrusted || remembered.knows(text)) return;
      await admission.mayRead(asking, Math.min(text.length, MAX_LENGTH));
      if (text.length > MAX_LENGTH) throw tooLong();
      // graphql's own rules are quadratic in places, so the limits come before them.
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
  return validate(schema, document, [...specifiedRules, ...DOCUMENT_LIMITS]).map(
    ({ message, nodes, extensions }) =>
      new GraphQLError(hidesSchema ? message.replace(/ ?Did you mean(.+?)\?$/, '') : message, {
        nodes,
        extensions: { code: 'GRAPHQL_VALIDATION_FAILED', ...extensions },
      }),
  );
}
