/** Shared by all commands: numeric options, the server's URL, signals, and errors in one line. */
import { constants } from 'node:os';
import { type Command, CommanderError, InvalidArgumentError } from 'commander';
import { type Config, isBelowNpm } from '../config';

/** Exit codes: 1 the command failed, 2 bad usage. */
export const exitCodes = { failed: 1, usage: 2 } as const;

/** A parser of commander options: a whole number in this range. */
export function wholeNumberOption(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d{1,16}$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** The URL at which this machine reaches the configured server. */
export function configuredUrl({ host, port }: Pick<Config, 'host' | 'port'>): URL {
  const isEverywhere = host === '0.0.0.0' || host === '::';
  const reachableHost = isEverywhere ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  return new URL(`http://${reachableHost}:${port}`);
}

/** A command was interrupted by SIGINT, SIGTERM or SIGHUP. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor(signal: NodeJS.Signals) {
    super(`ended by ${signal}: uncommitted changes are undone`);
    this.exitCode = 128 + constants.signals[signal];
  }

  /** The exit code by which shells report a process that was killed by this signal. */
  readonly exitCode: number;
}

/** Time for `finish` after a signal, in ms; the documented limit is 15 s. */
const FINISH_WITHIN_MS = 12_000;
/** Under npm one Ctrl-C arrives twice: from the terminal and from npm. */
const DUPLICATE_WITHIN_MS = 1_000;

/**
 * Runs `work`, then always `finish`. On SIGINT, SIGTERM or SIGHUP it rejects with `Interrupted` without waiting for `work`.
 * A second signal ends the process at once.
 */
export async function interruptible<T>(
  work: (signal: AbortSignal) => Promise<T>,
  finish: () => Promise<void>,
): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  let signalledAt = 0;
  const onSignal = (name: NodeJS.Signals) => {
    const isDuplicate = isBelowNpm() && performance.now() - signalledAt < DUPLICATE_WITHIN_MS;
    if (signal.aborted && !isDuplicate) process.exit((signal.reason as Interrupted).exitCode);
    signalledAt = performance.now();
    if (signal.aborted) return;
    controller.abort(new Interrupted(name));
    setTimeout(() => process.exit((signal.reason as Interrupted).exitCode), FINISH_WITHIN_MS).unref();
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, onSignal);
  const interrupted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  try {
    const working = work(signal);
    // After an interruption it fails, because its database is closed.
    working.catch(() => undefined);
    return await Promise.race([working, interrupted]);
  } finally {
    await finish();
    for (const name of names) process.off(name, onSignal);
  }
}

/**
 * Parses the options and runs the command. The exit code is 0 on success, 2 on bad usage, and 1 on any other error, which is
 * printed in one line without a stack. A closed pipe (`| head`) is not an error.
 */
export async function runCommand(command: Command, argv: readonly string[] = process.argv): Promise<void> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') process.stderr.write(`error: standard output: ${error.message}\n`);
    process.exit(error.code === 'EPIPE' ? process.exitCode : exitCodes.failed);
  });
  command.showHelpAfterError('(add --help for all options)').exitOverride();
  try {
    await command.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
      return;
    }
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = exitCodes.failed;
    // Interrupted work may still hold connections and would continue.
    if (error instanceof Interrupted) process.exit(error.exitCode);
  }
}
