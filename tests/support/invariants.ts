/** What must hold after every test: a clean reconcile, no deadlock, and, after a refusal, that nothing moved. */
import { reconcile, type Violation } from '../../src/database/reconcile';
import type { Answer, ErrorCode } from '../../src/domain/refusals';
import { CITUS_URL } from './citus';
import { codesOf } from './checkout';
import type { FreshDatabase, Sql } from './database';

type Subject = Pick<FreshDatabase, 'url' | 'sql'>;

/** Recounts every promise from the facts, in one snapshot, and expects no violation. */
export async function expectClean({ url }: Pick<FreshDatabase, 'url'>): Promise<void> {
  expect(await violations({ url })).toEqual([]);
}

export async function violations({ url }: Pick<FreshDatabase, 'url'>): Promise<readonly Violation[]> {
  return (await reconcile(url)).violations;
}

/**
 * Deadlocks that PostgreSQL counted in this database, on Citus on each node of it. A process reports its own with a delay of a second or at its end:
 * close the pools of what is to be counted, and wait until they are gone, see `untilGone`.
 */
export async function deadlocks(sql: Sql): Promise<number> {
  const counted = 'SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()';
  const [row] = await sql<{ n: number }>(
    CITUS_URL ? `SELECT sum(result::int)::int AS n FROM run_command_on_all_nodes('${counted}')` : counted,
  );
  return row!.n;
}

const TABLES = ['products', 'stock', 'stock_adjustments', 'holds', 'orders', 'order_lines', 'payment_events'];

/** Every row of every table, in one statement. */
export async function snapshot(sql: Sql): Promise<Record<string, unknown>> {
  const columns = TABLES.map((table) => `(SELECT json_agg(t ORDER BY t::text) FROM ${table} t) AS ${table}`);
  const [row] = await sql(`SELECT ${columns.join(', ')}`);
  return row!;
}

/** Expects exactly these refusals, and that no row has changed, come or gone. */
export async function expectRefused(
  { sql, url }: Subject,
  work: () => Promise<Answer<unknown>>,
  ...codes: readonly ErrorCode[]
): Promise<void> {
  const before = await snapshot(sql);
  expect(codesOf(await work())).toEqual(codes);
  expect(await snapshot(sql)).toEqual(before);
  await expectClean({ url });
}

/** Expects that the work leaves every row as it is, and answers what it answered. */
export async function expectNothingMoved<T>({ sql }: Subject, work: () => Promise<T>): Promise<T> {
  const before = await snapshot(sql);
  const result = await work();
  expect(await snapshot(sql)).toEqual(before);
  return result;
}
