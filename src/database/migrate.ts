/** Brings the database to this build's tables. Two servers that start at once do not race: one migrates, the other waits. */
import { Client } from 'pg';
import type { Database } from './orm';

/** Any number, the same for every process of this project. An advisory lock guards migrations only, never a promise. */
export const MIGRATION_LOCK = 7_202_611_22;

/**
 * Applies what is missing, in order; answers the names. Holds a transaction-level advisory lock on a connection of its own,
 * so that it also holds behind PgBouncer.
 */
export async function migrate(database: Database, url: string): Promise<string[]> {
  const lock = new Client({ connectionString: url });
  await lock.connect();
  try {
    await lock.query('BEGIN');
    await lock.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    const applied = await database.orm.getMigrator().up();
    return applied.map((migration) => migration.name);
  } finally {
    await lock.end();
  }
}

/** Names of migrations that this build has and the database has not. */
export async function pendingMigrations(database: Database): Promise<string[]> {
  return (await database.orm.getMigrator().getPendingMigrations()).map((migration) => migration.name);
}
