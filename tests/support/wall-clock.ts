/** The wall clock of this process, set while it runs. */

/**
 * Only what `new Date()` and `Date.now()` say changes, and they go on from there; timers and `performance.now()` do not notice.
 * `jest.useRealTimers()` puts it right again.
 */
export function stepWallClock(ms: number): void {
  const doNotFake = [
    ...(['hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate'] as const),
    ...(['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] as const),
  ];
  jest.useFakeTimers({ now: Date.now() + ms, advanceTimers: true, doNotFake });
}
