/** What is looked at when a server starts: a PostgreSQL that could not keep our promises is refused, and what is unwise is said. */
import { checkServer } from '../../src/database/check-server';
import { openDatabase } from '../../src/database/database';
import { closeLogger } from '../../src/telemetry/logger';
import { testLogger } from '../support/log';
import { canReplicate, startReplication, type Replication } from '../support/replication';

const log = testLogger();
/** A cluster of our own: its settings are changed. */
let cluster: Replication;
beforeAll(async () => {
  if (canReplicate) cluster = await startReplication({ synchronous: false });
});
afterEach(async () => {
  if (canReplicate) await cluster.primary.sql('ALTER SYSTEM RESET ALL');
});
afterAll(async () => {
  await cluster?.close();
  await closeLogger(log);
});
const testOnCluster = canReplicate ? test : test.skip;

async function check(url: string, isOneOfSeveral = false): Promise<string[]> {
  const database = await openDatabase({ url, poolSize: 1, log });
  try {
    return await checkServer(database, isOneOfSeveral);
  } finally {
    await database.close();
  }
}

/** Every connection that is opened after it has them. */
async function set(setting: string, value: string): Promise<void> {
  const { primary } = cluster;
  await primary.sql(`ALTER SYSTEM SET ${setting} = '${value}'`);
  await primary.sql('SELECT pg_reload_conf()');
  const isSet = async () => (await primary.sql<Record<string, string>>(`SHOW ${setting}`))[0]![setting] === value;
  for (let tries = 0; !(await isSet()); tries += 1) if (tries === 200) throw new Error(`${setting} is not ${value}`);
}

testOnCluster('nothing is said of one that is as it should be', async () => {
  expect(await check(cluster.primary.url)).toEqual([]);
});

testOnCluster.each(['fsync', 'synchronous_commit'])('%s off is refused', async (setting) => {
  await set(setting, 'off');
  await expect(check(cluster.primary.url)).rejects.toThrow(/^PostgreSQL runs with fsync or synchronous_commit off/);
  await set(setting, 'on');
  expect(await check(cluster.primary.url)).toEqual([]);
});

testOnCluster('a standby is refused', async () => {
  await expect(check(cluster.standby.url)).rejects.toThrow(/^The database is a standby/);
});

testOnCluster('full_page_writes off is a warning', async () => {
  await set('full_page_writes', 'off');
  expect(await check(cluster.primary.url)).toEqual([expect.stringMatching(/^full_page_writes is off/)]);
  await set('full_page_writes', 'on');
});

testOnCluster('another encoding is a warning', async () => {
  await cluster.primary.sql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
  const url = new URL(cluster.primary.url);
  url.pathname = '/ascii';
  expect(await check(url.href)).toEqual([expect.stringMatching(/^the database's encoding is SQL_ASCII/)]);
});

testOnCluster('of several servers it is a warning that no standby confirms a COMMIT', async () => {
  const warning = expect.stringMatching(/^no standby confirms a COMMIT/);
  expect(await check(cluster.primary.url, true)).toEqual([warning]);
  await set('synchronous_standby_names', 'standby');
  expect(await check(cluster.primary.url, true)).toEqual([]);
  await set('synchronous_commit', 'local');
  expect(await check(cluster.primary.url, true)).toEqual([warning]);
});
