/** A wall clock of its own for a child process, to be set while it runs: Debian's libfaketime, where it is installed. */
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const LIBRARY = ['x86_64-linux-gnu', 'aarch64-linux-gnu']
  .map((machine) => `/usr/lib/${machine}/faketime/libfaketimeMT.so.1`)
  .find((file) => existsSync(file));
export const canFakeTime = LIBRARY !== undefined;
if (!canFakeTime) process.stdout.write('libfaketime is not installed: tests that set a child’s clock are skipped\n');

export interface ChildClock {
  /** For the child's environment. Only its wall clock is changed: what it measures between two moments stays right. */
  readonly env: Record<string, string>;
  /** Sets the child's wall clock at once, to so many seconds after the real time; less than 0 is before. */
  setOffset(seconds: number): void;
  remove(): void;
}

export function childClock(): ChildClock {
  const directory = mkdtempSync(join(tmpdir(), 'flashsale-clock-'));
  chmodSync(directory, 0o755); // PostgreSQL may run as somebody else
  const file = join(directory, 'offset');
  const setOffset = (seconds: number) => writeFileSync(file, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}s\n`);
  setOffset(0);
  return {
    env: {
      LD_PRELOAD: LIBRARY!,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    },
    setOffset,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
