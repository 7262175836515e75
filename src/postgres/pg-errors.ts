/** Sorts the errors of PostgreSQL, the pool and the network by what a caller may do about them. */
import { isNativeError } from 'node:util/types';

/**
 * `retry`: the transaction was rolled back because of a concurrent one; run the whole of it again.
 * `busy`: a lock, a statement or the pool took too long; nothing happened.
 * `lost`: the connection broke; what was in flight is rolled back, unless it was a COMMIT: then the outcome is unknown.
 * `unavailable`: the database does not take this work now.
 * `bug`: anything else.
 */
export type FailureKind = 'retry' | 'busy' | 'lost' | 'unavailable' | 'bug';

export interface Failure {
  readonly kind: FailureKind;
  /** The SQLSTATE if there is one, else a code of the network or the pool. */
  readonly reason: string;
  /** Of a violated constraint. */
  readonly constraint?: string;
}

/** "current transaction is aborted": the cause is an earlier statement of the same round trip. */
export const ABORTED = '25P02';

/** SQLSTATEs, from PostgreSQL's appendix A. Two-letter entries stand for a whole class. */
const BY_STATE: Record<string, FailureKind> = {
  '40001': 'retry', // serialization failure
  '40P01': 'retry', // deadlock detected
  '55P03': 'busy', // lock not available: lock_timeout, NOWAIT
  '57014': 'busy', // query cancelled: statement_timeout
  '25P03': 'lost', // idle_in_transaction_session_timeout ended the session
  '25P04': 'lost', // transaction_timeout ended the session
  '57P01': 'lost', // admin shutdown, pg_terminate_backend
  '57P02': 'lost', // crash shutdown: another backend died
  '57P05': 'lost', // idle_session_timeout
  '25006': 'lost', // read-only transaction: this is a standby, or has become one; the next connection looks for the primary
  '57P03': 'unavailable', // cannot connect now: starting up, shutting down, in recovery
  '55000': 'unavailable', // e.g. a standby that is being promoted
  '08': 'lost', // connection exceptions
  '53': 'unavailable', // out of connections, disk or memory
  '58': 'unavailable', // system errors: I/O
  XX: 'unavailable', // internal errors, corrupted data: PostgreSQL gave up on the statement
};

/** Keys and ids that two attempts can both write: the loser runs again and finds the winner's row. */
const RACED_CONSTRAINT = /_pkey$|_idempotency_key_unique$|^order_lines_hold_unique$/;

const BY_NETWORK_CODE: Record<string, FailureKind> = {
  ECONNREFUSED: 'unavailable',
  ENOTFOUND: 'unavailable',
  EAI_AGAIN: 'unavailable',
  EHOSTUNREACH: 'unavailable',
  ENETUNREACH: 'unavailable',
  ENOENT: 'unavailable', // the socket's file
  ECONNRESET: 'lost',
  EPIPE: 'lost',
  ETIMEDOUT: 'lost',
  ECONNABORTED: 'lost',
};

/** Messages of pg, knex and tarn that come without a code. */
const BY_MESSAGE: readonly (readonly [RegExp, FailureKind, string])[] = [
  [/Timeout acquiring a connection|operation timed out for an unknown reason/i, 'busy', 'pool'],
  [/timeout exceeded when trying to connect|timeout expired/i, 'unavailable', 'connect_timeout'],
  [/Connection terminated|Connection ended|not queryable|Client was closed|socket hang up/i, 'lost', 'connection'],
  [/Unable to acquire a connection|pool (is|was) (draining|destroyed)|aborted/i, 'unavailable', 'pool_closed'],
  [/server closed the connection|the database system is/i, 'lost', 'connection'],
];

/** Citus passes on a worker's message without its fields, and appends the shard's number to a constraint's name. */
const CONSTRAINT_OF_MESSAGE = /constraint "([^"]+)"$/m;
const SHARD = /_\d+$/;

/** Sorts any error that a database call can throw. Never throws. */
export function classify(error: unknown): Failure {
  for (let cause = error, depth = 0; isError(cause) && depth < 5; cause = cause.cause, depth += 1) {
    const failure = classifyOne(cause as Error & { code?: unknown; constraint?: unknown });
    if (failure) return failure;
  }
  return { kind: 'bug', reason: 'unexpected' };
}

/** `instanceof` fails for errors of another realm, as jest has them. */
function isError(value: unknown): value is Error {
  return value instanceof Error || isNativeError(value);
}

function classifyOne(error: Error & { code?: unknown; constraint?: unknown }): Failure | null {
  const code = typeof error.code === 'string' ? error.code : '';
  if (code === ABORTED && isError(error.cause)) return null;
  if (/^[0-9A-Z]{5}$/.test(code) && !(code in BY_NETWORK_CODE)) return bySqlState(code, constraintOf(error));
  const network = BY_NETWORK_CODE[code];
  if (network) return { kind: network, reason: code };
  for (const [pattern, kind, reason] of BY_MESSAGE) if (pattern.test(error.message)) return { kind, reason };
  return null;
}

function constraintOf({ constraint, message }: Error & { constraint?: unknown }): string | undefined {
  const name = typeof constraint === 'string' ? constraint : CONSTRAINT_OF_MESSAGE.exec(message)?.[1];
  return name?.replace(SHARD, '');
}

function bySqlState(state: string, constraint: string | undefined): Failure {
  if (state.startsWith('23') && constraint !== undefined) {
    return {
      kind: state === '23505' && RACED_CONSTRAINT.test(constraint) ? 'retry' : 'bug',
      reason: state,
      constraint,
    };
  }
  return { kind: BY_STATE[state] ?? BY_STATE[state.slice(0, 2)] ?? 'bug', reason: state };
}
