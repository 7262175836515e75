/** Every way to stop: requests in progress are answered, it ends in time, and nothing is left behind, PostgreSQL included. */
import { connect, type Socket } from 'node:net';
import { existsSync, rmSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { findFreePort } from '../../src/tools/load/ports';
import { isAlive, ProjectCopy, until, untilEnded, untilReady, type Run } from '../support/project-copy';

jest.setTimeout(120_000);

/** The promised time from the signal to the end of the process, in ms. */
const STOPS_WITHIN_MS = 15_000;
const HOLD = JSON.stringify({
  query: 'mutation { createHold(input: { productId: "01930000-0000-7000-8000-000000000001" }) { hold { status } } }',
});

let project: ProjectCopy;
beforeAll(async () => {
  project = new ProjectCopy();
  await project.build();
});
afterEach(() => project.killAll());
afterAll(() => project.remove());

interface Started {
  readonly run: Run;
  readonly port: number;
  readonly postgres: number;
}

async function start(command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Started> {
  const port = await findFreePort('127.0.0.1');
  const run = project.run(command, { PORT: String(port), ...env });
  await untilReady(port, run);
  return { run, port, postgres: project.postgresOf(run) };
}

/** A request of which the server has the head and half of the body. */
class HalfSent {
  private readonly socket: Socket;
  private text = '';
  private readonly closed: Promise<unknown>;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (data) => (this.text += data)).on('error', () => undefined);
    this.closed = new Promise((resolve) => this.socket.once('close', resolve));
    this.socket.write(
      `POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${HOLD.length}\r\n\r\n${HOLD.slice(0, 9)}`,
    );
  }

  async finish(): Promise<string> {
    this.socket.write(HOLD.slice(9));
    await this.closed;
    return this.text;
  }
}

async function expectNothingLeft({ port, postgres }: Started): Promise<void> {
  await untilEnded(postgres);
  await expect(fetch(`http://127.0.0.1:${port}/livez`)).rejects.toThrow('fetch failed');
  expect(processesHere()).toEqual([]);
}

/** All that work in the checkout, as `ps` shows them. */
const processesHere = () =>
  execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(project.folder));

const npmStart = ['npm', 'start'];
const toNpm =
  (signal: NodeJS.Signals) =>
  ({ run }: Started) =>
    void run.child.kill(signal);
const toGroup =
  (signal: NodeJS.Signals) =>
  ({ run }: Started) =>
    void process.kill(-run.child.pid!, signal);

test.each([
  ['SIGTERM to npm alone', npmStart, {}, toNpm('SIGTERM')],
  ['SIGINT to npm alone', npmStart, {}, toNpm('SIGINT')],
  ['SIGHUP to npm alone', npmStart, {}, toNpm('SIGHUP')],
  ['SIGKILL to npm alone', npmStart, {}, toNpm('SIGKILL')],
  ['Ctrl-C, which the whole group gets,', npmStart, {}, toGroup('SIGINT')],
  ['SIGHUP to the whole group', npmStart, {}, toGroup('SIGHUP')],
  ['SIGTERM to the whole group', ['bash', '-c', 'npm start; exit'], {}, toGroup('SIGTERM')],
  ['Ctrl-C with WORKERS=2', npmStart, { WORKERS: '2' }, toGroup('SIGINT')],
  ['SIGTERM to npm alone with WORKERS=2', npmStart, { WORKERS: '2' }, toNpm('SIGTERM')],
  ['the death of `timeout`’s time', ['timeout', '1000', 'npm', 'start'], {}, toNpm('SIGTERM')],
  ['Ctrl-C in npm run dev', ['npm', 'run', 'dev'], {}, toGroup('SIGINT')],
  ['SIGTERM to npm alone in npm run dev', ['npm', 'run', 'dev'], {}, toNpm('SIGTERM')],
  ['SIGKILL to npm alone in npm run dev', ['npm', 'run', 'dev'], {}, toNpm('SIGKILL')],
])('%s answers the request in progress and leaves no process behind', async (_name, command, env, stop) => {
  const started = await start(command, env);
  const request = new HalfSent(started.port);
  await sleep(200);
  const stoppedAt = performance.now();
  stop(started);
  await until(() => started.run.said().includes('server.stopping'), 'the server has heard of it');
  const answer = await request.finish();
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer).toContain('"status":"ACTIVE"');
  await started.run.ended;
  expect(performance.now() - stoppedAt).toBeLessThan(STOPS_WITHIN_MS);
  await expectNothingLeft(started);
});

test('closing the terminal stops the server in order, although its output is gone', async () => {
  const started = await start(['script', '-qefc', 'npm start', '/dev/null']);
  const request = new HalfSent(started.port);
  await sleep(200);
  const stoppedAt = performance.now();
  // Whoever holds the other end of the terminal is gone: the kernel sends SIGHUP to all that run in it.
  started.run.child.kill('SIGKILL');
  await until(async () => !(await isReady(started.port)), 'the server has heard of it');
  expect(await request.finish()).toContain('"status":"ACTIVE"');
  await expectNothingLeft(started);
  expect(performance.now() - stoppedAt).toBeLessThan(STOPS_WITHIN_MS);
});

const isReady = async (port: number) => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null))?.ok === true;

test.each([
  ['PostgreSQL hangs', {}],
  ['PostgreSQL hangs, with WORKERS=2', { WORKERS: '2' }],
])('SIGTERM while %s ends waiting requests in time and leaves no PostgreSQL running', async (_name, env) => {
  const started = await start(npmStart, env);
  const { run, port, postgres } = started;
  const backends = execFileSync('ps', ['-o', 'pid=', '--ppid', String(postgres)], { encoding: 'utf8' });
  for (const pid of [postgres, ...backends.trim().split(/\s+/).map(Number)]) process.kill(pid, 'SIGSTOP');
  const headers = { 'content-type': 'application/json' };
  const waiting = Array.from({ length: 10 }, () =>
    fetch(`http://127.0.0.1:${port}/graphql`, { method: 'POST', headers, body: HOLD }).catch(() => null),
  );
  await sleep(500);
  const stoppedAt = performance.now();
  run.child.kill('SIGTERM');
  const { code } = await run.ended;
  expect(performance.now() - stoppedAt).toBeLessThan(STOPS_WITHIN_MS);
  expect(code).toBe(0);
  await expectNothingLeft(started);
  await Promise.all(waiting);
});

const removeData = () => rmSync(project.path('.data'), { recursive: true, force: true });

test('a stop during the first start ends it and leaves no PostgreSQL running', async () => {
  removeData();
  const run = project.run(npmStart, { PORT: '0' });
  await until(() => run.said().includes('creating a PostgreSQL'), 'the database is being made');
  run.child.kill('SIGTERM');
  expect((await run.ended).code).toBe(0);
  expect(run.said()).not.toContain('server.started');
  expect(processesHere()).toEqual([]);
});

test('an interrupted command stops the PostgreSQL that it has started', async () => {
  removeData();
  const run = project.run(['npm', 'run', '--silent', 'db:migrate']);
  await until(() => existsSync(project.path('.data', 'postgres-18', 'postmaster.pid')), 'PostgreSQL is being started');
  run.child.kill('SIGINT');
  expect((await run.ended).code).toBe(130);
  expect(run.said()).toMatch(/^error: ended by SIGINT: [^\n]*\n$/);
  expect(processesHere()).toEqual([]);
});

test.each([
  ['coloured on a terminal', {}, true],
  ['plain on a terminal with NO_COLOR=1', { NO_COLOR: '1' }, false],
])('the log is %s', async (_name, env, isColored) => {
  const { run } = await start(['script', '-qefc', 'node src/cli/run.mjs src/main.js', '/dev/null'], {
    TERM: 'xterm-256color',
    ...env,
  });
  expect(run.said().includes('\x1b[')).toBe(isColored);
});

test('an unread output does not keep a server from stopping', async () => {
  // `cat` is stopped as soon as it runs: the pipe fills, and each line more waits for ever.
  const port = await findFreePort('127.0.0.1');
  const run = project.run(
    [
      'bash',
      '-c',
      'echo "PID $$"; exec node src/cli/run.mjs src/main.js > >(echo "CAT $BASHPID"; kill -STOP $BASHPID; cat)',
    ],
    { PORT: String(port), LOG_LEVEL: 'debug', NODE_ENV: 'development' },
  );
  await untilReady(port, run);
  const cat = Number(/CAT (\d+)/.exec(run.said())![1]);
  const pid = Number(/PID (\d+)/.exec(run.said())![1]);
  for (let i = 0; i < 300; i += 1) await fetch(`http://127.0.0.1:${port}/readyz`);
  const stoppedAt = performance.now();
  process.kill(pid, 'SIGTERM');
  await untilEnded(pid);
  expect(performance.now() - stoppedAt).toBeLessThan(STOPS_WITHIN_MS);
  expect(isAlive(cat)).toBe(true);
  process.kill(cat, 'SIGKILL');
});
