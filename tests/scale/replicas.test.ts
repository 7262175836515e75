/** Products from a streaming replica: shown, never decided on, at most 2 s old, and never at the price of a failed read. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startApp, type App } from '../../src/app';
import { loadConfig } from '../../src/config';
import { migrate } from '../../src/database/migrate';
import { openDatabase } from '../../src/database/database';
import { testLogger } from '../support/log';
import { canReplicate, startReplication, type Replication } from '../support/replication';
import { clientOf, type Client } from '../support/server';

/** The promise is 2 s; a look every half second, and a busy machine. */
const SOON_MS = 10_000;

const testWithReplica = canReplicate ? test : test.skip;

let replication: Replication;
let app: App;
let client: Client;
beforeAll(async () => {
  if (!canReplicate) return;
  replication = await startReplication({ synchronous: false });
  const { primary, standby } = replication;
  const log = testLogger();
  const config = loadConfig({
    NODE_ENV: 'test',
    PORT: '0',
    SWEEP_CRON: 'off',
    DATABASE_URL: primary.url,
    DATABASE_REPLICA_URLS: standby.url,
  });
  const database = await openDatabase({ url: primary.url, poolSize: 2, log });
  await migrate(database, primary.url);
  await database.close();
  app = await startApp(config, { databaseUrl: primary.url, log });
  client = await clientOf(app.url, config);
});
afterAll(async () => {
  if (!canReplicate) return;
  await app.close();
  await replication.close();
});

/** Undoes what a test did to the replica. */
afterEach(async () => {
  if (!canReplicate) return;
  await replication.standby.sql('SELECT pg_wal_replay_resume()');
});

const lag = async (): Promise<number> => {
  const { text } = await client.fetch('/metrics');
  return Number(/^flashsale_replica_lag_seconds\{replica="127\.0\.0\.1:\d+"\} (\S+)$/m.exec(text)?.[1] ?? Infinity);
};
async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (const patience = AbortSignal.timeout(SOON_MS); !(await isSo()); await sleep(50)) {
    if (patience.aborted) throw new Error(`not within ${SOON_MS} ms: ${what}`);
  }
}
const untilUsed = () => until('the replica is used', async () => (await lag()) < 1);
async function untilReplayed(): Promise<void> {
  const { primary, standby } = replication;
  const [flushed] = await primary.sql<{ at: string }>('SELECT pg_current_wal_flush_lsn() AS at');
  const question = `SELECT FROM pg_last_wal_replay_lsn() AS at WHERE at >= '${flushed!.at}'`;
  await until('the standby has replayed it', async () => (await standby.sql(question)).length === 1);
}
const nameOf = async (id: string, token?: string) =>
  (await client.gql(`query ($id: ID) { product(id: $id) { name } }`, { id }, token)).body.data.product?.name as string;
const rename = (id: string, name: string) =>
  client.mutate('updateProduct', { productId: id, name }, client.tokens.admin);

/** Until a change that only the primary has is not shown: on a busy machine a replica may be too slow to be asked. */
async function untilPausedAsUsed(change: () => Promise<unknown>, isOld: () => Promise<boolean>): Promise<void> {
  await until('the replica is read', async () => {
    await replication.standby.sql('SELECT pg_wal_replay_resume()');
    await untilReplayed();
    await untilUsed();
    await replication.standby.sql('SELECT pg_wal_replay_pause()');
    await change();
    return isOld();
  });
}

testWithReplica(
  'products are read from the replica, by id, by sku and as a list; what it does not have yet is read from the primary',
  async () => {
    const { id, sku } = await client.product(5, { name: 'name 0' });
    let changes = 0;
    const change = () => rename(id, `name ${++changes}`);
    await untilPausedAsUsed(change, async () => {
      const [byId, bySku, list] = await Promise.all([
        nameOf(id),
        client.gql('query ($sku: String) { product(sku: $sku) { name } }', { sku }),
        client.gql('{ products(first: 100) { edges { node { name } } } }'),
      ]);
      const shown = [byId, bySku.body.data.product.name, list.body.data.products.edges[0].node.name];
      return shown.every((name) => name === `name ${changes - 1}`);
    });
    // Admins, who may have changed it, and buyers read the primary.
    const current = `name ${changes}`;
    expect(await nameOf(id, client.tokens.admin)).toBe(current);
    const held = await client.gql(
      'mutation ($id: ID!) { createHold(input: { productId: $id }) { hold { product { name availableStock } } } }',
      { id },
    );
    expect(held.body.data.createHold.hold.product).toEqual({ name: current, availableStock: 4 });
    const { id: newer } = await client.product(1, { name: 'newer' });
    expect(await nameOf(newer)).toBe('newer');
  },
);

testWithReplica('decisions, levels and what one has just done are never a replica’s', async () => {
  const { id } = await client.product(2);
  await untilReplayed();
  await untilUsed();
  await replication.standby.sql('SELECT pg_wal_replay_pause()');
  const hold = await client.hold(id, { quantity: 2 });
  expect((await client.mutate('createHold', { productId: id })).codes).toEqual(['OUT_OF_STOCK']);
  const shown = await client.gql('query ($id: ID) { product(id: $id) { availableStock saleStatus } }', { id });
  expect(shown.body.data.product).toEqual({ availableStock: 0, saleStatus: 'FULLY_HELD' });
  const order = await client.order(hold.id);
  const mine = await client.gql('query ($o: ID!, $h: ID!) { order(id: $o) { status } hold(id: $h) { status } }', {
    o: order.id,
    h: hold.id,
  });
  expect(mine.body.data).toEqual({ order: { status: 'PENDING_PAYMENT' }, hold: { status: 'CONSUMED' } });
  const report = await client.gql(
    'query ($id: ID!) { stockReport(productId: $id) { available awaitingPayment } }',
    { id },
    client.tokens.admin,
  );
  expect(report.body.data.stockReport).toEqual({ available: 0, awaitingPayment: 2 });
});

testWithReplica('a replica that lags is left out within 2 s, and comes back by itself', async () => {
  const { id } = await client.product(1, { name: 'before' });
  await untilReplayed();
  await untilUsed();
  await replication.standby.sql('SELECT pg_wal_replay_pause()');
  await rename(id, 'after');
  const renamedAt = performance.now();
  await until('the primary answers', async () => (await nameOf(id)) === 'after');
  expect(performance.now() - renamedAt).toBeLessThan(3_500);
  await until('its lag is told', async () => (await lag()) > 2);
  await replication.standby.sql('SELECT pg_wal_replay_resume()');
  await untilUsed();
});

testWithReplica(
  'a replica that is cut off from the primary is left out, though it has nothing left to replay',
  async () => {
    const { id } = await client.product(1, { name: 'before' });
    await untilReplayed();
    await untilUsed();
    const { standby } = replication;
    await standby.end('SIGINT');
    await standby.start({ primary_conninfo: '' });
    await rename(id, 'after');
    // It had everything when it was cut off, so it may be shown for 2 s; and for half a second an answer may be under way.
    await sleep(2_500);
    for (const patience = AbortSignal.timeout(1_500); !patience.aborted; await sleep(50)) {
      expect(await nameOf(id)).toBe('after');
    }
    await standby.end('SIGINT');
    await standby.start();
    await untilUsed();
  },
);

testWithReplica('no read fails when the replica is killed, stopped, or started again', async () => {
  const { id } = await client.product(1, { name: 'steady' });
  await untilReplayed();
  await untilUsed();
  const { standby } = replication;
  const names: string[] = [];
  const slowest = { ms: 0 };
  const load = { isOn: true };
  const readers = Array.from({ length: 8 }, async () => {
    while (load.isOn) {
      const startedAt = performance.now();
      names.push(await nameOf(id));
      slowest.ms = Math.max(slowest.ms, performance.now() - startedAt);
    }
  });
  await sleep(300);
  await standby.end('SIGKILL');
  await sleep(700);
  await standby.start();
  await untilUsed();
  const backends = await standby.sql<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE application_name = 'flash-sale'`,
  );
  for (const { pid } of backends) process.kill(pid, 'SIGSTOP');
  await sleep(800);
  for (const { pid } of backends) process.kill(pid, 'SIGCONT');
  load.isOn = false;
  await Promise.all(readers);
  expect(names.length).toBeGreaterThan(100);
  expect(names.filter((name) => name !== 'steady')).toEqual([]);
  expect(slowest.ms).toBeLessThan(2_000);
});
