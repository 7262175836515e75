/** What commands that need the database share: it is found or started, and left as it was. */
import { loadConfig, loadDotEnv, type Config } from '../config';
import { findDatabase } from '../database/find-database';
import { openDatabase, type Database } from '../database/orm';
import { closeLogger, createLogger, type Logger } from '../telemetry/logger';

export interface CommandRoom {
  readonly config: Config;
  readonly database: Database;
  readonly url: string;
  readonly log: Logger;
}

export async function withDatabase<T>(work: (room: CommandRoom) => Promise<T>): Promise<T> {
  loadDotEnv();
  const config = loadConfig();
  const log = createLogger({ level: 'warn', file: config.logFile, environment: 'test' });
  const { url, stop } = await findDatabase(config.databaseUrls, (message) => log.info({ event: 'postgres' }, message));
  const database = await openDatabase({ url, poolSize: 2, log });
  try {
    return await work({ config, database, url, log });
  } finally {
    await database.close();
    await stop();
    await closeLogger(log);
  }
}
