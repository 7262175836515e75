/** Named points at which a test stops, breaks or watches a transaction. No-ops: nothing in this program arms one. */

/**
 * `after-lock`: a stock row is locked · `webhook-after-insert`: an event's row is written, its effect is not ·
 * `before-commit`: all is written · `after-commit`: all is durable, and not answered yet.
 */
export type Failpoint = 'after-lock' | 'webhook-after-insert' | 'before-commit' | 'after-commit';

/** What an armed point does: waits, throws, or ends the process. `where`: the transaction's name, or the product's id. */
export type Failure = (point: Failpoint, where: string) => void | Promise<void>;

let armed: Failure | null = null;
let isSealed = false;

/** One comparison while nothing is armed. */
export function failpoint(point: Failpoint, where: string): void | Promise<void> {
  if (armed !== null) return armed(point, where);
}

/** For tests; null disarms. Throws in production. */
export function armFailpoints(failure: Failure | null): void {
  if (isSealed) throw new Error('failpoints cannot be armed in production');
  armed = failure;
}

/** Called when a production server starts: from now on nothing in this process can arm one. */
export function sealFailpoints(): void {
  armed = null;
  isSealed = true;
}
