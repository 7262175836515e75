/** Whether a PostgreSQL lacks fixes that were published before this build was made. */
import { run, sql } from '../postgres/statement';
import type { Database } from './database';

/**
 * The newest minor version of each major one as of 2026-11-30: the releases of 12 November, whose security fixes CVE-2026-6460
 * names ("before 18.7, 17.12, 16.16, 15.20"). PostgreSQL publishes the next in February 2027; then look them up at
 * postgresql.org/support/versioning.
 */
const NEWEST_MINOR: Readonly<Record<number, number>> = { 15: 20, 16: 16, 17: 12, 18: 7 };

/** As `server_version_num` has it: 180004 is 18.4. */
export async function readServerVersion(database: Database): Promise<number> {
  const [server] = await database.read((em) =>
    run<{ version: string }>(em, sql`SELECT current_setting('server_version_num') AS version`),
  );
  return Number(server!.version);
}

/** A sentence with what to do; null for a version without known fixes to come, and for a major version newer than this build. */
export function describeMissingFixes(version: number, { isEmbedded }: { readonly isEmbedded: boolean }): string | null {
  const [major, minor] = [Math.floor(version / 10_000), version % 10_000];
  const newest = NEWEST_MINOR[major];
  if (newest === undefined || minor >= newest) return null;
  const lack = `PostgreSQL ${major}.${minor} lacks the security fixes up to ${major}.${newest}`;
  return isEmbedded
    ? `the embedded ${lack}, and no newer build of it exists: it is for development, on 127.0.0.1 with a random password; ` +
        'set DATABASE_URL for anything else'
    : `${lack}: install that minor version or a later one, which takes a restart and no dump`;
}
