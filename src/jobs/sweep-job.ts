/** The timer of the sweep. Each tick reads from the database what is due, so a missed tick loses nothing. */
import { createTask } from 'node-cron';
import { Busy, Unavailable } from '../domain/errors';
import type { Logger } from '../telemetry/logger';

/** How often the wall clock is compared with the time that has passed, in ms. */
const CHECK_MS = 1_000;
/** A wall clock that is off by more than this since the last check, in ms, was stepped. Slewing changes it by 0.5 ms a second. */
const STEP_MS = 250;

export interface Job {
  /** Resolves when the run in progress has ended. */
  stop(): Promise<void>;
}

/**
 * Runs do not overlap in this process; on other nodes they may, harmlessly.
 *
 * node-cron says when, by the wall clock, which is what a cron expression means. The waiting is done here, by the time that
 * passes (`performance.now()`): node-cron's own timer stands still for as long as the clock was set back, and blocks the event
 * loop while it walks through every second that the clock was set forward (one day took 8 s). A step in either direction runs
 * the sweep at once, since the tick that it skips or repeats may be the one that was due, and the waiting begins again.
 */
export function startSweepJob(sweep: () => Promise<unknown>, cronExpression: string, log: Logger): Job {
  const task = createTask(cronExpression, () => runLogged(sweep, log), { name: 'sweep', logger: cronLogger(log) });
  let running: Promise<unknown> | null = null;
  let timer: NodeJS.Timeout;
  let offsetMs = wallOffsetMs();
  let dueAtMs = 0;

  const plan = () => {
    dueAtMs = performance.now() + task.getNextRuns(1)[0]!.getTime() - Date.now();
  };
  const wait = () => {
    timer = setTimeout(check, Math.max(0, Math.min(CHECK_MS, dueAtMs - performance.now())));
  };
  const check = () => {
    const stepMs = wallOffsetMs() - offsetMs;
    offsetMs += stepMs;
    const isStepped = Math.abs(stepMs) > STEP_MS;
    if (isStepped) log.warn({ event: 'clock.stepped', stepMs: Math.round(stepMs) }, 'clock.stepped');
    if (isStepped || performance.now() >= dueAtMs) {
      running ??= task.execute().finally(() => (running = null));
      plan();
    }
    wait();
  };
  plan();
  wait();
  return {
    stop: async () => {
      clearTimeout(timer);
      await running;
      await task.destroy();
    },
  };
}

/** Constant while the wall clock and the time that passes agree. */
const wallOffsetMs = () => Date.now() - performance.now();

/** node-cron would print to the console. */
function cronLogger(log: Logger) {
  const debug = (message: string | Error) => log.debug({ event: 'cron' }, String(message));
  const error = (message: string | Error) => log.error({ event: 'cron' }, String(message));
  return { info: debug, warn: debug, debug, error };
}

async function runLogged(sweep: () => Promise<unknown>, log: Logger): Promise<void> {
  try {
    await sweep();
  } catch (error) {
    const isAway = error instanceof Unavailable || error instanceof Busy;
    log[isAway ? 'warn' : 'error']({ event: 'sweep.failed', err: error }, 'sweep.failed');
  }
}
