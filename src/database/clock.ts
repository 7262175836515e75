/** The clock by which everything is decided. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { run, sql, time } from '../postgres/statement';

/** The database's time, in milliseconds as every stored time is. */
export async function readClock(em: EntityManager): Promise<Date> {
  const [row] = await run<{ at: string }>(
    em,
    sql`/* clock */ SELECT date_trunc('milliseconds', statement_timestamp()) AS at`,
  );
  return time(row!.at);
}
