/** The timer of the sweep. What is to be done is read from the database at each tick, so a missed tick loses nothing. */
import { schedule } from 'node-cron';
import type { Checkout } from '../checkout/checkout';
import { sweepOnce } from '../checkout/sweep';
import { Unavailable } from '../domain/errors';

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
    { noOverlap: true, name: 'sweep' },
  );
  return {
    stop: async () => {
      await task.stop();
      await running;
    },
  };
}

async function sweep(checkout: Checkout): Promise<void> {
  try {
    await sweepOnce(checkout);
  } catch (error) {
    const isAway = error instanceof Unavailable;
    checkout.log[isAway ? 'warn' : 'error']({ event: 'sweep.failed', err: error }, 'sweep.failed');
  }
}
