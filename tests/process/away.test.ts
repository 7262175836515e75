/** The database goes away and comes back: clients get an answer at once, nothing partial remains, and the server recovers (P10). */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { grantsFor } from '../../src/database/grants';
import { connectAdmin, isPooled } from '../support/cluster';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { expectClean } from '../support/invariants';
import { buildProject, type Build, type RunningServer } from '../support/process';
import { proxyTo, type Proxy } from '../support/proxy';
import { mutationText, paymentMessage } from '../support/server';

let db: FreshDatabase;
let proxy: Proxy;
let build: Build;
let server: RunningServer;
/** The server's own: a superuser is let in beyond every limit. */
const role = `flash_sale_${randomBytes(4).toString('hex')}`;
beforeAll(async () => {
  [db, build] = await Promise.all([freshDatabase(), buildProject()]);
  await db.sql(`CREATE ROLE ${role} LOGIN PASSWORD '${role}'`);
  await db.sql(grantsFor(role));
  proxy = await proxyTo(db.url);
  const url = new URL(proxy.url);
  url.username = url.password = role;
  server = await build.start({ DATABASE_URL: url.href });
});
afterAll(async () => {
  await build.remove();
  await proxy.stop();
  await expectClean(db);
  await db.sql(`DROP OWNED BY ${role}`);
  await db.sql(`DROP ROLE ${role}`);
  await db.close();
});

type Fault = [name: string, { begin(): Promise<void>; end(): Promise<void> }];
const faults: Fault[] = [
  ['cannot be reached', { begin: () => proxy.stop(), end: () => proxy.start() }],
  ['takes no connections', { begin: () => allowConnections(false), end: () => allowConnections(true) }],
];
// PgBouncer connects as another role.
if (!isPooled()) {
  faults.push(['has no connection left', { begin: () => limitConnections(0), end: () => limitConnections(-1) }]);
}

async function allowConnections(allowed: boolean): Promise<void> {
  const admin = await connectAdmin('flashsale tests');
  const name = new URL(db.url).pathname.slice(1);
  await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS ${allowed}`);
  if (!allowed) await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
  await admin.end();
}

/** Simulates exhausted `max_connections` (53300) for this database only, because other tests need theirs. -1: no limit. */
async function limitConnections(limit: number): Promise<void> {
  await db.sql(`ALTER ROLE ${role} CONNECTION LIMIT ${limit}`);
  await db.sql('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1', [role]);
}

const LEAK = /ECONN|127\.0\.0\.1|postgres|flashsale_test|SQLSTATE|57P01|53300|too many|\bat \S+ \(|node_modules/i;

test.each(faults)(
  'while the database %s, everybody is told, and afterwards everything works again',
  async (_name, fault) => {
    const product = await server.product(5);
    const hold = await server.hold(product.id);
    const order = await server.order((await server.hold(product.id)).id);
    const message = paymentMessage('succeeded', order);
    const input = { productId: product.id, idempotencyKey: `away-${product.id}` };
    expect((await server.fetch('/readyz')).status).toBe(200);

    await fault.begin();
    try {
      const timed = async <T extends { status: number; text: string }>(work: () => Promise<T>): Promise<T> => {
        const asked = performance.now();
        const reply = await work();
        expect(performance.now() - asked).toBeLessThan(5_000);
        expect(reply.text).not.toMatch(LEAK);
        return reply;
      };
      const documents: [string, Record<string, unknown>?][] = [
        ['{ serverTime }'],
        [`{ product(id: "${product.id}") { availableStock } }`],
        [`{ hold(id: "${hold.id}") { status } }`],
        [mutationText('createHold'), { input }],
        [mutationText('releaseHold'), { input: { holdId: hold.id } }],
        [mutationText('createOrder'), { input: { holdIds: [hold.id] } }],
        [mutationText('cancelOrder'), { input: { orderId: order.id } }],
      ];
      for (const [query, variables] of documents) {
        const reply = await timed(() => server.gql(query, variables));
        expect([query, reply.status, reply.body.errors?.[0]?.extensions]).toEqual([
          query,
          503,
          { code: 'SERVICE_UNAVAILABLE', retryAfterMs: expect.any(Number) },
        ]);
        expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
      }
      const webhook = await timed(() => server.webhook(message));
      expect(webhook.status).toBe(503);
      expect(Number(webhook.headers.get('retry-after'))).toBeGreaterThan(0);

      expect((await server.fetch('/livez')).status).toBe(200);
      expect((await timed(() => server.fetch('/readyz'))).status).toBe(503);
      expect((await server.fetch('/graphql', { headers: { accept: 'text/html' } })).status).toBe(200);
    } finally {
      await fault.end();
    }

    const patience = AbortSignal.timeout(30_000);
    while ((await server.fetch('/readyz')).status !== 200 && !patience.aborted) await sleep(50);
    expect((await server.webhook(message)).body).toMatchObject({ outcome: 'APPLIED', duplicate: false });
    const { object } = await server.mutate('createHold', input);
    expect(object.status).toBe('ACTIVE');
    expect((await server.mutate('createHold', input)).object.id).toBe(object.id);
    expect((await server.mutate('releaseHold', { holdId: hold.id })).codes).toEqual([]);
    const [row] = await db.sql<{ n: number }>('SELECT count(*)::int AS n FROM holds WHERE product_id = $1', [
      product.id,
    ]);
    expect(row!.n).toBe(3);
  },
);
