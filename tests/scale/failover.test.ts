/**
 * A failover in the middle of a sale. With a synchronous standby nothing that was acknowledged is lost, and the servers find
 * the new primary. `FAILOVER_ROUNDS=10` repeats it, TEST_POSTGRES_BINARIES=/usr/lib/postgresql/15/bin does
 * it with another PostgreSQL than the embedded one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'pg';
import { openDatabase, type Database } from '../../src/database/database';
import { run, setStatementTimeout, sql } from '../../src/postgres/statement';
import { Random } from '../../src/tools/load/random';
import { Tally } from '../prove/tally';
import { HttpClient } from '../prove/client';
import { audit, shop, untilRecovered, type Intent, type Sale } from '../prove/sale-under-faults';
import { expectClean } from '../support/invariants';
import { testLogger } from '../support/log';
import { buildProject, type Build } from '../support/process';
import { canReplicate, startReplication } from '../support/replication';

const ROUNDS = Number(process.env.FAILOVER_ROUNDS ?? 1);
const SHOPPERS = 20;
/** Enough for orders and events to be among them. */
const LOAD_BEFORE = 150;
const OUTAGE_MS = 700;
const LOAD_AFTER_MS = 1_000;
const HOLD_TTL_SECONDS = '5';

let build: Build;
beforeAll(async () => {
  build = await buildProject();
});
afterAll(() => build.remove());

const testWithStandby = canReplicate ? test : test.skip;

testWithStandby.each(Array.from({ length: ROUNDS }, (_, n) => n + 1))(
  'nothing that was acknowledged is lost when the primary is killed and the standby promoted (round %d)',
  async (round) => {
    const { primary, standby, close } = await startReplication({ synchronous: true });
    const after = new Pool({ connectionString: standby.url, max: 3 });
    try {
      const server = await build.start({
        DATABASE_URL: `${primary.url},${standby.url}`,
        HOLD_TTL_SECONDS,
        RATE_LIMIT: 'off',
        LOG_LEVEL: 'warn',
      });
      const products = [];
      for (const stock of [40, 100_000]) products.push((await server.product(stock)).id as string);
      const sale: Sale = {
        random: new Random(round),
        products,
        servers: [{ client: new HttpClient(server.url) }],
        installation: {
          sql: async (text, values) => (await after.query(text, values && [...values])).rows,
          ensureClean: () => expectClean({ url: standby.url }),
        },
      };
      const history: Intent[] = [];
      const load = { isOn: true };
      const shoppers = Array.from({ length: SHOPPERS }, (_, n) => shop(sale, n, history, load));
      const acknowledged = () => history.filter(({ replies }) => replies.some(({ reply }) => reply.code === 'ok'));
      while (acknowledged().length < LOAD_BEFORE) await sleep(5);
      await primary.end('SIGKILL');
      const before = acknowledged().length;
      await sleep(OUTAGE_MS);
      await standby.promote();
      const backMs = await untilRecovered(sale);
      await sleep(LOAD_AFTER_MS);
      load.isOn = false;
      await Promise.all(shoppers);

      const tally = new Tally();
      const measured = await audit(sale, history, tally);
      const kinds = ['hold', 'order', 'event'].map((kind) => ({
        kind,
        count: acknowledged().filter(({ op }) => op.kind === kind).length,
      }));
      expect(kinds.filter(({ count }) => count === 0)).toEqual([]);
      expect(before).toBeGreaterThanOrEqual(LOAD_BEFORE);
      expect(measured.acknowledged).toBeGreaterThan(before);
      expect(measured.unknown).toBeGreaterThan(0);
      expect(backMs).toBeLessThan(30_000);
      for (const client of sale.servers) client.client.close();
      expect((await server.end('SIGTERM')).code).toBe(0);
      process.stdout.write(
        `failover, round ${round}: ${measured.acknowledged} acknowledged (${before} before it; in all ` +
          `${kinds.map(({ kind, count }) => `${count} ${kind}s`).join(', ')}), all there; ` +
          `${measured.unknown} without an answer at first, all resolved by their keys ` +
          `(${tally.counts.get('unknown, and it had happened')} had happened); sells ${backMs} ms after the promotion\n`,
      );
    } finally {
      await after.end();
      await close();
    }
  },
);

testWithStandby(
  'a commit that the synchronous standby does not confirm is not acknowledged, not even when its time is up',
  async () => {
    const { primary, standby, close } = await startReplication({ synchronous: true });
    const database = await openDatabase({ url: primary.url, poolSize: 2, log: testLogger() });
    try {
      await primary.sql('CREATE TABLE told (n int)');
      await standby.end('SIGINT');
      const committing = database.inTransaction('tell', async ({ em }) => {
        await setStatementTimeout(em, 200);
        await run(em, sql`INSERT INTO told VALUES (1)`);
      });
      expect(await Promise.race([committing.then(() => 'acknowledged'), sleep(1_500, 'waits')])).toBe('waits');
      await standby.start();
      await committing;
      // It has it on disk; it is shown a moment later.
      await until(async () => (await standby.sql('SELECT n FROM told')).length === 1);
    } finally {
      await database.close();
      await close();
    }
  },
);

testWithStandby(
  'a primary that takes no writes any more is given up for the one that was promoted, and stays so',
  async () => {
    const { primary, standby, close } = await startReplication({ synchronous: false });
    const log = testLogger();
    const url = [primary.url, standby.url];
    const databases: Database[] = [];
    const open = async () => {
      databases.push(await openDatabase({ url, poolSize: 2, log }));
      return databases.at(-1)!;
    };
    const write = (database: Database) =>
      database.inTransaction('write', async ({ em }) => {
        const [row] = await run<{ port: string }>(
          em,
          sql`INSERT INTO written SELECT current_setting('port') RETURNING port`,
        );
        return row!.port;
      });
    const portOf = (server: { url: string }) => new URL(server.url).port;
    const restrict = async (isReadOnly: boolean) => {
      await primary.sql(`ALTER SYSTEM SET default_transaction_read_only = ${isReadOnly}`);
      await primary.sql('SELECT pg_reload_conf()');
    };
    try {
      const early = await open();
      await primary.sql('CREATE TABLE written (port text)');
      expect(await Promise.all([write(early), write(early)])).toEqual([portOf(primary), portOf(primary)]);
      await restrict(true);
      await standby.promote();
      // Open connections fail with 25006, and their work runs again.
      expect(await Promise.all([write(early), write(early)])).toEqual([portOf(standby), portOf(standby)]);
      // The old primary is not fenced. It takes writes again, and its timeline shows that they would be lost.
      await restrict(false);
      await until(
        async () =>
          (await primary.sql('SHOW default_transaction_read_only'))[0]!['default_transaction_read_only'] === 'off',
      );
      expect(await write(await open())).toBe(portOf(standby));
      expect(await write(early)).toBe(portOf(standby));
    } finally {
      await Promise.all(databases.map((database) => database.close()));
      await close();
    }
  },
);

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(10);
}
