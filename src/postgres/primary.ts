/** Which of the servers in DATABASE_URL takes writes: asked again for every new connection, for a failover changes it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

/** How long a new connection may take, in ms, so that an absent database is noticed within a second. */
export const CONNECT_MS = 900;
/** How long the others may still answer once one says that it takes writes, in ms. A server that is alive needs one or two. */
const OTHERS_MS = 150;

/** The state of one of several servers. Each promotion begins a timeline, so of two that take writes the higher one is right. */
const QUESTION = `SELECT current_setting('transaction_read_only') = 'on' AS is_read_only,
  CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline`;

interface Answer {
  readonly url: string;
  /** In hexadecimal, of 8 digits. */
  readonly timeline: string;
}

/**
 * Promises, of several servers: a new connection is to one that takes writes, and never to one that was left behind by a
 * promotion that this process has seen. While the same one takes writes, that costs one round trip a connection; nothing
 * with one URL, where there is nothing to choose.
 */
export class WritableServer {
  /** The one that took writes when it was last asked. */
  private url: string | null = null;
  /** The highest that was seen. */
  private timeline = '';
  private finding: Promise<string> | null = null;
  private era = 0;

  constructor(private readonly urls: readonly string[]) {
    if (urls.length === 1) this.url = urls[0]!;
  }

  /** Counts the ends of trust: connections of an earlier era are not to be used any more. */
  get currentEra(): number {
    return this.era;
  }

  /** `open` connects to a URL. Throws what it throws, or, as PostgreSQL does (57P03), that no server takes writes now. */
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

  /** The URL of the one that takes writes. Many who ask at once share the answer. */
  find(): Promise<string> {
    if (this.url !== null) return Promise.resolve(this.url);
    return (this.finding ??= this.ask().finally(() => (this.finding = null)));
  }

  /** The next connection looks again. With one URL there is nowhere else to look. */
  doubt(url: string | null = this.url): void {
    if (this.urls.length > 1 && url === this.url) this.url = null;
  }

  /** A connection turned out to be to a standby: so are all that are open, whatever stands between. */
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

  /** Why it cannot be used; null when it can be. */
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

  /** A promotion ends the trust in whatever was open before it. */
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

/** null: it takes no writes. */
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
