/** When shoppers arrive: an open model, so a slow server does not delay arrivals. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../load/random';
import type { Plan } from './plan';

/** The share of the crowd that has waited for the opening; the others arrive later. */
const shareOfBurst = 0.6;
/** The burst's mean arrival as a share of the duration: 5 s of a minute. */
const burstMean = 1 / 12;

/** Milliseconds after the opening, ascending, one for each shopper; all within the duration. */
export function arrivalTimes({ shoppers, durationSeconds }: Plan, random: Random): number[] {
  const durationMs = durationSeconds * 1_000;
  const times = Array.from({ length: shoppers }, () => {
    const inBurst = random.isTrue(shareOfBurst) ? random.exponential(durationMs * burstMean) : Infinity;
    return inBurst < durationMs ? inBurst : random.between(0, durationMs);
  });
  return times.sort((a, b) => a - b);
}

/**
 * Starts each visit at its time and resolves when all have ended. `visit` gets the intended time, from which latency is
 * measured, so that this process's own delays count as waiting.
 */
export async function letIn(
  times: readonly number[],
  nowMs: () => number,
  visit: (index: number, intendedMs: number) => Promise<void>,
): Promise<void> {
  const visits: Promise<void>[] = [];
  for (let index = 0; index < times.length;) {
    const waitMs = times[index]! - nowMs();
    // Timers are whole milliseconds, and late rather than early.
    if (waitMs >= 1) await sleep(waitMs);
    for (; index < times.length && times[index]! - nowMs() < 1; index++) visits.push(visit(index, times[index]!));
    // Without yielding to the event loop, a long backlog of arrivals would keep every answer from being read.
    await new Promise(setImmediate);
  }
  await Promise.all(visits);
}
