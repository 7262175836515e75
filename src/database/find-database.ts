/** Which database a process works on, started first when it is the embedded one. */
import { projectPath } from '../config';
import { startEmbeddedPostgres } from './embedded-postgres';
import { writableUrl } from './orm';

/** The embedded database lives here, whichever folder the command was started in. */
const DATA_DIRECTORY = projectPath('.data');

/**
 * The URL of the database: DATABASE_URL's writable server, else the embedded one, started or adopted. `stop` leaves it
 * running for others who use it.
 */
export async function findDatabase(
  databaseUrls: readonly string[],
  log: (message: string) => void,
): Promise<{ url: string; stop: () => Promise<void> }> {
  if (databaseUrls.length > 0) return { url: await writableUrl(databaseUrls), stop: async () => undefined };
  const embedded = await startEmbeddedPostgres({ directory: DATA_DIRECTORY, log });
  return { url: embedded.url, stop: () => embedded.stop() };
}
