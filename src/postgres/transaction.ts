/** `inTransaction`: the one place that opens transactions, limits them, retries them, and translates how they ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { EntityManager } from '@mikro-orm/postgresql';
import { Busy, CallerError, Unavailable } from '../domain/errors';
import type { Logger } from '../telemetry/logger';
import { failpoint } from './failpoints';
import { classify, type Failure } from './pg-errors';

/** One attempt of a transaction's work. */
export interface Transaction {
  /** A fresh fork, so that its identity map has nothing of another transaction. */
  readonly em: EntityManager;
  /** 1 for the first. Before a later one, an earlier attempt may have been committed with its answer lost. */
  readonly attempt: number;
  /** Ends in ROLLBACK although the work succeeds. For work that wrote nothing: a COMMIT after FOR UPDATE would flush. */
  rollBack(): void;
}

/** Thrown by work that finds under its locks that it needs an earlier lock: all of it runs again. */
export class Restart extends Error {
  override readonly name = 'Restart';
}

/** Sent with BEGIN. 2 s for a lock: a hot batch takes milliseconds. 5 s until a slow statement or an idle client frees its rows. */
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED;';
const LIMITS =
  "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '5s'";
export const BEGIN_WITH_LIMITS = `${BEGIN} ${LIMITS}`;
/**
 * On Citus every SET LOCAL after `propagate_set_commands` is sent to each worker too, with the worker's first statement, and
 * with the whole message that contained it. So the limits are in a separate DO, without the BEGIN.
 */
export const BEGIN_WITH_LIMITS_EVERYWHERE = `${BEGIN} SET LOCAL citus.propagate_set_commands = 'local'; DO $$ BEGIN ${LIMITS}; END $$`;

const MAX_RERUNS = 5;
/** First pause between attempts, in ms; doubles, and is drawn at random below its bound. */
const PAUSE_MS = 20;
/** `retryAfterMs` of BUSY after a lock or the pool took too long. */
export const RETRY_AFTER_MS = 500;

export type InTransaction = <T>(name: string, work: (transaction: Transaction) => Promise<T>) => Promise<T>;

/**
 * Runs `work` in a READ COMMITTED transaction, and resolves once it is committed.
 *
 * The whole work runs again, at most 5 times, after a serialization failure, a deadlock, a lost race for a key or an id,
 * `Restart`, and a lost connection. Choose ids outside of `work`, so that a later attempt finds the row of an earlier one.
 *
 * Throws `Busy` when nothing happened (a lock, a statement or the pool took too long), `Unavailable` when the database is
 * away or the outcome of a COMMIT is unknown, and any other error of the work, after rolling back.
 */
export function transactionsOf(
  forkEm: () => EntityManager,
  log: Logger,
  onRetry?: (reason: string) => void,
): InTransaction {
  return async (name, work) => {
    let outcomeUnknown = false;
    for (let attempt = 1; ; attempt += 1) {
      const run = await attemptOnce(forkEm(), name, attempt, work);
      if (run.ended) return run.value;
      outcomeUnknown ||= run.committing && run.failure.kind === 'lost';
      const { kind, reason } = run.failure;
      const details = { transaction: name, attempt, reason, outcomeUnknown };
      if (attempt > MAX_RERUNS || !mayRunAgain(run.failure, outcomeUnknown)) {
        // The client gets only BUSY or SERVICE_UNAVAILABLE; a bug is logged where the request is answered.
        if (kind !== 'bug') log.warn({ event: 'transaction.failed', ...details }, 'transaction.failed');
        throw finalError(run.error, run.failure, outcomeUnknown);
      }
      log.warn({ event: 'lock.retry', ...details }, 'lock.retry');
      onRetry?.(reason);
      await sleep(Math.random() * PAUSE_MS * 2 ** attempt);
    }
  };
}

type Run<T> = { ended: true; value: T } | { ended: false; committing: boolean; error: unknown; failure: Failure };

async function attemptOnce<T>(
  em: EntityManager,
  name: string,
  attempt: number,
  work: (transaction: Transaction) => Promise<T>,
): Promise<Run<T>> {
  let committing = false;
  let rollBack = false;
  try {
    await em.begin();
    const value = await work({ em, attempt, rollBack: () => void (rollBack = true) });
    if (rollBack) {
      await em.rollback();
    } else {
      await failpoint('before-commit', name);
      committing = true;
      await em.commit();
      await failpoint('after-commit', name);
    }
    return { ended: true, value };
  } catch (error) {
    const failure: Failure = error instanceof Restart ? { kind: 'retry', reason: 'restart' } : classify(error);
    if (!committing && em.isInTransaction()) await rollBackQuietly(em);
    return { ended: false, committing, error, failure };
  }
}

/** The first error is the one to report. A lost connection is rolled back by PostgreSQL. */
async function rollBackQuietly(em: EntityManager): Promise<void> {
  await em.rollback().catch(() => undefined);
}

function mayRunAgain(failure: Failure, outcomeUnknown: boolean): boolean {
  if (failure.kind === 'retry' || failure.kind === 'lost') return true;
  // A client waits for the outcome of a COMMIT: a database that comes back during the pauses can still answer it.
  return outcomeUnknown && failure.kind !== 'bug';
}

function finalError(error: unknown, failure: Failure, outcomeUnknown: boolean): unknown {
  if (error instanceof CallerError || error instanceof Busy || error instanceof Unavailable) return error;
  if (failure.kind === 'bug') return error;
  if (outcomeUnknown || failure.kind === 'lost' || failure.kind === 'unavailable')
    return new Unavailable({ cause: error });
  return new Busy(RETRY_AFTER_MS, { cause: error });
}
