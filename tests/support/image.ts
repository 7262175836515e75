/**
 * The image without Docker: executes the Dockerfile's instructions in bubblewrap. Base image: this machine's /usr, or the root
 * that TEST_IMAGE_ROOT names (made by debootstrap), with the Node that runs the tests.
 */
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { projectPath } from '../../src/config';

const BASE = process.env.TEST_IMAGE_ROOT ?? '/';
const WORKDIR = '/app';
const PATH = '/usr/local/bin:/usr/bin:/bin';

export interface Instruction {
  readonly name: string;
  readonly text: string;
}

export interface Stage {
  readonly from: string;
  readonly name: string;
  /** All but FROM. */
  readonly instructions: readonly Instruction[];
}

export function readDockerfile(): Stage[] {
  const content = readFileSync(projectPath('Dockerfile'), 'utf8')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll('\\\n', ' ');
  return content
    .split(/^FROM /m)
    .slice(1)
    .map((stage, index) => {
      const [from, ...lines] = stage.split('\n').filter(Boolean);
      const [, image, name = String(index)] = /^(\S+)(?: AS (\S+))?$/.exec(from!)!;
      const instructions = lines.map((line) => {
        const [, name, text] = /^([A-Z]+) +(.*)$/.exec(line)!;
        return { name: name!, text: text! };
      });
      return { from: image!, name, instructions };
    });
}

/** What a stage leaves behind: files below WORKDIR, and how to start it. */
interface Built {
  readonly app: string;
  readonly env: Record<string, string>;
  readonly user: { readonly uid: number; readonly gid: number };
  readonly healthcheck: readonly string[];
  readonly command: readonly string[];
}

export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

export interface Container {
  output(): string;
  /** Signals the process 1 of the container, as `docker stop` does, and resolves when it has ended. */
  end(signal: NodeJS.Signals): Promise<Ended>;
}

export interface Image {
  /** The image's files on this machine. */
  readonly app: string;
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
  /** Starts a container with a read-only root and a writable /tmp, in the network of this machine. */
  start(command: readonly string[], env: Record<string, string>): Container;
  run(command: readonly string[], env: Record<string, string>): Promise<Ended>;
  remove(): void;
}

/** Why no image can be built here, or null. */
export function missingForImage(): string | null {
  if (process.platform !== 'linux') return 'bubblewrap needs Linux';
  const probe = spawnSync('bwrap', sandbox({ app: '/usr', ...as({ uid: 10001, gid: 10001 }), env: {} }, ['true']));
  if (probe.error) return 'bubblewrap is not installed: apt-get install bubblewrap';
  return probe.status === 0 ? null : `bubblewrap may not create a container: ${probe.stderr}`;
}

/** Takes half a minute, most of it for npm. */
export async function buildImage(): Promise<Image> {
  const folder = mkdtempSync(join(tmpdir(), 'flashsale-image-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const stages = new Map<string, Built>();
    let last: Built | undefined;
    for (const stage of readDockerfile()) {
      last = await buildStage(stage, join(folder, stage.name), stages);
      stages.set(stage.name, last);
    }
    return { ...containersOf(last!), remove };
  } catch (error) {
    remove();
    throw error;
  }
}

async function buildStage(stage: Stage, app: string, earlier: ReadonlyMap<string, Built>): Promise<Built> {
  mkdirSync(app, { mode: 0o755 });
  const built = { app, env: {} as Record<string, string>, user: { uid: 0, gid: 0 }, healthcheck: [''], command: [''] };
  const execute: Record<string, (text: string) => void | Promise<void>> = {
    // A COPY with a relative target and every RUN rely on it.
    WORKDIR: (text) => assert(text === WORKDIR, `WORKDIR ${text} is not ${WORKDIR}`),
    ENV: (text) => void Object.assign(built.env, Object.fromEntries(text.split(' ').map((pair) => pair.split('=')))),
    COPY: (text) => copy(text, app, earlier),
    RUN: (text) => runStep(text, built),
    USER: (text) => {
      const [uid, gid] = text.split(':').map(Number);
      built.user = { uid: uid!, gid: gid! };
    },
    HEALTHCHECK: (text) => void (built.healthcheck = JSON.parse(/CMD (.*)$/.exec(text)![1]!)),
    CMD: (text) => void (built.command = JSON.parse(text)),
    EXPOSE: () => undefined,
    STOPSIGNAL: (text) => assert(text === 'SIGTERM', `STOPSIGNAL ${text} is not SIGTERM`),
  };
  for (const { name, text } of stage.instructions) {
    assert(name in execute, `tests/support/image.ts cannot execute ${name}: add it there`);
    await execute[name]!(text);
  }
  return built;
}

/** Like Docker: of a folder its content, of a file the file; as root, with the modes that they have. */
function copy(text: string, app: string, earlier: ReadonlyMap<string, Built>): void {
  const [, from, paths] = /^(?:--from=(\S+) )?(.*)$/.exec(text)!;
  const sources = paths!.split(' ');
  const target = sources.pop()!;
  for (const source of sources) {
    const path = from ? resolve(earlier.get(from)!.app, source.slice(`${WORKDIR}/`.length)) : projectPath(source);
    const isFolder = lstatSync(path).isDirectory();
    cpSync(path, join(app, target, isFolder ? '' : basename(source)), { recursive: true, verbatimSymlinks: true });
  }
}

/**
 * With TEST_IMAGE_ROOT everything is executed. Otherwise `npm ci`, which has just been run for the tests with the same
 * package-lock.json, means the project's node_modules, read-only.
 */
async function runStep(command: string, built: Built): Promise<void> {
  const packages = join(built.app, 'node_modules');
  if (command === 'npm ci' && !process.env.TEST_IMAGE_ROOT) return void mkdirSync(packages);
  const borrows = existsSync(packages) && readdirSync(packages).length === 0;
  const cache = npm('config', 'get', 'cache');
  mkdirSync(cache, { recursive: true });
  const authorities = process.env.NODE_EXTRA_CA_CERTS;
  const env = {
    ...{ HOME: '/tmp', ...built.env, npm_config_cache: '/npm', npm_config_prefer_offline: 'true' },
    npm_config_registry: npm('config', 'get', 'registry'),
    ...(authorities && { NODE_EXTRA_CA_CERTS: '/certificates' }),
  };
  const binds = [
    ...['--bind', built.app, WORKDIR, '--bind', cache, '/npm'],
    ...['--ro-bind', join(npm('root', '-g'), 'npm'), '/usr/local/lib/node_modules/npm'],
    ...['--symlink', '../lib/node_modules/npm/bin/npm-cli.js', '/usr/local/bin/npm'],
    ...(authorities ? ['--ro-bind', authorities, '/certificates'] : []),
    ...(borrows ? ['--ro-bind', projectPath('node_modules'), `${WORKDIR}/node_modules`] : []),
  ];
  const args = sandbox({ app: built.app, ...as(built.user), env, binds }, ['sh', '-c', command]);
  await promisify(execFile)('bwrap', args, { maxBuffer: 1 << 24 });
}

const npm = (...args: string[]) => execFileSync('npm', args, { cwd: projectPath(), encoding: 'utf8' }).trim();

function containersOf({ app, env: imageEnv, user, command, healthcheck }: Built): Omit<Image, 'remove'> {
  const launch = (command: readonly string[], env: Record<string, string>) => {
    const args = sandbox({ app, ...as(user), env: { ...imageEnv, ...env } }, command);
    const child = spawn('bwrap', ['--info-fd', '3', ...args], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    const [, stdout, stderr, info] = child.stdio as NodeJS.ReadableStream[];
    const about = text(info as never);
    const pid = async () => (JSON.parse(await about) as { 'child-pid': number })['child-pid'];
    let output = '';
    for (const stream of [stdout!, stderr!]) stream.on('data', (data) => (output += data));
    const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, output })));
    return { pid, ended, output: () => output };
  };
  return {
    ...{ app, command, healthcheck },
    run: (command, env) => launch(command, env).ended,
    start: (command, env) => {
      const { pid, ended, output } = launch(command, env);
      const end = async (signal: NodeJS.Signals) => {
        process.kill(await pid(), signal);
        return ended;
      };
      return { output, end };
    },
  };
}

interface Sandbox {
  readonly app: string;
  readonly env: Record<string, string>;
  /** Mounted after the base image and before the root becomes read-only. */
  readonly binds?: readonly string[];
  readonly namespace: readonly string[];
  readonly prefix: readonly string[];
}

/** bwrap's arguments: the base image's /usr with nothing but Node in /usr/local, WORKDIR, and an empty /tmp. */
function sandbox({ app, env, binds = [], namespace, prefix }: Sandbox, command: readonly string[]): string[] {
  const linked = ['bin', 'sbin', 'lib', 'lib32', 'lib64']
    .filter((name) => lstatSync(join(BASE, name), { throwIfNoEntry: false })?.isSymbolicLink())
    .flatMap((name) => ['--symlink', readlinkSync(join(BASE, name)), `/${name}`]);
  return [
    ...[...namespace, '--unshare-pid', '--as-pid-1', '--unshare-ipc', '--die-with-parent'],
    ...['--ro-bind', join(BASE, 'usr'), '/usr', ...linked, '--tmpfs', '/usr/local'],
    ...['--ro-bind', process.execPath, '/usr/local/bin/node'],
    ...['--perms', '0755', '--dir', '/etc'],
    ...['/etc/hosts', '/etc/resolv.conf'].flatMap((path) => ['--ro-bind-try', path, path]),
    ...['--proc', '/proc', '--dev', '/dev', '--perms', '1777', '--tmpfs', '/tmp'],
    ...['--ro-bind', app, WORKDIR, ...binds, '--remount-ro', '/usr/local', '--remount-ro', '/'],
    ...['--chdir', WORKDIR, '--clearenv'],
    ...Object.entries({ PATH, ...env }).flatMap(([key, value]) => ['--setenv', key, value]),
    ...[...prefix, ...command],
  ];
}

/** Root becomes the user in earnest. A plain user can only call itself so, and keeps the access to its own files. */
function as({ uid, gid }: Built['user']): Pick<Sandbox, 'namespace' | 'prefix'> {
  if (process.getuid!() !== 0) {
    return { namespace: ['--unshare-user', '--uid', String(uid), '--gid', String(gid)], prefix: [] };
  }
  const drop = ['--clear-groups', '--no-new-privs', '--bounding-set=-all'];
  return { namespace: [], prefix: uid === 0 ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, ...drop] };
}

function assert(isSo: boolean, message: string): void {
  if (!isSo) throw new Error(message);
}
