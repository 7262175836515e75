/**
 * `npm run dev`: serves, and whenever a source is saved, builds and starts the server again. A build that fails leaves the
 * running server alone. Other commands may build or run beside it: only sources count.
 */
import './node-version.cjs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { watch } from 'chokidar';
import { build, folderFor, kinds } from './build.mjs';
import { stopWithNpm } from './parent.mjs';

/** Editors write a file in several steps, and a checkout writes many files. */
const QUIET_MS = 200;

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const ROOT = resolve(here('.'), '../..');

let server = null;
/** What the server was built from, or could not be built from. */
let tried = null;
let isStopping = false;
let working = Promise.resolve();
let quiet;

const say = (line) => process.stderr.write(`dev: ${line}\n`);

/** One after the other. Does nothing when no source has changed: many events tell of one change. */
function rebuild() {
  working = working.then(async () => {
    const folder = folderFor(kinds.server);
    if (isStopping || folder === tried) return;
    tried = folder;
    try {
      tried = await build(kinds.server);
    } catch (error) {
      return say(`${error.message}\n${server ? 'The server goes on as it was.' : 'Waiting for a change.'}`);
    }
    if (isStopping) return;
    if (server) say('restarting');
    await endServer();
    if (!isStopping) startServer();
  });
}

function startServer() {
  const child = spawn(process.execPath, ['--enable-source-maps', here('run.mjs'), 'src/main.js'], {
    stdio: 'inherit',
    // A group of its own: Ctrl-C goes to all of ours, and it is stopped by one SIGTERM, once.
    detached: true,
  });
  child.once('exit', (code, signal) => {
    if (server !== child) return; // ended by us
    server = null;
    say(`the server ended (${signal ?? code}): waiting for a change`);
  });
  server = child;
}

async function endServer() {
  const ending = server;
  server = null;
  if (ending === null) return;
  const ended = once(ending, 'exit');
  ending.kill('SIGTERM');
  await ended;
}

async function stop() {
  if (isStopping) return;
  isStopping = true;
  await watcher.close();
  await endServer();
  await working;
  process.exit();
}

// The terminal may be gone.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
stopWithNpm();

const watcher = watch(
  kinds.server.sources.map((folder) => join(ROOT, folder)),
  { ignoreInitial: true },
).on('all', () => {
  clearTimeout(quiet);
  quiet = setTimeout(rebuild, QUIET_MS);
});
rebuild();
