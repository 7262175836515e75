/** Turns errors into GraphQL's. Expected errors reach the client; all others become "Internal server error". */
import { unwrapResolverError } from '@apollo/server/errors';
import {
  GraphQLError,
  isValueNode,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLFormattedError,
} from 'graphql';
import { Busy, CallerError, RateLimited, Unavailable } from '../../domain/errors';
import type { Logger } from '../../telemetry/logger';
import type { Metrics } from '../../telemetry/metrics';

/** Codes of documents and requests that were not executed. Their messages are written for the client. */
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

/** The HTTP status of a request that was refused as a whole. Whatever was executed is 200. */
export const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  // Apollo answers 200, although nothing was executed.
  PERSISTED_QUERY_NOT_FOUND: 400,
  PERSISTED_QUERY_NOT_SUPPORTED: 400,
  UNAUTHENTICATED: 401,
  RATE_LIMITED: 429,
  SERVICE_UNAVAILABLE: 503,
};

/** Codes with which a plugin refuses an operation before it is executed, for which Apollo answers 500. */
const REFUSED_BY_PLUGIN = new Set(['FORBIDDEN', 'BAD_USER_INPUT']);

/** Makes an error fit for the client. */
export type Mask = (formatted: GraphQLFormattedError, error: unknown, requestId?: string) => GraphQLFormattedError;

/**
 * Stacks, SQL, hosts and secrets never reach the client. An unexpected error is logged, and the client gets its request id.
 * Every error is counted by its code.
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
    // Apollo also wraps what a plugin throws; `unwrapResolverError` unwraps only what a resolver throws.
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

/** A formatted error, for interfaces that demand GraphQL's class. */
export class FormattedError extends GraphQLError {
  constructor(private readonly formatted: GraphQLFormattedError) {
    super(formatted.message);
  }

  override toJSON(): GraphQLFormattedError {
    return this.formatted;
  }
}

/** For errors that do not pass through Apollo. An error outside a field is judged by its cause. */
export function formatErrors(errors: readonly unknown[], mask: Mask, requestId: string): GraphQLFormattedError[] {
  return errors.map((error) => {
    if (error instanceof FormattedError) return error.toJSON();
    if (!(error instanceof GraphQLError)) return mask({ message: '' }, error, requestId);
    return mask(error.toJSON(), error.path ? error : (error.originalError ?? error), requestId);
  });
}

/** The result of an execution outside Apollo, with its keys in the order in which Apollo writes them. */
export function formattedResult(
  { errors, data = null }: ExecutionResult,
  mask: Mask,
  requestId: string,
): FormattedExecutionResult {
  return errors ? { errors: formatErrors(errors, mask, requestId), data } : { data };
}

export const retryAfterSeconds = (retryAfterMs: number): string => String(Math.max(1, Math.ceil(retryAfterMs / 1_000)));

/** What HTTP says about an answer whose first error refused it as a whole; {} for all others. */
export function refusalOf({ data, errors }: FormattedExecutionResult): {
  readonly status?: number | undefined;
  readonly retryAfter?: string;
} {
  if (!errors || (data && Object.values(data).some((value) => value !== null))) return {};
  const { code, retryAfterMs } = errors[0]!.extensions ?? {};
  return {
    status:
      STATUS_OF_CODE[String(code)] ?? (data === undefined && REFUSED_BY_PLUGIN.has(String(code)) ? 400 : undefined),
    ...(typeof retryAfterMs === 'number' && { retryAfter: retryAfterSeconds(retryAfterMs) }),
  };
}

/**
 * A value that its place in the document does not accept, which only the variables show: null where a default stands. graphql
 * finds it during execution, gives it no code and points at the value, whereas a resolver's failure points at its field.
 */
function isInputError(error: unknown): error is GraphQLError {
  return error instanceof GraphQLError && !!error.nodes && error.nodes.length > 0 && error.nodes.every(isValueNode);
}

/** Apollo gives its own code to whatever a validation rule refuses; the code of a limit is in the original error. */
function codeOf(formatted: GraphQLFormattedError, cause: unknown): unknown {
  const rule = cause instanceof GraphQLError ? cause.originalError : undefined;
  return (rule instanceof GraphQLError ? rule.extensions.code : undefined) ?? formatted.extensions?.code;
}

/** null: the error is unexpected. */
export function expectedError(error: unknown): GraphQLError | null {
  if (error instanceof CallerError) return new GraphQLError(error.message, { extensions: { code: error.code } });
  if (error instanceof RateLimited) {
    const { message, retryAfterMs } = error;
    return new GraphQLError(message, { extensions: { code: 'RATE_LIMITED', retryAfterMs } });
  }
  if (error instanceof Busy || error instanceof Unavailable) {
    // Mutations return BUSY as data (`openCheckout`). For a query it only means that it could not be served now.
    const message = 'The service is not available at the moment: try again';
    return new GraphQLError(message, {
      extensions: { code: 'SERVICE_UNAVAILABLE', retryAfterMs: error.retryAfterMs },
    });
  }
  return null;
}
