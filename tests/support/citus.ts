/** Whether the tests run on a Citus cluster, where each database is spread over the workers. */

/** The coordinator. Set: the tests' databases are made there, and spread over its workers. */
export const CITUS_URL = process.env.CITUS_URL || null;

/** Several a worker, so that rows of one test are apart; each costs time when a database is made. */
export const SHARDS = 4;

/** A test of what there is on one server alone; on Citus it is skipped. Whoever calls it says why. */
export function onOneServer(name: string, work: () => Promise<void>): void {
  (CITUS_URL ? test.skip : test)(name, work);
}
