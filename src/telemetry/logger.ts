/** The log: one JSON line an event into a file and onto standard output (readable in development). */
import { closeSync, mkdirSync, openSync, write, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Logger, multistream, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { type Config, isColored, tracesAreWanted } from '../config';
import { traceFields } from './tracing';

export type { Logger } from 'pino';

/** What may wait for a slow or full disk; later lines are dropped rather than kept until the memory is used up. */
const maxWaitingLength = 16 * 1024 * 1024;

/** How soon a full pipe is tried again. */
const pipeRetryMs = 20;

/**
 * Never written, at the top of a line or one level below. An idempotency key works like a password for a customer who
 * shops without a token (docs/design.md#api-rules), and a line does not know whose it is: it is hidden for all.
 */
const SECRET_NAMES = new Set([
  'authorization',
  'cookie',
  'password',
  'secret',
  'secrets',
  'token',
  'jwt',
  'idempotencyKey',
]);
const REDACTED = '[redacted]';

/** Where lines go: never throws and never waits, whatever became of what stands behind it. */
interface Sink {
  write(line: string): void;
  close(): Promise<void>;
}

const writeToFd = promisify(write);
const sinksOf = new WeakMap<object, readonly Sink[]>();

export interface LoggerOptions {
  level: Config['logLevel'];
  /** null: no file. */
  file: string | null;
  environment: Config['environment'];
}

/**
 * A logger that never stops a request: lines are written in the background, and a file or an output that cannot be
 * written is named once on standard error and otherwise let be (it is tried again with every later line).
 * In test everything goes to the file alone. Name the event in each line: `log.info({ event: 'hold.created' }, 'hold.created')`.
 */
export function createLogger({ level, file, environment }: LoggerOptions): Logger {
  const isTest = environment === 'test';
  const sinks = [
    ...(isTest ? [] : [openStandardOutput(environment === 'development')]),
    ...(file === null ? [] : openFile(file, isTest)),
  ];
  const logger = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: withoutSecrets },
      serializers: { err: (error: Error) => withoutSecretNames({ ...pino.stdSerializers.err(error) }) },
      hooks: { streamWrite: withoutUrlPasswords },
      ...(tracesAreWanted() && { mixin: traceFields }),
    },
    multistream(sinks.map((stream) => ({ level: 'trace' as const, stream }))),
  );
  sinksOf.set(logger, sinks);
  return logger;
}

/**
 * Writes what still waits, and closes the file. For the very end: lines logged afterwards are lost, without an error.
 * Takes what `createLogger` returned (a child is ignored); never throws, and may be called twice.
 */
export async function closeLogger(logger: Logger): Promise<void> {
  const sinks = sinksOf.get(logger) ?? [];
  sinksOf.delete(logger);
  await Promise.all(sinks.map((sink) => sink.close()));
}

function openStandardOutput(isReadable: boolean): Sink {
  const format = prettyFactory({
    colorize: isColored(process.stdout),
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'event,pid',
    singleLine: true,
  });
  return openSink(1, 'standard output', isReadable ? (line) => format(line) ?? line : undefined);
}

function openFile(path: string, isTest: boolean): Sink[] {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const fd = openSync(path, 'a', 0o640);
    return [isTest ? immediateSink(fd, path) : openSink(fd, path)];
  } catch (error) {
    warn(path, error as Error);
    return [];
  }
}

/** For tests: one that fails must find its last lines in the file, even when the process is ended at once. */
function immediateSink(fd: number, name: string): Sink {
  let isOpen = true;
  const onError = warnOnce(name);
  return {
    write: (line) => {
      try {
        if (isOpen) writeSync(fd, line);
      } catch (error) {
        onError(error as Error);
      }
    },
    close: async () => {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
}

/**
 * Writes in the background what has accumulated, in one piece. pino's own destination is not used: on a full disk its
 * flush at a fatal line and at the exit repeats for ever and stops the process (sonic-boom 4.2, seen with /dev/full).
 */
function openSink(fd: number, name: string, format = (line: string) => line): Sink {
  const onError = warnOnce(name);
  let waiting: string[] = [];
  let waitingLength = 0;
  let writing: Promise<void> | undefined;
  let isOpen = true;

  const takeWaiting = (): Buffer => {
    const bytes = Buffer.from(waiting.join(''));
    waiting = [];
    waitingLength = 0;
    return bytes;
  };
  const writeWaiting = async (): Promise<void> => {
    while (waiting.length > 0) await writeAll(fd, takeWaiting()).catch(onError);
    writing = undefined;
  };
  /** For the last lines before process.exit() or an uncaught error: one attempt, since nothing can be awaited. */
  const writeAtExit = (): void => {
    try {
      if (waiting.length > 0) writeSync(fd, takeWaiting());
    } catch (error) {
      onError(error as Error);
    }
  };
  process.once('exit', writeAtExit);

  return {
    write: (line) => {
      if (!isOpen || waitingLength > maxWaitingLength) return;
      const text = format(line);
      waiting.push(text);
      waitingLength += text.length;
      writing ??= writeWaiting();
    },
    close: async () => {
      if (!isOpen) return;
      isOpen = false;
      await writing;
      process.off('exit', writeAtExit);
      if (fd > 2) closeSync(fd);
    },
  };
}

async function writeAll(fd: number, bytes: Buffer): Promise<void> {
  for (let offset = 0; offset < bytes.length;) {
    try {
      offset += (await writeToFd(fd, bytes, offset)).bytesWritten;
    } catch (error) {
      // A full pipe: its reader is slow, not gone.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await setTimeout(pipeRetryMs);
    }
  }
}

function warnOnce(name: string): (error: Error) => void {
  let hasWarned = false;
  return (error) => {
    if (!hasWarned) warn(name, error);
    hasWarned = true;
  };
}

function warn(name: string, error: Error): void {
  process.stderr.write(`The log cannot be written to ${name}, the service goes on without it: ${error.message}\n`);
}

/** pino's own `redact` does the same, but its wildcards take three quarters of a line's time (1.5 of 6.2 µs are left). */
function withoutSecrets(fields: Record<string, unknown>): Record<string, unknown> {
  let shown = fields;
  for (const [name, value] of Object.entries(fields)) {
    const without = SECRET_NAMES.has(name) ? REDACTED : isPlain(value) ? withoutSecretNames(value) : value;
    if (without !== value) shown = { ...shown, [name]: without };
  }
  return shown;
}

function withoutSecretNames(fields: Record<string, unknown>): Record<string, unknown> {
  let shown = fields;
  for (const name of Object.keys(fields)) if (SECRET_NAMES.has(name)) shown = { ...shown, [name]: REDACTED };
  return shown;
}

/** Errors are serialized separately. */
function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Error);
}

/** Drivers like to repeat the URL to which they could not connect. */
function withoutUrlPasswords(line: string): string {
  return line.includes('://') ? line.replace(/(:\/\/[^\s:/@"]*):[^\s@/"]*@/g, '$1:[redacted]@') : line;
}
