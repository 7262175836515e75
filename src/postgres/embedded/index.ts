// An embedded PostgreSQL for development: started or adopted, restarted when it dies, and stopped by its last user.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { findBinaries, findHome, type Home, type Log, messageOf } from './home';
import { withLock } from './lock';
import {
  adoptOrLaunch,
  close,
  connectionUrl,
  countOthers,
  findPostmaster,
  isAlive,
  isPostmaster,
  type Running,
  shutDown,
  type Site,
} from './process';

export interface EmbeddedPostgres {
  /** Stays valid until `stop()`: a PostgreSQL that died comes back on the same port. */
  readonly url: string;
  /** Where the data is: another than the wanted directory when PostgreSQL may not enter that one. */
  readonly directory: string;
  readonly port: number;
  stop(options?: StopOptions): Promise<void>;
}

export interface StopOptions {
  /** The longest that a stop may take. */
  readonly withinMs?: number;
  /** Ignores this process's open connections, because it is about to end. */
  readonly withoutOwn?: boolean;
}

interface Options {
  readonly directory: string;
  readonly log: Log;
  /** Additional PostgreSQL settings; without effect on one that already runs. */
  readonly settings?: Record<string, string>;
  /** Aborts an unfinished start, which then rejects and leaves no PostgreSQL that it has launched. */
  readonly signal?: AbortSignal;
}

/** How often PostgreSQL is checked: short enough to have it back within a second or two. */
const WATCH_MS = 500;
/** Longer than the longest start, a crash recovery. */
const START_LOCK_WAIT_MS = 180_000;
/** For a stop, unless its caller has less time. */
const STOP_WITHIN_MS = 15_000;
/** The share of that for the lock. A process that holds it longer is starting PostgreSQL, and wants it to run on. */
const STOP_LOCK_SHARE = 0.3;
/** How long a stop waits for a restart in progress to abort. */
const WATCH_ENDS_MS = 500;
/** For an aborted start: nothing was written that a shutdown would have to save. */
const ABANDON_WITHIN_MS = 4_000;

/**
 * Promises a PostgreSQL 18 with the UTF-8 database `flashsale` on a free port of 127.0.0.1, durable (fsync on), its data
 * in `<directory>/postgres-18`. Adopts one that already runs there, left by a killed process or shared with a living one, and
 * recovers one that died. If it dies later, it is restarted on the same port.
 *
 * `stop()` (close your pools first) leaves it running while other processes are connected; the last one stops it. It
 * returns at once when PostgreSQL is dead, and gives a slow one 15 s, or `withinMs`; one that hangs is killed, and
 * recovers at the next start. It never rejects.
 * Installs no signal handlers, and does not keep the process alive.
 *
 * Rejects with one Error that says what to do when this machine cannot run it.
 */
export async function startEmbeddedPostgres(options: Options): Promise<EmbeddedPostgres> {
  const { directory, log, settings = {}, signal = new AbortController().signal } = options;
  const home = await findHome(directory, log);
  const start = async () => {
    const site = { home, binaries: await findBinaries(home, log), settings, log };
    try {
      const running = await adoptOrLaunch(site, signal);
      return new Guarded(site, running, await connectionUrl(home, running.port));
    } catch (error) {
      if (signal.aborted) await stopUnlessUsed(site, undefined, { withinMs: ABANDON_WITHIN_MS });
      throw error;
    }
  };
  return inTurn(home, START_LOCK_WAIT_MS, start, signal);
}

/** One started PostgreSQL, which is restarted when it dies until `stop()`. */
class Guarded implements EmbeddedPostgres {
  readonly directory: string;
  readonly port: number;
  private readonly stopped = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private watching: Promise<void> = Promise.resolve();
  private stopping: Promise<void> | undefined;
  private connected = false;
  /** Logged since PostgreSQL last ran. */
  private readonly complaints = new Set<string>();

  constructor(
    private readonly site: Site,
    private running: Running,
    readonly url: string,
  ) {
    this.port = running.port;
    this.directory = site.home.directory;
    this.welcome(running);
    this.watchLater();
  }

  stop(options: StopOptions = {}): Promise<void> {
    return (this.stopping ??= this.leave(options));
  }

  private welcome(running: Running): void {
    const { adopted, port, pid, presence } = running;
    const verb = adopted ? 'runs already' : 'started';
    this.site.log(`PostgreSQL ${verb} on port ${port} (pid ${pid}), data in ${this.site.home.data}`);
    this.running = running;
    this.connected = true;
    presence.once('end', () => {
      if (this.running === running) this.connected = false;
    });
    referable(presence).unref();
  }

  private watchLater(): void {
    if (this.stopped.signal.aborted) return;
    this.timer = setTimeout(() => {
      this.watching = this.watch().finally(() => this.watchLater());
    }, WATCH_MS).unref();
  }

  private async watch(): Promise<void> {
    const { home } = this.site;
    const { pid, presence } = this.running;
    if (this.connected && isAlive(pid)) return;

    const lives = await isPostmaster(pid, home.data);
    this.complain(lives ? 'PostgreSQL cut our connection' : `PostgreSQL (pid ${pid}) died: starting it again`);
    void close(presence);
    try {
      const { signal } = this.stopped;
      await inTurn(
        home,
        START_LOCK_WAIT_MS,
        async () => this.welcome(await adoptOrLaunch(this.site, signal, this.port)),
        signal,
      );
      this.complaints.clear();
    } catch (error) {
      if (!this.stopped.signal.aborted) this.complain(`PostgreSQL is not back yet: ${messageOf(error)}`);
    }
  }

  /** Logs each complaint once while restarts are retried. Messages that differ only in a time or pid are the same. */
  private complain(message: string): void {
    const gist = message.replace(/\d+/g, '');
    if (!this.complaints.has(gist)) this.site.log(message);
    this.complaints.add(gist);
  }

  private async leave({ withinMs = STOP_WITHIN_MS, withoutOwn = false }: StopOptions): Promise<void> {
    const endsAt = performance.now() + withinMs;
    const leftMs = () => Math.max(Math.round(endsAt - performance.now()), 0);
    this.stopped.abort();
    clearTimeout(this.timer);
    await Promise.race([this.watching, sleep(WATCH_ENDS_MS)]);
    referable(this.running.presence).ref(); // or the process could end before this function
    await close(this.running.presence);

    const { home, log } = this.site;
    if (!(await findPostmaster(home, this.running))) return log('PostgreSQL does not run any more');
    try {
      await inTurn(home, Math.round(leftMs() * STOP_LOCK_SHARE), () =>
        stopUnlessUsed(this.site, this.running, { withinMs: leftMs(), withoutOwn }),
      );
    } catch (error) {
      log(`PostgreSQL is left running: ${messageOf(error)}`);
    }
  }
}

/** The caller holds the lock. */
async function stopUnlessUsed(
  site: Site,
  known: Running | undefined,
  { withinMs, withoutOwn = false }: { withinMs: number; withoutOwn?: boolean },
): Promise<void> {
  const { home, log } = site;
  const postmaster = await findPostmaster(home, known);
  if (!postmaster) return log('PostgreSQL does not run any more');
  const others = await countOthers(home, postmaster, withoutOwn);
  if (others > 0) return log(`PostgreSQL stays up on port ${postmaster.port}: others are connected (${others})`);
  await shutDown(site, postmaster, withinMs);
}

/** Methods that @types/pg leaves out. */
const referable = (client: Client) => client as Client & { ref(): void; unref(): void };

/**
 * One process at a time starts or stops the PostgreSQL of a home; `signal` ends the wait. Two holders would do no harm, because
 * PostgreSQL locks its data directory itself.
 */
async function inTurn<T>(home: Home, waitMs: number, action: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const done = await withLock(home.lockFile, { waitMs, signal }, async () => ({ value: await action() }));
  if (done) return done.value;
  throw new Error(
    `another process has been starting or stopping the PostgreSQL in ${home.directory} for ${waitMs / 1000} s`,
  );
}
