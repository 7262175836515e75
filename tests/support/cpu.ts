/** What work costs this process. */
import { setTimeout as sleep } from 'node:timers/promises';

/** What a bad input may cost a server, in ms of CPU: RELIABILITY says 100. In these tests the client's part is in it, too. */
export const MAX_CPU_MS = 100;

const RUNS = 10;
const PAUSE_MS = 200;

/**
 * What a run of it costs, in ms of CPU, and what it answered. A collection of garbage, a compilation and whatever else goes
 * on in this process only ever add to it, so a run that seems too dear is repeated a little later: what costs as much each
 * time costs that itself.
 */
export async function cpuOf<T>(work: () => T | Promise<T>): Promise<{ ms: number; result: T }> {
  for (let run = 1; ; run += 1) {
    const before = process.cpuUsage();
    const result = await work();
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1_000;
    if (ms < MAX_CPU_MS || run === RUNS) return { ms, result };
    await sleep(PAUSE_MS);
  }
}
