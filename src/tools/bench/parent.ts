/** The child's side of the benchmark: reports when it is ready, and ends with its parent in any case. */

/** Ctrl-C reaches the whole process group, but the parent ends its children in order; a killed parent closes the channel. */
export function followParent(onEnd: () => Promise<void> | void): void {
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => undefined);
  process.on('SIGHUP', () => undefined);
  process.once('disconnect', () => {
    void Promise.resolve(onEnd()).finally(() => process.exit(0));
  });
}

/** Sends a message to the parent, which forked this process with a channel. */
export function tell(message: object): void {
  process.send?.(message);
}

/** A child that cannot start reports why in one line, which the parent repeats. */
export async function orSayWhy(start: () => Promise<void>): Promise<void> {
  try {
    await start();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}
