/** Brings the database to this build's tables. Two servers that start at once do not race: one migrates, the other waits. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { MIGRATIONS } from '../../migrations';
import type { Database } from './database';
import { CONNECT_MS } from '../postgres/primary';

/** Any number, the same for every process of this project. An advisory lock guards migrations only, never a promise. */
const MIGRATION_LOCK = 7_202_611_22;
/** How often a lock that is taken is asked for again: one that waited in PostgreSQL could not hear that it is to stop. */
const TRY_EVERY_MS = 250;
/** How long a wait takes before it is worth a line, and how often it is then reported. */
const SAY_AFTER_MS = 3_000;
const SAY_EVERY_MS = 10_000;
/** Each statement about the lock is a look-up; a server that does not answer it hangs. */
const ANSWER_MS = 10_000;

export interface MigrateOptions {
  /** Newer migrations of other builds that this one may run with all the same. */
  readonly accepted?: readonly string[];
  /** Called with a message when this waits for another session. */
  readonly say?: (message: string) => void;
  /** Ends the wait: rejects then. */
  readonly signal?: AbortSignal;
}

/**
 * Applies what is missing, in order; returns the names. Holds a transaction-level advisory lock on a separate connection,
 * so that it also holds behind PgBouncer. Throws, and changes nothing, when the database has a migration that this build does
 * not know: what it means for this build's promises is known to newer builds alone.
 */
export async function migrate(database: Database, url: string, options: MigrateOptions = {}): Promise<string[]> {
  const lock = lockingClient(url, 'flash-sale migrate');
  try {
    await lock.connect();
    await lockMigrations(lock, options);
    const migrator = database.orm.getMigrator();
    refuseUnknown(
      (await migrator.getExecutedMigrations()).map(({ name }) => name),
      options.accepted ?? [],
    );
    return (await migrator.up()).map(({ name }) => name);
  } finally {
    await lock.end().catch(() => undefined);
  }
}

/** Names of migrations that this build has and the database has not. */
export async function pendingMigrations(database: Database): Promise<string[]> {
  return (await database.orm.getMigrator().getPendingMigrations()).map((migration) => migration.name);
}

/** A connection for `lockMigrations`; losing it is an error of the next statement, not of the process. */
export function lockingClient(url: string, application_name: string): Client {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS, application_name });
  client.on('error', (error) => losses.has(client) || losses.set(client, error));
  return client;
}

/** What ended a connection, as PostgreSQL said it first: the next statement alone would only say that it has ended. */
const losses = new WeakMap<Client, Error>();

/**
 * Opens a transaction that excludes other migrations and distributions until it ends. It has no idle timeout. Waits for a
 * session that is at it, and says so.
 */
export async function lockMigrations(client: Client, { say, signal }: MigrateOptions): Promise<void> {
  const since = performance.now();
  for (let saidAt = since + SAY_AFTER_MS - SAY_EVERY_MS; ; await sleep(TRY_EVERY_MS, undefined, { signal })) {
    signal?.throwIfAborted();
    await ask(client, 'BEGIN');
    const [answer] = await ask<{ locked: boolean }>(
      client,
      `SELECT pg_try_advisory_xact_lock(${MIGRATION_LOCK}) AS locked`,
    );
    if (answer!.locked) break;
    if (performance.now() - saidAt > SAY_EVERY_MS) {
      saidAt = performance.now();
      const waited = Math.round((saidAt - since) / 1_000);
      say?.(`waiting for another process that migrates this database (${await holderOf(client)}), ${waited} s so far`);
    }
    await ask(client, 'ROLLBACK');
  }
  await ask(
    client,
    `SELECT set_config(name, '0', true) FROM pg_settings
      WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout', 'statement_timeout')`,
  );
}

/** As far as this role may see it. */
async function holderOf(client: Client): Promise<string> {
  const [holder] = await ask<{ who: string }>(
    client,
    `SELECT concat_ws(', ', 'pid ' || pid, nullif(application_name, ''), 'from ' || host(client_addr)) AS who
      FROM pg_locks JOIN pg_stat_activity USING (pid)
      WHERE locktype = 'advisory' AND classid = 0 AND objid = ${MIGRATION_LOCK} AND granted LIMIT 1`,
  );
  return holder?.who ?? 'it has just ended';
}

async function ask<Row>(client: Client, text: string): Promise<Row[]> {
  try {
    // pg's types leave `query_timeout` of a single query out.
    return (await client.query({ text, query_timeout: ANSWER_MS } as { text: string })).rows as Row[];
  } catch (error) {
    const { message } = losses.get(client) ?? (error as Error);
    throw new Error(`The connection that is to hold the migration lock was lost (${message}): start again`);
  }
}

function refuseUnknown(executed: readonly string[], accepted: readonly string[]): void {
  const known = new Set([...MIGRATIONS.map(({ name }) => name), ...accepted]);
  const unknown = executed.filter((name) => !known.has(name));
  if (unknown.length === 0) return;
  const names = unknown.join(', ');
  throw new Error(
    `The database has migrations that this build does not know: ${names}. Start the build that made them. To go back to ` +
      `this one, read what they change, and set ACCEPT_MIGRATIONS=${unknown.join(',')} if its tables still fit.`,
  );
}
