// The lock under which one process at a time starts or stops the embedded PostgreSQL.
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withLock } from '../../src/postgres/embedded/lock';

let folder: string;
let lock: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lock-test-'));
  lock = join(folder, 'the.lock');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('only one holder acts at a time, and each gets its turn', async () => {
  let inside = 0;
  const turns = Array.from({ length: 8 }, () =>
    withLock(lock, { waitMs: 30_000 }, async () => {
      inside += 1;
      await new Promise(setImmediate);
      expect(inside).toBe(1);
      inside -= 1;
      return 'done';
    }),
  );
  expect(await Promise.all(turns)).toEqual(Array(8).fill('done'));
  expect(existsSync(lock)).toBe(false);
});

test('a lock is free again when the action fails', async () => {
  await expect(withLock(lock, { waitMs: 0 }, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  expect(await withLock(lock, { waitMs: 0 }, async () => 'next')).toBe('next');
});

test('a lock that is held is not taken, and its holder renews it', async () => {
  await withLock(lock, { waitMs: 0 }, async () => {
    const longAgo = new Date(Date.now() - 2_000);
    utimesSync(lock, longAgo, longAgo);
    expect(await withLock(lock, { waitMs: 4_500 }, async () => 'taken')).toBeUndefined();
  });
});

test('a lock that a killed process has left is taken', async () => {
  mkdirSync(lock);
  const longAgo = new Date(Date.now() - 6_000);
  utimesSync(lock, longAgo, longAgo);
  expect(await withLock(lock, { waitMs: 10_000 }, async () => 'taken')).toBe('taken');
});

test('a wait for a lock ends when it is asked to', async () => {
  mkdirSync(lock);
  const stop = new AbortController();
  const waiting = withLock(lock, { waitMs: 30_000, signal: stop.signal }, async () => 'taken');
  stop.abort(new Error('stopped'));
  await expect(waiting).rejects.toThrow('stopped');
});

test('a missing directory is an error at once', async () => {
  const missing = join(folder, 'missing', 'the.lock');
  await expect(withLock(missing, { waitMs: 30_000 }, async () => 'taken')).rejects.toThrow('ENOENT');
});
