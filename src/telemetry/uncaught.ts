/** The last line of defence, for errors that nothing caught: logged and counted, and the process goes on (docs/decisions/0001). */
import type { Logger } from './logger';
import type { Metrics } from './metrics';

export type UncaughtKind = 'exception' | 'rejection';

/** The same error may come with every request: one line in this time, in ms. The metric counts them all. */
const LOG_EVERY_MS = 1_000;

/**
 * Takes over the process's uncaught exceptions and unhandled rejections. Until `serveOn` is called an exception ends the
 * process with exit code 1; from then on nothing of the kind does. Call it once in a process.
 */
export function surviveUncaught(log: Logger): { serveOn(metrics: Metrics | null): void } {
  let isServing = false;
  let metrics: Metrics | null = null;
  let loggedAtMs = -Infinity;
  let unlogged = 0;
  const note = (kind: UncaughtKind, err: unknown) => {
    metrics?.uncaught(kind);
    const nowMs = performance.now();
    if (nowMs - loggedAtMs < LOG_EVERY_MS) return void (unlogged += 1);
    log.error({ event: 'uncaught', kind, err, ...(unlogged > 0 && { unlogged }) }, 'uncaught');
    loggedAtMs = nowMs;
    unlogged = 0;
  };
  process.on('unhandledRejection', (error) => note('rejection', error));
  process.on('uncaughtException', (error) => {
    note('exception', error);
    if (isServing) return;
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  });
  // The reader of the output has gone: no reason to stop, and nowhere to report it.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => undefined);
  return {
    serveOn: (own) => {
      metrics = own;
      isServing = true;
    },
  };
}
