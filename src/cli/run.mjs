/**
 * `node src/cli/run.mjs src/main.js …`: runs a compiled file of this project in this very process, and builds first when
 * the sources have changed since the last build. What `npm run …` starts: no shell stands between npm and the program, so
 * signals reach it.
 */
import './node-version.cjs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { exitCodes, folderFor, kinds, latestOf, markUsed } from './build.mjs';
import { stopWithNpm } from './parent.mjs';

/** Well within the day after which a build that nothing uses is deleted. */
const MARK_EVERY_MS = 3600 * 1000;

const [file, ...args] = process.argv.slice(2);

const kind = /^(tests|src\/tools)\//.test(file) ? 'workshop' : 'server';
const folder = await builtFolder(kind);
if (folder !== null) {
  markUsed(folder);
  setInterval(() => markUsed(folder), MARK_EVERY_MS).unref();
  stopWithNpm();
  const entry = join(folder, file);
  // As if it had been started without us: commander reads the arguments, and Node's cluster starts this file again.
  process.argv = [process.argv[0], entry, ...args];
  await import(pathToFileURL(entry).href);
}

/** The build of these sources, made now if need be; null when there is none, and the process is to end. */
async function builtFolder(kind) {
  const wanted = folderFor(kinds[kind]);
  if (existsSync(wanted)) return wanted;
  const { code, said } = await build(kind);
  const latest = latestOf(kinds[kind]);
  if (code === 0) return latest;
  if (code === exitCodes.readOnly && latest !== null) {
    process.stderr.write(`The sources have changed since the last build, which runs: ${said.replace(/^error: /, '')}`);
    return latest;
  }
  process.stderr.write(said);
  process.exitCode = 1;
  return null;
}

/** In a process of its own: compilers take memory that a server would keep. Whatever stops this process stops it, too. */
async function build(kind) {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./build.mjs', import.meta.url)), kind], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true, // a group of its own, to be ended with the compilers in it
  });
  const stop = (signal) => {
    process.kill(-child.pid, 'SIGKILL');
    process.exit(128 + constants.signals[signal]);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, stop);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  const [code] = await once(child, 'close');
  for (const signal of signals) process.off(signal, stop);
  return { code, said };
}
