/** The shop's time. A device's clock may be wrong by hours, but it measures intervals correctly. */
import { useEffect, useState } from 'preact/hooks';
import { Poll } from '../api/poll';
import { request } from '../api/request';
import { onWake } from '../api/wake';
import { ServerTimeDocument } from '../generated/graphql';

const SAMPLES = 3;
const RESYNC_MS = 5 * 60_000;

/** Server time in ms at `performance.now() === 0`; null until the shop has answered. The device's own time is no substitute. */
let origin: number | null = null;

/** null: not known yet, so the page cannot say what is over. */
export const serverNow = (): number | null => (origin === null ? null : origin + performance.now());

/** Takes the sample with the shortest round trip, which is wrong by half of that at most. Throws RequestFailed. */
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

/** Synchronises now, every few minutes, and when the page wakes: a device that slept may have measured nothing. */
export function useClockSync(): void {
  useEffect(() => {
    const poll = new Poll({ ask: syncClock, restMs: () => RESYNC_MS, onAnswer: () => undefined });
    return () => poll.stop();
  }, []);
}

/** The shop's time, redrawn every `everyMs` while `isRunning`; null until it is known. */
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
