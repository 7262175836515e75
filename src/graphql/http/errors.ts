/** The one place that turns errors into GraphQL's: our own pass, everything else becomes "Internal server error". */
import { unwrapResolverError } from '@apollo/server/errors';
import { GraphQLError, isValueNode, type GraphQLFormattedError } from 'graphql';
import { Busy, CallerError, RateLimited, Unavailable } from '../../domain/errors';
import { refusal, type Answer, type Refusal } from '../../domain/refusals';
import type { Logger } from '../../telemetry/logger';
import type { Metrics } from '../../telemetry/metrics';

/** Codes that Apollo and graphql give to documents and requests which were never executed; their messages are for the client. */
const REQUEST_CODES = new Set([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'BAD_USER_INPUT',
  'BAD_REQUEST',
  'OPERATION_RESOLUTION_FAILURE',
  'PERSISTED_QUERY_NOT_FOUND',
  'PERSISTED_QUERY_NOT_SUPPORTED',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'RATE_LIMITED',
  'SERVICE_UNAVAILABLE',
]);

/** The HTTP status of a request that a code refused as a whole. Everything that was executed is 200. */
export const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  // Apollo says 200, although nothing was executed.
  PERSISTED_QUERY_NOT_FOUND: 400,
  PERSISTED_QUERY_NOT_SUPPORTED: 400,
  UNAUTHENTICATED: 401,
  RATE_LIMITED: 429,
  SERVICE_UNAVAILABLE: 503,
};

/** How an error of a request goes to the client. */
export type Mask = (formatted: GraphQLFormattedError, error: unknown, requestId?: string) => GraphQLFormattedError;

/**
 * Never lets a stack, SQL, host or secret out. What is not expected is logged, and named to the client by its request id. Every
 * error is counted by its code.
 */
export function maskErrors({ log, metrics }: { readonly log: Logger; readonly metrics: Metrics }): Mask {
  const mask = maskOf(log);
  return (formatted, error, requestId) => {
    const masked = mask(formatted, error, requestId);
    metrics.graphqlError(String(masked.extensions!.code));
    return masked;
  };
}

function maskOf(log: Logger): Mask {
  return (formatted, error, requestId) => {
    const cause = unwrapResolverError(error);
    const place = {
      ...(formatted.locations && { locations: formatted.locations }),
      ...(formatted.path && { path: formatted.path }),
    };
    // Apollo wraps what a plugin of ours throws; only what a resolver throws was unwrapped above.
    const expected = expectedError(cause) ?? expectedError(cause instanceof GraphQLError ? cause.originalError : null);
    if (expected) return { ...place, message: expected.message, extensions: expected.extensions };
    const code = codeOf(formatted, cause);
    if (cause instanceof GraphQLError && typeof code === 'string' && REQUEST_CODES.has(code)) {
      return { ...place, message: formatted.message, extensions: { code } };
    }
    if (isInputError(cause)) return { ...place, message: cause.message, extensions: { code: 'BAD_USER_INPUT' } };
    log.error({ event: 'request.failed', requestId, err: cause, path: formatted.path }, 'request.failed');
    return {
      ...place,
      message: 'Internal server error',
      extensions: { code: 'INTERNAL_SERVER_ERROR', ...(requestId && { requestId }) },
    };
  };
}

/** An error as it goes to the client, for interfaces that want GraphQL's class. */
export class FormattedError extends GraphQLError {
  constructor(private readonly formatted: GraphQLFormattedError) {
    super(formatted.message);
  }

  override toJSON(): GraphQLFormattedError {
    return this.formatted;
  }
}

/** For what does not pass through Apollo. What was thrown outside of a field is judged as it was thrown. */
export function formatErrors(errors: readonly unknown[], mask: Mask, requestId: string): GraphQLFormattedError[] {
  return errors.map((error) => {
    if (error instanceof FormattedError) return error.toJSON();
    if (!(error instanceof GraphQLError)) return mask({ message: '' }, error, requestId);
    return mask(error.toJSON(), error.path ? error : (error.originalError ?? error), requestId);
  });
}

/**
 * A value of the document that its place does not take, which only variables can show: null where a default stands. graphql
 * finds it while it executes, gives it no code, and points at the value; a resolver's failure points at its field.
 */
function isInputError(error: unknown): error is GraphQLError {
  return error instanceof GraphQLError && !!error.nodes && error.nodes.length > 0 && error.nodes.every(isValueNode);
}

/** Apollo gives whatever a validation rule refuses a code of its own; a limit of ours says BAD_USER_INPUT. */
function codeOf(formatted: GraphQLFormattedError, cause: unknown): unknown {
  const rule = cause instanceof GraphQLError ? cause.originalError : undefined;
  return (rule instanceof GraphQLError ? rule.extensions.code : undefined) ?? formatted.extensions?.code;
}

/** Our own errors, as GraphQL says them. null: something nobody expected. */
export function expectedError(error: unknown): GraphQLError | null {
  if (error instanceof CallerError) return new GraphQLError(error.message, { extensions: { code: error.code } });
  if (error instanceof RateLimited) {
    const { message, retryAfterMs } = error;
    return new GraphQLError(message, { extensions: { code: 'RATE_LIMITED', retryAfterMs } });
  }
  if (error instanceof Busy || error instanceof Unavailable) {
    // BUSY is an answer of mutations (`payloadOf`); of a query it says no more than that it could not be served now.
    const message = 'The service is not available at the moment: try again';
    return new GraphQLError(message, {
      extensions: { code: 'SERVICE_UNAVAILABLE', retryAfterMs: error.retryAfterMs },
    });
  }
  return null;
}

export interface Outcome<T> {
  readonly object: T | null;
  readonly isReplay: boolean;
  readonly userErrors: readonly Refusal[];
}

/** A mutation's answer: refusals are data, and so is BUSY, which means that nothing happened. */
export async function outcomeOf<T>(answer: Promise<Answer<T>>): Promise<Outcome<T>> {
  try {
    const result = await answer;
    return result.granted
      ? { object: result.value, isReplay: result.replay, userErrors: [] }
      : { object: null, isReplay: false, userErrors: result.refusals };
  } catch (error) {
    if (!(error instanceof Busy)) throw error;
    return { object: null, isReplay: false, userErrors: [refusal('BUSY', { retryAfterMs: error.retryAfterMs })] };
  }
}
