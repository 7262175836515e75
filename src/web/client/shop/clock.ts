/** The shop's time. A device's clock may be wrong by hours; what it measures between two moments is right. */
import { useEffect, useState } from 'preact/hooks';
import { request } from '../api/request';
import { untilAnswered } from '../api/retry';
import { onWake } from '../api/wake';
import { ServerTimeDocument } from '../generated/graphql';

const SAMPLES = 3;
const RESYNC_MS = 5 * 60_000;

/** Server time in ms at `performance.now() === 0`; null until the shop has said what time it is. The device's own is no substitute. */
let origin: number | null = null;

/** null: not known yet, so nothing can be said of what is over. */
export const serverNow = (): number | null => (origin === null ? null : origin + performance.now());

/** Asks for `serverTime` and takes the answer that was under way for the shortest time: it is wrong by half of that at most. */
async function syncClock(): Promise<void> {
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

/**
 * Keeps the shop's time: asks until it is known, now and then, and whenever the page wakes, for a device that slept may have
 * measured nothing.
 */
export function useClockSync(): void {
  useEffect(() => {
    let stop: () => void = () => undefined;
    const sync = () => {
      stop();
      stop = untilAnswered(
        syncClock,
        () => undefined,
        () => undefined,
      );
    };
    sync();
    const timer = setInterval(sync, RESYNC_MS);
    const stopWaking = onWake(sync);
    return () => {
      stop();
      clearInterval(timer);
      stopWaking();
    };
  }, []);
}

/** The shop's time, again and again; null until it is known. `isRunning` false: nothing is drawn again. */
export function useServerNow(isRunning = true, everyMs = 250): number | null {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    if (!isRunning) return;
    const draw = () => setNow(serverNow());
    draw();
    const timer = setInterval(draw, everyMs);
    const stopWaking = onWake(draw);
    return () => {
      clearInterval(timer);
      stopWaking();
    };
  }, [isRunning, everyMs]);
  return now;
}
