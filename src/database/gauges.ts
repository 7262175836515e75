/** Gauges that only the database knows, each from one cheap statement. Nothing is decided from them. */
import type { EntityManager } from '@mikro-orm/postgresql';
import type { GaugeSources } from '../telemetry/metrics';
import { isDistributed } from '../postgres/citus';
import type { Database } from './database';
import { CHECKS } from './reconcile-checks';
import { run, setStatementTimeout, sql } from '../postgres/statement';

/** Products with a gauge each; a shop with more has gauges for the busiest. */
const MAX_PRODUCTS = 100;
/** More than the usual 5 s, because no request waits for the recount and it locks nothing. */
const RECOUNT_TIMEOUT_MS = 30_000;

export function gaugesOf(database: Database): GaugeSources {
  return {
    poolWaiting: () => database.waiting(),
    stockAvailable: () => database.read(readStockAvailable),
    sweepLagSeconds: () => database.read(readSweepLag),
    openPayments: () => database.read(readOpenPayments),
    countViolations: () =>
      database.inTransaction('recount', async ({ em, rollBack }) => {
        rollBack();
        await setStatementTimeout(em, RECOUNT_TIMEOUT_MS);
        return countViolations(em);
      }),
  };
}

/** Overdue holds count as available. All products while they are few, else those that were held last. */
async function readStockAvailable(em: EntityManager): Promise<{ sku: string; available: number }[]> {
  const rows = await run<{ sku: string; available: string }>(
    em,
    sql`/* gauge: stock */
      SELECT p.sku, s.available
      FROM (
        SELECT product_id, available + coalesce((SELECT sum(h.quantity) FROM holds h
            WHERE h.product_id = stock.product_id AND h.status = 'ACTIVE' AND h.expires_at <= statement_timestamp()), 0)
          AS available
        FROM stock
        ORDER BY (SELECT max(h.expires_at) FROM holds h WHERE h.product_id = stock.product_id AND h.status = 'ACTIVE')
          DESC NULLS LAST, product_id DESC
        LIMIT ${MAX_PRODUCTS}) s
        JOIN products p ON p.id = s.product_id`,
  );
  return rows.map((row) => ({ sku: row.sku, available: Number(row.available) }));
}

/** 0 when nothing is overdue. A look into each product's index, instead of one at every hold. */
async function readSweepLag(em: EntityManager): Promise<number> {
  const [row] = await run<{ seconds: string }>(
    em,
    sql`/* gauge: sweep lag */
      SELECT greatest(0, extract(epoch FROM statement_timestamp() - least(
        (SELECT min(oldest.expires_at) FROM stock s CROSS JOIN LATERAL (
          SELECT h.expires_at FROM holds h WHERE h.product_id = s.product_id AND h.status = 'ACTIVE'
          ORDER BY h.expires_at LIMIT 1) oldest),
        (SELECT min(payment_due_at) FROM orders WHERE status = 'PENDING_PAYMENT')))) AS seconds`,
  );
  return Number(row!.seconds);
}

/** What waits for the operators, from the index of events that are not settled. */
async function readOpenPayments(em: EntityManager): Promise<{ refundDue: number; oldestParkedSeconds: number }> {
  const [row] = await run<{ refund_due: string; parked_seconds: string }>(
    em,
    sql`/* gauge: open payments */
      SELECT count(*) FILTER (WHERE outcome = 'REFUND_DUE') AS refund_due,
        greatest(0, extract(epoch FROM statement_timestamp() -
          min(received_at) FILTER (WHERE outcome IN ('PARKED', 'AMOUNT_MISMATCH')))) AS parked_seconds
      FROM payment_events WHERE settled_at IS NULL`,
  );
  return { refundDue: Number(row!.refund_due), oldestParkedSeconds: Number(row!.parked_seconds) };
}

/**
 * The checks of `reconcile` for P1, all in one statement and so of one snapshot. On Citus those of them that need only what
 * is beside a product's stock: commits of two workers become visible one after the other, and nobody is to be alarmed by it.
 */
async function countViolations(em: EntityManager): Promise<number> {
  const checks = CHECKS.filter(
    (check) => check.promise === 'P1' && (!isDistributed(em) || check.isWithinProduct === true),
  ).map((check) => check.sql);
  const [row] = await run<{ violations: string }>(em, {
    text: `/* gauge: recount */ SELECT count(*) AS violations FROM (${checks.join(' UNION ALL ')}) broken`,
    values: [],
  });
  return Number(row!.violations);
}
