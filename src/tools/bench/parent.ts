/** A child's side of the bench: it says when it is ready, and ends with its parent, however that one ends. */

/** Ctrl-C reaches the whole process group: the parent ends its children in order, and a killed parent closes the channel. */
export function followParent(onEnd: () => Promise<void> | void): void {
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => undefined);
  process.on('SIGHUP', () => undefined);
  process.once('disconnect', () => {
    void Promise.resolve(onEnd()).finally(() => process.exit(0));
  });
}

/** To the parent, which forked this process with a channel. */
export function tell(message: object): void {
  process.send?.(message);
}

/** A child that cannot start says why in one line; the parent repeats it. */
export async function orSayWhy(start: () => Promise<void>): Promise<void> {
  try {
    await start();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}
