/** A connection with fixed formats of values, independent of the settings of database and role. */
import { Client } from 'pg';

/**
 * The settings that change how values are written and that clients may set when they connect, also through PgBouncer, which
 * keeps them for each client. They override ALTER DATABASE and ALTER ROLE. `checkServer` checks the other settings.
 */
const FORMATS = { DateStyle: 'ISO, MDY', TimeZone: 'UTC', standard_conforming_strings: 'on' };

export class Session extends Client {
  /** What pg sends when it connects; its types leave it out. */
  getStartupConf(): Record<string, string> {
    const { getStartupConf } = Client.prototype as unknown as { getStartupConf(): Record<string, string> };
    return { ...getStartupConf.call(this), ...FORMATS };
  }
}
