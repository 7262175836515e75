/** Brings a database to the tables of this build in one transaction, and shows beforehand what that would do. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { EntityManager } from '@mikro-orm/postgresql';
import { MIGRATIONS } from '../../migrations';
import { run } from '../postgres/statement';
import type { Database } from './database';
import { ask, lockingClient, lockMigrations, waitReport, type Waiting } from './migration-lock';

/**
 * How long a statement waits for a lock. Requests that need the table queue behind it and give up after 2 s, so this is
 * less; and it is more than `deadlock_timeout` (1 s), after which PostgreSQL cancels an autovacuum that is in the way.
 */
const LOCK_WAIT_MS = 1_500;
/** Between two attempts, for the requests that queued behind the last one. */
const PAUSE_MS = 2_000;
/** How long a migration is tried again while others hold its locks. */
const LOCKS_WITHIN_MS = 300_000;
/** PostgreSQL rolls a killed process's migration back after this time, even in the middle of a statement. */
const NOTICE_DEATH_EVERY = '2s';

const LOCK_NOT_AVAILABLE = '55P03';
const INSUFFICIENT_PRIVILEGE = '42501';
/** Of a failed statement, so that the message stays one readable line. */
const MAX_QUOTED_LENGTH = 160;

const LIST = 'SELECT name FROM public.migrations ORDER BY id';
const CREATE_LIST = `CREATE TABLE public.migrations (
  id serial PRIMARY KEY, name varchar(255), executed_at timestamptz DEFAULT CURRENT_TIMESTAMP)`;

export interface MigrateOptions extends Waiting {
  /** Newer migrations of other builds with which this one may run. */
  readonly accepted?: readonly string[];
  /** How long to wait for the locks of others, in ms. */
  readonly locksWithinMs?: number;
}

export interface PendingMigration {
  readonly name: string;
  readonly statements: readonly string[];
}

/** A statement of a migration; of none when it reads which are missing. */
interface Step {
  readonly statement: string;
  readonly migration: string | null;
}

interface Role {
  readonly name: string;
  /** Of the tables; null where there are none yet. */
  readonly owner: string | null;
}

type Query = <Row>(text: string) => Promise<Row[]>;

/**
 * Applies what is missing, in order, all or nothing; returns the names. Statements have no time limit, but wait only briefly
 * for a lock: then everything is rolled back and tried again, so that requests do not queue behind a migration that waits.
 *
 * Throws, with the database unchanged, when it has a migration that this build does not know (only newer builds know what it
 * means for this build's promises), when a statement fails (for the role's missing rights with what to run instead), and
 * when others have held the locks for `locksWithinMs`.
 */
export async function migrate(database: Database, url: string, options: MigrateOptions = {}): Promise<string[]> {
  const { accepted = [], locksWithinMs = LOCKS_WITHIN_MS, say, signal } = options;
  const client = lockingClient(url, 'flash-sale migrate');
  const query: Query = (text) => ask(client, text);
  let blocked: { readonly until: number; readonly report: ReturnType<typeof waitReport> } | undefined;
  try {
    await client.connect();
    for (; ; await sleep(PAUSE_MS, undefined, { signal })) {
      await lockMigrations(client, { say, signal });
      await limitWaits(query, database.isDistributed);
      const role = await roleOf(query);
      let step: Step = { statement: LIST, migration: null };
      try {
        const pending = await pendingOf(query, database, accepted);
        for (const { name: migration, statements } of pending) {
          for (const statement of statements) {
            step = { statement, migration };
            await ask(client, statement, { withinMs: null });
          }
        }
        await query('COMMIT');
        return pending.map(({ name }) => name);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        await query('ROLLBACK');
        if (error.code !== LOCK_NOT_AVAILABLE) throw failureOf(error, step, role);
        blocked ??= { until: performance.now() + locksWithinMs, report: waitReport(say, 0) };
        const holder = await oldestTransaction(query);
        if (performance.now() > blocked.until) throw stillLocked(step, holder);
        await blocked.report(async () => `the locks of ${step.migration} (${holder})`);
      }
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** What `migrate` would run, read in a transaction that cannot write. Throws as it does for unknown migrations. */
export async function planMigrations(
  database: Database,
  url: string,
  accepted: readonly string[],
): Promise<PendingMigration[]> {
  const client = lockingClient(url, 'flash-sale migrate');
  const query: Query = (text) => ask(client, text);
  try {
    await client.connect();
    await query('BEGIN READ ONLY');
    return await pendingOf(query, database, accepted);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Names of migrations that this build has and the database has not. */
export async function pendingMigrations(em: EntityManager): Promise<string[]> {
  const executed = await executedMigrations((text) => run(em, { text, values: [] }));
  return MIGRATIONS.map(({ name }) => name).filter((name) => !executed?.includes(name));
}

/** null: the database has no list of them yet. */
async function executedMigrations(query: Query): Promise<string[] | null> {
  const [list] = await query<{ exists: boolean }>(`SELECT to_regclass('public.migrations') IS NOT NULL AS exists`);
  if (!list!.exists) return null;
  return (await query<{ name: string }>(LIST)).map(({ name }) => name);
}

async function pendingOf(query: Query, database: Database, accepted: readonly string[]): Promise<PendingMigration[]> {
  const executed = await executedMigrations(query);
  refuseUnknown(executed ?? [], accepted);
  const missing = MIGRATIONS.filter(({ name }) => !executed?.includes(name));
  return Promise.all(
    missing.map(async ({ name, class: Migration }, index) => {
      const migration = new Migration(database.orm.em.getDriver(), database.orm.config);
      await migration.up();
      const statements = migration.getQueries().map((text) => String(text).trim());
      statements.push(`INSERT INTO public.migrations (name) VALUES ('${name}')`);
      return { name, statements: executed === null && index === 0 ? [CREATE_LIST, ...statements] : statements };
    }),
  );
}

async function limitWaits(query: Query, isDistributed: boolean): Promise<void> {
  // Some platforms cannot watch a connection in the middle of a statement.
  await query(`DO $$ BEGIN SET LOCAL client_connection_check_interval = '${NOTICE_DEATH_EVERY}';
    EXCEPTION WHEN OTHERS THEN NULL; END $$`);
  // On Citus the locks are on the workers.
  if (isDistributed) await query(`SET LOCAL citus.propagate_set_commands = 'local'`);
  await query(`SET LOCAL lock_timeout = ${LOCK_WAIT_MS}`);
}

async function roleOf(query: Query): Promise<Role> {
  const [role] = await query<Role>(
    `SELECT current_user AS name, (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('public.migrations')) AS owner`,
  );
  return role!;
}

/** Most likely what a migration waits for, as far as this role may see it. */
async function oldestTransaction(query: Query): Promise<string> {
  const [oldest] = await query<{ who: string }>(
    `SELECT concat_ws(', ', 'pid ' || pid, nullif(application_name, ''), state,
        'open for ' || round(extract(epoch FROM clock_timestamp() - xact_start)) || ' s') AS who
      FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
      ORDER BY xact_start LIMIT 1`,
  );
  return oldest ? `the oldest transaction is of ${oldest.who}` : 'their holder has just ended';
}

/** PostgreSQL refused a statement, and the connection still works. */
function isRefusal(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'code' in error && /^[0-9A-Z]{5}$/.test(String(error.code));
}

function failureOf({ code, message }: Error & { code: string }, step: Step, { name, owner }: Role): Error {
  const reason = `PostgreSQL refused ${quote(step)}: ${message}. Nothing was changed.`;
  if (code !== INSUFFICIENT_PRIVILEGE) return new Error(reason);
  return new Error(
    `The role ${name} may not migrate this database. ${reason} Run db:migrate with the URL of the tables' owner` +
      `${owner === null ? '' : ` (${owner})`} in DATABASE_URL, then grant ${name} what a server needs: ` +
      `npm run --silent db:grant -- --role ${name} | psql "$OWNER_URL"`,
  );
}

function stillLocked(step: Step, holder: string): Error {
  return new Error(
    `Other sessions hold the locks that ${quote(step)} needs. Nothing was changed. End the transaction that holds them ` +
      `(${holder}; SELECT pg_terminate_backend(pid) ends one), and migrate again.`,
  );
}

function quote({ statement, migration }: Step): string {
  const line = statement.replaceAll(/\s+/g, ' ');
  const quoted = line.length > MAX_QUOTED_LENGTH ? `${line.slice(0, MAX_QUOTED_LENGTH)} …` : line;
  return migration === null ? `"${quoted}"` : `"${quoted}" of migration ${migration}`;
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
