/**
 * Whatever PostgreSQL lets an operator set for the database or the role: a purchase works as it does without it, or the start
 * is refused and the refusal names the setting.
 */
import { Client } from 'pg';
import { checkServer } from '../../src/database/check-server';
import { openDatabase, type Database } from '../../src/database/database';
import { readHistory } from '../../src/database/timelines';
import { readOrders, readPaymentEvents, readStockLevels, readStockReports } from '../../src/database/read-models';
import { message, newKey, openShop, serverOn, type Shop } from '../support/checkout';
import { databaseUrl } from '../support/cluster';
import { CITUS_URL } from '../support/citus';
import { expectClean } from '../support/invariants';
import { expire, makeOrderOverdue } from '../support/time';

let shop: Shop;
let admin: Client;
let name: string;
beforeAll(async () => {
  shop = await openShop();
  name = new URL(shop.url).pathname.slice(1);
  admin = new Client({ connectionString: databaseUrl('postgres') });
  await admin.connect();
  await admin.query(`CREATE ROLE ${name} NOLOGIN`);
});
afterAll(async () => {
  await admin.query(`DROP ROLE ${name}`);
  await admin.end();
  await shop.close();
});

/** Names that a wrong escape, encoding or format would change. */
const NAME = `O'Reilly \\' "Grüße" 😀 {"a",NULL} $1 ? \\`;

/** Everything that is written and read in a purchase, with what it has to be. */
async function purchase(database: Database): Promise<void> {
  const server = serverOn(database, shop.log);
  const product = await server.product(20, { name: NAME, saleStartsAt: new Date('2026-02-03T04:05:06.789Z') });
  const customerId = NAME;
  const [one, other] = await Promise.all([server.hold(product), server.hold(product, { customerId })]);
  expect(one.id).not.toBe(other.id);
  const before = Date.now();
  const hold = await server.hold(product, { customerId, idempotencyKey: newKey() });
  expect(Math.abs(hold.createdAt.getTime() - before)).toBeLessThan(60_000);
  expect(hold.expiresAt.getTime() - hold.createdAt.getTime()).toBe(120_000);
  const order = await server.order(hold);
  const event = { ...message('succeeded', order), payload: { note: NAME } };
  expect(await server.receive(event)).toMatchObject({ kind: 'recorded', event: { outcome: 'APPLIED' } });
  expect(await server.receive(event)).toMatchObject({ kind: 'duplicate', event: { payload: { note: NAME } } });
  expect(await server.receive(message('refunded', order, { paymentId: event.paymentId }))).toMatchObject({
    event: { outcome: 'APPLIED' },
  });
  await server.releaseHold(other.id, customerId);
  const early = await server.hold(product);
  await server.receive(message('failed', early));
  expect((await server.order(early)).status).toBe('CANCELLED');
  const unpaid = await server.orderOf(product);
  await makeOrderOverdue(shop.sql, unpaid.id);
  await expire(shop.sql, one.id);
  expect(await server.sweep()).toMatchObject({ expiredHolds: 1, cancelledOrders: 1, skipped: 0 });

  const [level] = await database.read((em) => readStockLevels(em, [product.id], { withDescriptions: false }));
  expect(level).toMatchObject({
    available: 19,
    total: 20,
    product: { name: NAME, saleStartsAt: product.saleStartsAt },
  });
  const page = { limit: 5, after: null };
  const [shown] = await database.read((em) => readOrders(em, customerId, page));
  expect(shown).toMatchObject({ id: order.id, customerId: NAME, createdAt: order.createdAt, status: 'REFUNDED' });
  const [latest] = await database.read((em) => readPaymentEvents(em, { outcome: null, openOnly: false }, page));
  expect(Math.abs(latest!.receivedAt.getTime() - Date.now())).toBeLessThan(60_000);
  const story = await database.read((em) => readHistory(em, order.id));
  expect(story!.order!.createdAt).toEqual(order.createdAt);
  const reports = await database.read((em) => readStockReports(em, page));
  expect(reports.length).toBeGreaterThan(0);
}

/** Every session that begins from now on has it, PgBouncer's too. */
async function withSetting<T>(setting: string, value: string, work: () => Promise<T>): Promise<T | 'not possible'> {
  const literal = admin.escapeLiteral(value);
  // What PostgreSQL refuses is nothing that a server could meet.
  const isSet = await admin
    .query(`ALTER DATABASE ${name} SET ${setting} = ${setting === 'search_path' ? value : literal}`)
    .then(
      () => true,
      () => false,
    );
  if (!isSet) return 'not possible';
  try {
    await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, [name]);
    return await work();
  } finally {
    await admin.query(`ALTER DATABASE ${name} RESET ${setting}`);
    await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, [name]);
  }
}

/** How it went: it worked, or the start was refused by this sentence. */
async function startWith(setting: string, value: string): Promise<string> {
  const outcome = await withSetting(setting, value, async () => {
    const database = await openDatabase({ url: shop.url, poolSize: 4, log: shop.log });
    try {
      await checkServer(database, false);
    } catch (error) {
      return (error as Error).message;
    } finally {
      await database.close();
    }
    const own = await openDatabase({ url: shop.url, poolSize: 4, log: shop.log });
    try {
      await purchase(own);
      await expectClean(shop);
      return 'works';
    } finally {
      await own.close();
    }
  });
  return outcome;
}

/** Of the other types, those that change what a statement may do, what it means, or how its answer looks; and a few plans. */
const OTHERS: readonly (readonly [string, string])[] = [
  ['statement_timeout', '300ms'],
  ['lock_timeout', '1ms'],
  ['idle_in_transaction_session_timeout', '1ms'],
  ['idle_session_timeout', '200ms'],
  ['transaction_timeout', '1s'],
  ['DateStyle', 'SQL, DMY'],
  ['DateStyle', 'German'],
  ['DateStyle', 'Postgres, YMD'],
  ['IntervalStyle', 'sql_standard'],
  ['IntervalStyle', 'iso_8601'],
  ['TimeZone', 'Asia/Kathmandu'],
  ['TimeZone', 'America/St_Johns'],
  ['extra_float_digits', '-15'],
  ['search_path', 'nowhere'],
  ['search_path', 'pg_catalog, public'],
  ['client_encoding', 'LATIN1'],
  ['client_encoding', 'SQL_ASCII'],
  ['lc_messages', 'de_DE.UTF-8'],
  ['lc_time', 'de_DE.UTF-8'],
  ['lc_numeric', 'de_DE.UTF-8'],
  ['enable_seqscan', 'off'],
  ['enable_indexscan', 'off'],
  ['enable_nestloop', 'off'],
  ['work_mem', '64kB'],
  ['temp_buffers', '100'],
  ['join_collapse_limit', '1'],
  ['from_collapse_limit', '1'],
  ['max_parallel_workers_per_gather', '8'],
  ['default_tablespace', 'pg_default'],
  ['role', ''],
];

const testOnOneServer = CITUS_URL ? test.skip : test;

testOnOneServer(
  'a purchase works, or the start is refused by the setting’s name, whatever a session can be set to',
  async () => {
    const { rows } = await admin.query<{ name: string; values: string[] }>(
      `SELECT name, CASE vartype WHEN 'bool' THEN ARRAY[CASE setting WHEN 'on' THEN 'off' ELSE 'on' END]
        ELSE array_remove(enumvals, setting) END AS values
     FROM pg_settings
     WHERE context IN ('user', 'superuser') AND vartype IN ('bool', 'enum') AND name !~ '^(log_|debug_|trace_|track_|client_min|enable_|jit_)'
       AND name NOT IN ('transaction_read_only', 'transaction_deferrable', 'transaction_isolation', 'is_superuser')
     ORDER BY name`,
    );
    const all = [...rows.flatMap((row) => row.values.map((value) => [row.name, value] as const)), ...OTHERS];
    expect(all.length).toBeGreaterThan(60);
    const refused: string[] = [];
    const failed: string[] = [];
    let works = 0;
    for (const [setting, value] of all) {
      const outcome = await startWith(setting, value).catch((error: unknown) => {
        failed.push(`${setting} = ${value}: ${String(error instanceof Error ? error.message : error).slice(0, 300)}`);
        return null;
      });
      if (outcome === 'works') works += 1;
      else if (outcome !== null && outcome !== 'not possible') {
        refused.push(`${setting} = ${value}`);
        if (!outcome.includes(setting.toLowerCase()))
          failed.push(`${setting} = ${value} is refused without its name: ${outcome}`);
      }
    }
    process.stdout.write(`settings: ${all.length} tried, ${works} work, refused: ${refused.join(', ')}\n`);
    expect(failed).toEqual([]);
  },
  600_000,
);
