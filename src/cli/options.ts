/** What the commands share: options that are numbers, where the server is, and one clear line for whatever goes wrong. */
import { constants } from 'node:os';
import { type Command, CommanderError, InvalidArgumentError } from 'commander';
import { type Config, isBelowNpm } from '../config';

/** Exit codes: 1 the command could not do its work, 2 it was called wrongly. */
export const exitCodes = { failed: 1, usage: 2 } as const;

/** A parser for commander: a whole number in a range, or one line that says which. */
export function wholeNumberOption(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d{1,16}$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** Where this configuration's server is reached from this machine. */
export function configuredUrl({ host, port }: Pick<Config, 'host' | 'port'>): URL {
  const isEverywhere = host === '0.0.0.0' || host === '::';
  const reachableHost = isEverywhere ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  return new URL(`http://${reachableHost}:${port}`);
}

/** SIGINT, SIGTERM or SIGHUP ended the command in the middle. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor(signal: NodeJS.Signals) {
    super(`ended by ${signal}: what it had not committed is undone`);
    this.exitCode = 128 + constants.signals[signal];
  }

  /** As a shell would report a process that the signal ended. */
  readonly exitCode: number;
}

/** `finish` has so long, in ms, after a signal; 15 s are promised. */
const FINISH_WITHIN_MS = 12_000;
/** Below npm one Ctrl-C arrives twice: from the terminal, and from npm. */
const COPY_WITHIN_MS = 1_000;

/**
 * Runs `work`, and after it `finish`, whatever happens: on SIGINT, SIGTERM and SIGHUP it rejects at once with
 * `Interrupted`, and leaves `work` to itself. A second signal, of whoever cannot wait, ends the process.
 */
export async function interruptible<T>(
  work: (signal: AbortSignal) => Promise<T>,
  finish: () => Promise<void>,
): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  let toldAt = 0;
  const tell = (name: NodeJS.Signals) => {
    const isCopy = isBelowNpm() && performance.now() - toldAt < COPY_WITHIN_MS;
    if (signal.aborted && !isCopy) process.exit((signal.reason as Interrupted).exitCode);
    toldAt = performance.now();
    if (signal.aborted) return;
    controller.abort(new Interrupted(name));
    setTimeout(() => process.exit((signal.reason as Interrupted).exitCode), FINISH_WITHIN_MS).unref();
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, tell);
  const interrupted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  try {
    const working = work(signal);
    // Left to itself, it fails for want of its database.
    working.catch(() => undefined);
    return await Promise.race([working, interrupted]);
  } finally {
    await finish();
    for (const name of names) process.off(name, tell);
  }
}

/**
 * Reads the options and runs the command. Ends the process with 0 on success, 2 on bad usage, 1 on any other error, which
 * is printed in one line: whoever runs a command needs no stack. A reader that has seen enough (`| head`) is no error.
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
    // What it was at may still hold connections, and would go on.
    if (error instanceof Interrupted) process.exit(error.exitCode);
  }
}
