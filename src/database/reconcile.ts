/** `reconcile`: recomputes every promise that the tables can prove, from the facts, and counts what is open. */
import type { Client } from 'pg';
import { hasDistributedHolds, ONE_SNAPSHOT_A_WORKER, WITH_WHOLE_TABLES } from '../postgres/citus';
import { CHECKS, OPEN, type Check } from './reconcile-checks';
import { Session } from '../postgres/session';

export interface Violation {
  readonly promise: Check['promise'];
  readonly what: string;
  readonly count: number;
  /** Ids of the first few: of a product, hold, order, `order/hold` of a line, or `provider:event`. */
  readonly examples: readonly string[];
}

export interface Reconciliation {
  /** The snapshot's time on the database's clock, ISO 8601. */
  readonly at: string;
  /** How many rows were recounted. */
  readonly counted: Record<'products' | 'holds' | 'orders' | 'paymentEvents', number>;
  readonly checks: number;
  readonly violations: readonly Violation[];
  readonly open: Record<keyof typeof OPEN, number>;
}

const MAX_EXAMPLES = 5;
/** A recount may take long, but waiting for a forgotten lock is an error. */
const BEGIN = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0;
  SET LOCAL lock_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = 0`;

/**
 * Everything in one snapshot, so it may run during a sale: it takes no lock and writes nothing. On Citus the snapshot is
 * one of each worker, a moment apart: what a sale breaks there and the next run does not find was no violation. Uses
 * nothing of the use cases: what they did wrong shows. Rejects when the database is not to be reached, or has no tables yet.
 */
export async function reconcile(url: string): Promise<Reconciliation> {
  const client = new Session({ connectionString: url, connectionTimeoutMillis: 5_000, application_name: 'reconcile' });
  // The query in progress rejects too, and says more.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query(BEGIN);
    const isDistributed = await hasDistributedHolds(client);
    if (isDistributed) await client.query(ONE_SNAPSHOT_A_WORKER);
    return await recount(client, isDistributed ? WITH_WHOLE_TABLES : '');
  } finally {
    await client.end();
  }
}

/** `withTables`: what each query has to begin with. */
async function recount(client: Client, withTables: string): Promise<Reconciliation> {
  const one = async <Row>(text: string): Promise<Row> => (await client.query(text)).rows[0] as Row;
  const { at, ...counted } = await one<Reconciliation['counted'] & { at: Date }>(
    `SELECT now() AS at, (SELECT count(*)::int FROM products) AS products, (SELECT count(*)::int FROM holds) AS holds,
      (SELECT count(*)::int FROM orders) AS orders, (SELECT count(*)::int FROM payment_events) AS "paymentEvents"`,
  );
  const queries = CHECKS.map(
    ({ sql }, index) =>
      `SELECT ${index} AS index, count(*)::int AS count, (array_agg(id ORDER BY id))[1:${MAX_EXAMPLES}] AS examples
      FROM (${sql}) broken HAVING count(*) > 0`,
  );
  const found = await client.query<{ index: number; count: number; examples: string[] }>(
    `${withTables}${queries.join(' UNION ALL ')} ORDER BY index`,
  );
  const violations = found.rows.map(({ index, count, examples }): Violation => {
    const { promise, what } = CHECKS[index]!;
    return { promise, what, count, examples };
  });
  const open = await one<Reconciliation['open']>(
    `${withTables}SELECT ${Object.entries(OPEN)
      .map(([name, text]) => `(${text}) AS "${name}"`)
      .join(', ')}`,
  );
  return {
    at: at.toISOString(),
    counted,
    checks: CHECKS.length,
    violations,
    open,
  };
}
