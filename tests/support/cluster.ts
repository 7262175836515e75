/**
 * The PostgreSQL of a test run: names of its databases, and the removal of those that dead runs left.
 *
 * A run is alive as long as one of its connections is: it says its name as `application_name`. So leftovers are told from
 * the databases of a run beside ours, also on a shared server, and after a `kill -9`.
 */
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { dropDatabase } from '../../src/tools/load/scratch-database';

/** Every database of every run begins so. */
const PREFIX = 'flashsale_test';
export const TEMPLATE = 'template';
/** How the setup tells the tests, which are other processes. */
const URL_KEY = 'FLASHSALE_TEST_SERVER';
const RUN_KEY = 'FLASHSALE_TEST_RUN';
/** Where what is tested connects, when that is PgBouncer: a server's URL as well. */
const POOLER_KEY = 'FLASHSALE_TEST_POOLER';

export interface Run {
  readonly id: string;
  /** Connected to the server's own database, and the run's sign of life. */
  readonly admin: Client;
  nameOf(database: string): string;
}

export async function beginRun(serverUrl: string): Promise<Run> {
  const id = `${process.pid.toString(36)}${randomBytes(3).toString('hex')}`;
  process.env[URL_KEY] = serverUrl;
  process.env[RUN_KEY] = id;
  return { id, admin: await connectAdmin(`${PREFIX} ${id}`), nameOf };
}

/** The run that the setup began, as the tests know it. */
export function nameOf(database: string): string {
  return `${PREFIX}_${fromSetup(RUN_KEY)}_${database}`;
}

/** The URL of a database on the run's server. */
export function databaseUrl(name: string): string {
  const url = new URL(fromSetup(URL_KEY));
  url.pathname = `/${name}`;
  return url.href;
}

/** What is tested reaches its databases here from now on; whoever makes, drops and asserts goes straight to the server. */
export function usePooler(serverUrl: string): void {
  process.env[POOLER_KEY] = serverUrl;
}

export function isPooled(): boolean {
  return POOLER_KEY in process.env;
}

/** The URL of a database, as what is tested is given it. */
export function servedUrl(name: string): string {
  const pooler = process.env[POOLER_KEY];
  if (pooler === undefined) return databaseUrl(name);
  const url = new URL(pooler);
  url.pathname = `/${name}`;
  return url.href;
}

/** To create and drop databases, and to see who is connected to them. */
export async function connectAdmin(applicationName: string): Promise<Client> {
  const client = new Client({ connectionString: fromSetup(URL_KEY), application_name: applicationName });
  // A server that dies while nothing is asked of it is told by the next query.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

export async function dropOwn({ id, admin }: Run): Promise<void> {
  for (const name of await databasesLike(admin, `${PREFIX}_${id}_`)) await drop(admin, name);
}

/** Databases first, the living after them: a run that begins meanwhile has its connection before its databases. */
export async function dropLeftovers({ admin }: Run): Promise<void> {
  const names = await databasesLike(admin, `${PREFIX}_`);
  const { rows } = await admin.query<{ name: string }>(
    `SELECT application_name AS name FROM pg_stat_activity WHERE application_name LIKE '${PREFIX} %'`,
  );
  const living = new Set(rows.map((row) => row.name.split(' ')[1]));
  for (const name of names) if (!living.has(name.split('_')[2])) await drop(admin, name);
}

async function databasesLike(admin: Client, prefix: string): Promise<string[]> {
  const { rows } = await admin.query<{ name: string }>(
    'SELECT datname AS name FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1',
    [prefix],
  );
  return rows.map((row) => row.name);
}

export async function drop(admin: Client, name: string): Promise<void> {
  await dropDatabase({ admin, url: fromSetup(URL_KEY) }, name);
}

function fromSetup(key: string): string {
  const value = process.env[key];
  if (value === undefined) throw new Error(`${key} is not set: tests/support/global-setup.ts has not run`);
  return value;
}
