/** What is asked of a document's text before anything expensive is done with it, and the documents that are remembered. */
import { GraphQLError, parse, validate, type DocumentNode, type GraphQLSchema } from 'graphql';
import type { Admission, Asking } from '../../admission/admission';
import { CallerError } from '../../domain/errors';
import { DOCUMENT_LIMITS, MAX_TOKENS } from './limits';
import type { TrustedDocuments } from './trusted';

/** 1,000 tokens of 32 characters; a longer text is not even looked at. */
export const MAX_LENGTH = 32_000;

/** Documents that pass every rule are remembered, the latest of them: at 1,000 tokens some 100 MB at most. */
export const MAX_REMEMBERED = 256;

/**
 * Apollo's store of parsed and validated documents, with a bound of its own: a flood of different documents pushes others
 * out, and never fills the memory. (Apollo's default measures each document by turning it into JSON.)
 */
export class RememberedDocuments {
  private readonly byKey = new Map<string, DocumentNode>();
  private readonly texts = new Set<string>();

  get size(): number {
    return this.byKey.size;
  }

  knows(text: string): boolean {
    return this.texts.has(text);
  }

  async get(key: string): Promise<DocumentNode | undefined> {
    const document = this.byKey.get(key);
    if (document) {
      // A Map keeps the order of insertion: the first one is the one that was not asked for the longest.
      this.byKey.delete(key);
      this.byKey.set(key, document);
    }
    return document;
  }

  async set(key: string, document: DocumentNode): Promise<void> {
    this.byKey.set(key, document);
    this.texts.add(textOf(document));
    if (this.byKey.size > MAX_REMEMBERED) await this.delete(this.byKey.keys().next().value!);
  }

  async delete(key: string): Promise<boolean> {
    const document = this.byKey.get(key);
    if (document) this.texts.delete(textOf(document));
    return this.byKey.delete(key);
  }
}

const textOf = ({ loc }: DocumentNode) => loc?.source.body ?? '';

export interface DocumentGuard {
  readonly remembered: RememberedDocuments;
  /**
   * Throws what refuses a text before it is validated: `CallerError` FORBIDDEN where only trusted documents are served,
   * `RateLimited`, a `GraphQLError` of one of the limits. Returns for a text that cannot be parsed: Apollo says why.
   */
  check(text: string, asking: Asking): Promise<void>;
}

export function documentGuard(options: {
  schema: GraphQLSchema;
  admission: Admission;
  trusted: TrustedDocuments;
  persistedOnly: boolean;
}): DocumentGuard {
  const { schema, admission, trusted, persistedOnly } = options;
  const remembered = new RememberedDocuments();
  return {
    remembered,
    check: async (text, asking) => {
      const isTrusted = trusted.has(text);
      if (persistedOnly && !isTrusted) throw notTrusted();
      if (isTrusted || remembered.knows(text)) return;
      await admission.mayRead(asking, Math.min(text.length, MAX_LENGTH));
      if (text.length > MAX_LENGTH) throw tooLong();
      // graphql's own rules are quadratic in places: whatever passes a limit is refused before them.
      const document = parsed(text);
      const [problem] = document ? validate(schema, document, DOCUMENT_LIMITS) : [];
      if (problem) throw problem;
    },
  };
}

/** For whoever asks Apollo without having asked the guard. */
export const notTrusted = () =>
  new CallerError('FORBIDDEN', 'Only the operations of the shop itself are served here (PERSISTED_ONLY)');

/** As the parser says of too many tokens: whoever sends such a text learns the same, whichever bound it meets first. */
const tooLong = () =>
  new GraphQLError(`Syntax Error: A document may have ${MAX_LENGTH} characters`, {
    extensions: { code: 'GRAPHQL_PARSE_FAILED' },
  });

function parsed(text: string): DocumentNode | null {
  try {
    return parse(text, { maxTokens: MAX_TOKENS });
  } catch {
    return null;
  }
}
