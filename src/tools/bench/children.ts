/** Forks the benchmark's child processes, receives their messages, and ends each by its own handle. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { bareEnvironment } from '../../config';

/** A server starts within a second or two; a loaded machine may need longer. */
const START_WAIT_MS = 30_000;
/** A server drains for at most 10 s before it is killed. */
const END_WAIT_MS = 15_000;

export interface Child {
  readonly pid: number;
  send(message: object): void;
  /** The next message of this kind. Rejects when the child ends first. */
  next<Message extends { kind: string } = { kind: string }>(kind: Message['kind']): Promise<Message>;
  end(): Promise<void>;
}

interface Options {
  readonly env?: NodeJS.ProcessEnv;
  readonly execArgv?: readonly string[];
}

/** Starts one of this folder's entry files and waits until it reports `ready`. */
export async function startChild<Ready extends { kind: 'ready' }>(
  entry: string,
  { env = {}, execArgv = [] }: Options = {},
): Promise<{ child: Child; ready: Ready }> {
  const forked = fork(join(__dirname, `${entry}.js`), {
    env: { ...environment(), ...env },
    execArgv: [...execArgv],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    serialization: 'advanced',
  });
  const child = childOf(forked, entry);
  const timer = setTimeout(() => forked.kill('SIGKILL'), START_WAIT_MS);
  try {
    return { child, ready: await child.next<Ready>('ready') };
  } finally {
    clearTimeout(timer);
  }
}

/** The caller's settings must not change what is measured. */
const environment = (): NodeJS.ProcessEnv => ({ ...bareEnvironment(), NODE_ENV: 'production' });

function childOf(forked: ChildProcess, entry: string): Child {
  let lastWords = '';
  forked.stderr?.on('data', (chunk: Buffer) => (lastWords = (lastWords + chunk.toString()).slice(-2_000)));
  forked.on('error', (error) => (lastWords += error.message));
  const ended = new Promise<void>((resolve) => forked.once('exit', () => resolve()));
  return {
    pid: forked.pid ?? 0,
    send: (message) => void forked.send(message),
    next: (kind) =>
      new Promise((resolve, reject) => {
        const onMessage = (message: { kind: string }) => {
          if (message.kind !== kind) return;
          settle();
          resolve(message as never);
        };
        const onExit = (code: number | null, signal: string | null) => {
          settle();
          reject(new Error(`${entry} ended with ${code ?? signal}${lastWords && `: ${lastWords.trim()}`}`));
        };
        const settle = () => {
          forked.off('message', onMessage);
          forked.off('exit', onExit);
        };
        forked.on('message', onMessage);
        forked.on('exit', onExit);
      }),
    end: async () => {
      if (forked.exitCode !== null || forked.signalCode !== null) return;
      if (forked.connected) forked.disconnect();
      const timer = setTimeout(() => forked.kill('SIGKILL'), END_WAIT_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}
