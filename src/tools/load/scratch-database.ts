/** Creates and drops databases for benchmarks and tests: on one server, or on every node of a Citus cluster. */
import { Client } from 'pg';
import type { Logger } from '../../telemetry/logger';
import { distribute } from '../../database/distribute';
import { migrate } from '../../database/migrate';
import { openDatabase } from '../../database/database';

/** A server on which databases may be created, or the coordinator of a cluster. */
export interface DatabaseServer {
  /** Connected to the database in the URL. */
  readonly admin: Client;
  readonly url: string;
}

/** Serialises creation, because two at once would write the same rows of the nodes' catalogues. The number is arbitrary. */
const CREATION_LOCK = 7_202_611_23;

interface Node {
  readonly host: string;
  readonly port: number;
}

/** Creates an empty database and returns its URL. A coordinator's is created on its workers, too, and knows them. */
export async function createDatabase(
  server: DatabaseServer,
  name: string,
  { shards }: { shards?: number } = {},
): Promise<string> {
  const { admin } = server;
  const url = urlOf(server, name);
  const workers = await workersOf(admin);
  if (workers.length === 0) {
    await create(admin, name);
    return url;
  }
  await admin.query('SELECT pg_advisory_lock($1)', [CREATION_LOCK]);
  try {
    await create(admin, name);
    for (const worker of workers) await at(urlOf(server, undefined, worker), (client) => create(client, name));
    const everywhere = [url, ...workers.map((worker) => urlOf(server, name, worker))];
    await Promise.all(everywhere.map((each) => at(each, (client) => client.query('CREATE EXTENSION citus'))));
    await at(url, (client) => joinNodes(client, url, workers));
    if (shards !== undefined) {
      await admin.query(`ALTER DATABASE ${admin.escapeIdentifier(name)} SET citus.shard_count = ${Math.trunc(shards)}`);
    }
  } finally {
    await admin.query('SELECT pg_advisory_unlock($1)', [CREATION_LOCK]);
  }
  return url;
}

/** Creates this build's tables, distributed over workers if there are any (some 2 s). Throws like migrate and distribute. */
export async function createTables(url: string, log: Logger): Promise<void> {
  await migrateAt(url, log);
  const workers = await at(url, workersOf);
  if (workers.length > 0) await distribute(url, { dryRun: false });
}

export async function migrateAt(url: string, log: Logger): Promise<void> {
  const database = await openDatabase({ url, poolSize: 1, log });
  try {
    await migrate(database, url);
  } finally {
    await database.close();
  }
}

/** Drops it on every node and terminates its connections; Citus also ends its background processes. */
export async function dropDatabase(server: DatabaseServer, name: string): Promise<void> {
  await drop(server.admin, name);
  for (const worker of await workersOf(server.admin)) {
    await at(urlOf(server, undefined, worker), (client) => drop(client, name));
  }
}

const create = (client: Client, name: string) => client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
const drop = (client: Client, name: string) =>
  client.query(`DROP DATABASE IF EXISTS ${client.escapeIdentifier(name)} WITH (FORCE)`);

async function joinNodes(client: Client, url: string, workers: readonly Node[]): Promise<void> {
  const { hostname, port } = new URL(url);
  await client.query('SELECT citus_set_coordinator_host($1, $2)', [hostname, Number(port || 5432)]);
  for (const { host, port } of workers) await client.query('SELECT citus_add_node($1, $2)', [host, port]);
}

/** Empty for an ordinary server. */
async function workersOf(client: Client): Promise<Node[]> {
  const { rows } = await client.query<{ has: boolean }>(`SELECT to_regclass('pg_dist_node') IS NOT NULL AS has`);
  if (!rows[0]!.has) return [];
  const nodes = await client.query<Node>(
    'SELECT nodename AS host, nodeport AS port FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid',
  );
  return nodes.rows;
}

/** Connects as the server's user. If omitted, to the database in the server's URL. */
function urlOf(server: DatabaseServer, database?: string, node?: Node): string {
  const url = new URL(server.url);
  if (node) url.host = `${node.host}:${node.port}`;
  if (database !== undefined) url.pathname = `/${database}`;
  return url.href;
}

async function at<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, application_name: 'flashsale scratch' });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
