// A lock between processes: a directory, because making one is atomic on every file system.
import * as fs from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from './home';

/** A lock that was not renewed for so long belonged to a killed process. */
const STALE_MS = 5_000;
const RENEW_MS = 1_000;
const RETRY_MS = 50;

/**
 * Runs `action` while no other process holds the lock; undefined when the lock was not free within `waitMs`. Rejects when
 * `signal` ends the wait. A process that is suspended for STALE_MS loses the lock without notice, so two may hold it then.
 * Keeps no process alive and installs no exit handler: after a `kill` the lock is free within STALE_MS.
 */
export async function withLock<T>(
  lock: string,
  { waitMs, signal }: { readonly waitMs: number; readonly signal?: AbortSignal },
  action: () => Promise<T>,
): Promise<T | undefined> {
  for (const patience = AbortSignal.timeout(waitMs); !(await take(lock)); await sleep(RETRY_MS)) {
    signal?.throwIfAborted();
    if (patience.aborted) return undefined;
  }
  const renewing = setInterval(() => void renew(lock).catch(() => undefined), RENEW_MS).unref();
  try {
    signal?.throwIfAborted();
    return await action();
  } finally {
    clearInterval(renewing);
    await fs.rmdir(lock).catch(() => undefined);
  }
}

async function take(lock: string): Promise<boolean> {
  try {
    await fs.mkdir(lock);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return removeStale(lock);
    throw error;
  }
  await renew(lock).catch(() => undefined);
  return true;
}

async function removeStale(lock: string): Promise<false> {
  const found = await fs.stat(lock).catch(() => undefined);
  if (found && Date.now() - found.mtimeMs > STALE_MS) await fs.rmdir(lock).catch(() => undefined);
  return false;
}

async function renew(lock: string): Promise<void> {
  const now = new Date();
  await fs.utimes(lock, now, now);
}
