/** Sends one typed GraphQL request; returns its data or throws a failure with a code. */
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';

/** A mutation may wait 2 s for a lock and be re-run; longer than this the shopper would not wait. */
const TIMEOUT_MS = 12_000;

/** `code` is `OFFLINE` when the network fails, else the code of the GraphQL error. */
export class RequestFailed extends Error {
  override readonly name = 'RequestFailed';
  constructor(
    readonly code: string,
    message: string,
    /** When to retry the same request; null: a retry would fail, too. */
    readonly retryAfterMs: number | null,
  ) {
    super(message);
  }
}

interface Answer {
  data?: unknown;
  errors?: { message: string; extensions?: { code?: string; retryAfterMs?: number } }[];
}

/** Temporary errors, after which the same request may be sent again. */
const TEMPORARY = new Set(['SERVICE_UNAVAILABLE', 'RATE_LIMITED']);

/** The server does not know the document's hash, for example while another version is being deployed. */
const UNKNOWN_HASH = new Set(['PERSISTED_QUERY_NOT_FOUND', 'PERSISTED_QUERY_NOT_SUPPORTED']);

export type Document<Result, Variables> = DocumentTypeDecoration<Result, Variables> & {
  readonly __meta__?: Record<string, string> | undefined;
  toString(): string;
};

/** Throws RequestFailed. `token` undefined is anonymous. */
export async function ask<Result, Variables>(
  document: Document<Result, Variables>,
  variables: Variables,
  token: string | undefined,
): Promise<Result> {
  const post = async (question: object) => {
    const response = await send(JSON.stringify({ ...question, variables }), token);
    return { response, answer: await read(response) };
  };
  const text = { query: String(document) };
  const extensions = trustedName(document);
  let { response, answer } = await post(extensions ? { extensions } : text);
  if (UNKNOWN_HASH.has(answer.errors?.[0]?.extensions?.code ?? '')) ({ response, answer } = await post(text));
  const error = answer.errors?.[0];
  if (error) {
    const code = error.extensions?.code ?? 'INTERNAL_SERVER_ERROR';
    throw new RequestFailed(code, error.message, TEMPORARY.has(code) ? waitOf(error, response) : null);
  }
  return answer.data as Result;
}

/** Names a document by its hash. The server has compiled the documents written by codegen, so they are served faster. */
export function trustedName(document: Pick<Document<unknown, unknown>, '__meta__'>): Record<string, unknown> | null {
  const sha256Hash = document.__meta__?.['hash']?.replace('sha256:', '');
  return sha256Hash ? { persistedQuery: { version: 1, sha256Hash } } : null;
}

async function send(body: string, token: string | undefined): Promise<Response> {
  try {
    return await fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new RequestFailed('OFFLINE', 'The shop could not be reached.', 0);
  }
}

async function read(response: Response): Promise<Answer> {
  try {
    return (await response.json()) as Answer;
  } catch {
    // A proxy's error page, or a connection that broke half-way: the outcome is unknown.
    throw new RequestFailed('OFFLINE', 'The answer could not be read.', 0);
  }
}

function waitOf(error: NonNullable<Answer['errors']>[number], response: Response): number {
  return error.extensions?.retryAfterMs ?? Number(response.headers.get('retry-after') ?? 0) * 1_000;
}
