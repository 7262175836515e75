/** Dockerfile, compose.yaml and docs/deploy agree with the project. Nothing here builds an image: that needs Docker. */
import { existsSync, readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { environmentKeys, loadConfig, projectPath } from '../src/config';

const read = (...path: string[]) => readFileSync(projectPath(...path), 'utf8');
/** The source of a compiled file that a container or unit starts. */
const sourceOf = (compiled: string) => compiled.replace(/^dist\//, '').replace(/\.js$/, '.ts');
const startCommand = () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const [, options, file] = /^exec node (.*) src\/cli\/run\.mjs src\/(\S+)$/.exec(scripts.start!)!;
  return ['node', ...options!.split(' '), `dist/src/${file}`];
};

describe('Dockerfile', () => {
  const lines = read('Dockerfile')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => /^[A-Z]+ /.test(line));
  const stages = lines.join('\n').split(/^(?=FROM )/m);
  const ignored = read('.dockerignore').trim().split('\n');

  test('copies only files that exist and that .dockerignore lets through', () => {
    const copied = lines
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap((line) => line.split(' ').slice(1, -1));
    expect(copied.length).toBeGreaterThan(4);
    expect(copied.filter((source) => !existsSync(projectPath(source)))).toEqual([]);
    expect(copied.filter((source) => ignored.includes(source.replace(/^\.\//, '')))).toEqual([]);
  });

  test('gets neither packages, data, history nor secrets from the folder that it is built in', () => {
    expect(ignored).toEqual(expect.arrayContaining(['.data', '.env', '.git', 'dist', 'logs', 'node_modules']));
  });

  test('copies everything that a build reads', () => {
    const build = stages[0]!;
    for (const source of ['src', 'migrations', '.swcrc', 'package-lock.json']) expect(build).toContain(source);
  });

  test('serves as a plain user, with production packages only, as npm start does', () => {
    const final = stages.at(-1)!;
    expect(final).toMatch(/npm ci --omit=dev/);
    expect(final).toMatch(/^USER node$/m);
    expect(final).toMatch(/^HEALTHCHECK .*\/livez/m);
    expect(JSON.parse(/^CMD (.*)$/m.exec(final)![1]!)).toEqual(startCommand());
  });

  test('sets only settings that exist', () => {
    const set = [...read('Dockerfile').matchAll(/^ENV (.*)$/gm)].flatMap(([, pairs]) => pairs!.split(' '));
    const settings = Object.fromEntries(set.map((pair) => pair.split('=') as [string, string]));
    expect(Object.keys(settings).filter((key) => !environmentKeys.includes(key as never))).toEqual([]);
    expect(settings.NODE_ENV).toBe('production');
  });

  test('uses a Node that package.json accepts', () => {
    const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
    const [, needed] = />=(\d+)/.exec(engines.node)!;
    for (const stage of stages)
      expect(Number(/^FROM node:(\d+)-/.exec(stage)![1])).toBeGreaterThanOrEqual(Number(needed));
  });
});

describe('compose.yaml', () => {
  interface Service {
    command?: string[];
    environment?: Record<string, string>;
  }
  const { services } = parseYaml(read('compose.yaml'), { merge: true }) as { services: Record<string, Service> };
  const own = Object.entries(services).filter(([name]) => name !== 'postgres');

  test.each(own)('%s has settings that the server accepts', (_name, { environment }) => {
    expect(Object.keys(environment!).filter((key) => !environmentKeys.includes(key as never))).toEqual([]);
    expect(loadConfig(environment).databaseUrls).toHaveLength(1);
  });

  test.each(own)('%s has nothing that production would accept as it stands', (_name, { environment }) => {
    expect(() => loadConfig({ ...environment, NODE_ENV: 'production' })).toThrow(/JWT_SECRET[^]*WEBHOOK_SECRETS/);
  });

  test('migrates with a command that exists', () => {
    const [node, file, ...args] = services.migrate!.command!;
    expect([node, existsSync(projectPath(sourceOf(file!))), args]).toEqual(['node', true, ['migrate']]);
  });

  test('connects with the name and the password that PostgreSQL gets', () => {
    const url = new URL(services.server!.environment!.DATABASE_URL!);
    const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = services.postgres!.environment!;
    expect([url.username, url.password, url.pathname]).toEqual([POSTGRES_USER, POSTGRES_PASSWORD, `/${POSTGRES_DB}`]);
  });
});

describe('docs/deploy/flashsale.service', () => {
  const unit = read('docs', 'deploy', 'flashsale.service');
  const values = (key: string) => [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value!);

  test('starts the server as npm start does', () => {
    expect(values('ExecStart')).toEqual([`/usr/bin/${startCommand().join(' ')}`]);
  });

  test('names only settings that exist', () => {
    const named = [...values('Environment'), ...unit.match(/[A-Z]+_[A-Z_]+(?==production|,| or)/g)!];
    const keys = named.map((pair) => pair.split('=')[0]!);
    expect(keys.length).toBeGreaterThan(3);
    expect(keys.filter((key) => !environmentKeys.includes(key as never))).toEqual([]);
  });

  test('gives a server the 15 s that it needs to stop', () => {
    expect(Number(values('TimeoutStopSec')[0])).toBeGreaterThan(15);
  });
});
