/** P17: neither requests nor uncaught exceptions end the process. Real processes, tested from outside. */
import { spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { buildProject, type Build, type RunningServer } from '../support/process';

let db: FreshDatabase;
let build: Build;
beforeAll(async () => {
  [db, build] = await Promise.all([freshDatabase(), buildProject()]);
});
afterAll(async () => {
  await build.remove();
  await db.close();
});

const settings = () => ({ NODE_ENV: 'development', DATABASE_URL: db.url, SWEEP_CRON: 'off' });

/** Everything that the server says to these bytes, until it closes the socket. */
async function answerTo({ url }: RunningServer, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  socket.write(bytes);
  await once(socket, 'close');
  return text;
}

test('an upgrade request for an invalid URL gets an answer, and the server keeps running', async () => {
  const server = await build.start(settings());
  const upgrade = 'Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  const answers: Record<string, string> = {};
  for (const target of ['//', '//[', 'http://', 'http://[', '/graphql//', '*']) {
    answers[target] = (await answerTo(server, `GET ${target} HTTP/1.1\r\n${upgrade}`)).slice(0, 12);
  }
  expect(answers).toEqual({
    ...{ '//': 'HTTP/1.1 400', '//[': 'HTTP/1.1 400', 'http://': 'HTTP/1.1 400', 'http://[': 'HTTP/1.1 400' },
    ...{ '/graphql//': 'HTTP/1.1 404', '*': 'HTTP/1.1 400' },
  });
  expect((await server.fetch('/livez')).status).toBe(200);
  expect(await server.end('SIGTERM')).toMatchObject({ code: 0 });
});

test('an uncaught exception is logged and counted, and the server keeps selling', async () => {
  const fault = join(build.directory, 'fault.cjs');
  // In a process event, a timer and a promise.
  await writeFile(
    fault,
    `process.on('SIGUSR2', () => {
       setTimeout(() => { throw new Error('unforeseen in a timer'); }, 1_100);
       Promise.reject(new Error('unforeseen in a promise'));
       throw new Error('unforeseen in a listener');
     });`,
  );
  const logFile = join(build.directory, 'uncaught.log');
  const server = await build.start({ ...settings(), LOG_FILE: logFile, NODE_OPTIONS: `--require ${fault}` });
  const { id } = await server.product(3);
  process.kill(server.pid, 'SIGUSR2');
  const counted = async () => (await server.fetch('/metrics')).text.match(/^flashsale_uncaught_errors_total.*$/gm);
  const expected = [
    'flashsale_uncaught_errors_total{kind="exception"} 2',
    'flashsale_uncaught_errors_total{kind="rejection"} 1',
  ];
  const deadline = performance.now() + 20_000;
  while ((await counted())!.join() !== expected.join() && performance.now() < deadline);
  expect(await counted()).toEqual(expected);
  expect(await server.hold(id)).toMatchObject({ status: 'ACTIVE' });
  const { code } = await server.end('SIGTERM');
  expect(code).toBe(0);
  const { stdout } = spawnSync('grep', ['-c', '"event":"uncaught".*unforeseen in a', logFile], { encoding: 'utf8' });
  // One line a second: the promise's error came together with the listener's.
  expect(Number(stdout)).toBe(2);
});

test('an exception before the server serves ends the start with exit code 1', async () => {
  const fault = join(build.directory, 'early.cjs');
  await writeFile(fault, `setTimeout(() => { throw new Error('too early'); }, 20);`);
  const env = { ...settings(), NODE_OPTIONS: `--require ${fault}` };
  const { code, stderr } = await build.command('main.js', [], env);
  expect([code, stderr]).toEqual([1, expect.stringContaining('error: too early')]);
});
