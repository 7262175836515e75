// The PostgreSQL process: finds, adopts and launches it, counts its users, and shuts it down.
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { codeOf, exists, handOver, type Home, type Log, messageOf, output, run, start, USE_YOUR_OWN } from './home';

const DATABASE = 'flashsale';
const USER = 'postgres';
const HOST = '127.0.0.1';

const SETTINGS = {
  max_connections: '200',
  shared_buffers: '256MB',
  log_line_prefix: '%m [%p] %u@%d ',
  log_timezone: 'UTC',
};

/** The longest wait for a start, which may be a crash recovery. */
const READY_WAIT_MS = 120_000;
/** Backends of a killed PostgreSQL need a moment to notice; until then its shared memory is in use. */
const LAUNCHES = 40;
const LAUNCH_PAUSE_MS = 500;
/** For an aborted launch. */
const ABANDON_WITHIN_MS = 4_000;
/** A closed connection stays in pg_stat_activity for some milliseconds; one that is still there after this time is open. */
const LEAVE_WAIT_MS = 600;
const CLOSE_WAIT_MS = 1_000;
const FAST_SHUTDOWN_MS = 10_000;
/** Less than the 5 s after which PostgreSQL kills its backends; the next step kills them. */
const IMMEDIATE_SHUTDOWN_MS = 1_500;
const KILL_MS = 1_000;
const STEP_MS = 50;
/** A start with a larger log renames it to `.log.1`, in place of the previous one. */
const LOG_BYTES = 10_000_000;

/** What stays the same over restarts. */
export interface Site {
  readonly home: Home;
  readonly binaries: string;
  /** In addition to `SETTINGS`. */
  readonly settings: Record<string, string>;
  readonly log: Log;
}

export interface Postmaster {
  readonly pid: number;
  readonly port: number;
}

/** `presence` is an open connection that other processes see, and that ends at once when PostgreSQL dies. */
export interface Running extends Postmaster {
  readonly presence: Client;
  readonly adopted: boolean;
}

/**
 * Promises a running PostgreSQL of this home with its database `flashsale`, and creates the data if there are none. The caller
 * holds the lock. With `port`, PostgreSQL must run on that port; without, the port of a killed one comes first, because other
 * processes may wait for it there, and then any free one.
 */
export async function adoptOrLaunch(site: Site, stopped: AbortSignal, port?: number): Promise<Running> {
  const { home } = site;
  let lastWords = '';
  let candidate = port ?? (await readPidFile(home))?.port;
  for (let launch = 1; launch <= LAUNCHES; launch++) {
    stopped.throwIfAborted();
    const found = await findPostmaster(home);
    if (found && port !== undefined && found.port !== port) {
      throw new Error(`it runs on port ${found.port} now, not ${port}: restart this program`);
    }
    if (found) {
      const presence = await waitUntilReady(home, found, stopped, () => isPostmaster(found.pid, home.data));
      if (presence) return serve({ ...found, presence, adopted: true });
      continue; // it was shutting down
    }

    await createCluster(site);
    stopped.throwIfAborted();
    await readPassword(home); // fails before the launch instead of after it
    await disownPidFile(home);
    const outcome = await launchOnce(site, (candidate ??= await findFreePort()), stopped);
    if ('presence' in outcome) return serve(outcome);

    lastWords = outcome.lastWords;
    const portTaken = /Address already in use|could not bind|could not create any TCP\/IP sockets/.test(lastWords);
    const stillBusy = /is still in use|lock file .* already exists/.test(lastWords);
    if (stillBusy) await sleep(LAUNCH_PAUSE_MS);
    else if (portTaken && port === undefined) candidate = undefined;
    else break;
  }
  throw new Error(
    `The embedded PostgreSQL in ${home.data} cannot start. ${USE_YOUR_OWN} ` +
      `The last lines of ${home.logFile}:\n${lastWords}`,
  );
}

/** The new process as soon as it answers, or the end of its log if it exits. */
async function launchOnce(site: Site, port: number, stopped: AbortSignal): Promise<Running | { lastWords: string }> {
  const { home, binaries, settings } = site;
  const fixed = { port: String(port), listen_addresses: HOST, unix_socket_directories: '' };
  const options = Object.entries({ ...SETTINGS, ...settings, ...fixed }).flatMap(([key, value]) => [
    '-c',
    `${key}=${value}`,
  ]);
  const logFile = await openLog(home);
  try {
    const { size } = await logFile.stat();
    const child = start(home, binaries, 'postgres', ['-D', home.data, ...options], {
      detached: true, // in a separate session, which a terminal's Ctrl-C does not reach
      stdio: ['ignore', logFile.fd, logFile.fd],
    });
    let failure: string | undefined;
    child.once('error', (error) => (failure = error.message));
    child.once('exit', (code, signal) => (failure ??= `postgres ended with ${code ?? signal}`));
    child.unref();

    const postmaster = { pid: child.pid ?? 0, port };
    const lives = async () => failure === undefined;
    const presence = await waitUntilReady(home, postmaster, stopped, lives).catch(async (error: unknown) => {
      // Its lock file may not name it yet.
      if (stopped.aborted && child.pid !== undefined) await shutDown(site, postmaster, ABANDON_WITHIN_MS);
      throw error;
    });
    if (presence) return { ...postmaster, presence, adopted: false };
    return { lastWords: await readLastLines(home.logFile, size, failure) };
  } finally {
    await logFile.close();
  }
}

/** Appends to the log of earlier starts. */
async function openLog(home: Home): Promise<fs.FileHandle> {
  const size = await fs.stat(home.logFile).then(
    (found) => found.size,
    () => 0,
  );
  if (size > LOG_BYTES) await fs.rename(home.logFile, `${home.logFile}.1`);
  const file = await fs.open(home.logFile, 'a', 0o600);
  await handOver(home.logFile, home);
  return file;
}

async function readLastLines(logFile: string, from: number, failure = ''): Promise<string> {
  const text = (await fs.readFile(logFile)).subarray(from).toString();
  return [...text.trim().split('\n').slice(-15), failure].join('\n').trim();
}

/** A connection as soon as PostgreSQL accepts one, after a recovery if need be; undefined when it exits instead. */
async function waitUntilReady(
  home: Home,
  { pid, port }: Postmaster,
  stopped: AbortSignal,
  lives: () => Promise<boolean>,
): Promise<Client | undefined> {
  const [patience, fewSeconds] = [AbortSignal.timeout(READY_WAIT_MS), AbortSignal.timeout(2_000)];
  const password = await readPassword(home);
  let last: unknown;
  while (!patience.aborted) {
    stopped.throwIfAborted();
    if (!(await lives())) return undefined;
    try {
      return await connect(home, port, password);
    } catch (error) {
      last = error;
      // 28P01: a wrong password. Another PostgreSQL on the port answers that too; then ours fails to bind and exits soon.
      if (codeOf(error) === '28P01' && fewSeconds.aborted) break;
    }
    await sleep(STEP_MS);
  }
  throw new Error(
    `PostgreSQL (pid ${pid}) runs on ${home.data} but refuses the connection: ${messageOf(last)}. ` +
      `Its log is ${home.logFile}. ${USE_YOUR_OWN}`,
  );
}

/** Rejects unless the PostgreSQL behind the port is the one of this home. */
async function connect(home: Home, port: number, password: string): Promise<Client> {
  const client = new Client({
    host: HOST,
    port,
    user: USER,
    password,
    database: 'postgres', // not `flashsale`: that one may be dropped, or cloned, while we are connected
    ssl: false, // whatever PGSSLMODE says
    application_name: 'flashsale presence',
    connectionTimeoutMillis: 5_000,
    query_timeout: 60_000,
  });
  client.on('error', () => {}); // without a listener a dying PostgreSQL would end this process; 'end' follows
  try {
    await client.connect();
    const { rows } = await client.query<{ data: string; encoding: string }>(
      `SELECT current_setting('data_directory') AS data, current_setting('server_encoding') AS encoding`,
    );
    if (path.resolve(rows[0]?.data ?? '') !== home.data) throw new Error(`port ${port} belongs to another PostgreSQL`);
    if (rows[0]?.encoding !== 'UTF8') throw new Error(`its encoding is ${rows[0]?.encoding}, not UTF8`);
    return client;
  } catch (error) {
    await close(client);
    throw error;
  }
}

/** Waits until the connection is closed. When PostgreSQL hangs, closes only this end. */
export async function close(client: Client): Promise<void> {
  const patience = new AbortController();
  const ended = client.end().finally(() => patience.abort());
  await Promise.race([ended, sleep(CLOSE_WAIT_MS, undefined, { signal: patience.signal })]).catch(() => {});
  (client as Client & { connection: { stream: Socket } }).connection.stream.destroy();
}

/** Creates the database here, not with the cluster, so that the next start makes up for one that was killed in between. */
async function serve(running: Running): Promise<Running> {
  const { presence } = running;
  try {
    const { rowCount } = await presence.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await presence.query(`CREATE DATABASE ${DATABASE}`);
    return running;
  } catch (error) {
    await close(presence);
    throw error;
  }
}

async function readPassword(home: Home): Promise<string> {
  return fs.readFile(home.passwordFile, 'utf8').catch((error) => {
    throw new Error(
      `The password of the embedded PostgreSQL cannot be read: ${messageOf(error)}. If another user made ${home.data}, ` +
        `run this program as that user, or delete ${home.data} to start afresh. ${USE_YOUR_OWN}`,
      { cause: error },
    );
  });
}

/** Names the database `flashsale`; carries the password. */
export async function connectionUrl(home: Home, port: number): Promise<string> {
  return `postgres://${USER}:${await readPassword(home)}@${HOST}:${port}/${DATABASE}`;
}

/** Renames the cluster into place when it is complete, so that a killed start leaves no partial one. */
async function createCluster({ home, binaries, log }: Site): Promise<void> {
  if (await exists(home.data)) return;
  log(`creating a PostgreSQL in ${home.data}: this takes a second or two`);
  const draft = `${home.data}.creating`;
  await fs.rm(draft, { recursive: true, force: true });
  await fs.mkdir(draft, { mode: 0o700 });
  await handOver(draft, home);
  await fs.rm(home.passwordFile, { force: true });
  await fs.writeFile(home.passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600, flag: 'wx' });
  await handOver(home.passwordFile, home);
  const options = [
    ...['-D', draft, `--username=${USER}`, `--pwfile=${home.passwordFile}`, '--auth=scram-sha-256'],
    // The default encoding follows LANG, and without LANG it is SQL_ASCII.
    ...['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
  ];
  await run(home, binaries, 'initdb', options).catch((error) => {
    throw new Error(`The embedded PostgreSQL cannot be set up. ${USE_YOUR_OWN} ${messageOf(error)}`, { cause: error });
  });
  await fs.rename(draft, home.data);
}

async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, HOST, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const pidFile = (home: Home): string => path.join(home.data, 'postmaster.pid');

/** PostgreSQL's lock file: its lines are pid, data directory, start time, port and so on. */
async function readPidFile(home: Home): Promise<Postmaster | undefined> {
  const lines = (await fs.readFile(pidFile(home), 'utf8').catch(() => '')).split('\n');
  const [pid, port] = [Number.parseInt(lines[0] ?? ''), Number.parseInt(lines[3] ?? '')];
  return pid > 0 && port > 0 && port < 65_536 ? { pid, port } : undefined;
}

/** The running PostgreSQL of this home, by its lock file, or by `known` if its files were deleted. */
export async function findPostmaster(home: Home, known?: Postmaster): Promise<Postmaster | undefined> {
  for (const postmaster of [await readPidFile(home), known]) {
    if (postmaster && (await isPostmaster(postmaster.pid, home.data))) return postmaster;
  }
  return undefined;
}

/**
 * For a lock file whose pid is not this home's PostgreSQL. If another program had that pid by now, PostgreSQL would refuse to
 * start. Keeps the file, with a pid that no system assigns, because PostgreSQL uses its last lines to check that no backend of
 * the earlier run still works on the data.
 */
async function disownPidFile(home: Home): Promise<void> {
  const text = await fs.readFile(pidFile(home), 'utf8').catch(() => undefined);
  if (text === undefined) return;
  if (!(await readPidFile(home))) return fs.rm(pidFile(home)); // incomplete
  const draft = `${pidFile(home)}.disowned`;
  await fs.rm(draft, { force: true });
  await fs.writeFile(draft, text.replace(/^\d+/, '2147483647'), { mode: 0o600, flag: 'wx' });
  await handOver(draft, home);
  await fs.rename(draft, pidFile(home));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** Whether the process is a postgres on this data; false for another program with a reused pid, and for a zombie. */
export async function isPostmaster(pid: number, data: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  if (process.platform === 'linux') {
    const words = (await fs.readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const directory = await fs.readlink(`/proc/${pid}/cwd`).catch(() => undefined); // one that was started by hand may have `-D .`
    return path.basename(words[0] ?? '') === 'postgres' && (words.includes(data) || directory === data);
  }
  const command = await output('ps', ['-ww', '-o', 'command=', '-p', String(pid)]);
  return /^\S*postgres /.test(command) && command.includes(` ${data}`);
}

/**
 * Counts the connections that their clients have not closed, except those of this process with `withoutOwn`. On Linux the kernel
 * answers, even when PostgreSQL hangs. Elsewhere PostgreSQL is asked, and this rejects when it does not answer in time.
 */
export async function countOthers(home: Home, postmaster: Postmaster, withoutOwn: boolean): Promise<number> {
  if (process.platform !== 'linux') return askForOthers(home, postmaster);
  const sockets = await readSockets();
  const owned = withoutOwn ? await readOwnSockets() : new Set<string>();
  const ownPorts = new Set(
    sockets.filter(({ remote, inode }) => remote === postmaster.port && owned.has(inode)).map(({ local }) => local),
  );
  // PostgreSQL's ends: once the client has closed, they are no longer established, even if PostgreSQL has not noticed.
  return sockets.filter(
    ({ local, remote, state }) => local === postmaster.port && state === ESTABLISHED && !ownPorts.has(remote),
  ).length;
}

interface SocketOfSystem {
  readonly local: number;
  readonly remote: number;
  readonly state: string;
  readonly inode: string;
}
const ESTABLISHED = '01';

/** All TCP sockets of this network namespace, as proc(5) describes them: `sl local remote state … inode`. */
async function readSockets(): Promise<SocketOfSystem[]> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((file) => fs.readFile(file, 'utf8').catch(() => '')),
  );
  const port = (address: string) => Number.parseInt(address.slice(address.indexOf(':') + 1), 16);
  return tables
    .flatMap((table) => table.trim().split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words.length > 9)
    .map((words) => ({ local: port(words[1]!), remote: port(words[2]!), state: words[3]!, inode: words[9]! }));
}

async function readOwnSockets(): Promise<Set<string>> {
  const files = await fs.readdir('/proc/self/fd').catch(() => []);
  const targets = await Promise.all(files.map((file) => fs.readlink(`/proc/self/fd/${file}`).catch(() => '')));
  return new Set(targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
}

async function askForOthers(home: Home, { port }: Postmaster): Promise<number> {
  try {
    const client = await connect(home, port, await readPassword(home));
    try {
      for (const patience = AbortSignal.timeout(LEAVE_WAIT_MS); ; await sleep(STEP_MS)) {
        const { rows } = await client.query<{ others: number }>(
          `SELECT count(*)::int AS others FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
        );
        const others = rows[0]?.others ?? 0;
        if (others === 0 || patience.aborted) return others;
      }
    } finally {
      await close(client);
    }
  } catch (error) {
    if (codeOf(error) === 'ECONNREFUSED' || codeOf(error) === '57P03') return 0; // starting or shutting down: it accepts no connections
    throw error;
  }
}

/**
 * Takes `withinMs` at most. Tries a fast shutdown first: open transactions are rolled back, the data written. Then an immediate
 * one and SIGKILL, which also ends a stopped or hanging process; both leave a recovery for the next start.
 */
export async function shutDown(site: Site, { pid }: Postmaster, withinMs: number): Promise<void> {
  const { home, log } = site;
  const fast = Math.max(withinMs - IMMEDIATE_SHUTDOWN_MS - KILL_MS, STEP_MS);
  const steps = [
    { signal: 'INT', wait: Math.min(fast, FAST_SHUTDOWN_MS) },
    { signal: 'QUIT', wait: IMMEDIATE_SHUTDOWN_MS },
    { signal: 'KILL', wait: KILL_MS },
  ] as const;
  for (const { signal, wait } of steps) {
    try {
      await send(signal, pid);
    } catch (error) {
      if (codeOf(error) !== 'ESRCH') return log(`PostgreSQL (pid ${pid}) cannot be stopped: ${messageOf(error)}`);
    }
    for (const patience = AbortSignal.timeout(wait); !patience.aborted; await sleep(STEP_MS)) {
      if (!(await isPostmaster(pid, home.data))) return log('PostgreSQL stopped');
    }
  }
  log(`PostgreSQL (pid ${pid}) does not stop: it is left running`);
}

async function send(signal: 'INT' | 'QUIT' | 'KILL', pid: number): Promise<void> {
  const backends = await childrenOf(pid);
  process.kill(pid, `SIG${signal}`);
  // A stopped process (SIGSTOP) gets the signal only when it continues.
  for (const each of [pid, ...backends]) sendQuietly(each, signal === 'KILL' ? 'SIGKILL' : 'SIGCONT');
}

function sendQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

/** None where there is no /proc. */
async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await fs.readdir('/proc').catch(() => [])).map(Number).filter((pid) => pid > 0);
  const parents = await Promise.all(
    pids.map(async (pid) => {
      const stat = await fs.readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    }),
  );
  return pids.filter((_, index) => parents[index] === parent);
}
