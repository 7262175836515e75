/** A checkout of its own, as `git clone && npm ci` makes it: `npm start` and the other commands run in it as they are written. */
import { execFile, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { projectPath } from '../../src/config';

const FILES = ['src', 'migrations', 'package.json', 'package-lock.json', '.swcrc', 'schema'];
const READY_WITHIN_MS = 60_000;
const ENDS_WITHIN_MS = 20_000;

export interface Run {
  readonly child: ChildProcess;
  said(): string;
  /** Answers once the process has ended and both outputs are closed. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export class ProjectCopy {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'flashsale-clone-')));
  private readonly children = new Set<ChildProcess>();

  constructor() {
    chmodSync(this.folder, 0o755); // PostgreSQL, and a reader, may be somebody else
    for (const name of FILES) cpSync(projectPath(name), join(this.folder, name), { recursive: true });
    symlinkSync(projectPath('node_modules'), join(this.folder, 'node_modules'));
  }

  path(...parts: readonly string[]): string {
    return join(this.folder, ...parts);
  }

  /** The latest build's folder. */
  currentBuild(): string {
    return realpathSync(this.path('dist', 'current'));
  }

  /** In a session of its own, so that signals to its group reach nobody else. */
  run(command: readonly string[], env: NodeJS.ProcessEnv = {}, options: SpawnOptions = {}): Run {
    const [program, ...args] = command as [string, ...string[]];
    const child = spawn(program, args, {
      cwd: this.folder,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, LOG_FILE: 'off', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...options,
    });
    this.children.add(child);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (text += data));
    const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
      child.once('close', (code, signal) => {
        this.children.delete(child);
        resolve({ code, signal });
      }),
    );
    return { child, said: () => text, ended };
  }

  async toTheEnd(command: readonly string[], env: NodeJS.ProcessEnv = {}, options: SpawnOptions = {}) {
    const run = this.run(command, env, options);
    const { code } = await run.ended;
    return { code, said: run.said() };
  }

  build(): Promise<unknown> {
    return promisify(execFile)(process.execPath, ['src/cli/build.mjs'], { cwd: this.folder });
  }

  /** The pid of the PostgreSQL that this checkout's server says it uses. */
  postgresOf({ said }: Run): number {
    return Number([...said().matchAll(/PostgreSQL (?:started|runs already) on port \d+ \(pid (\d+)\)/g)].at(-1)![1]);
  }

  /** What a failed test has left. */
  async killAll(): Promise<void> {
    for (const child of this.children) {
      try {
        process.kill(-child.pid!, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
    const pidFile = this.path('.data', 'postgres-18', 'postmaster.pid');
    if (existsSync(pidFile)) {
      const pid = Number.parseInt(readFileSync(pidFile, 'utf8'));
      if (isAlive(pid)) process.kill(pid, 'SIGKILL');
      await untilEnded(pid);
    }
  }

  async remove(): Promise<void> {
    await this.killAll();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Not there, or a zombie that nobody has asked for yet. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat[stat.lastIndexOf(')') + 2] !== 'Z';
  } catch {
    return false;
  }
}

export async function untilEnded(pid: number): Promise<void> {
  await until(() => !isAlive(pid), `the process ${pid} ends`, ENDS_WITHIN_MS);
}

export async function untilReady(port: number, run: Run): Promise<void> {
  const isReady = async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null))?.ok === true;
  await until(isReady, `the server on port ${port} is ready`, READY_WITHIN_MS).catch((error: Error) => {
    throw new Error(`${error.message}: ${run.said()}`);
  });
}

export async function until(isSo: () => boolean | Promise<boolean>, what: string, withinMs = READY_WITHIN_MS) {
  for (const patience = AbortSignal.timeout(withinMs); !(await isSo()); await sleep(50)) {
    if (patience.aborted) throw new Error(`in vain it was waited until ${what}`);
  }
}
