/** A connection whose texts mean what this code takes them for, whatever the database or the role is set to. */
import { Client } from 'pg';

/**
 * Of the settings that change what is sent or answered, those that a client may set when it connects, PgBouncer's clients too
 * (it keeps them for each). They come before ALTER DATABASE and ALTER ROLE; the client's encoding is UTF-8 in any case. The
 * others are looked at when a server starts, see `checkServer`.
 */
const FORMATS = { DateStyle: 'ISO, MDY', TimeZone: 'UTC', standard_conforming_strings: 'on' };

export class Session extends Client {
  /** What pg sends first of all; its types do not show it. */
  getStartupConf(): Record<string, string> {
    const { getStartupConf } = Client.prototype as unknown as { getStartupConf(): Record<string, string> };
    return { ...getStartupConf.call(this), ...FORMATS };
  }
}
