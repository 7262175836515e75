/** Whether Citus distributes the tables over workers (checked once, when the database is opened), and SQL for that case. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { Client } from 'pg';

/** Keyed by configuration, because every EntityManager of a pool shares its pool's. */
const distributed = new WeakSet<EntityManager['config']>();

/** For a look-up in the catalogue. */
const ANSWER_MS = 5_000;

/** Two look-ups in the catalogue. Rejects when the database cannot be reached. */
export async function isDistributedAt(url: string, connectionTimeoutMillis: number): Promise<boolean> {
  const client = new Client({
    ...{ connectionString: url, connectionTimeoutMillis, query_timeout: ANSWER_MS },
    application_name: 'flash-sale',
  });
  // The query in progress rejects too, and says more.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await hasDistributedHolds(client);
  } finally {
    await client.end();
  }
}

/** One table is enough to look at, because `npm run db:distribute` distributes all or none. */
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
 * On Citus a statement that locks or writes must touch a single shard, so one statement over several tables becomes a
 * statement for each.
 */
export function isDistributed(em: EntityManager): boolean {
  return distributed.has(em.config);
}

/**
 * Precedes a query that joins rows of different workers: the coordinator reads the tables whole, under their own names. For
 * recounts only. Tables that the query does not name are not read; payloads of providers are left out.
 */
export const WITH_WHOLE_TABLES = `WITH ${Object.entries({
  products: '*',
  stock: '*',
  stock_adjustments: '*',
  holds: '*',
  orders: '*',
  order_lines: '*',
  payment_events:
    'provider, event_id, type, reference, amount_minor, currency, payment_id, outcome, order_id, received_at, settled_at',
})
  .map(([table, columns]) => `${table} AS MATERIALIZED (SELECT ${columns} FROM ${table})`)
  .join(', ')} `;

/** One connection, and so one snapshot, for each worker, and no limit for what the coordinator reads. */
export const ONE_SNAPSHOT_A_WORKER =
  'SET LOCAL citus.max_adaptive_executor_pool_size = 1; SET LOCAL citus.max_intermediate_result_size = -1';
