/** Whether a database's tables are spread over the workers of a Citus coordinator: looked at once, when it is opened. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { Client } from 'pg';

/** The configurations of those that are; every EntityManager of a pool has its pool's. */
const distributed = new WeakSet<EntityManager['config']>();

/** Bounds a look-up in the catalogue. */
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

/** `npm run db:distribute` spreads all tables or none, so one of them is enough to know. */
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

/**
 * Before a query that joins what is on different workers: the tables as they are called, read whole by the coordinator.
 * For recounts only. A table that the query does not name is not read; a provider's payload is not recounted.
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

/** One connection to each worker, and so one snapshot of it; and no bound for what the coordinator reads. */
export const ONE_SNAPSHOT_A_WORKER =
  'SET LOCAL citus.max_adaptive_executor_pool_size = 1; SET LOCAL citus.max_intermediate_result_size = -1';
