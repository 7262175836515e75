/** `reconcile`: recomputes every promise that the tables can prove, from the facts, and counts what is open. */
import { Client } from 'pg';
import { CHECKS, OPEN, type Check } from './reconcile-checks';

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

/**
 * Everything in one snapshot, so it may run beside a sale: it takes no lock and writes nothing. Uses nothing of the use
 * cases: what they did wrong shows. Rejects when the database is not to be reached, or has no tables yet.
 */
export async function reconcile(url: string): Promise<Reconciliation> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000, application_name: 'reconcile' });
  // The query in progress rejects too, and says more.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    return await recount(client);
  } finally {
    await client.end();
  }
}

async function recount(client: Client): Promise<Reconciliation> {
  const one = async <Row>(text: string): Promise<Row> => (await client.query(text)).rows[0] as Row;
  const { at, ...counted } = await one<Reconciliation['counted'] & { at: Date }>(
    `SELECT now() AS at, (SELECT count(*)::int FROM products) AS products, (SELECT count(*)::int FROM holds) AS holds,
      (SELECT count(*)::int FROM orders) AS orders, (SELECT count(*)::int FROM payment_events) AS "paymentEvents"`,
  );
  const violations: Violation[] = [];
  for (const { promise, what, sql } of CHECKS) {
    const found = await one<{ count: number; examples: string[] | null }>(
      `SELECT count(*)::int AS count, (array_agg(id ORDER BY id))[1:${MAX_EXAMPLES}] AS examples FROM (${sql}) broken`,
    );
    if (found.count > 0) violations.push({ promise, what, count: found.count, examples: found.examples ?? [] });
  }
  const open: Record<string, number> = {};
  for (const [name, text] of Object.entries(OPEN)) open[name] = (await one<{ n: number }>(text)).n;
  return {
    at: at.toISOString(),
    counted,
    checks: CHECKS.length,
    violations,
    open: open as Reconciliation['open'],
  };
}
