/** db:distribute, and what the layout on Citus changes. Most of it needs a cluster: CITUS_URL, see tests/support/citus-cluster.sh. */
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { distribute } from '../../src/database/distribute';
import { openDatabase } from '../../src/database/database';
import { createDatabase, migrateAt } from '../../src/tools/load/scratch-database';
import { seed } from '../../src/database/seed';
import { run, setLockTimeout, sql } from '../../src/postgres/statement';
import { lockStock } from '../../src/checkout/stock-keeper';
import { Busy } from '../../src/domain/errors';
import { CITUS_URL, onOneServer, SHARDS } from '../support/citus';
import { ALICE, BOB, codesOf, newKey, openShop, serverOn, valueOf, type Shop } from '../support/checkout';
import { connectAdmin, drop, nameOf } from '../support/cluster';
import { untilSomebodyWaits } from '../support/database';
import { expectClean } from '../support/invariants';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterAll(() => shop.close());

const describeOnCitus = CITUS_URL ? describe : describe.skip;

onOneServer('a server without Citus is refused in one sentence, and left alone', async () => {
  await expect(distribute(shop.url, { dryRun: false })).rejects.toThrow(/^This database has no Citus: .*\.$/);
  expect(shop.database.isDistributed).toBe(false);
  await expectClean(shop);
});

test('an order that is not to be seen yet is waited for, and its hold is not unknown', async () => {
  const hold = await shop.hold(await shop.product(1));
  const order = await shop.order(hold);
  // Commits of two shards become visible one after the other.
  const [hidden] = await shop.sql<Record<string, unknown>>('DELETE FROM orders WHERE id = $1 RETURNING *', [order.id]);
  const again = shop.createOrder({ holdIds: [hold.id], customerId: 'somebody else' });
  const columns = Object.keys(hidden!);
  const values = columns.map((_, n) => `$${n + 1}`);
  await shop.sql(`INSERT INTO orders (${columns.join()}) VALUES (${values.join()})`, Object.values(hidden!));
  expect(codesOf(await again)).toEqual(['HOLD_ALREADY_USED']);
  await expectClean(shop);
});

describeOnCitus('db:distribute, on Citus (CITUS_URL)', () => {
  let admin: Client;
  let name: string;
  let url: string;
  beforeEach(async () => {
    admin = await connectAdmin('flashsale tests');
    name = nameOf(randomBytes(4).toString('hex'));
    url = await createDatabase(server(), name, { shards: SHARDS });
  });
  afterEach(async () => {
    await drop(admin, name);
    await admin.end();
  });

  const server = () => ({ admin, url: CITUS_URL! });
  /** The same database as the first worker has it. */
  const urlAtWorker = async () => {
    const [worker] = await query<{ host: string }>(
      `SELECT nodename || ':' || nodeport AS host FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid LIMIT 1`,
    );
    return Object.assign(new URL(url), { host: worker!.host }).href;
  };
  const query = async <Row>(text: string): Promise<Row[]> => {
    const client = new Client({ connectionString: url });
    await client.connect();
    return client.query(text).then(
      ({ rows }) => client.end().then(() => rows as Row[]),
      (error) => client.end().then(() => Promise.reject(error)),
    );
  };
  const layout = () =>
    query<{ table: string; by: string | null }>(
      `SELECT logicalrelid::text AS table, column_to_column_name(logicalrelid, partkey) AS by
       FROM pg_dist_partition ORDER BY 1`,
    );

  test('db:distribute refuses a database without tables, a worker, and a coordinator without workers', async () => {
    await expect(distribute(url, { dryRun: false })).rejects.toThrow('The tables are missing: run db:migrate first.');
    await expect(distribute(await urlAtWorker(), { dryRun: false })).rejects.toThrow(
      /^This is no Citus coordinator with workers/,
    );
    await query('SELECT citus_remove_node(nodename, nodeport) FROM pg_dist_node WHERE groupid <> 0');
    await expect(distribute(url, { dryRun: false })).rejects.toThrow(/^This is no Citus coordinator with workers/);
  });

  test('db:distribute refuses tables that are distributed in another way', async () => {
    await migrateAt(url, shop.log);
    await query(`SELECT create_distributed_table('payment_events', 'provider')`);
    await expect(distribute(url, { dryRun: false })).rejects.toThrow(
      'payment_events is distributed already, but by provider, not event_id.',
    );
  });

  test('spreads the tables with their rows, once; a dry run says how, and does nothing', async () => {
    await migrateAt(url, shop.log);
    const before = await openDatabase({ url, poolSize: 1, log: shop.log });
    expect(before.isDistributed).toBe(false);
    await seed(before);
    await before.close();
    const told = await distribute(url, { dryRun: true });
    expect(told).toContain(`SELECT create_reference_table('products')`);
    expect(await layout()).toEqual([]);

    expect(await distribute(url, { dryRun: false })).toEqual(told);
    expect(await layout()).toEqual([
      { table: 'holds', by: 'product_id' },
      { table: 'order_lines', by: 'order_id' },
      { table: 'orders', by: 'id' },
      { table: 'payment_events', by: 'event_id' },
      { table: 'products', by: null },
      { table: 'stock', by: 'product_id' },
      { table: 'stock_adjustments', by: 'product_id' },
    ]);
    expect(await query('SELECT count(*)::int AS n FROM stock JOIN products ON id = product_id')).toEqual([{ n: 5 }]);
    await expectClean({ url });
    expect(await distribute(url, { dryRun: false })).toEqual([]);
    expect(await distribute(url, { dryRun: true })).toEqual([]);

    const after = await openDatabase({ url, poolSize: 1, log: shop.log });
    expect(after.isDistributed).toBe(true);
    await after.close();
  });
});

describeOnCitus('on Citus (CITUS_URL)', () => {
  test('all that a hold, its copy and its refusals ask is asked of one worker', async () => {
    const product = await shop.product(3, { maxPerCustomer: 2 });
    const setting = `ALTER DATABASE ${new URL(shop.url).pathname.slice(1)} SET citus.multi_task_query_log_level`;
    await shop.sql(`${setting} = 'error'`);
    const strict = await shop.openAnother();
    try {
      const server = serverOn(strict, shop.log);
      const input = { productId: product.id, quantity: 2, customerId: ALICE, idempotencyKey: newKey() };
      const hold = valueOf(await server.createHold(input));
      expect(await server.createHold(input)).toMatchObject({ replay: true, value: { id: hold.id } });
      expect(codesOf(await server.createHold({ ...input, idempotencyKey: null }))).toEqual(['LIMIT_PER_CUSTOMER']);
      expect(codesOf(await server.createHold({ ...input, customerId: BOB, idempotencyKey: null }))).toEqual([
        'OUT_OF_STOCK',
      ]);
      const all = strict.read((em) => run(em, sql`/* control */ SELECT count(*) FROM holds`));
      await expect(all).rejects.toMatchObject({ cause: { message: expect.stringContaining('multi-task query') } });
    } finally {
      await shop.sql(`${setting} TO DEFAULT`);
      await strict.close();
    }
  });

  test('a lock’s timeout is the worker’s too', async () => {
    const { id } = await shop.product(1);
    const lock = (timeoutMs: number) => (database: Shop['database']) =>
      database.inTransaction('lock', async ({ em }) => {
        await setLockTimeout(em, timeoutMs);
        await lockStock(em, id);
        if (timeoutMs > 1_000) await waiting;
      });
    let stop!: () => void;
    const waiting = new Promise<void>((resolve) => (stop = resolve));
    const first = lock(2_000)(shop.database);
    const second = lock(300)(shop.database);
    await untilSomebodyWaits(shop.sql);
    await expect(second).rejects.toThrow(Busy);
    stop();
    await first;
  });
});
