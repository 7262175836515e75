/** What the commands share: options that are numbers, where the server is, and one clear line for whatever goes wrong. */
import { type Command, CommanderError, InvalidArgumentError } from 'commander';
import type { Config } from '../config';

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

/**
 * Reads the options and runs the command. Ends the process with 0 on success, 2 on bad usage, 1 on any other error, which
 * is printed in one line: whoever runs a command needs no stack.
 */
export async function runCommand(command: Command, argv: readonly string[] = process.argv): Promise<void> {
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
  }
}
