/** PgBouncer in transaction mode in front of a PostgreSQL, where it is installed. */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { findFreePort } from '../../src/tools/load/ports';

const READY_WITHIN_MS = 10_000;
/** It refuses to run as root; this account has nothing but what all have. */
const NOBODY = 65_534;

export interface PgBouncer {
  /** The same database, through PgBouncer. */
  urlOf(databaseUrl: string): string;
  /** The commands of its console: PAUSE, RECONNECT and so on. */
  command(text: string): Promise<Record<string, unknown>[]>;
  stop(): Promise<void>;
}

/** null: not on this machine, or not wanted (TEST_PGBOUNCER=off). */
export function findPgBouncer(): string | null {
  if (process.env.TEST_PGBOUNCER === 'off') return null;
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'];
  const isExecutable = (file: string) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  return folders.map((folder) => join(folder, 'pgbouncer')).find(isExecutable) ?? null;
}

/** Every database of the server at `serverUrl`, each with at most `poolSize` connections to it. */
export async function startPgBouncer(program: string, serverUrl: string, poolSize: number): Promise<PgBouncer> {
  const directory = await mkdtemp(join(tmpdir(), 'flashsale-pgbouncer-'));
  await chmod(directory, 0o755);
  const server = new URL(serverUrl);
  const user = decodeURIComponent(server.username);
  const password = decodeURIComponent(server.password);
  const port = await findFreePort();
  const settings = [
    '[databases]',
    `* = host=${server.hostname} port=${server.port || 5432} user=${user}${password && ` password=${password}`}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    `admin_users = ${user}`,
    'pool_mode = transaction',
    `default_pool_size = ${poolSize}`,
    'max_client_conn = 1000',
    'query_wait_timeout = 2',
    'server_login_retry = 1',
  ];
  const file = join(directory, 'pgbouncer.ini');
  await writeFile(file, settings.join('\n'));
  const isRoot = process.getuid?.() === 0;
  const child = spawn(program, ['-q', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(isRoot && { uid: NOBODY, gid: NOBODY }),
  });
  let said = '';
  child.stderr.on('data', (text) => (said += text));
  let hasEnded = false;
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => (said += error.message)).once('close', () => ((hasEnded = true), resolve()));
  });

  const urlOf = (databaseUrl: string) => {
    const url = new URL(databaseUrl);
    url.hostname = '127.0.0.1';
    url.port = String(port);
    return url.href;
  };
  const command = async (text: string) => {
    const console = new URL(urlOf(serverUrl));
    console.pathname = '/pgbouncer';
    const client = new Client({ connectionString: console.href });
    client.on('error', () => undefined);
    await client.connect();
    return client
      .query(text)
      .then(({ rows }) => rows as Record<string, unknown>[])
      .finally(() => client.end());
  };
  const stop = async () => {
    child.kill('SIGINT');
    child.kill('SIGTERM');
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  for (const patience = AbortSignal.timeout(READY_WITHIN_MS); ; await sleep(20)) {
    const isReady = await command('SHOW VERSION').then(
      () => true,
      () => false,
    );
    if (isReady) return { urlOf, command, stop };
    if (!hasEnded && !patience.aborted) continue;
    await stop();
    throw new Error(`PgBouncer does not answer: ${said}`);
  }
}
