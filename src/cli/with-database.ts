/** Finds or starts the database for a command, and leaves it as it was. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Config, loadDotEnv, loadSettings } from '../config';
import { findDatabase, type FoundDatabase } from '../postgres/find-database';
import { openDatabase, type Database } from '../database/database';
import { closeLogger, createLogger, type Logger } from '../telemetry/logger';
import { interruptible } from './options';

const FIELDS = ['environment', 'databaseUrls', 'logFile', 'acceptMigrations'] as const;

export interface CommandContext {
  readonly config: Pick<Config, (typeof FIELDS)[number]>;
  readonly database: Database;
  readonly url: string;
  readonly log: Logger;
  /** The options of `migrate`. */
  readonly migration: { accepted: readonly string[]; say: (message: string) => void; signal: AbortSignal };
}

/** Connections that stay open longer end with the process. */
const CLOSE_WITHIN_MS = 2_000;
const STOP_EMBEDDED_WITHIN_MS = 8_000;

/** A signal interrupts the command, and stops an embedded PostgreSQL that it started. */
export async function withDatabase<T>(work: (context: CommandContext) => Promise<T>): Promise<T> {
  loadDotEnv();
  const config = loadSettings(FIELDS);
  const log = createLogger({ level: 'warn', file: config.logFile, environment: 'test' });
  let found: FoundDatabase | undefined;
  let finding: Promise<FoundDatabase> | undefined;
  let database: Database | undefined;
  const run = async (signal: AbortSignal) => {
    finding = findDatabase(config.databaseUrls, (message) => log.info({ event: 'postgres' }, message), signal);
    found = await finding;
    signal.throwIfAborted();
    database = await openDatabase({ url: found.url, poolSize: 2, log });
    signal.throwIfAborted();
    const say = (message: string) => void process.stderr.write(`${message}\n`);
    const migration = { accepted: config.acceptMigrations, say, signal };
    return work({ config, database, url: found.url, log, migration });
  };
  return interruptible(run, async () => {
    // The signal also cancels a start that is in progress.
    found ??= await finding?.catch(() => undefined);
    await Promise.race([database?.close(), sleep(CLOSE_WITHIN_MS, undefined, { ref: false })]);
    await found?.stop({ withinMs: STOP_EMBEDDED_WITHIN_MS, withoutOwn: true });
    await closeLogger(log);
  });
}
