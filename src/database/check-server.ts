/** What a PostgreSQL must be like to keep our promises, looked at once at the start. */
import type { Database } from './database';
import { run, sql } from '../postgres/statement';

/** 15 is the oldest that is supported; nothing newer is used. */
const OLDEST_VERSION = 150_000;

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
 * Throws when a promise could not be kept: too old, a standby, or answers that would not survive a crash (fsync or
 * synchronous_commit off). Answers warnings, each a sentence, about what is merely unwise. `isOneOfSeveral`: another server may
 * take its place one day.
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
  return [
    ...(isOneOfSeveral && !isConfirmed
      ? ['no standby confirms a COMMIT (synchronous_standby_names, synchronous_commit): a failover may lose sales']
      : []),
    ...(full_page_writes === 'off' ? ['full_page_writes is off: a crash of the machine may damage the data'] : []),
    ...(encoding === 'UTF8' ? [] : [`the database's encoding is ${encoding}: names beyond it are refused; use UTF8`]),
  ];
}
