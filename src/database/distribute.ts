/** The layout on Citus: which table is spread over the workers by what, and the SQL that makes a migrated database so. */
import type { Client } from 'pg';
import { lockingClient, lockMigrations, type Waiting } from './migration-lock';

/** What a table becomes, and by which statements. */
interface Layout {
  readonly table: string;
  /** Rows with one value of it are on one worker. null: a reference table, whole on every node. */
  readonly column: string | null;
  readonly statements: readonly string[];
}

/** References that would be checked on the key that spreads the table: Citus takes them without ON UPDATE CASCADE. */
const ofProduct = (table: string) =>
  `ALTER TABLE ${table} ADD CONSTRAINT ${table}_product_id_foreign
  FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE RESTRICT`;

const REFERRING = ['stock', 'holds', 'order_lines', 'stock_adjustments'];

/**
 * In this order. `products` is everywhere, so that what is decided about a product needs one worker. `migrations` stays on
 * the coordinator. What a unique constraint cannot see there (one line a hold) is guarded by the hold's own row.
 */
const LAYOUT: readonly Layout[] = [
  {
    table: 'products',
    column: null,
    statements: [
      ...REFERRING.map((table) => `ALTER TABLE ${table} DROP CONSTRAINT IF EXISTS ${table}_product_id_foreign`),
      `SELECT create_reference_table('products')`,
    ],
  },
  {
    table: 'stock',
    column: 'product_id',
    statements: [`SELECT create_distributed_table('stock', 'product_id', colocate_with => 'none')`, ofProduct('stock')],
  },
  {
    table: 'holds',
    column: 'product_id',
    statements: [
      `ALTER TABLE holds DROP CONSTRAINT holds_pkey, ADD CONSTRAINT holds_pkey PRIMARY KEY (product_id, id)`,
      // Plain look-ups by id alone ask every shard.
      `CREATE INDEX holds_by_id ON holds (id)`,
      `SELECT create_distributed_table('holds', 'product_id', colocate_with => 'stock')`,
      ofProduct('holds'),
    ],
  },
  {
    table: 'stock_adjustments',
    column: 'product_id',
    statements: [
      `ALTER TABLE stock_adjustments DROP CONSTRAINT stock_adjustments_pkey,
  ADD CONSTRAINT stock_adjustments_pkey PRIMARY KEY (product_id, id)`,
      `SELECT create_distributed_table('stock_adjustments', 'product_id', colocate_with => 'stock')`,
      ofProduct('stock_adjustments'),
    ],
  },
  {
    table: 'orders',
    column: 'id',
    statements: [`SELECT create_distributed_table('orders', 'id', colocate_with => 'none')`],
  },
  {
    table: 'order_lines',
    column: 'order_id',
    statements: [
      `ALTER TABLE order_lines DROP CONSTRAINT order_lines_hold_unique`,
      `SELECT create_distributed_table('order_lines', 'order_id', colocate_with => 'orders')`,
      ofProduct('order_lines'),
    ],
  },
  {
    table: 'payment_events',
    column: 'event_id',
    statements: [`SELECT create_distributed_table('payment_events', 'event_id', colocate_with => 'none')`],
  },
];

/** Tables that refer to others are copied one shard after another: Citus refuses to do it in parallel. */
const ONE_BY_ONE = `SET LOCAL citus.multi_shard_modify_mode = 'sequential'`;

/**
 * For every session of the database: what asks all shards (parked events of an order, a hold by its id) does so on the one
 * connection that a session keeps to each worker. Else Citus opens more for each such statement, and most of the time goes there.
 */
const ONE_CONNECTION_A_WORKER = `DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET citus.max_adaptive_executor_pool_size = 1', current_database());
END $$`;

/**
 * Spreads a migrated database over the workers of the Citus coordinator at `url`, rows included, in one transaction: all of
 * it or nothing. Answers the statements that it ran, or with `dryRun` would run; none when everything is in its place.
 * No server may run at the same time: every table is locked, and a server reads the layout only when it starts.
 *
 * Throws where there is no Citus, on what is not a coordinator with workers, on tables that are missing, or are spread by
 * something else.
 */
export async function distribute(
  url: string,
  { dryRun, ...waiting }: { readonly dryRun: boolean } & Waiting,
): Promise<string[]> {
  const client = lockingClient(url, 'db:distribute');
  await client.connect();
  try {
    await lockMigrations(client, waiting);
    await expectCoordinator(client);
    const missing = await missingOf(client);
    if (missing.length === 0) return [];
    const statements = [
      ...[ONE_BY_ONE, ...missing.flatMap((layout) => layout.statements)],
      ...[...copiesLeft(missing), ONE_CONNECTION_A_WORKER],
    ];
    if (dryRun) return statements;
    for (const statement of statements) await client.query(statement);
    await client.query('COMMIT');
    return statements;
  } finally {
    await client.end();
  }
}

async function expectCoordinator(client: Client): Promise<void> {
  const { rows } = await client.query(`SELECT FROM pg_extension WHERE extname = 'citus'`);
  if (rows.length === 0) {
    throw new Error(
      'This database has no Citus: CREATE EXTENSION citus in it, on the coordinator and on each worker, and add the workers.',
    );
  }
  const found = await client.query<{ is_coordinator: boolean; workers: number }>(
    `SELECT citus_is_coordinator() AS is_coordinator, (SELECT count(*)::int FROM pg_dist_node
      WHERE groupid <> 0 AND noderole = 'primary' AND isactive AND shouldhaveshards) AS workers`,
  );
  const { is_coordinator, workers } = found.rows[0]!;
  if (!is_coordinator || workers === 0) {
    throw new Error(
      'This is no Citus coordinator with workers: connect to the coordinator, and citus_add_node each worker.',
    );
  }
}

/** The tables that are not spread yet. */
async function missingOf(client: Client): Promise<Layout[]> {
  const { rows } = await client.query<{ table: string; exists: boolean; is_citus: boolean; column: string | null }>(
    `SELECT t.name AS table, to_regclass(t.name) IS NOT NULL AS exists, p.logicalrelid IS NOT NULL AS is_citus,
      CASE WHEN p.partmethod = 'h' THEN column_to_column_name(p.logicalrelid, p.partkey) END AS column
    FROM unnest($1::text[]) AS t (name) LEFT JOIN pg_dist_partition p ON p.logicalrelid = to_regclass(t.name)`,
    [LAYOUT.map(({ table }) => table)],
  );
  if (!rows.every((row) => row.exists)) throw new Error('The tables are missing: run db:migrate first.');
  return LAYOUT.filter(({ table, column }) => {
    const now = rows.find((row) => row.table === table)!;
    if (now.is_citus && now.column !== column) {
      throw new Error(
        `${table} is distributed already, but by ${now.column ?? 'nothing'}, not ${column ?? 'nothing'}.`,
      );
    }
    return !now.is_citus;
  });
}

/** The coordinator keeps the rows that it had, where no query sees them any more. */
function copiesLeft(layouts: readonly Layout[]): string[] {
  const tables = layouts.map(({ table }) => table);
  // Tables that others refer to go last.
  return tables.toReversed().map((table) => `SELECT truncate_local_data_after_distributing_table('${table}')`);
}
