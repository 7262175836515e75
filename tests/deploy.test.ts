/**
 * Dockerfile, compose.yaml and docs/deploy agree with the project, and the programs that read them accept them.
 * `process/image.test.ts` executes the Dockerfile, `clients/nginx.test.ts` runs nginx.conf.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse as parseYaml, parseAllDocuments } from 'yaml';
import { environmentKeys, loadConfig, loadSettings, projectPath } from '../src/config';
import { readDockerfile } from './support/image';

const DRAIN_SECONDS = 15;
const PORT = 4000;

const read = (...path: string[]) => readFileSync(projectPath(...path), 'utf8');
/** The source of a compiled file that a container or unit starts. */
const sourceOf = (compiled: string) => compiled.replace(/^dist\//, '').replace(/\.js$/, '.ts');
const startCommand = () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const [, options, file] = /^exec node (.*) src\/cli\/run\.mjs src\/(\S+)$/.exec(scripts.start!)!;
  return ['node', ...options!.split(' '), `dist/src/${file}`];
};
const migrateCommand = ['node', 'dist/src/cli/db.js', 'migrate'];
const unknownSettings = (keys: readonly string[]) => keys.filter((key) => !environmentKeys.includes(key as never));

/** `test`, or where the program is not installed `test.skip`, which says so. */
function testWith(program: string, debianPackage: string): typeof test {
  if (!spawnSync(program, ['--version']).error) return test;
  process.stderr.write(`${program} is not installed, so its test is skipped: apt-get install ${debianPackage}\n`);
  return test.skip as typeof test;
}

test('the command that migrates in containers exists', () => {
  expect(existsSync(projectPath(sourceOf(migrateCommand[1]!)))).toBe(true);
});

describe('Dockerfile', () => {
  const stages = readDockerfile();
  const final = stages.at(-1)!.instructions;
  const ignored = read('.dockerignore').trim().split('\n');
  const valueOf = (name: string) => final.find((instruction) => instruction.name === name)!.text;

  test('copies only files that exist and that .dockerignore lets through', () => {
    const copied = stages
      .flatMap(({ instructions }) => instructions)
      .filter(({ name, text }) => name === 'COPY' && !text.startsWith('--from='))
      .flatMap(({ text }) => text.split(' ').slice(0, -1));
    expect(copied.length).toBeGreaterThan(4);
    expect(copied.filter((source) => !existsSync(projectPath(source)))).toEqual([]);
    expect(copied.filter((source) => ignored.includes(source.split('/')[0]!))).toEqual([]);
  });

  test('gets neither packages, data, history nor secrets from the folder that it is built in', () => {
    expect(ignored).toEqual(expect.arrayContaining(['.data', '.env', '.git', 'dist', 'logs', 'node_modules']));
  });

  test('serves as a plain user, without a step of its own, as npm start does', () => {
    expect(final.filter(({ name }) => name === 'RUN')).toEqual([]);
    expect(valueOf('USER')).toBe('10001:10001');
    expect(valueOf('HEALTHCHECK')).toMatch(/\/livez/);
    expect(JSON.parse(valueOf('CMD'))).toEqual(startCommand());
  });

  test('installs production packages only, without those of one platform, such as the embedded PostgreSQL', () => {
    const { instructions } = stages.find(({ name }) => name === 'packages')!;
    expect(instructions).toContainEqual({ name: 'RUN', text: 'npm ci --omit=dev --os=none' });
  });

  test('sets HOME and only settings that exist', () => {
    const settings = Object.fromEntries(
      valueOf('ENV')
        .split(' ')
        .map((pair) => pair.split('=') as [string, string]),
    );
    expect(unknownSettings(Object.keys(settings))).toEqual(['HOME']);
    expect(settings).toMatchObject({ NODE_ENV: 'production', HOST: '0.0.0.0', LOG_FILE: 'off' });
  });

  test('uses a Node that package.json accepts', () => {
    const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
    const [, needed] = />=(\d+)/.exec(engines.node)!;
    for (const { from } of stages)
      expect(Number(/^node:(\d+)-slim$/.exec(from)![1])).toBeGreaterThanOrEqual(Number(needed));
  });
});

describe('compose.yaml', () => {
  interface Service {
    command?: string[];
    environment?: Record<string, string>;
    volumes?: string[];
    read_only?: boolean;
    stop_grace_period?: string;
    depends_on?: Record<string, { condition: string }>;
  }
  const { services, volumes } = parseYaml(read('compose.yaml'), { merge: true }) as {
    services: Record<string, Service>;
    volumes: Record<string, null>;
  };
  const own = ['migrate', 'server'].map((name) => [name, services[name]!] as const);

  test.each(own)('%s has settings that the server accepts', (_name, { environment }) => {
    expect(unknownSettings(Object.keys(environment!))).toEqual([]);
    expect(loadConfig(environment).databaseUrls).toHaveLength(1);
  });

  test.each(own)('%s has nothing that production would accept as it stands', (_name, { environment }) => {
    expect(() => loadConfig({ ...environment, NODE_ENV: 'production' })).toThrow(/JWT_SECRET[^]*WEBHOOK_SECRETS/);
  });

  test.each(own)('%s has a read-only root file system', (_name, service) => {
    expect(service.read_only).toBe(true);
  });

  test('migrates before the server starts, and gives it time to drain', () => {
    expect(services.migrate!.command).toEqual(migrateCommand);
    expect(services.server!.depends_on).toEqual({ migrate: { condition: 'service_completed_successfully' } });
    expect(Number.parseInt(services.server!.stop_grace_period!, 10)).toBeGreaterThan(DRAIN_SECONDS);
  });

  test('connects with the name and the password that PostgreSQL gets', () => {
    const url = new URL(services.server!.environment!.DATABASE_URL!);
    const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = services.postgres!.environment!;
    expect([url.username, url.password, url.pathname]).toEqual([POSTGRES_USER, POSTGRES_PASSWORD, `/${POSTGRES_DB}`]);
  });

  test('mounts files that exist and volumes that it declares', () => {
    const sources = Object.values(services).flatMap((service) => (service.volumes ?? []).map((v) => v.split(':')[0]!));
    const missing = sources.filter((source) =>
      source.startsWith('.') ? !existsSync(projectPath(source)) : !(source in volumes),
    );
    expect([sources.length > 6, missing]).toEqual([true, []]);
  });

  test('starts nginx with nginx.conf, whose server and certificate it provides', () => {
    const script = services.nginx!.command!.at(-1)!;
    const [, pattern, server] = /sed 's\/(.*)\/(.*)\/' \/docs\/deploy\/nginx\.conf/.exec(script)!;
    expect(read('docs/deploy/nginx.conf')).toMatch(new RegExp(`server ${pattern};`));
    expect(server).toBe(`server:${PORT}`);
    for (const file of ['tls.crt', 'tls.key']) {
      expect(services.certificate!.command!.join()).toContain(`/tls/${file}`);
      expect(read('docs/deploy/nginx.conf')).toContain(` /etc/ssl/flashsale/${file};`);
    }
    expect(services.nginx!.volumes).toContain('tls:/etc/ssl/flashsale:ro');
  });

  test('shows the shipped board and alerts of the server', () => {
    const prometheus = parseYaml(read('docs/deploy/prometheus.yml'));
    expect(prometheus.rule_files.map((file: string) => existsSync(projectPath('docs/deploy', file)))).toEqual([true]);
    expect(prometheus.scrape_configs[0].static_configs).toEqual([{ targets: [`server:${PORT}`] }]);
    const { datasources } = parseYaml(read('docs/deploy/grafana/datasources.yml'));
    expect(datasources).toMatchObject([{ type: 'prometheus', url: 'http://prometheus:9090', isDefault: true }]);
    const [{ options }] = parseYaml(read('docs/deploy/grafana/dashboards.yml')).providers;
    expect(readdirSync(projectPath(options.path.slice(1)))).toContain('grafana-dashboard.json');
  });
});

describe('docs/deploy/kubernetes', () => {
  const objects = readdirSync(projectPath('docs/deploy/kubernetes')).flatMap((file) =>
    parseAllDocuments(read('docs/deploy/kubernetes', file)).map((document) => document.toJS()),
  );
  const find = (kind: string, name: string) =>
    objects.find((object) => object.kind === kind && object.metadata.name === name);
  const [deployment, job] = [find('Deployment', 'flashsale'), find('Job', 'flashsale-migrate')];
  const pods = [deployment, job].map((owner) => [owner.kind, owner.spec.template.spec] as const);
  const server = deployment.spec.template.spec.containers[0];
  /** The container's environment, with something of the right form for each placeholder. */
  const environmentOf = ({ env = [], envFrom }: any): Record<string, string> => {
    const values = { ...find('Secret', envFrom[0].secretRef.name).stringData };
    if (values.WEBHOOK_SECRETS) values.WEBHOOK_SECRETS = `whsec_${'A'.repeat(32)}`;
    if (values.JWT_SECRET) values.JWT_SECRET = 'j'.repeat(32);
    for (const { name, value } of env) values[name] = value;
    return { ...values, NODE_ENV: 'production' };
  };

  test.each(pods)('the %s may do nothing that the image does not need', (_kind, pod) => {
    expect(pod.securityContext).toEqual({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    expect(pod.containers[0].securityContext).toEqual({
      ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
    });
    expect(pod).toMatchObject({ automountServiceAccountToken: false, enableServiceLinks: false });
    expect(Object.keys(pod.containers[0].resources)).toEqual(['requests', 'limits']);
  });

  test('the settings exist, and production accepts them', () => {
    const settings = environmentOf(server);
    expect(unknownSettings(Object.keys(settings))).toEqual([]);
    expect(loadConfig(settings).trustedProxies).toBe(1);
    expect(
      loadSettings(['databaseUrls'], environmentOf(job.spec.template.spec.containers[0])).databaseUrls,
    ).toHaveLength(1);
  });

  test('the Job migrates with the same image, and the Deployment starts what the image starts', () => {
    const { image, command } = job.spec.template.spec.containers[0];
    expect([image, command]).toEqual([server.image, migrateCommand]);
    expect(server).not.toHaveProperty('command');
  });

  test('a pod has time for preStop and the drain', () => {
    const { terminationGracePeriodSeconds } = deployment.spec.template.spec;
    const { seconds } = server.lifecycle.preStop.sleep;
    expect(seconds).toBeGreaterThan(server.readinessProbe.periodSeconds);
    expect(terminationGracePeriodSeconds).toBeGreaterThan(seconds + DRAIN_SECONDS);
  });

  test('/readyz decides about routing and /livez about restarts', () => {
    expect(server.ports).toEqual([{ name: 'http', containerPort: PORT }]);
    const paths = ['startupProbe', 'readinessProbe', 'livenessProbe'].map((probe) => server[probe].httpGet);
    expect(paths).toEqual(['/livez', '/readyz', '/livez'].map((path) => ({ path, port: 'http' })));
  });

  test('Service and PodDisruptionBudget select the pods of the Deployment', () => {
    const { labels } = deployment.spec.template.metadata;
    expect(deployment.spec.selector.matchLabels).toEqual(labels);
    expect(find('Service', 'flashsale').spec.selector).toEqual(labels);
    expect(find('PodDisruptionBudget', 'flashsale').spec.selector.matchLabels).toEqual(labels);
  });

  test('all pods together stay below the max_connections of a fresh PostgreSQL', () => {
    const { databasePoolSize } = loadConfig(environmentOf(server));
    const pods = deployment.spec.replicas + deployment.spec.strategy.rollingUpdate.maxSurge;
    expect(pods * (2 * databasePoolSize + 2)).toBeLessThan(100 - 10);
  });
});

describe('docs/deploy/flashsale.service', () => {
  const unit = read('docs', 'deploy', 'flashsale.service');
  const values = (key: string) => [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value!);

  test('starts the server as npm start does', () => {
    expect(values('ExecStart')).toEqual([
      `${values('WorkingDirectory')[0]}/node_modules/.bin/${startCommand().join(' ')}`,
    ]);
  });

  test('names only settings that exist', () => {
    const named = [...values('Environment'), ...unit.match(/[A-Z]+_[A-Z_]+(?==production|,| or)/g)!];
    const keys = named.map((pair) => pair.split('=')[0]!);
    expect(keys.length).toBeGreaterThan(3);
    expect(unknownSettings(keys)).toEqual([]);
  });

  test('gives a server the time that it needs to stop', () => {
    expect(Number(values('TimeoutStopSec')[0])).toBeGreaterThan(DRAIN_SECONDS);
  });

  testWith('systemd-analyze', 'systemd')('systemd accepts it and finds little exposed', () => {
    const folder = mkdtempSync(join(tmpdir(), 'flashsale-unit-'));
    const file = join(folder, 'flashsale.service');
    // The folder and the user of this machine: `verify` looks for both.
    writeFileSync(file, unit.replaceAll('/opt/flashsale', projectPath()).replace('User=flashsale', 'User=daemon'));
    try {
      const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
      expect([status, stdout + stderr]).toEqual([0, '']);
      const args = ['security', '--offline=true', '--no-pager', file];
      const [, exposure] = /exposure level for flashsale\.service: ([\d.]+)/.exec(
        execFileSync('systemd-analyze', args, { encoding: 'utf8' }),
      )!;
      expect(Number(exposure)).toBeLessThan(2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('docs/deploy/Caddyfile', () => {
  testWith('caddy', 'caddy')('Caddy accepts it, and finds it formatted', () => {
    const file = projectPath('docs/deploy/Caddyfile');
    const home = mkdtempSync(join(tmpdir(), 'flashsale-caddy-'));
    try {
      execFileSync('caddy', ['validate', '--adapter', 'caddyfile', '--config', file], {
        stdio: 'pipe',
        env: { PATH: process.env.PATH, HOME: home },
      });
      expect(execFileSync('caddy', ['fmt', file], { encoding: 'utf8' })).toBe(read('docs/deploy/Caddyfile'));
    } finally {
      rmSync(home, { recursive: true });
    }
  });
});

describe('docs/deploy/prometheus.yml', () => {
  testWith('promtool', 'prometheus')('Prometheus accepts it with its rules', () => {
    const said = execFileSync('promtool', ['check', 'config', projectPath('docs/deploy/prometheus.yml')], {
      encoding: 'utf8',
    });
    expect(said).toMatch(/SUCCESS: \d+ rules found/);
  });
});
