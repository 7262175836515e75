/** The proof's fixture: its own PostgreSQL, databases cloned from a migrated template, and server processes. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Pool } from 'pg';
import { projectPath } from '../../src/config';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/postgres/embedded';
import { migrate } from '../../src/database/migrate';
import { openDatabase, type Database } from '../../src/database/database';
import { reconcile } from '../../src/database/reconcile';
import { closeLogger, createLogger, type Logger } from '../../src/telemetry/logger';
import type { Sql } from '../support/database';
import { HttpClient } from './client';
import { findFreePort } from '../../src/tools/load/ports';

const HOME = projectPath('.data/prove');
const TEMPLATE = 'prove_template';
/** Records which PostgreSQL a run has started, so that a later run can stop it if this one was killed. */
const POSTGRES_FILE = 'postgres.json';
const READY_WITHIN_MS = 30_000;
/** Describes a failed run, in its directory. */
export const FAILURE_FILE = 'failure.json';
/** Set for a run on the PostgreSQL of another run, as tests of mutations do. */
const SHARED_URL = process.env.PROVE_POSTGRES;

/** A promise is broken. Any other exception is a fault of the proof itself. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

export function ensure(holds: boolean, what: string, details?: object): asserts holds {
  if (!holds) throw new Violation(details === undefined ? what : `${what}\n${told(details)}`);
}

/** One line per entry, for readability. */
function told(details: object): string {
  const lines = Object.entries(details).flatMap(([name, value]) => {
    const entries = Array.isArray(value) ? value : [value];
    return [`${name}:`, ...entries.map((entry) => `  ${typeof entry === 'string' ? entry : JSON.stringify(entry)}`)];
  });
  return lines.join('\n');
}

export class Fixture {
  private readonly rooms: Installation[] = [];

  private constructor(
    readonly directory: string,
    readonly url: string,
    private readonly postgres: EmbeddedPostgres | null,
    readonly log: Logger,
    /** A small file system for this PostgreSQL only, which may be filled; undefined: there is none. */
    readonly disk: string | undefined,
  ) {}

  /** Each run has its own directory and PostgreSQL, with `settings` and its data on `disk`, so that killing it affects no other. */
  static async open(settings: Record<string, string> = {}, disk?: string): Promise<Fixture> {
    mkdirSync(HOME, { recursive: true });
    removeDeadRuns();
    const directory = join(HOME, `${process.pid}-${randomBytes(3).toString('hex')}`);
    mkdirSync(directory);
    const log = createLogger({ level: 'info', file: join(directory, 'prove.log'), environment: 'test' });
    const tell = (message: string) => log.info({ event: 'postgres' }, message);
    const home = disk === undefined ? directory : join(disk, basename(directory));
    const postgres = SHARED_URL ? null : await startEmbeddedPostgres({ directory: home, log: tell, settings });
    const fixture = new Fixture(directory, SHARED_URL ?? postgres!.url, postgres, log, disk);
    if (postgres) {
      writeFileSync(
        join(directory, POSTGRES_FILE),
        JSON.stringify({ pid: fixture.postmasterPid, home: postgres.directory }),
      );
      await fixture.createTemplate();
    }
    return fixture;
  }

  get postmasterPid(): number {
    const home = this.postgres!.directory;
    const file = [home, ...readdirSync(home).map((name) => join(home, name))]
      .map((path) => join(path, 'postmaster.pid'))
      .find((path) => existsSync(path))!;
    return Number(readFileSync(file, 'utf8').split('\n')[0]);
  }

  async installation(): Promise<Installation> {
    const name = `prove_${process.pid}_${randomBytes(4).toString('hex')}`;
    await this.asAdmin(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
    const url = new URL(this.url);
    url.pathname = `/${name}`;
    const installation = new Installation(this, url.href, join(this.directory, name));
    this.rooms.push(installation);
    return installation;
  }

  /** Ends everything that was started. `keep`: logs and histories stay. */
  async close(keep: boolean): Promise<void> {
    for (const installation of this.rooms) await installation.close();
    for (const installation of this.rooms) {
      const name = new URL(installation.url).pathname.slice(1);
      if (SHARED_URL) await this.asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`).catch(() => undefined);
    }
    await this.postgres?.stop();
    await closeLogger(this.log);
    if (keep) return;
    for (const path of [this.directory, ...(this.postgres ? [this.postgres.directory] : [])]) {
      rmSync(path, { recursive: true, force: true });
    }
  }

  private async createTemplate(): Promise<void> {
    await this.asAdmin(`CREATE DATABASE ${TEMPLATE}`);
    const url = new URL(this.url);
    url.pathname = `/${TEMPLATE}`;
    const database = await openDatabase({ url: url.href, poolSize: 2, log: this.log });
    await migrate(database, url.href);
    await database.close();
    await this.asAdmin(`ALTER DATABASE ${TEMPLATE} ALLOW_CONNECTIONS false`);
  }

  private async asAdmin(statement: string): Promise<void> {
    const client = new Client({ connectionString: this.url });
    client.on('error', () => undefined);
    await client.connect();
    await client.query(statement).finally(() => client.end());
  }
}

/** Removes leftovers of killed runs, but keeps what failed runs keep on purpose. */
function removeDeadRuns(): void {
  for (const name of readdirSync(HOME)) {
    const directory = join(HOME, name);
    const pid = Number(/^(\d+)-[0-9a-f]{6}$/.exec(name)?.[1]);
    if (!pid || isAlive(pid) || existsSync(join(directory, FAILURE_FILE))) continue;
    if (existsSync(join(directory, POSTGRES_FILE))) {
      const left = JSON.parse(readFileSync(join(directory, POSTGRES_FILE), 'utf8')) as { pid: number; home: string };
      if (isAlive(left.pid) && commandOf(left.pid).includes(left.home)) process.kill(left.pid, 'SIGINT');
      if (left.home !== directory) rmSync(left.home, { recursive: true, force: true });
    }
    rmSync(directory, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** '' if the system does not say; then the process is left alone. */
function commandOf(pid: number): string {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

/** One database and its servers. */
export class Installation {
  readonly servers: ServerProcess[] = [];
  private readonly databases: Database[] = [];
  private readonly pool: Pool;

  constructor(
    readonly fixture: Fixture,
    readonly url: string,
    private readonly files: string,
  ) {
    this.pool = new Pool({ connectionString: url, max: 3, application_name: 'prove' });
    this.pool.on('error', () => undefined);
  }

  readonly sql: Sql = async (text, values) => (await this.pool.query(text, values && [...values])).rows;

  /** Opens separate pools for use cases that run in this process. */
  async database(url = this.url): Promise<Database> {
    const database = await openDatabase({ url, poolSize: 6, log: this.fixture.log });
    this.databases.push(database);
    return database;
  }

  /** Starts a server process; `settings` are environment variables. Resolves when it is ready. */
  async server(settings: Record<string, string> = {}, databaseUrl = this.url): Promise<ServerProcess> {
    const logFile = `${this.files}.server-${this.servers.length + 1}.log`;
    const server = new ServerProcess(await findFreePort(), logFile, { ...settings, DATABASE_URL: databaseUrl });
    this.servers.push(server);
    await server.start();
    return server;
  }

  /** Recomputes every promise from the stored facts. */
  async ensureClean(): Promise<void> {
    const { violations } = await reconcile(this.url);
    ensure(violations.length === 0, 'reconcile finds broken promises', { violations });
  }

  private closing: Promise<void> | null = null;

  close(): Promise<void> {
    return (this.closing ??= this.leave());
  }

  private async leave(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.kill()));
    await Promise.all(this.databases.map((database) => database.close().catch(() => undefined)));
    await this.pool.end();
  }
}

/** A server process whose port stays the same through every restart. */
export class ServerProcess {
  readonly client: HttpClient;
  /** Unexpected ends of the process; none is allowed, whatever is broken. */
  readonly deaths: string[] = [];
  private child: ChildProcess | null = null;
  private isExpectedToEnd = false;

  constructor(
    port: number,
    readonly logFile: string,
    private readonly settings: Record<string, string>,
  ) {
    this.client = new HttpClient(`http://127.0.0.1:${port}`);
  }

  get pid(): number {
    return this.child!.pid!;
  }

  async start(): Promise<void> {
    this.isExpectedToEnd = true; // until it serves
    const { port } = new URL(this.client.url);
    const child = fork(join(__dirname, 'server.js'), {
      env: {
        PATH: process.env.PATH,
        NODE_ENV: 'test',
        HOST: '127.0.0.1',
        PORT: port,
        LOG_FILE: this.logFile,
        LOG_LEVEL: 'info',
        RATE_LIMIT: 'off',
        SWEEP_CRON: 'off',
        ...this.settings,
      },
      cwd: __dirname,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    let said = '';
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (text: Buffer) => (said += text).slice(-4_000));
    child.on('error', () => undefined);
    child.once('exit', (code, signal) => {
      if (!this.isExpectedToEnd) this.deaths.push(`server ended by itself (${signal ?? code}): ${said}`);
      if (this.child === child) this.child = null;
    });
    this.child = child;
    const isReady = await until(READY_WITHIN_MS, async () => {
      if (this.child !== child) throw new Error(`the server did not start: ${said}`);
      return (await this.client.status('/readyz')) === 200;
    });
    if (!isReady) throw new Error(`the server was not ready within ${READY_WITHIN_MS} ms: ${said}`);
    this.isExpectedToEnd = false;
  }

  /** Arms a failpoint in the process, see `server.ts`. */
  arm(order: FailpointOrder | null): void {
    this.child?.send(order ?? 'disarm');
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** Sends SIGKILL, or `signal`; resolves with the exit code when the process is gone: null when the signal ended it. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    const { child } = this;
    if (!child) return null;
    this.isExpectedToEnd = true;
    const gone = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill('SIGCONT');
    child.kill(signal);
    return gone;
  }

  /** Announces that an armed failpoint will end the process. */
  expectEnd(): void {
    this.isExpectedToEnd = true;
  }

  get isRunning(): boolean {
    return this.child !== null;
  }

  /** Every line of the log, over all starts. */
  logLines(): string[] {
    const text = existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
    return text.split('\n').slice(0, -1);
  }

  /** Events of the log, by name. */
  logged(event: string): Record<string, unknown>[] {
    return this.logLines()
      .filter((line) => line.includes(`"event":"${event}"`))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

export interface FailpointOrder {
  readonly point: string;
  readonly action: 'kill' | 'throw';
  /** For `throw`: the SQLSTATE. */
  readonly code?: string;
  /** Probability of acting at each pass. */
  readonly probability: number;
  /** Seed of that decision. */
  readonly seed: number;
}

/** Checks every 25 ms; false when the time is over. */
export async function until(ms: number, ask: () => Promise<boolean>): Promise<boolean> {
  for (const patience = AbortSignal.timeout(ms); !patience.aborted; await sleep(25)) {
    if (await ask()) return true;
  }
  return false;
}
