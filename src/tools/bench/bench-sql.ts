/** SQL of the benchmark: the bare transaction on the hot row, bulk rows, and PostgreSQL's settings and statistics. */
import type { Client } from 'pg';

/** Settings for durability and size. They are printed with every result, because results depend on them. */
const SETTINGS = ['server_version', 'fsync', 'synchronous_commit', 'wal_sync_method', 'full_page_writes'] as const;
export type ServerSettings = Record<(typeof SETTINGS)[number] | 'shared_buffers' | 'max_connections', string>;

export async function readServerSettings(client: Client): Promise<ServerSettings> {
  const names = [...SETTINGS, 'shared_buffers', 'max_connections'];
  const { rows } = await client.query<{ name: string; value: string }>(
    'SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name',
    [names],
  );
  return Object.fromEntries(rows.map((row) => [row.name, row.value])) as ServerSettings;
}

/** The backend process of this connection; its parent is the postmaster. */
export async function readBackendPid(client: Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]!.pid;
}

/** Databases with this prefix that have no connections: leftovers of killed runs. */
export async function readAbandonedDatabases(client: Client, prefix: string): Promise<string[]> {
  const { rows } = await client.query<{ datname: string }>(
    `SELECT datname FROM pg_database d WHERE starts_with(datname, $1)
      AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname AND a.backend_type = 'client backend')`,
    [prefix],
  );
  return rows.map((row) => row.datname);
}

/** Rows in `holds`, `orders` and applied `payment_events`; every answer must have one. */
export async function countEffects(client: Client): Promise<{ holds: number; orders: number; events: number }> {
  const { rows } = await client.query<{ holds: number; orders: number; events: number }>(
    `SELECT (SELECT count(*)::int FROM holds) AS holds, (SELECT count(*)::int FROM orders) AS orders,
      (SELECT count(*)::int FROM payment_events WHERE outcome = 'APPLIED') AS events`,
  );
  return rows[0]!;
}

/** Updates of `stock` since the database was created, and how many of them were HOT (touched no index). */
export async function readStockUpdates(client: Client): Promise<{ updates: number; hot: number }> {
  const { rows } = await client.query<{ updates: number; hot: number }>(
    `SELECT n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot FROM pg_stat_user_tables WHERE relname = 'stock'`,
  );
  return rows[0]!;
}

/**
 * createHold as plain statements, prepared once per connection: lock, insert, update, commit. Nothing is checked, so this is an
 * upper bound for any correct implementation with one transaction per request.
 */
export async function holdOnHotRow(client: Client, productId: string, holdId: string): Promise<void> {
  await client.query('BEGIN');
  await client.query({
    name: 'lock',
    text: 'SELECT available FROM stock WHERE product_id = $1 FOR UPDATE',
    values: [productId],
  });
  await client.query({
    name: 'insert',
    text: `INSERT INTO holds (id, product_id, quantity, unit_price_minor, currency, customer_id, status, expires_at, created_at)
      SELECT $1, id, 1, price_minor, currency, '', 'ACTIVE', statement_timestamp() + interval '6 hours', statement_timestamp()
      FROM products WHERE id = $2`,
    values: [holdId, productId],
  });
  await client.query({
    name: 'take',
    text: 'UPDATE stock SET available = available - 1 WHERE product_id = $1',
    values: [productId],
  });
  await client.query('COMMIT');
}

/** Locks the product's stock row until the connection ends, like a client that hangs in a transaction. */
export async function lockStockRow(client: Client, productId: string): Promise<void> {
  await client.query('BEGIN');
  await client.query('SELECT FROM stock WHERE product_id = $1 FOR UPDATE', [productId]);
}

/** Holds of one unit, as a long sale leaves them: every second one released, the others live. `stock` agrees with them. */
export async function insertHoldsInBulk(client: Client, productId: string, count: number): Promise<void> {
  await client.query('BEGIN');
  await client.query('SELECT FROM stock WHERE product_id = $1 FOR UPDATE', [productId]);
  await client.query(
    `INSERT INTO holds (id, product_id, quantity, unit_price_minor, currency, customer_id, status, expires_at, created_at,
        closed_at, given_back_at)
      SELECT gen_random_uuid(), p.id, 1, p.price_minor, p.currency, '',
        CASE WHEN n % 2 = 0 THEN 'ACTIVE' ELSE 'RELEASED' END,
        now() + interval '6 hours', now(), CASE WHEN n % 2 = 1 THEN now() END, CASE WHEN n % 2 = 1 THEN now() END
      FROM products p, generate_series(1, $2::int) n WHERE p.id = $1`,
    [productId, count],
  );
  await client.query(
    `UPDATE stock SET available = total - (SELECT count(*) FROM holds WHERE product_id = $1 AND given_back_at IS NULL)
      WHERE product_id = $1`,
    [productId],
  );
  await client.query('COMMIT');
  await client.query('VACUUM ANALYZE holds');
}
