/** How the process is told to stop, and the time that it has for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isBelowNpm } from './config';
import type { Logger } from './telemetry/logger';

/** From the signal to the end of the process, in ms. 15 s are promised; the rest is for the log and for a busy machine. */
const STOP_WITHIN_MS = 14_000;
/** What of that is kept for the embedded PostgreSQL. The server drains for up to 10 s, and then closes its pools. */
const DATABASE_WITHIN_MS = 3_400;
/** Something that nobody foresaw keeps the process: it ends all the same. */
const GIVE_UP_MS = 14_700;
const KILLED_WITHIN_MS = 300;
/** Below npm one Ctrl-C arrives twice: the terminal signals the whole group, and npm hands its own signal on. */
const COPY_WITHIN_MS = 1_000;

/** A start that a signal ended. */
export class Stopped extends Error {
  override readonly name = 'Stopped';
}

/**
 * The first SIGTERM, SIGINT or SIGHUP asks for a stop in order. A second one, of whoever cannot wait, cuts the requests in
 * progress off; a third ends the process where it stands. SIGHUP comes from a terminal that is closed.
 * A worker is told by its primary alone: what a terminal tells the whole group is the primary's business.
 */
export class Stop {
  private readonly request = new AbortController();
  private readonly hurry = new AbortController();
  private requestedAt = Infinity;
  private toldAt = -Infinity;

  constructor(
    private readonly log: Logger,
    isWorker: boolean,
  ) {
    process.on('SIGTERM', (signal) => this.tell(signal, !isWorker));
    for (const signal of ['SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => isWorker || this.tell(signal, signal === 'SIGINT'));
    }
  }

  /** Aborted by the first signal, with `Stopped`. */
  get signal(): AbortSignal {
    return this.request.signal;
  }

  get isRequested(): boolean {
    return this.request.signal.aborted;
  }

  /** Resolves with the first signal. */
  requested(): Promise<void> {
    return aborted(this.request.signal);
  }

  /** `work`, or a rejection with `Stopped` as soon as a stop is asked for: `work` is left to itself then. */
  async unlessRequested<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.requested().then(() => Promise.reject(new Stopped('stopped')))]);
  }

  /** Resolves with the signal of whoever cannot wait. */
  hurried(): Promise<void> {
    return aborted(this.hurry.signal);
  }

  /** Waits for the server to end, but no longer than it may take, nor than whoever stops it is willing to. */
  async waitForServer(ended: Promise<void>): Promise<void> {
    const patience = sleep(Math.max(this.leftMs() - DATABASE_WITHIN_MS, 0), undefined, { ref: false });
    // Workers that are killed need a moment to be gone, and their connections with them.
    const hurry = this.hurried().then(() => sleep(KILLED_WITHIN_MS));
    const isOver = await Promise.race([ended.then(() => true), Promise.race([patience, hurry]).then(() => false)]);
    if (isOver) return;
    this.log.warn({ event: 'server.cut_off', hurried: this.hurry.signal.aborted }, 'server.cut_off');
    ended.catch((err: unknown) => this.log.warn({ event: 'server.cut_off', err }, 'server.cut_off'));
  }

  /** Whole ms. Of a process that fails without a signal, too: its database is given that long. */
  leftMs(): number {
    return Math.max(Math.round(Math.min(this.requestedAt - performance.now(), 0) + STOP_WITHIN_MS), 0);
  }

  private tell(signal: NodeJS.Signals, mayHurry: boolean): void {
    const now = performance.now();
    const isCopy = isBelowNpm() && now - this.toldAt < COPY_WITHIN_MS;
    this.toldAt = now;
    if (!this.isRequested) {
      this.requestedAt = now;
      this.log.info({ event: 'server.stopping', signal }, 'server.stopping');
      this.request.abort();
      setTimeout(giveUp, GIVE_UP_MS).unref();
    } else if (mayHurry && !isCopy) {
      if (this.hurry.signal.aborted) process.exit(130);
      process.exitCode = 130;
      this.hurry.abort();
    }
  }
}

/** SIGKILL, because even process.exit() waits for a write to a pipe that nobody reads. */
function giveUp(): void {
  process.stderr.write('error: the server does not stop: it is killed\n');
  process.kill(process.pid, 'SIGKILL');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
