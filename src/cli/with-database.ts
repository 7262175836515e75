/** What commands that need the database share: it is found or started, and left as it was. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Config, loadDotEnv, loadSettings } from '../config';
import { findDatabase, type FoundDatabase } from '../postgres/find-database';
import { openDatabase, type Database } from '../database/database';
import { closeLogger, createLogger, type Logger } from '../telemetry/logger';
import { interruptible } from './options';

const USED = ['environment', 'databaseUrls', 'logFile', 'acceptMigrations'] as const;

export interface CommandRoom {
  readonly config: Pick<Config, (typeof USED)[number]>;
  readonly database: Database;
  readonly url: string;
  readonly log: Logger;
  /** For `migrate`: what this build may find, what is said of a wait, and how the wait ends. */
  readonly migration: { accepted: readonly string[]; say: (message: string) => void; signal: AbortSignal };
}

/** Connections that do not end are left to the end of the process. */
const CLOSE_WITHIN_MS = 2_000;
/** Of an embedded PostgreSQL. */
const STOP_WITHIN_MS = 8_000;

/** A signal ends the command in the middle, and an embedded PostgreSQL that it has started, too. */
export async function withDatabase<T>(work: (room: CommandRoom) => Promise<T>): Promise<T> {
  loadDotEnv();
  const config = loadSettings(USED);
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
    // A start that is under way ends by the signal, and leaves nothing.
    found ??= await finding?.catch(() => undefined);
    await Promise.race([database?.close(), sleep(CLOSE_WITHIN_MS, undefined, { ref: false })]);
    await found?.stop({ withinMs: STOP_WITHIN_MS, withoutOwn: true });
    await closeLogger(log);
  });
}
