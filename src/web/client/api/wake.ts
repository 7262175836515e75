/** The moments after which what a page knows may be old: it was hidden, cached or offline, or its device slept. */

/** The device's two clocks drift by less than this in a second, unless it slept or its clock was set. */
const JUMP_MS = 1_500;
const LOOK_MS = 1_000;

const listeners = new Set<() => void>();

const wake = () => {
  for (const listener of [...listeners]) listener();
};

addEventListener('online', wake);
addEventListener('pageshow', ({ persisted }) => persisted && wake());
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && wake());

// `performance.now` stands still while some devices sleep, `Date.now` does not: a page that stayed in sight is told by nothing else.
let offset = Date.now() - performance.now();
setInterval(() => {
  const next = Date.now() - performance.now();
  if (Math.abs(next - offset) > JUMP_MS) wake();
  offset = next;
}, LOOK_MS);

/** Calls it at each of these moments. Answers how to stop. */
export function onWake(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Until `ms` have passed, or the page wakes: timers of a hidden tab are late by minutes. */
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
