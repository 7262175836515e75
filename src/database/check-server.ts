/** Checks once, at the start, that PostgreSQL's settings keep the checkout's promises. */
import type { Database } from './database';
import { run, sql } from '../postgres/statement';

/** 15 is the oldest version that is tested; nothing newer is used. */
const OLDEST_VERSION = 150_000;

/** The defaults, and what another value would break. */
const NEEDED: Readonly<Record<string, { readonly value: string; readonly why: string }>> = {
  default_transaction_read_only: { value: 'off', why: 'nothing could be sold' },
  array_nulls: { value: 'on', why: 'a hold without an idempotency key would be stored with the key NULL' },
  session_replication_role: { value: 'origin', why: 'foreign keys would not be checked' },
  exit_on_error: { value: 'off', why: 'a request that finds a row locked would lose its connection' },
};
/** A transaction waits for 2 s for each of its locks, and a statement may take 5 s. PostgreSQL 16 and older have no such limit. */
const SHORTEST_TRANSACTION_MS = 30_000;

interface Setting {
  readonly name: string;
  readonly setting: string;
  /** Where it is set: database, user, configuration file ... */
  readonly source: string;
}

interface Settings {
  version: string;
  fsync: string;
  synchronous_commit: string;
  full_page_writes: string;
  encoding: string;
  is_standby: boolean;
  synchronous_standby_names: string;
}

/**
 * Throws when a promise could not be kept: PostgreSQL is too old, a standby, would lose acknowledged answers in a crash (fsync
 * or synchronous_commit off), or has another setting that changes what statements mean. Returns warnings, each a sentence,
 * about what is merely unwise. `isOneOfSeveral`: a failover to another server is possible.
 */
export async function checkServer(database: Database, isOneOfSeveral: boolean): Promise<string[]> {
  const [settings] = await database.read((em) =>
    run<Settings>(
      em,
      sql`SELECT current_setting('server_version_num') AS version, current_setting('fsync') AS fsync,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('full_page_writes') AS full_page_writes,
        current_setting('synchronous_standby_names') AS synchronous_standby_names,
        current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS is_standby`,
    ),
  );
  const { version, fsync, synchronous_commit, full_page_writes, encoding, is_standby } = settings!;
  const isConfirmed = settings!.synchronous_standby_names !== '' && synchronous_commit !== 'local';
  if (Number(version) < OLDEST_VERSION) throw new Error(`PostgreSQL 15 or later is needed, not ${version}.`);
  if (is_standby)
    throw new Error('The database is a standby, which takes no writes: name the primary in DATABASE_URL.');
  if (fsync === 'off' || synchronous_commit === 'off') {
    throw new Error(
      'PostgreSQL runs with fsync or synchronous_commit off: what was answered would not survive a crash. Switch them on.',
    );
  }
  await refuseSettings(database);
  return [
    ...(isOneOfSeveral && !isConfirmed
      ? ['no standby confirms a COMMIT (synchronous_standby_names, synchronous_commit): a failover may lose sales']
      : []),
    ...(full_page_writes === 'off' ? ['full_page_writes is off: a crash of the machine may damage the data'] : []),
    ...(encoding === 'UTF8' ? [] : [`the database's encoding is ${encoding}: names beyond it are refused; use UTF8`]),
  ];
}

async function refuseSettings(database: Database): Promise<void> {
  const names = [...Object.keys(NEEDED), 'transaction_timeout'];
  const settings = await database.read((em) =>
    run<Setting>(em, sql`SELECT name, setting, source FROM pg_settings WHERE name = ANY (${names}::text[])`),
  );
  for (const { name, setting, source } of settings) {
    const reset = `reset it (it comes from: ${source}), with ALTER DATABASE … RESET ${name} or ALTER ROLE … RESET ${name}`;
    const needed = NEEDED[name];
    if (needed && setting !== needed.value)
      throw new Error(
        `The setting ${name} is ${setting}, and must be ${needed.value}: ${needed.why}. Please ${reset}.`,
      );
    if (name === 'transaction_timeout' && Number(setting) !== 0 && Number(setting) < SHORTEST_TRANSACTION_MS)
      throw new Error(
        `The setting ${name} is ${setting} ms, and must be 0 or at least ${SHORTEST_TRANSACTION_MS} ms: a transaction that waits for its locks would be cut off. Please ${reset}.`,
      );
  }
  const [schema] = await database.read((em) =>
    run<{ name: string | null; path: string }>(
      em,
      sql`SELECT current_schema() AS name, current_setting('search_path') AS path`,
    ),
  );
  if (schema!.name === null)
    throw new Error(
      `The setting search_path is ${schema!.path}, and names no schema that there is: name that of the tables.`,
    );
}
