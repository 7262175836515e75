/** db:grant: the server and the sweep run as a role that can make, change and delete no table and delete no row. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { Client } from 'pg';
import { grantsFor } from '../../src/database/grants';
import { migrate } from '../../src/database/migrate';
import { openDatabase } from '../../src/database/database';
import { reconcile } from '../../src/database/reconcile';
import { signPayload } from '../../src/webhooks/signature';
import { developmentWebhookSecret } from '../../src/config';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { expire } from '../support/time';
import { HOLD, openOn, type Target } from './open-app';

const role = `flash_sale_${randomBytes(4).toString('hex')} "quoted'`;
const quoted = `"${role.replaceAll('"', '""')}"`;
const password = randomBytes(12).toString('hex');
let db: FreshDatabase;
let target: Target;
let url: string;

beforeAll(async () => {
  db = await freshDatabase();
  await db.sql(`CREATE ROLE ${quoted} LOGIN PASSWORD '${password}'`);
  await db.sql(grantsFor(role));
  await db.sql(grantsFor(role));
  const own = new URL(db.url);
  own.username = encodeURIComponent(role);
  own.password = password;
  url = own.href;
  target = await openOn(db, { DATABASE_URL: url, HOLD_TTL_SECONDS: '60' });
});
afterAll(async () => {
  await target.close();
  await db.sql(`DROP OWNED BY ${quoted}`);
  await db.sql(`DROP ROLE ${quoted}`);
  await db.close();
});

test('the server’s role has exactly the listed rights on every table', async () => {
  const tables = await db.sql<{ name: string }>(
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
  );
  const granted = [...grantsFor('x').matchAll(/^GRANT .* ON (\w+) TO/gm)].map(([, table]) => table);
  expect(granted.filter((name) => name !== 'SCHEMA').sort()).toEqual(tables.map(({ name }) => name));
});

test('with these rights the server is ready, sells, takes payments, sweeps and reconciles', async () => {
  expect((await fetch(`${target.url}/readyz`)).status).toBe(200);
  const admin = await target.token('operator', ['admin']);
  const create =
    'mutation { createProduct(input: { sku: "A", name: "A", priceMinor: 1000, currency: "USD", totalStock: 10 }) { product { id } } }';
  const productId = (await target.ask(create, undefined, { token: admin })).data.createProduct.product.id as string;
  const hold = async () => (await target.ask(HOLD, { input: { productId } })).data.createHold.hold.id as string;
  const order = async (id: string) =>
    (await target.ask(`mutation { createOrder(input: { holdIds: ["${id}"] }) { order { id } } }`)).data.createOrder
      .order.id as string;
  const [released, expired, cancelled, paid] = [await hold(), await hold(), await hold(), await hold()];
  const all = [
    await target.ask(`mutation { releaseHold(input: { holdId: "${released}" }) { hold { status } } }`),
    await target.ask(`mutation { cancelOrder(input: { orderId: "${await order(cancelled)}" }) { order { status } } }`),
    await target.ask(
      `mutation { adjustStock(input: { productId: "${productId}", delta: 5, reason: "x" }) { product { totalStock } }
         updateProduct(input: { productId: "${productId}", name: "B" }) { product { name } } }`,
      undefined,
      { token: admin },
    ),
  ];
  expect(all.flatMap(({ errors }) => errors)).toEqual([]);
  const body = JSON.stringify({
    event_id: 'evt_1',
    type: 'payment.succeeded',
    data: { reference: paid, amount_minor: 1_000, currency: 'USD', payment_id: 'pay_1' },
  });
  const timestamp = Math.floor(Date.now() / 1_000);
  const webhook = await fetch(`${target.url}/webhooks/payments`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': 'evt_1',
      'webhook-timestamp': String(timestamp),
      'webhook-signature': signPayload({ id: 'evt_1', timestamp, body, secret: developmentWebhookSecret }),
    },
    body,
  });
  expect(await webhook.json()).toMatchObject({ outcome: 'APPLIED' });
  await expire(db.sql, expired);
  expect(await target.app.checkout.sweep()).toMatchObject({ expiredHolds: 1, skipped: 0 });
  expect((await reconcile(url)).violations).toEqual([]);
});

test('a start without pending migrations needs no further rights', async () => {
  const database = await openDatabase({ url, poolSize: 1, log: db.log });
  try {
    expect(await migrate(database, url)).toEqual([]);
  } finally {
    await database.close();
  }
});

test.each([
  'CREATE TABLE mine (id int)',
  'CREATE TEMPORARY TABLE mine (id int)',
  'CREATE SCHEMA mine',
  'CREATE EXTENSION pg_stat_statements',
  'CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
  'DROP TABLE holds',
  'ALTER TABLE stock DROP CONSTRAINT stock_available_in_range',
  'ALTER TABLE stock DISABLE TRIGGER ALL',
  'TRUNCATE holds CASCADE',
  'DELETE FROM holds',
  'DELETE FROM payment_events',
  'DELETE FROM orders',
  'UPDATE order_lines SET quantity = 1',
  'UPDATE stock_adjustments SET delta = 1',
  "INSERT INTO migrations (name) VALUES ('x')",
  'DELETE FROM migrations',
  "COPY products TO PROGRAM 'true'",
  "SELECT pg_read_file('postgresql.conf')",
  'CREATE ROLE other',
  'SELECT rolpassword FROM pg_authid',
])('the server’s role may not: %s', async (statement) => {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await expect(client.query(statement)).rejects.toMatchObject({ code: '42501' });
  } finally {
    await client.end();
  }
});

test('npm run db:grant prints these rights for a chosen role', () => {
  const root = resolve(__dirname, '../..');
  const printed = execFileSync('npm', ['run', '--silent', 'db:grant', '--', '--role', role], { cwd: root });
  expect(printed.toString()).toBe(grantsFor(role));
});
