/**
 * Trusted documents: the operations that codegen wrote, validated with every rule at start. They run
 * without Apollo's request pipeline, and from outside nobody can tell.
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
import { workOf, type Work } from '../../admission/operation';
import { projectPath } from '../../config';
import { CompiledOperations, type CompiledOperation } from './compiled';
import { pricesOf, type Priced } from './cost';
import { DOCUMENT_LIMITS, MAX_TOKENS } from './limits';

export interface TrustedDocument {
  readonly text: string;
  readonly operationName: string | null;
  /** null: graphql executes it. */
  readonly compiled: CompiledOperation | null;
  readonly work: Work;
  readonly prices: Priced;
}

export interface TrustedRequest {
  readonly document: TrustedDocument;
  readonly variables: Record<string, unknown>;
}

/** What a client may write in a request, over HTTP and WebSocket alike. */
interface Asked {
  readonly query?: unknown;
  readonly operationName?: unknown;
  readonly extensions?: unknown;
}

export class TrustedDocuments {
  private readonly byText = new Map<string, TrustedDocument>();
  private readonly byHash = new Map<string, TrustedDocument>();
  /** By hash and by text: they are served over WebSocket, and not compiled. */
  private readonly subscriptions = new Map<string, string>();

  /** Throws when a document is not valid against the schema: it was written by codegen of another schema. */
  constructor(schema: GraphQLSchema, texts: readonly string[]) {
    const compiled = new CompiledOperations(schema);
    for (const text of texts) {
      const hash = createHash('sha256').update(text).digest('hex');
      const document = trust(schema, compiled, text);
      if (document) {
        this.byText.set(text, document);
        this.byHash.set(hash, document);
      } else {
        this.subscriptions.set(text, text).set(hash, text);
      }
    }
  }

  /** None: there is nothing that `PERSISTED_ONLY` could serve. */
  get size(): number {
    return this.byText.size;
  }

  has(text: string): boolean {
    return this.byText.has(text) || this.subscriptions.get(text) === text;
  }

  /**
   * The request with its document spelled out: a hash alone becomes the text that it names, and an empty operation name is
   * none. A hash that this server does not know says nothing beside a text, so it is left out: clients send both after a miss.
   * Throws PERSISTED_QUERY_NOT_FOUND for an unknown hash without a text; clients then send the text, and go on using hashes.
   */
  spellOut<T extends Asked>(asked: T): T {
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
   * The trusted document that a request's body names, by its exact text or its hash. null: Apollo serves it, which is always
   * right, and the only way for whatever is unusual (several operations, malformed bodies).
   */
  match(body: unknown): TrustedRequest | null {
    if (!isObject(body)) return null;
    const { query, variables = null, operationName = null, extensions = null } = body;
    const document = this.find(query, extensions);
    if (!document || !(operationName === null || operationName === '' || operationName === document.operationName)) {
      return null;
    }
    if (variables === null) return { document, variables: {} };
    return isObject(variables) ? { document, variables } : null;
  }

  private find(query: unknown, extensions: unknown): TrustedDocument | undefined {
    if (extensions === null || (isObject(extensions) && extensions['persistedQuery'] === undefined)) {
      return typeof query === 'string' ? this.byText.get(query) : undefined;
    }
    const hash = hashIn(extensions);
    const document = hash === undefined ? undefined : this.byHash.get(hash);
    return !hasText({ query }) || query === document?.text ? document : undefined;
  }
}

/** The texts that `npm run codegen` wrote for shoppers and for operators. None of them: no document is trusted. */
export function codegenDocuments(): string[] {
  const own = join(__dirname, '..', '..', 'web', 'client', 'generated');
  const generated = existsSync(own) ? own : projectPath('src', 'web', 'client', 'generated');
  return [generated, join(generated, 'operators')].flatMap((folder) => {
    const file = join(folder, 'persisted-documents.json');
    return existsSync(file) ? Object.values(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>) : [];
  });
}

/** null: a subscription, which is served over WebSocket. */
function trust(schema: GraphQLSchema, compiled: CompiledOperations, text: string): TrustedDocument | null {
  const ast = parse(text, { maxTokens: MAX_TOKENS });
  const problems = validate(schema, ast, [...specifiedRules, ...DOCUMENT_LIMITS]);
  const operation = getOperationAST(ast);
  if (problems.length > 0 || !operation) {
    throw new Error(
      `A trusted document does not fit the schema (${problems.join('; ')}); run npm run codegen:\n${text}`,
    );
  }
  if (operation.operation === OperationTypeNode.SUBSCRIPTION) return null;
  return {
    text,
    operationName: operation.name?.value ?? null,
    compiled: compiled.find(ast, operation),
    work: workOf(ast, operation),
    prices: pricesOf(schema, ast, operation),
  };
}

/**
 * As Apollo Client and urql send them: `{ persistedQuery: { version: 1, sha256Hash } }`, with other extensions beside it.
 * Hexadecimal digits have no case, and codegen writes `sha256:` in front of them.
 */
function hashIn(extensions: unknown): string | undefined {
  if (!isObject(extensions)) return undefined;
  const { persistedQuery } = extensions;
  if (!isObject(persistedQuery) || persistedQuery.version !== 1) return undefined;
  const { sha256Hash } = persistedQuery;
  return typeof sha256Hash === 'string' ? sha256Hash.toLowerCase().replace(/^sha256:/, '') : undefined;
}

/** Over WebSocket the protocol demands a text, so clients that send a hash leave it empty. */
const hasText = ({ query }: Asked): boolean => query !== undefined && query !== null && query !== '';

/** Clients recognise this message. */
const hashNotFound = () =>
  new GraphQLError('PersistedQueryNotFound', { extensions: { code: 'PERSISTED_QUERY_NOT_FOUND' } });

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
