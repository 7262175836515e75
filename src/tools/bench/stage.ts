/** The fixture of a run: its own PostgreSQL, databases and servers, all of which end with the run. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { bareEnvironment, projectPath } from '../../config';
import {
  lockStockRow,
  readAbandonedDatabases,
  readBackendPid,
  readServerSettings,
  type ServerSettings,
} from './bench-sql';
import { startEmbeddedPostgres } from '../../postgres/embedded';
import { createDatabase, dropDatabase } from '../load/scratch-database';
import { WritableServer } from '../../postgres/primary';
import { NODE_FLAGS, runProgram, startServer } from '../load/child-server';
import { startChild, type Child } from './children';
import { countChildren, parentOf } from '../load/cpu';
import { findFreePort } from '../load/ports';
import { newWebhookSecret } from './requests';
import { HOLD_TTL_SECONDS, openSupplies, type Supplies } from './supplies';

/** Separate from the shop's own data, which the benchmark never touches. */
const DATA_DIRECTORY = projectPath('.data', 'bench');
const DATABASE_PREFIX = 'flashsale_bench_';
/** 256 clients on the bare hot row, two servers, and the benchmark itself. */
const MAX_CONNECTIONS = 400;
const READY_WAIT_MS = 30_000;
const RECONCILE_WAIT_MS = 120_000;

export interface Server {
  /** null: a process of somebody else. */
  readonly pid: number | null;
  readonly port: number;
  /** JSON lines; null: the server writes none. */
  readonly logFile: string | null;
}

/** A database and the processes that use it. */
export interface Shop {
  readonly url: string;
  /** A separate connection for counting. */
  readonly client: Client;
  readonly supplies: Supplies;
}

export class Stage {
  readonly webhookSecret = newWebhookSecret();
  private readonly endings: (() => Promise<void>)[] = [];
  private isClosed = false;

  private constructor(
    private readonly admin: Client,
    private readonly serverUrl: string,
    private readonly folder: string,
    readonly settings: ServerSettings,
    /** null: PostgreSQL runs elsewhere, or the system does not tell. */
    readonly postmasterPid: number | null,
  ) {}

  /** Uses DATABASE_URL's server, or starts an embedded PostgreSQL. */
  static async open(databaseUrls: readonly string[], say: (line: string) => void): Promise<Stage> {
    const embedded =
      databaseUrls.length > 0
        ? null
        : await startEmbeddedPostgres({
            directory: DATA_DIRECTORY,
            log: say,
            settings: { max_connections: String(MAX_CONNECTIONS) },
          });
    const url = embedded?.url ?? (await new WritableServer(databaseUrls).find());
    const admin = await connect(url);
    for (const name of await readAbandonedDatabases(admin, DATABASE_PREFIX)) await dropDatabase({ admin, url }, name);
    const folder = await mkdtemp(join(tmpdir(), 'flash-sale-bench-'));
    const settings = await readServerSettings(admin);
    const stage = new Stage(admin, url, folder, settings, await findPostmaster(admin, url));
    stage.onEnd(async () => {
      await admin.end();
      await rm(folder, { recursive: true, force: true });
      await embedded?.stop();
    });
    return stage;
  }

  /** Ends everything in reverse order, even if a part fails. Nothing can be started afterwards. */
  async close(): Promise<void> {
    this.isClosed = true;
    for (const end of this.endings.reverse().splice(0)) await end().catch(() => undefined);
  }

  /** A new database with tables, distributed over the workers of a Citus coordinator. */
  async openShop(): Promise<Shop> {
    const name = `${DATABASE_PREFIX}${randomBytes(4).toString('hex')}`;
    const server = { admin: this.admin, url: this.serverUrl };
    this.onEnd(() => dropDatabase(server, name));
    const url = await createDatabase(server, name);
    const supplies = await openSupplies(url);
    const client = await connect(url);
    this.onEnd(async () => {
      await client.end();
      await supplies.close();
    });
    return { url, client, supplies };
  }

  /** One of this folder's processes, which ends with the fixture. */
  async start(entry: 'load' | 'hot-row' | 'watchers'): Promise<Child> {
    const { child } = await startChild(entry);
    this.onEnd(() => child.end());
    return child;
  }

  /** Serves the shop's database like production: JSON log, its own secrets, sweep on. */
  async serveCheckout(shop: Shop, execArgv: readonly string[] = []): Promise<Server> {
    const logFile = join(this.folder, `${randomBytes(4).toString('hex')}.log`);
    return this.serve('checkout-server', logFile, [...NODE_FLAGS, ...execArgv], this.settingsOf(shop, logFile));
  }

  /** The server as `npm start` runs it, with several processes. `isOffered`: whether it really has them. */
  async serveWorkers(shop: Shop, workers: number): Promise<{ server: Server; isOffered: boolean }> {
    const logFile = join(this.folder, `${randomBytes(4).toString('hex')}.log`);
    const port = await findFreePort();
    const settings = this.settingsOf(shop, logFile);
    const env = {
      ...bareEnvironment(),
      NODE_ENV: 'production',
      ...settings,
      PORT: String(port),
      WORKERS: String(workers),
    };
    const server = startServer(new URL(`http://127.0.0.1:${port}`), env, READY_WAIT_MS);
    this.onEnd(() => server.stop());
    await server.ready;
    return { server: { pid: server.pid, port, logFile }, isOffered: countChildren(server.pid) >= workers };
  }

  private onEnd(end: () => Promise<void>): void {
    if (!this.isClosed) return void this.endings.push(end);
    void end().catch(() => undefined);
    throw new Error('the run has ended already');
  }

  private settingsOf(shop: Shop, logFile: string): NodeJS.ProcessEnv {
    return {
      HOST: '127.0.0.1',
      PORT: '0',
      DATABASE_URL: shop.url,
      LOG_FILE: logFile,
      RATE_LIMIT: 'off',
      JWT_SECRET: randomBytes(32).toString('base64'),
      WEBHOOK_SECRETS: this.webhookSecret,
      HOLD_TTL_SECONDS: String(HOLD_TTL_SECONDS),
      ORDER_PAYMENT_WINDOW_SECONDS: String(HOLD_TTL_SECONDS),
    };
  }

  serveDefault(): Promise<Server> {
    return this.serve('default-server', null, [], {});
  }

  private async serve(
    entry: string,
    logFile: string | null,
    execArgv: readonly string[],
    env: NodeJS.ProcessEnv,
  ): Promise<Server> {
    const { child, ready } = await startChild<{ kind: 'ready'; port: number }>(entry, { env, execArgv });
    this.onEnd(() => child.end());
    return { pid: child.pid, port: ready.port, logFile };
  }
}

/** Does the work while another client holds the lock of the product's stock row. */
export async function besideStoppedClient<T>(shop: Shop, productId: string, work: () => Promise<T>): Promise<T> {
  const client = await connect(shop.url);
  try {
    await lockStockRow(client, productId);
    return await work();
  } finally {
    await client.end();
  }
}

/** Recomputes every promise from the stored facts in another process. Throws with the violations. */
export async function reconcile(shop: Shop): Promise<void> {
  const env = { ...bareEnvironment(), DATABASE_URL: shop.url, LOG_FILE: 'off' };
  const { exitCode, stdout, stderr } = await runProgram('cli/reconcile', ['--json'], {
    env,
    withinMs: RECONCILE_WAIT_MS,
  });
  if (exitCode !== 0) throw new Error(`reconcile found violations: ${(stdout || stderr).slice(0, 2_000)}`);
}

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: 'flash-sale bench' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function findPostmaster(admin: Client, url: string): Promise<number | null> {
  const isLocal = ['127.0.0.1', 'localhost', '[::1]', ''].includes(new URL(url).hostname);
  return isLocal ? parentOf(await readBackendPid(admin)) : null;
}
