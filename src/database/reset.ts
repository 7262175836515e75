/** Deletes everything, for development and tests. */
import type { Database } from './database';
import { run, sql } from '../postgres/statement';

/** Empties the database of all that migrations made. Bounded like every transaction: somebody's long lock is an error. */
export async function dropAll(database: Database): Promise<void> {
  await database.inTransaction('dropAll', async ({ em }) => {
    await run(
      em,
      sql`DROP TABLE IF EXISTS stock_adjustments, payment_events, order_lines, orders, holds, stock, products, migrations`,
    );
  });
}
