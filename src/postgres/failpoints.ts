/** Named points at which a test stops, breaks or watches a transaction. Only tests arm them. */

/**
 * `after-lock`: a stock row is locked · `webhook-after-insert`: an event's row is written, but not its effect ·
 * `before-commit`: everything is written · `after-commit`: everything is durable, and not answered yet.
 */
export type Failpoint = 'after-lock' | 'webhook-after-insert' | 'before-commit' | 'after-commit';

/** What an armed point does: wait, throw, or end the process. `where`: the transaction's name, or the product's id. */
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

/** Called when a production server starts: from then on the process cannot arm any. */
export function sealFailpoints(): void {
  armed = null;
  isSealed = true;
}
