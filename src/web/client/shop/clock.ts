/** The shop's time. A device's clock may be wrong by hours; what it measures between two moments is right. */
import { useEffect, useState } from 'preact/hooks';
import { request } from '../api/request';
import { ServerTimeDocument } from '../generated/graphql';

const SAMPLES = 3;
const RESYNC_MS = 5 * 60_000;

/** Server time in ms at `performance.now() === 0`; until it is known, the device's own. */
let origin = Date.now() - performance.now();

export const serverNow = (): number => origin + performance.now();

/** Asks for `serverTime` and takes the answer that was under way for the shortest time: it is wrong by half of that at most. */
export async function syncClock(): Promise<void> {
  let best = Infinity;
  for (let sample = 0; sample < SAMPLES; sample += 1) {
    const askedAt = performance.now();
    const { serverTime } = await request(ServerTimeDocument, {});
    const answeredAt = performance.now();
    const tookMs = answeredAt - askedAt;
    if (tookMs >= best) continue;
    best = tookMs;
    origin = Date.parse(serverTime) - (askedAt + answeredAt) / 2;
  }
}

/** Keeps the shop's time: now and then, and whenever the page is looked at again, for a device that slept measures nothing. */
export function useClockSync(): void {
  useEffect(() => {
    const sync = () => void syncClock().catch(() => undefined);
    const onVisible = () => document.visibilityState === 'visible' && sync();
    sync();
    const timer = setInterval(sync, RESYNC_MS);
    document.addEventListener('visibilitychange', onVisible);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', onVisible);
    };
  }, []);
}

/** The shop's time, again and again. `isRunning` false: nothing is drawn anew. */
export function useServerNow(isRunning = true, everyMs = 250): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    if (!isRunning) return;
    setNow(serverNow());
    const timer = setInterval(() => setNow(serverNow()), everyMs);
    return () => clearInterval(timer);
  }, [isRunning, everyMs]);
  return now;
}
