/** Finds the database of a process, and starts the embedded one if no other is configured. */
import { projectPath } from '../config';
import { startEmbeddedPostgres, type StopOptions } from './embedded';
import { WritableServer } from './primary';

/** Independent of the folder in which a command was started. */
const DATA_DIRECTORY = projectPath('.data');

export interface FoundDatabase {
  /** The server that takes writes now. */
  readonly url: string;
  /** All servers, for a process that outlives a failover. */
  readonly urls: readonly string[];
  /** Leaves an embedded server running while other processes use it. */
  stop(options?: StopOptions): Promise<void>;
}

/** The servers of DATABASE_URL, or else the embedded one, started or adopted. `signal` aborts its start. */
export async function findDatabase(
  databaseUrls: readonly string[],
  log: (message: string) => void,
  signal?: AbortSignal,
): Promise<FoundDatabase> {
  if (databaseUrls.length > 0) {
    return { url: await new WritableServer(databaseUrls).find(), urls: databaseUrls, stop: async () => undefined };
  }
  const embedded = await startEmbeddedPostgres({ directory: DATA_DIRECTORY, log, signal });
  return { url: embedded.url, urls: [embedded.url], stop: (options) => embedded.stop(options) };
}
