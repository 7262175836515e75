/**
 * Four server processes sell one hot product, behind PgBouncer where it is installed, and are restarted one after the other
 * in the middle of it: a repeat with the same key gets an answer, and every answer was true.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../../src/tools/load/random';
import { Tally } from '../prove/tally';
import { HttpClient } from '../prove/client';
import { audit, shop, type Intent, type Sale } from '../prove/sale-under-faults';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { expectClean } from '../support/invariants';
import { findPgBouncer, startPgBouncer, type PgBouncer } from '../support/pgbouncer';
import { buildProject, type Build, type RunningServer } from '../support/process';

const SERVERS = 4;
const SHOPPERS = 16;
/** Little enough to be sold out, and to come back by expiries. */
const STOCK = 120;
const SETTINGS = {
  HOLD_TTL_SECONDS: '2',
  ORDER_PAYMENT_WINDOW_SECONDS: '3',
  DATABASE_POOL_SIZE: '4',
  RATE_LIMIT: 'off',
  LOG_LEVEL: 'warn',
};
/** PgBouncer's connections to PostgreSQL, for up to SERVERS × (2 × DATABASE_POOL_SIZE + 2) connections of the servers. */
const POOL_SIZE = 8;
const ANSWER_WITHIN_MS = 30_000;

let build: Build;
let db: FreshDatabase;
let pgbouncer: PgBouncer | null = null;
beforeAll(async () => {
  [db, build] = await Promise.all([freshDatabase({ isDirect: true }), buildProject()]);
  const program = findPgBouncer();
  if (program) pgbouncer = await startPgBouncer(program, db.url, POOL_SIZE);
  else process.stdout.write('pgbouncer is not installed: four servers are tested without it\n');
});
afterAll(async () => {
  await build.remove();
  await pgbouncer?.stop();
  await db.close();
});

test('a rolling restart of four servers under load neither loses nor oversells anything', async () => {
  const env = { ...SETTINGS, DATABASE_URL: pgbouncer?.urlOf(db.url) ?? db.url };
  const servers: RunningServer[] = await Promise.all(Array.from({ length: SERVERS }, () => build.start(env)));
  const clients = servers.map(({ url }) => new HttpClient(url));
  const { id: hot } = await servers[0]!.product(STOCK);
  const sale: Sale = {
    random: new Random(4),
    products: [hot],
    servers: clients.map((client) => ({ client })),
    installation: { sql: db.sql, ensureClean: () => expectClean(db) },
  };
  const history: Intent[] = [];
  const load = { isOn: true };
  const shoppers = Array.from({ length: SHOPPERS }, (_, n) => shop(sale, n, history, load));
  await sleep(1_000);
  for (const [n, server] of servers.entries()) {
    expect((await server.end('SIGTERM')).code).toBe(0);
    servers[n] = await build.start({ ...env, PORT: new URL(server.url).port });
  }
  await sleep(1_000);
  load.isOn = false;
  await Promise.all(shoppers);

  const codes = ({ replies }: Intent) => replies.map(({ reply }) => reply.code);
  const [cutOff, turnedAway] = ['LOST', 'UNREACHED'].map((code) => history.filter((own) => codes(own).includes(code)));
  const unanswered = history.filter((intent) => ['BUSY', 'UNREACHED'].includes(codes(intent).at(-1)!));
  for (const intent of unanswered) await untilAnswered(intent, clients[0]!);
  const tally = new Tally();
  const measured = await audit(sale, history, tally);
  const [stored] = await db.sql<{ expired: number }>(
    `SELECT count(*) FILTER (WHERE status = 'EXPIRED')::int AS expired FROM holds WHERE product_id = $1`,
    [hot],
  );
  expect(stored!.expired).toBeGreaterThan(0);
  expect(tally.counts.get('refusals')).toBeGreaterThan(0);
  expect(turnedAway!.length).toBeGreaterThan(0);
  expect(history.filter(({ replies }) => new Set(replies.map(({ server }) => server)).size > 1)).not.toEqual([]);
  if (pgbouncer) {
    const stats = await pgbouncer.command('SHOW STATS');
    expect(stats.map(({ total_xact_count }) => Number(total_xact_count)).reduce((a, b) => a + b)).toBeGreaterThan(500);
  }
  for (const client of clients) client.close();
  const ends = await Promise.all(servers.map((server) => server.end('SIGTERM')));
  expect(ends.map(({ code }) => code)).toEqual(Array(SERVERS).fill(0));
  process.stdout.write(
    `${SERVERS} servers ${pgbouncer ? 'behind PgBouncer' : 'without PgBouncer'}: ${measured.acknowledged} acknowledged, ` +
      `${measured.refused} refused, ${cutOff!.length} cut off and ${turnedAway!.length} turned away by a restart, all answered when repeated; ` +
      `${stored!.expired} holds expired, slowest answer ${measured.slowestMs} ms\n`,
  );
});

async function untilAnswered(intent: Intent, client: HttpClient): Promise<void> {
  for (const patience = AbortSignal.timeout(ANSWER_WITHIN_MS); ; await sleep(50)) {
    const [from, askedAt] = [performance.now(), Date.now()];
    const reply = await client.ask(intent.op);
    intent.replies.push({ reply, from, until: performance.now(), askedAt, server: 0 });
    if (!['BUSY', 'UNREACHED', 'LOST', 'UNAVAILABLE'].includes(reply.code)) return;
    if (patience.aborted) throw new Error(`no answer within ${ANSWER_WITHIN_MS} ms: ${JSON.stringify(intent.op)}`);
  }
}
