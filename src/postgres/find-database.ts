/** Which database a process works on, started first when it is the embedded one. */
import { projectPath } from '../config';
import { startEmbeddedPostgres, type StopOptions } from './embedded';
import { WritableServer } from './primary';

/** The embedded database lives here, whichever folder the command was started in. */
const DATA_DIRECTORY = projectPath('.data');

export interface FoundDatabase {
  /** The server that takes writes at this moment. */
  readonly url: string;
  /** All of them, for a process that outlives a failover. */
  readonly urls: readonly string[];
  /** Leaves an embedded one running for others who use it. */
  stop(options?: StopOptions): Promise<void>;
}

/** DATABASE_URL's servers, else the embedded one, started or adopted. `signal` ends a start that takes too long. */
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
