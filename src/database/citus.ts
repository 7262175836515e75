/** Whether a database's tables are spread over the workers of a Citus coordinator: looked at once, when it is opened. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { Client } from 'pg';

/** The configurations of those that are; every EntityManager of a pool has its pool's. */
const distributed = new WeakSet<EntityManager['config']>();

/** Two look-ups in the catalogue. Rejects when the database cannot be reached: nobody can tell then. */
export async function isDistributedAt(url: string, connectionTimeoutMillis: number): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis, application_name: 'flash-sale' });
  // The query in progress rejects too, and says more.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await hasDistributedHolds(client);
  } finally {
    await client.end();
  }
}

/** `npm run db:distribute` spreads all tables or none, so one of them tells. */
export async function hasDistributedHolds(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ has: boolean }>(
    `SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL AND to_regclass('holds') IS NOT NULL AS has`,
  );
  if (!rows[0]!.has) return false;
  const found = await client.query(`SELECT FROM pg_dist_partition WHERE logicalrelid = to_regclass('holds')`);
  return found.rows.length > 0;
}

export function markDistributed(em: EntityManager): void {
  distributed.add(em.config);
}

/**
 * There, a statement that locks or writes touches one shard: what PostgreSQL does with several tables in one statement
 * takes one statement for each.
 */
export function isDistributed(em: EntityManager): boolean {
  return distributed.has(em.config);
}
