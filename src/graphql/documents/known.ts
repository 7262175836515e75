/**
 * Which requests take the fast path: those for a trusted document (an operation that codegen wrote, validated with every rule at
 * start), and those for a document that is known because it was sent before and was valid.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  getOperationAST,
  GraphQLError,
  OperationTypeNode,
  parse,
  specifiedRules,
  validate,
  type GraphQLSchema,
} from 'graphql';
import { projectPath } from '../../config';
import { DOCUMENT_LIMITS, MAX_TOKENS } from './limits';
import { Planner, type FastRequest, type PlannedDocument } from './planner';
import { RememberedDocuments } from './remembered';

/** What a client has put into a request, over HTTP or WebSocket. Nothing about it is verified. */
export interface Asked {
  readonly query?: unknown;
  readonly operationName?: unknown;
  /** By GET: text. */
  readonly variables?: unknown;
  readonly extensions?: unknown;
}

export class KnownDocuments {
  readonly planner: Planner;
  /** Apollo's store, too. */
  readonly remembered: RememberedDocuments;
  private readonly byText = new Map<string, PlannedDocument>();
  private readonly byHash = new Map<string, PlannedDocument>();
  /** Texts by hash and by text. Subscriptions are served over WebSocket, and not compiled. */
  private readonly subscriptions = new Map<string, string>();

  /** Throws when a document is not valid against the schema, which means that codegen wrote it for another schema. */
  constructor(schema: GraphQLSchema, texts: readonly string[]) {
    this.planner = new Planner(schema);
    this.remembered = new RememberedDocuments(this.planner);
    for (const text of texts) {
      const hash = createHash('sha256').update(text).digest('hex');
      const document = trust(schema, this.planner, text);
      if (document) {
        this.byText.set(text, document);
        this.byHash.set(hash, document);
      } else {
        this.subscriptions.set(text, text).set(hash, text);
      }
    }
  }

  /** Without subscriptions. */
  get size(): number {
    return this.byText.size;
  }

  isTrusted(text: string): boolean {
    return this.byText.has(text) || this.subscriptions.get(text) === text;
  }

  /**
   * Spells the document out for Apollo, which knows no trusted documents: a hash alone becomes the text that it names, and an
   * empty operation name becomes null. An unknown hash next to a text is dropped, because clients send both after a miss.
   * Throws PERSISTED_QUERY_NOT_FOUND for an unknown hash without a text; clients then send the text, and keep using hashes.
   */
  spellOut(asked: Asked): Asked {
    const request = asked.operationName === '' ? { ...asked, operationName: null } : asked;
    const hash = hashIn(request.extensions);
    if (hash === undefined) return request;
    const text = this.byHash.get(hash)?.text ?? this.subscriptions.get(hash);
    if (hasText(request)) {
      return text === undefined || text === request.query ? { ...request, extensions: null } : request;
    }
    if (text === undefined) throw hashNotFound();
    return { ...request, query: text, extensions: null };
  }

  /**
   * The trusted or known document that a request names, by its exact text or its hash. null: Apollo serves the request, which
   * is always correct, and the only way for an unusual one (several operations, malformed variables).
   */
  match({ query, variables = null, operationName = null, extensions = null }: Asked): FastRequest | null {
    const document = this.find(query, extensions);
    if (!document || !(operationName === null || operationName === '' || operationName === document.operationName)) {
      return null;
    }
    if (variables === null) return { document, variables: {} };
    return isObject(variables) ? { document, variables } : null;
  }

  private find(query: unknown, extensions: unknown): PlannedDocument | null | undefined {
    if (extensions === null || (isObject(extensions) && extensions['persistedQuery'] === undefined)) {
      return typeof query === 'string' ? (this.byText.get(query) ?? this.remembered.plan(query)) : null;
    }
    const hash = hashIn(extensions);
    const document = hash === undefined ? undefined : this.byHash.get(hash);
    return !hasText({ query }) || query === document?.text ? document : undefined;
  }
}

/** The texts that `npm run codegen` wrote for the shop and for operators; [] before the first run. */
export function codegenDocuments(): string[] {
  const own = join(__dirname, '..', '..', 'web', 'client', 'generated');
  const generated = existsSync(own) ? own : projectPath('src', 'web', 'client', 'generated');
  return [generated, join(generated, 'operators')].flatMap((folder) => {
    const file = join(folder, 'persisted-documents.json');
    return existsSync(file) ? Object.values(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>) : [];
  });
}

/** null: a subscription. */
function trust(schema: GraphQLSchema, planner: Planner, text: string): PlannedDocument | null {
  const ast = parse(text, { maxTokens: MAX_TOKENS });
  const problems = validate(schema, ast, [...specifiedRules, ...DOCUMENT_LIMITS]);
  const operation = getOperationAST(ast);
  if (problems.length > 0 || !operation) {
    throw new Error(
      `A trusted document does not fit the schema (${problems.join('; ')}); run npm run codegen:\n${text}`,
    );
  }
  return operation.operation === OperationTypeNode.SUBSCRIPTION ? null : planner.plan(ast, operation);
}

/**
 * As Apollo Client and urql send it: `{ persistedQuery: { version: 1, sha256Hash } }`, perhaps among other extensions. The
 * digits may have either case, and codegen writes `sha256:` in front of them.
 */
function hashIn(extensions: unknown): string | undefined {
  if (!isObject(extensions)) return undefined;
  const { persistedQuery } = extensions;
  if (!isObject(persistedQuery) || persistedQuery.version !== 1) return undefined;
  const { sha256Hash } = persistedQuery;
  return typeof sha256Hash === 'string' ? sha256Hash.toLowerCase().replace(/^sha256:/, '') : undefined;
}

/** The WebSocket protocol demands a text, so clients that send a hash leave it empty. */
const hasText = ({ query }: Asked): boolean => query !== undefined && query !== null && query !== '';

/** Clients recognise this message. */
const hashNotFound = () =>
  new GraphQLError('PersistedQueryNotFound', { extensions: { code: 'PERSISTED_QUERY_NOT_FOUND' } });

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
