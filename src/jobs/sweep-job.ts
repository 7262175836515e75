/** The timer of the sweep. What is to be done is read from the database at each tick, so a missed tick loses nothing. */
import { schedule } from 'node-cron';
import type { Checkout } from '../checkout/checkout';
import { sweepOnce } from '../checkout/sweep';
import { Busy, Unavailable } from '../domain/errors';

export interface Job {
  /** Answers when the run in progress has ended. */
  stop(): Promise<void>;
}

/** Runs do not overlap in this process; on other nodes they may, harmlessly. */
export function startSweepJob(checkout: Checkout, cronExpression: string): Job {
  let running: Promise<void> = Promise.resolve();
  const task = schedule(
    cronExpression,
    () => {
      running = sweep(checkout);
      return running;
    },
    { noOverlap: true, name: 'sweep', suppressMissedWarning: true, logger: quietly(checkout) },
  );
  return {
    stop: async () => {
      await task.stop();
      await running;
    },
  };
}

/** node-cron would print to the console. That a tick was skipped is no news: the next one does its work. */
function quietly({ log }: Checkout) {
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
