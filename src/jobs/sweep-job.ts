/** The timer of the sweep. What is to be done is read from the database at each tick, so a missed tick loses nothing. */
import { createTask } from 'node-cron';
import type { Checkout } from '../checkout/checkout';
import { sweepOnce } from '../checkout/sweep';
import { Busy, Unavailable } from '../domain/errors';

/** How often the wall clock is compared with the time that has passed, in ms. */
const LOOK_MS = 1_000;
/** A wall clock that is off by more than this since the last look, in ms, was stepped. Slewing changes it by 0.5 ms a second. */
const STEP_MS = 250;

export interface Job {
  /** Answers when the run in progress has ended. */
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
export function startSweepJob(checkout: Checkout, cronExpression: string): Job {
  const task = createTask(cronExpression, () => sweep(checkout), { name: 'sweep', logger: cronLogger(checkout) });
  let running: Promise<unknown> | null = null;
  let timer: NodeJS.Timeout;
  let offsetMs = wallOffsetMs();
  let dueAtMs = 0;

  const plan = () => {
    dueAtMs = performance.now() + task.getNextRuns(1)[0]!.getTime() - Date.now();
  };
  const wait = () => {
    timer = setTimeout(look, Math.min(LOOK_MS, dueAtMs - performance.now()));
  };
  const look = () => {
    const stepMs = wallOffsetMs() - offsetMs;
    offsetMs += stepMs;
    const isStepped = Math.abs(stepMs) > STEP_MS;
    if (isStepped) checkout.log.warn({ event: 'clock.stepped', stepMs: Math.round(stepMs) }, 'clock.stepped');
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
function cronLogger({ log }: Checkout) {
  const debug = (message: string | Error) => log.debug({ event: 'cron' }, String(message));
  const error = (message: string | Error) => log.error({ event: 'cron' }, String(message));
  return { info: debug, warn: debug, debug, error };
}

async function sweep(checkout: Checkout): Promise<void> {
  try {
    await sweepOnce(checkout);
  } catch (error) {
    const isAway = error instanceof Unavailable || error instanceof Busy;
    checkout.log[isAway ? 'warn' : 'error']({ event: 'sweep.failed', err: error }, 'sweep.failed');
  }
}
