/** A test's database on a Citus cluster: on the coordinator and on each worker, with the tables spread over them. */
import { Client } from 'pg';
import { distribute } from '../../src/database/distribute';
import { migrate } from '../../src/database/migrate';
import { openDatabase } from '../../src/database/orm';
import type { Logger } from '../../src/telemetry/logger';

/** The coordinator. Set: the tests' databases are made there, and spread over its workers. */
export const CITUS_URL = process.env.CITUS_URL || null;

/** A test of what there is on one server alone; on Citus it is skipped. Whoever calls it says why. */
export function onOneServer(name: string, work: () => Promise<void>): void {
  (CITUS_URL ? test.skip : test)(name, work);
}

/** Several a worker, so that rows of one test are apart; each costs time when a database is made. */
const SHARDS = 4;

/** Any number, the same for every test process. */
const CREATION_LOCK = 7_202_611_23;

interface Node {
  readonly host: string;
  readonly port: number;
}

/** With the migrated and distributed tables of this build. Takes some 2 s. */
export async function createDistributed(admin: Client, name: string, log: Logger): Promise<void> {
  const url = await createOnNodes(admin, name);
  await migrateAt(url, log);
  await distribute(url, { dryRun: false });
}

export async function migrateAt(url: string, log: Logger): Promise<void> {
  const database = await openDatabase({ url, poolSize: 1, log });
  try {
    await migrate(database, url);
  } finally {
    await database.close();
  }
}

/** An empty database of the coordinator, which knows its workers. Answers its URL. */
export async function createOnNodes(admin: Client, name: string): Promise<string> {
  const url = urlAt(null, name);
  // Two at once would write the same rows of the nodes' catalogues.
  await admin.query('SELECT pg_advisory_lock($1)', [CREATION_LOCK]);
  try {
    await joinNodes(admin, name, url);
  } finally {
    await admin.query('SELECT pg_advisory_unlock($1)', [CREATION_LOCK]);
  }
  return url;
}

async function joinNodes(admin: Client, name: string, url: string): Promise<void> {
  const workers = await workersOf(admin);
  for (const server of [admin, ...workers]) await on(server, (client) => client.query(`CREATE DATABASE ${name}`));
  await Promise.all(
    [url, ...workers.map((worker) => urlAt(worker, name))].map((each) =>
      onceAt(each, (client) => client.query('CREATE EXTENSION citus')),
    ),
  );
  await onceAt(url, async (client) => {
    const { hostname, port } = new URL(url);
    await client.query('SELECT citus_set_coordinator_host($1, $2)', [hostname, Number(port || 5432)]);
    for (const { host, port } of workers) await client.query('SELECT citus_add_node($1, $2)', [host, port]);
    await client.query(`ALTER DATABASE ${name} SET citus.shard_count = ${SHARDS}`);
  });
}

/** The same database as the first worker has it. */
export async function urlAtWorker(admin: Client, name: string): Promise<string> {
  const [worker] = await workersOf(admin);
  return urlAt(worker!, name);
}

/** On every node. Citus ends its own background processes with it. */
export async function dropDistributed(admin: Client, name: string): Promise<void> {
  const workers = await workersOf(admin);
  for (const server of [admin, ...workers]) {
    await on(server, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
  }
}

async function workersOf(admin: Client): Promise<Node[]> {
  const { rows } = await admin.query<Node>(
    `SELECT nodename AS host, nodeport AS port FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid`,
  );
  return rows;
}

async function on<T>(server: Client | Node, work: (client: Client) => Promise<T>): Promise<T> {
  return server instanceof Client ? work(server) : onceAt(urlAt(server), work);
}

async function onceAt<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, application_name: 'flashsale tests' });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** As the coordinator's user. Left out: the coordinator, and the database that its URL names. */
function urlAt(node: Node | null, database?: string): string {
  const url = new URL(CITUS_URL!);
  if (node) url.host = `${node.host}:${node.port}`;
  if (database !== undefined) url.pathname = `/${database}`;
  return url.href;
}
