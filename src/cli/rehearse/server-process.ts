/** Other processes of this build: a server of the rehearsal's own, and the reconcile command. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { environmentForChild, type Config } from '../../config';
import { configuredUrl } from '../options';

/** A fresh machine makes a database cluster first, which takes some seconds, on a slow disk many. */
const startWithinMs = 120_000;
/** The server drains for at most 10 s. */
const stopWithinMs = 20_000;
const reconcileWithinMs = 120_000;
/** What is kept of a child's output, to say why it failed, in characters. */
const mostOutput = 64 * 1024 * 1024;
const lastWords = 600;

export interface Server {
  readonly url: URL;
  /** Resolves when it is ready to sell; throws, with its last words, when it does not come up. */
  readonly ready: Promise<void>;
  /** SIGTERM, then patience, then SIGKILL. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts this build's server on a free port, without waiting for it: whoever is interrupted meanwhile can stop it. What it
 * needs beyond the settings of this process: nobody can wait for a hold of two minutes within a sale of one, and one machine
 * is no crowd to a rate limit.
 */
export async function startServer(config: Config, durationSeconds: number): Promise<Server> {
  const { host } = config;
  const port = await freePort(host);
  const url = configuredUrl({ host, port });
  const child = spawn(process.execPath, commandOf('../../main'), {
    env: environmentForChild(
      { PORT: String(port) },
      {
        HOLD_TTL_SECONDS: String(Math.max(5, Math.round(durationSeconds / 4))),
        ORDER_PAYMENT_WINDOW_SECONDS: String(Math.max(10, Math.round(durationSeconds / 2))),
        RATE_LIMIT: 'off',
      },
    ),
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C is told to the rehearsal, which stops the server in order.
    detached: true,
  });
  const output = tailOf(child, lastWords);
  const end = once(child, 'close');
  const stop = async () => {
    if (hasEnded(child)) return;
    child.kill('SIGTERM');
    const timeout = setTimeout(() => child.kill('SIGKILL'), stopWithinMs);
    await end;
    clearTimeout(timeout);
  };
  const ready = untilReady(url, child, output);
  // Awaited later, or never when the rehearsal is interrupted.
  ready.catch(() => undefined);
  return { url, ready, stop };
}

/** A program beside this file, run the way this process is: as it was built, or from its source. */
function commandOf(program: string): string[] {
  return [...process.execArgv, join(__dirname, program + extname(__filename))];
}

async function untilReady(url: URL, child: ChildProcess, output: () => string): Promise<void> {
  for (const patience = AbortSignal.timeout(startWithinMs); !(await isReady(url)); await sleep(100)) {
    if (hasEnded(child)) throw new Error(`The server did not start: ${oneLine(output())}`);
    if (patience.aborted) {
      throw new Error(`The server was not ready within ${startWithinMs / 1_000} s: ${oneLine(output())}`);
    }
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Whether a server answers there, ready to sell. */
export async function isReady(url: URL): Promise<boolean> {
  try {
    return (await fetch(new URL('/readyz', url), { signal: AbortSignal.timeout(5_000) })).ok;
  } catch {
    return false;
  }
}

/** Whether anything at all listens there. */
export async function isListening(url: URL): Promise<boolean> {
  try {
    await fetch(new URL('/livez', url), { signal: AbortSignal.timeout(5_000) });
    return true;
  } catch {
    return false;
  }
}

export interface Reconciled {
  readonly exitCode: number;
  /** What the command printed with --json; null when that is no JSON. */
  readonly report: unknown;
  readonly summary: string;
}

/** `reconcile --json` on the database that this process is configured for. Never throws. */
export async function runReconcile(): Promise<Reconciled> {
  const child = spawn(process.execPath, [...commandOf('../reconcile'), '--json'], {
    env: environmentForChild({}),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: reconcileWithinMs,
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout = (stdout + part).slice(0, mostOutput)));
  const errors = tailOf(child, lastWords, ['stderr']);
  const [exitCode] = (await once(child, 'close')) as [number | null];
  try {
    const report = JSON.parse(stdout) as unknown;
    return { exitCode: exitCode ?? 1, report, summary: summaryOf(report) };
  } catch {
    const why = oneLine(errors() || stdout) || 'it printed nothing';
    return { exitCode: exitCode || 1, report: null, summary: `reconcile gave no report: ${why}` };
  }
}

/** The violations in the report, as far as one line holds them. */
function summaryOf(report: unknown): string {
  const violations = (report as { violations?: unknown } | null)?.violations;
  return oneLine(JSON.stringify(Array.isArray(violations) ? violations : report)).slice(0, lastWords);
}

function tailOf(child: ChildProcess, length: number, streams: ('stdout' | 'stderr')[] = ['stdout', 'stderr']) {
  let text = '';
  for (const stream of streams) {
    child[stream]!.setEncoding('utf8').on('data', (part: string) => (text = (text + part).slice(-length)));
  }
  return () => text;
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' · ');
}

async function freePort(host: string): Promise<number> {
  const server = createServer();
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
