/**
 * Controls: right for one shopper at a time, wrong for two. Each function breaks one rule of
 * docs/design.md#rules-of-concurrency; in the harness of the real one it must oversell or apply twice, or the harness proves
 * nothing.
 */
import { randomUUID } from 'node:crypto';
import type { EntityManager } from '@mikro-orm/postgresql';
import { run, sql } from '../../../src/postgres/statement';
import type { PaymentMessage } from '../../../src/domain/payment-message';
import type { Hold, Order, Product } from '../../../src/domain/records';
import type { Server } from '../../support/checkout';

async function read<Row>(em: EntityManager, statement: ReturnType<typeof sql>): Promise<Row> {
  return (await run<Row>(em, statement))[0]!;
}

async function insertHold(em: EntityManager, product: Product, customerId: string): Promise<void> {
  await run(
    em,
    sql`INSERT INTO holds (id, product_id, quantity, unit_price_minor, currency, customer_id, status, expires_at, created_at)
      VALUES (${randomUUID()}, ${product.id}, 1, ${product.priceMinor}, ${product.currency}, ${customerId}, 'ACTIVE',
        now() + interval '2 minutes', now())`,
  );
}

/** No lock: the stock is read, judged and written back. */
export const naiveHold =
  (product: Product) =>
  ({ database }: Server): Promise<boolean> =>
    database.inTransaction('naiveHold', async ({ em }) => {
      const stock = await read<{ available: number }>(
        em,
        sql`SELECT available FROM stock WHERE product_id = ${product.id}`,
      );
      if (stock.available < 1) return false;
      await run(em, sql`UPDATE stock SET available = ${stock.available - 1} WHERE product_id = ${product.id}`);
      await insertHold(em, product, '');
      return true;
    });

/** The limit is read in the statement that locks: after the wait the row is new, and the sum is old. */
export const naiveLimitedHold =
  (product: Product, customerId: string) =>
  ({ database }: Server): Promise<boolean> =>
    database.inTransaction('naiveLimitedHold', async ({ em }) => {
      const level = await read<{ available: number; own: number }>(
        em,
        sql`SELECT available, (SELECT coalesce(sum(quantity), 0)::int FROM holds h WHERE h.product_id = ${product.id}
            AND h.customer_id = ${customerId} AND given_back_at IS NULL) AS own
          FROM stock s WHERE product_id = ${product.id} FOR UPDATE`,
      );
      if (level.own >= product.maxPerCustomer! || level.available < 1) return false;
      await run(em, sql`UPDATE stock SET available = available - 1 WHERE product_id = ${product.id}`);
      await insertHold(em, product, customerId);
      return true;
    });

/** Overdue holds are found before the lock, and closed without looking at their status again. */
export const naiveSweep =
  (product: Product) =>
  ({ database }: Server): Promise<void> =>
    database.inTransaction('naiveSweep', async ({ em }) => {
      const overdue = await read<{ ids: string[]; units: number }>(
        em,
        sql`SELECT array_agg(id) AS ids, coalesce(sum(quantity), 0)::int AS units FROM holds
          WHERE product_id = ${product.id} AND status = 'ACTIVE' AND expires_at <= now()`,
      );
      await run(em, sql`UPDATE stock SET available = available + ${overdue.units} WHERE product_id = ${product.id}`);
      await run(
        em,
        sql`UPDATE holds SET status = 'EXPIRED', closed_at = now(), given_back_at = now()
          WHERE id = ANY (${overdue.ids}::uuid[])`,
      );
    });

/** "Have we seen this event?" is asked before anything is written: two copies both hear no. */
export const naiveFailure =
  (message: PaymentMessage, order: Order, hold: Hold) =>
  ({ database }: Server): Promise<void> =>
    database.inTransaction('naiveFailure', async ({ em }) => {
      const seen = await read<{ n: number }>(
        em,
        sql`SELECT count(*)::int AS n FROM payment_events WHERE event_id = ${message.eventId}`,
      );
      if (seen.n > 0) return;
      await run(
        em,
        sql`UPDATE stock SET available = available + ${hold.quantity} WHERE product_id = ${hold.productId}`,
      );
      await run(em, sql`UPDATE holds SET given_back_at = now() WHERE id = ${hold.id}`);
      await run(
        em,
        sql`UPDATE orders SET status = 'CANCELLED', cancelled_at = now(), cancelled_by = 'PAYMENT_FAILED'
          WHERE id = ${order.id}`,
      );
      await run(
        em,
        sql`INSERT INTO payment_events (provider, event_id, type, reference, amount_minor, currency, payment_id, payload,
            outcome, order_id, received_at, settled_at)
          VALUES ('standard', ${message.eventId}, ${message.type}, ${message.reference}, ${message.amountMinor},
            ${message.currency}, ${message.paymentId}, '{}', 'APPLIED', ${order.id}, now(), now())
          ON CONFLICT DO NOTHING`,
      );
    });

/** Parked events are looked for before the hold is locked: one that is just being parked is missed, for ever. */
export const naiveOrder =
  (hold: Hold) =>
  ({ database }: Server): Promise<string> =>
    database.inTransaction('naiveOrder', async ({ em }) => {
      const orderId = randomUUID();
      const parked = await read<{ n: number }>(
        em,
        sql`SELECT count(*)::int AS n FROM payment_events WHERE reference = ${hold.id} AND outcome = 'PARKED'`,
      );
      const status = parked.n > 0 ? 'CANCELLED' : 'PENDING_PAYMENT';
      await run(em, sql`SELECT FROM holds WHERE product_id = ${hold.productId} AND id = ${hold.id} FOR UPDATE`);
      await run(
        em,
        sql`UPDATE holds SET status = 'CONSUMED', closed_at = now(), order_id = ${orderId} WHERE id = ${hold.id}`,
      );
      await run(
        em,
        sql`INSERT INTO orders (id, customer_id, status, total_minor, currency, placed_by, payment_due_at, created_at)
          VALUES (${orderId}, '', ${status}, ${hold.unitPriceMinor}, ${hold.currency}, 'CUSTOMER',
            now() + interval '15 minutes', now())`,
      );
      await run(
        em,
        sql`INSERT INTO order_lines VALUES (${orderId}, ${hold.id}, ${hold.productId}, 1, ${hold.unitPriceMinor})`,
      );
      return orderId;
    });
