/** Real processes of the compiled project, in a folder of their own: servers that may be killed, and commands that are run. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadConfig, projectPath } from '../../src/config';
import { clientOf, type Client } from './server';

const run = promisify(execFile);
/** A start migrates and connects; on a busy machine node alone takes seconds. */
const START_WITHIN_MS = 30_000;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningServer extends Client {
  readonly pid: number;
  /** What it has said so far, on both outputs. */
  said(): string;
  /** Once it has ended, however that came about. */
  readonly ended: Promise<Ended>;
  /** Sends the signal, and answers once the process has ended. */
  end(signal: NodeJS.Signals): Promise<Ended>;
}

export interface Launched {
  said(): string;
  readonly ended: Promise<Ended>;
  end(signal: NodeJS.Signals): Promise<Ended>;
}

/** One build of the project; its processes know nothing of the environment of whoever runs the tests. */
export interface Build {
  readonly directory: string;
  environment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv;
  /** Answers once it serves; throws with what it said when it ends before. On a free port unless `PORT` says else. */
  start(env: NodeJS.ProcessEnv): Promise<RunningServer>;
  /** Starts a compiled file, the server unless another one is named, and waits for nothing. */
  launch(env: NodeJS.ProcessEnv, file?: string, args?: readonly string[]): Launched;
  /** Runs a compiled file to its end. */
  command(file: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended>;
  /** Kills what is left of its servers, and removes the folder. */
  remove(): Promise<void>;
}

/** Call it in `beforeAll`, and `remove` in `afterAll`. Takes a second. */
export async function buildProject(): Promise<Build> {
  const directory = await mkdtemp(join(tmpdir(), 'flashsale-build-'));
  await chmod(directory, 0o755); // PostgreSQL may run as somebody else, and passes through it
  const links = ['node_modules', 'package.json', 'src'];
  await Promise.all(links.map((name) => symlink(projectPath(name), join(directory, name))));
  const args = [projectPath('src', 'cli', 'build.mjs'), 'server', join(directory, 'dist')];
  await run(process.execPath, args, { cwd: projectPath() });

  const children = new Set<ChildProcess>();
  const environment = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    PORT: '0',
    LOG_FILE: 'off',
    ...env,
  });
  const launch = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => {
    const child = spawn(process.execPath, [join(directory, 'dist', 'src', file), ...args], {
      cwd: directory,
      env: environment(env),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.add(child);
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (data) => (output.stdout += data));
    child.stderr.on('data', (data) => (output.stderr += data));
    const ended = new Promise<Ended>((resolve) =>
      child.once('close', (code) => {
        children.delete(child);
        resolve({ code, ...output });
      }),
    );
    return { child, output, ended };
  };

  return {
    directory,
    environment,
    launch: (env, file = 'main.js', args = []) => {
      const { child, output, ended } = launch(file, args, env);
      const end = (signal: NodeJS.Signals) => {
        child.kill(signal);
        return ended;
      };
      return { said: () => output.stdout + output.stderr, ended, end };
    },
    command: (file, args, env) => launch(file, args, env).ended,
    start: async (env) => {
      const { child, output, ended } = launch('main.js', [], env);
      const url = await Promise.race([
        new Promise<string>((resolve) =>
          child.stdout.on('data', () => {
            const started = /(?:server\.started|Storefront).*?(http:\/\/[\w.:]+)/.exec(output.stdout);
            if (started) resolve(started[1]!);
          }),
        ),
        ended.then(({ stdout, stderr }) => fail(`the server ended before it served:\n${stdout}${stderr}`)),
        later(START_WITHIN_MS).then(() => fail(`the server does not serve:\n${output.stdout}${output.stderr}`)),
      ]);
      return {
        ...(await clientOf(url, loadConfig(env))),
        pid: child.pid!,
        ended,
        said: () => output.stdout + output.stderr,
        end: (signal) => {
          child.kill(signal);
          return ended;
        },
      };
    },
    remove: async () => {
      await Promise.all(
        [...children].map((child) => {
          const closed = new Promise((resolve) => child.once('close', resolve));
          child.kill('SIGKILL');
          return closed;
        }),
      );
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref());

function fail(message: string): never {
  throw new Error(message);
}
