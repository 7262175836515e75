/** The lock under which one process at a time changes the tables: a migration, or a distribution over workers. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { CONNECT_MS } from '../postgres/primary';
import { Session } from '../postgres/session';

/** An arbitrary number, the same in every release. */
const MIGRATION_LOCK = 7_202_611_22;
/** How often a taken lock is tried again. A session that waited inside PostgreSQL could not react to a signal. */
const TRY_EVERY_MS = 250;
/** When a wait is reported first, and how often after that. */
const SAY_AFTER_MS = 3_000;
const SAY_EVERY_MS = 10_000;
/** For look-ups: a server that does not answer one for so long hangs. */
const ANSWER_MS = 10_000;

export interface Waiting {
  /** Called with a message while this waits for another session. */
  readonly say?: (message: string) => void;
  /** Ends the wait, which then rejects. */
  readonly signal?: AbortSignal;
}

/** A connection for `lockMigrations`. Losing it fails the next statement, not the process. */
export function lockingClient(url: string, application_name: string): Client {
  const client = new Session({ connectionString: url, connectionTimeoutMillis: CONNECT_MS, application_name });
  client.on('error', (error) => losses.has(client) || losses.set(client, error));
  return client;
}

/** Why PostgreSQL ended a connection. The error of the next statement says only that it has ended. */
const losses = new WeakMap<Client, Error>();

/**
 * Opens a transaction that excludes other migrations and distributions until it ends, without time limits, so that it also
 * works behind PgBouncer. Waits for a session that holds the lock, and reports the wait.
 */
export async function lockMigrations(client: Client, { say, signal }: Waiting): Promise<void> {
  const report = waitReport(say);
  for (; ; await sleep(TRY_EVERY_MS, undefined, { signal })) {
    signal?.throwIfAborted();
    // Whatever the default: a migration must see what the one before it has committed.
    await ask(client, 'BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0');
    const [answer] = await ask<{ locked: boolean }>(
      client,
      `SELECT pg_try_advisory_xact_lock(${MIGRATION_LOCK}) AS locked`,
    );
    if (answer!.locked) break;
    await report(async () => `another process that migrates this database (${await holderOf(client)})`);
    await ask(client, 'ROLLBACK');
  }
  await ask(
    client,
    `SELECT set_config(name, '0', true) FROM pg_settings
      WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')`,
  );
}

/** Says what is waited for, after `afterMs` and then every ten seconds. */
export function waitReport(
  say: Waiting['say'],
  afterMs = SAY_AFTER_MS,
): (what: () => Promise<string>) => Promise<void> {
  const since = performance.now();
  let nextAt = since + afterMs;
  return async (what) => {
    const now = performance.now();
    if (now < nextAt) return;
    nextAt = now + SAY_EVERY_MS;
    say?.(`waiting for ${await what()}, ${Math.round((now - since) / 1_000)} s so far`);
  };
}

/** As far as this role may see it. */
async function holderOf(client: Client): Promise<string> {
  const [holder] = await ask<{ who: string }>(
    client,
    `SELECT concat_ws(', ', 'pid ' || pid, nullif(application_name, ''), 'from ' || host(client_addr)) AS who
      FROM pg_locks JOIN pg_stat_activity USING (pid)
      WHERE locktype = 'advisory' AND classid = 0 AND objid = ${MIGRATION_LOCK} AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      LIMIT 1`,
  );
  return holder?.who ?? 'it has just ended';
}

/** Rejects with what PostgreSQL refused, or with the advice to start again when the connection is lost or does not answer. */
export async function ask<Row>(
  client: Client,
  text: string,
  { withinMs }: { readonly withinMs: number | null } = { withinMs: ANSWER_MS },
): Promise<Row[]> {
  try {
    // pg's types leave `query_timeout` of a single query out; 0 is none.
    return (await client.query({ text, query_timeout: withinMs ?? 0 } as { text: string })).rows as Row[];
  } catch (error) {
    if (!isLost(client, error)) throw error;
    const { message } = losses.get(client) ?? (error as Error);
    throw new Error(`The connection that is to hold the migration lock was lost (${message}): start again`);
  }
}

/** Errors of PostgreSQL have an SQLSTATE; after one of class 57P it closes the connection. */
function isLost(client: Client, error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return losses.has(client) || !/^[0-9A-Z]{5}$/.test(code) || code.startsWith('57P');
}
