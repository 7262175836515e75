/** The compiled project, for tests that start it as a process; and its pages. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

export const ROOT = resolve(__dirname, '../..');

export interface Build {
  /** The path of a compiled file: `src/main.js`. */
  path(file: string): string;
  remove(): Promise<void>;
}

/** Takes a second or two. Inside the project, so that its packages are found. */
export async function build(): Promise<Build> {
  mkdirSync(join(ROOT, '.data'), { recursive: true });
  const directory = await mkdtemp(join(ROOT, '.data', 'test-build-'));
  await runBuild('server', directory);
  return {
    path: (file) => join(directory, file),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

/** The build of these sources, whose pages the app serves when it runs from its sources: made unless it is there. */
export async function buildPages(): Promise<void> {
  await runBuild();
}

async function runBuild(...args: readonly string[]): Promise<void> {
  await promisify(execFile)(process.execPath, [join(ROOT, 'src', 'cli', 'build.mjs'), ...args], { cwd: ROOT });
}
