/** Finds out which server in DATABASE_URL takes writes, again for every new connection, because a failover changes it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

/** How long a new connection may take, in ms, so that an absent database is noticed within a second. */
export const CONNECT_MS = 900;
/** How long the other servers may still answer once one takes writes, in ms. A server that is alive needs one or two. */
const OTHERS_MS = 150;

/** Each promotion begins a timeline, so of two servers that take writes the one with the higher timeline is right. */
const QUESTION = `SELECT current_setting('transaction_read_only') = 'on' AS is_read_only,
  CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline`;

interface Answer {
  readonly url: string;
  /** In hexadecimal, of 8 digits. */
  readonly timeline: string;
}

/**
 * With several servers, a new connection goes to one that takes writes, and never to one that was left behind by a promotion
 * that this process has seen. That costs one round trip a connection while the same server takes writes, and nothing with a
 * single URL.
 */
export class WritableServer {
  /** The server that took writes when it was last asked. */
  private url: string | null = null;
  /** The highest timeline that was seen. */
  private timeline = '';
  private finding: Promise<string> | null = null;
  private era = 0;

  constructor(private readonly urls: readonly string[]) {
    if (urls.length === 1) this.url = urls[0]!;
  }

  /** Grows with each promotion; connections of an earlier era must not be used any more. */
  get currentEra(): number {
    return this.era;
  }

  /** `open` connects to a URL. Throws its error, or 57P03, as PostgreSQL does, when no server takes writes. */
  async connect<C extends Client>(open: (url: string) => Promise<C>): Promise<C> {
    if (this.urls.length === 1) return open(this.urls[0]!);
    const known = this.url;
    if (known !== null) {
      const connection = await this.openIfWritable(open, known).catch(() => null);
      if (connection) return connection;
      this.doubt(known);
    }
    const found = await this.find();
    const connection = await this.openIfWritable(open, found);
    if (connection) return connection;
    this.doubt(found);
    throw cannotConnectNow(`${hostOf(found)} has stopped taking writes`);
  }

  /** The URL of the server that takes writes. Concurrent calls share the answer. */
  find(): Promise<string> {
    if (this.url !== null) return Promise.resolve(this.url);
    return (this.finding ??= this.ask().finally(() => (this.finding = null)));
  }

  /** Makes the next connection search again; does nothing with a single URL. */
  doubt(url: string | null = this.url): void {
    if (this.urls.length > 1 && url === this.url) this.url = null;
  }

  /** A connection turned out to lead to a standby, so all open connections do, also through a proxy. */
  distrust(): void {
    this.era += 1;
    this.doubt();
  }

  private async ask(): Promise<string> {
    const answers: Answer[] = [];
    const problems: string[] = [];
    const asked = this.urls.map(async (url) => {
      const problem = await this.judge(url, answers);
      if (problem !== null) problems.push(problem);
      return problem === null ? url : Promise.reject(new Error(problem));
    });
    const all = Promise.allSettled(asked);
    await Promise.race([
      all,
      Promise.any(asked).then(
        () => sleep(OTHERS_MS),
        () => all,
      ),
    ]);
    const [best] = answers.sort((a, b) => b.timeline.localeCompare(a.timeline));
    if (best) return this.adopt(best);
    throw cannotConnectNow(
      `none of the ${this.urls.length} servers in DATABASE_URL takes writes: ${problems.join('; ')}`,
    );
  }

  /** Why the server cannot be used; null when it can. */
  private async judge(url: string, answers: Answer[]): Promise<string | null> {
    try {
      const timeline = await askOne(url);
      if (timeline === null) return `${hostOf(url)} is read-only`;
      if (timeline < this.timeline) return `${hostOf(url)} was left behind by a promotion`;
      answers.push({ url, timeline });
      return null;
    } catch (error) {
      return error instanceof Error ? error.message || String(error) : String(error);
    }
  }

  /** After a promotion, connections that were opened before it must not be used. */
  private adopt({ url, timeline }: Answer): string {
    if (this.timeline !== '' && timeline > this.timeline) this.era += 1;
    this.timeline = timeline;
    return (this.url = url);
  }

  private async openIfWritable<C extends Client>(open: (url: string) => Promise<C>, url: string): Promise<C | null> {
    const connection = await open(url);
    const timeline = await timelineOf(connection).catch(() => null);
    if (timeline !== null && timeline >= this.timeline) {
      this.adopt({ url, timeline });
      return connection;
    }
    await connection.end().catch(() => undefined);
    return null;
  }
}

/** The server's timeline; null when it takes no writes. */
async function askOne(url: string): Promise<string | null> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await timelineOf(client);
  } finally {
    void client.end().catch(() => undefined);
  }
}

async function timelineOf(client: Client): Promise<string | null> {
  const question = { text: QUESTION, query_timeout: CONNECT_MS };
  const { rows } = await client.query<{ is_read_only: boolean; timeline: string | null }>(question);
  const { is_read_only, timeline } = rows[0]!;
  return is_read_only ? null : timeline;
}

function hostOf(url: string): string {
  return new URL(url).host;
}

function cannotConnectNow(message: string): Error {
  return Object.assign(new Error(message), { code: '57P03' });
}
