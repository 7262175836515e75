/** Moments after which a page's data may be stale: it was hidden, cached or offline, or the device slept. */

/** The device's two clocks drift by less than this per check, unless it slept or its clock was set. */
const JUMP_MS = 1_500;
const CHECK_MS = 1_000;

const listeners = new Set<() => void>();

const wake = () => {
  for (const listener of [...listeners]) listener();
};

addEventListener('online', wake);
addEventListener('pageshow', ({ persisted }) => persisted && wake());
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && wake());

// On some devices `performance.now` stops during sleep and `Date.now` does not; no event tells a page that stayed visible.
let offset = Date.now() - performance.now();
setInterval(() => {
  const next = Date.now() - performance.now();
  if (Math.abs(next - offset) > JUMP_MS) wake();
  offset = next;
}, CHECK_MS);

/** Calls `listener` at each of these moments. Returns a function that stops it. */
export function onWake(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Resolves after `ms`, or when the page wakes, because timers of a hidden tab are late by minutes. */
export function rest(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      stop();
      resolve();
    };
    const timer = setTimeout(end, ms);
    const stop = onWake(end);
  });
}
