/** Shutdown of the server process: signals and deadlines. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isBelowNpm } from './config';
import type { Logger } from './telemetry/logger';

/** From the signal to the end of the process, in ms. The documented limit is 15 s; the rest is for the log and a busy machine. */
const STOP_WITHIN_MS = 14_000;
/** The share reserved for the embedded PostgreSQL. The server drains for up to 10 s and then closes its pools. */
const DATABASE_WITHIN_MS = 3_400;
/** After this the process kills itself, whatever keeps it alive. */
const KILL_AFTER_MS = 14_700;
const WORKERS_KILLED_WITHIN_MS = 300;
/** Under npm one Ctrl-C arrives twice: the terminal signals the whole group, and npm forwards its own signal. */
const DUPLICATE_WITHIN_MS = 1_000;

/** A signal ended the process while it was starting. */
export class Stopped extends Error {
  override readonly name = 'Stopped';
}

/**
 * The first SIGTERM, SIGINT or SIGHUP (a closed terminal) starts a graceful shutdown. A second SIGTERM or SIGINT aborts requests
 * in progress; a third exits at once. Workers obey only their primary's SIGTERM and ignore what a terminal sends to the group.
 */
export class Stop {
  private readonly request = new AbortController();
  private readonly hurry = new AbortController();
  private requestedAt = Infinity;
  private signalledAt = -Infinity;

  constructor(
    private readonly log: Logger,
    isWorker: boolean,
  ) {
    process.on('SIGTERM', (signal) => this.onSignal(signal, !isWorker));
    for (const signal of ['SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => isWorker || this.onSignal(signal, signal === 'SIGINT'));
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

  /** Waits for `work`, but rejects with `Stopped` at the first signal; `work` then continues unobserved. */
  async unlessRequested<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.requested().then(() => Promise.reject(new Stopped('stopped')))]);
  }

  /** Resolves with the second signal. */
  hurried(): Promise<void> {
    return aborted(this.hurry.signal);
  }

  /** Waits for the server to end, until its deadline or the second signal. */
  async waitForServer(ended: Promise<void>): Promise<void> {
    const deadline = sleep(Math.max(this.leftMs() - DATABASE_WITHIN_MS, 0), undefined, { ref: false });
    // Killed workers and their connections need a moment to disappear.
    const hurry = this.hurried().then(() => sleep(WORKERS_KILLED_WITHIN_MS));
    const hasEnded = await Promise.race([ended.then(() => true), Promise.race([deadline, hurry]).then(() => false)]);
    if (hasEnded) return;
    this.log.warn({ event: 'server.cut_off', hurried: this.hurry.signal.aborted }, 'server.cut_off');
    ended.catch((err: unknown) => this.log.warn({ event: 'server.cut_off', err }, 'server.cut_off'));
  }

  /** Whole ms until the deadline; all of STOP_WITHIN_MS without a signal, for the database of a process that fails. */
  leftMs(): number {
    return Math.max(Math.round(Math.min(this.requestedAt - performance.now(), 0) + STOP_WITHIN_MS), 0);
  }

  private onSignal(signal: NodeJS.Signals, mayHurry: boolean): void {
    const now = performance.now();
    const isDuplicate = isBelowNpm() && now - this.signalledAt < DUPLICATE_WITHIN_MS;
    this.signalledAt = now;
    if (!this.isRequested) {
      this.requestedAt = now;
      this.log.info({ event: 'server.stopping', signal }, 'server.stopping');
      this.request.abort();
      setTimeout(killSelf, KILL_AFTER_MS).unref();
    } else if (mayHurry && !isDuplicate) {
      if (this.hurry.signal.aborted) process.exit(130);
      process.exitCode = 130;
      this.hurry.abort();
    }
  }
}

/** Uses SIGKILL, because process.exit() waits for writes to a pipe, even if nothing reads it. */
function killSelf(): void {
  process.stderr.write('error: the server did not stop in time and is killed\n');
  process.kill(process.pid, 'SIGKILL');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
