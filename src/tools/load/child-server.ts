/** Child processes of this build: servers that a tool starts and stops, and commands that it runs. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server drains for at most 15 s. */
const STOP_WITHIN_MS = 20_000;
/** Characters of a child's output that are kept to explain a failure. */
const LAST_WORDS = 2_000;
/** Characters that a command may print. */
const MAX_OUTPUT = 64 * 1024 * 1024;

/** Node's options in `npm start`. */
export const NODE_FLAGS = ['--max-semi-space-size=32'];

export interface ChildServer {
  readonly url: URL;
  readonly pid: number;
  /** Resolves when the server is ready; rejects with the end of its output when it does not start in time. */
  readonly ready: Promise<void>;
  /** Sends SIGTERM, then SIGKILL after a time limit. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts this build's server without waiting, so that an interrupted tool can stop it. `env` is its whole environment and has its
 * PORT. It gets its own process group, so that Ctrl-C reaches only the tool, which then stops the server in order.
 */
export function startServer(url: URL, env: NodeJS.ProcessEnv, startWithinMs: number): ChildServer {
  const child = spawn(process.execPath, programOf('main'), { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const output = tailOf(child, ['stdout', 'stderr']);
  const end = once(child, 'close');
  const ready = untilReady(url, child, output, startWithinMs);
  // It may be awaited later, or never if the tool is interrupted.
  ready.catch(() => undefined);
  return {
    url,
    pid: child.pid!,
    ready,
    stop: async () => {
      if (hasEnded(child)) return;
      child.kill('SIGTERM');
      const timeout = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
      await end;
      clearTimeout(timeout);
    },
  };
}

export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of this build to its end. Never rejects; a killed command has exit code 1. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { env, withinMs }: { env: NodeJS.ProcessEnv; withinMs: number },
): Promise<Ended> {
  const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
  const child = spawn(process.execPath, [...programOf(program), ...args], { env, stdio, timeout: withinMs });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout = (stdout + part).slice(0, MAX_OUTPUT)));
  const stderr = tailOf(child, ['stderr']);
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode: exitCode ?? 1, stdout, stderr: stderr() };
}

/** A file of `src`, run like this process: compiled, or from source. */
function programOf(program: string): string[] {
  const flags = process.execArgv.length > 0 ? process.execArgv : NODE_FLAGS;
  return [...flags, join(__dirname, '..', '..', program + extname(__filename))];
}

async function untilReady(url: URL, child: ChildProcess, output: () => string, withinMs: number): Promise<void> {
  for (const patience = AbortSignal.timeout(withinMs); !(await isReady(url)); await sleep(100)) {
    if (hasEnded(child)) throw new Error(`The server did not start: ${oneLine(output())}`);
    if (patience.aborted) {
      throw new Error(`The server was not ready within ${withinMs / 1_000} s: ${oneLine(output())}`);
    }
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Whether a server at this URL is ready. */
export async function isReady(url: URL): Promise<boolean> {
  try {
    return (await fetch(new URL('/readyz', url), { signal: AbortSignal.timeout(5_000) })).ok;
  } catch {
    return false;
  }
}

/** Whether anything listens at this URL. */
export async function isListening(url: URL): Promise<boolean> {
  try {
    await fetch(new URL('/livez', url), { signal: AbortSignal.timeout(5_000) });
    return true;
  } catch {
    return false;
  }
}

function tailOf(child: ChildProcess, streams: readonly ('stdout' | 'stderr')[]) {
  let text = '';
  for (const stream of streams) {
    child[stream]!.setEncoding('utf8').on('data', (part: string) => (text = (text + part).slice(-LAST_WORDS)));
  }
  return () => text;
}

export function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' · ');
}
