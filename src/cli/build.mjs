/**
 * `npm run build`: compiles the project, unless the sources are those of a build that is there already.
 *
 * A build is a folder that is named after the hash of its sources. It appears under that name when it is complete, and
 * nothing in it changes afterwards, so a build never disturbs what runs from an earlier one. `dist/current` is a link to
 * the latest; `dist/src`, `dist/migrations` and `dist/web` lead through it. Plain JavaScript: it runs before anything is built.
 */
import './node-version.cjs';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/**
 * The server with its commands and pages, which is what production runs; and the workshop: the tools and the proof kit with
 * everything they drive.
 */
export const kinds = {
  server: { sources: ['src', 'migrations'], leftOut: join('src', 'tools'), folder: join(ROOT, 'dist'), hasPages: true },
  workshop: { sources: ['src', 'migrations', 'tests'], folder: join(ROOT, '.data', 'workshop'), hasPages: false },
};
/** The documents that the server trusts: codegen writes them beside the pages' sources. */
const TRUSTED_DOCUMENTS = join('src', 'web', 'client', 'generated');
/** The playground's operations, copied as they are. */
const EXAMPLES = join('schema', 'examples');
const NODE_VERSION = join('src', 'cli', 'node-version.cjs');

/** What else decides what a build looks like: the compiler's settings, and the versions of the packages. */
const SETTINGS = ['.swcrc', 'package-lock.json'];
const DRAFT = '.building-';
/** A build that nothing has started from for so long is deleted by the next one. What runs renews this, see run.mjs. */
const UNUSED_MS = 24 * 3600 * 1000;
/** No build takes that long: its process was killed. */
const ABANDONED_MS = 3600 * 1000;

const run = promisify(execFile);

/** The folder of the build of these very sources, whether it is there or not. A few ms: all of them are read. */
export function folderFor({ sources, leftOut, folder }) {
  const hash = createHash('sha256');
  const files = [...sources, EXAMPLES].flatMap(filesIn).filter((file) => !leftOut || !file.startsWith(leftOut + sep));
  for (const file of [...SETTINGS, ...files].sort()) {
    const content = readFileSync(join(ROOT, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return join(folder, hash.digest('hex').slice(0, 16));
}

function filesIn(folder) {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath ?? entry.path, entry.name)));
}

/** The folder of the latest build, or null. */
export function latestOf({ folder }) {
  const current = join(folder, 'current');
  return existsSync(current) ? realpathSync(current) : null;
}

/**
 * Makes the build of these sources the latest, and answers its folder; compiles only what is not there yet. Several
 * processes may do so at once. Throws what the compiler says, and changes nothing then.
 */
export async function build(kind) {
  for (;;) {
    const target = folderFor(kind);
    if (existsSync(target) || (await make(kind, target))) {
      makeLatest(kind, target);
      removeOld(kind.folder, target);
      return target;
    }
  }
}

/** false: somebody saved a source meanwhile, so that nobody knows what was compiled. */
async function make(kind, target) {
  mkdirSync(kind.folder, { recursive: true });
  const draft = mkdtempSync(join(kind.folder, DRAFT));
  try {
    await compile(kind, draft);
    if (kind.hasPages) await buildPages(draft);
    if (folderFor(kind) !== target) return false;
    chmodSync(draft, 0o755); // mkdtemp keeps it for its owner
    finish(draft, target);
    return true;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

async function compile({ sources, leftOut }, folder) {
  const swc = join(ROOT, 'node_modules', '@swc', 'cli', 'bin', 'swc.js');
  if (!existsSync(swc)) {
    throw new Error('The sources have changed since the last build, and the compiler is not installed. Run npm ci');
  }
  const patterns = ['**/web/client/**', '**/*.mts', '**/*.mjs', ...(leftOut ? [`${leftOut}/**`] : [])];
  const skipped = patterns.flatMap((pattern) => ['--ignore', pattern]);
  await runHere(swc, [...sources, '--out-dir', folder, '--quiet', ...skipped]);
  cpSync(join(ROOT, TRUSTED_DOCUMENTS), join(folder, TRUSTED_DOCUMENTS), {
    recursive: true,
    filter: (path) => !path.endsWith('.ts'),
  });
  cpSync(join(ROOT, EXAMPLES), join(folder, EXAMPLES), { recursive: true });
  cpSync(join(ROOT, NODE_VERSION), join(folder, NODE_VERSION));
}

async function buildPages(folder) {
  const vite = join(ROOT, 'node_modules', 'vite', 'bin', 'vite.js');
  const pages = ['build', '--config', 'src/web/vite.config.mts', '--outDir', join(folder, 'web')];
  await runHere(vite, [...pages, '--configLoader', 'runner']);
}

async function runHere(program, args) {
  try {
    await run(process.execPath, [program, ...args], { cwd: ROOT });
  } catch (error) {
    throw new Error(`The build failed:\n${`${error.stdout}${error.stderr}`.trim() || error.message}`);
  }
}

/** Another process may have finished the same build first. */
function finish(draft, target) {
  try {
    renameSync(draft, target);
  } catch (error) {
    if (!existsSync(target)) throw error;
  }
}

function makeLatest({ sources, folder, hasPages }, target) {
  const name = relative(folder, target);
  link(name, join(folder, 'current'));
  for (const part of hasPages ? [...sources, 'web'] : sources) link(join('current', part), join(folder, part));
}

/** Replaces the link in one step: there is no moment without it. */
function link(target, path) {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isSymbolicLink() && readlinkSync(path) === target) return;
  if (found && !found.isSymbolicLink()) rmSync(path, { recursive: true }); // of the time before builds had folders
  const draft = `${path}.${process.pid}`;
  symlinkSync(target, draft);
  renameSync(draft, path);
}

/** Tells later builds that this one is in use. A user who may not write there has no later builds either. */
export function markUsed(folder) {
  try {
    const now = new Date();
    utimesSync(folder, now, now);
  } catch {}
}

function removeOld(folder, target) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const patience = name.startsWith(DRAFT) ? ABANDONED_MS : /^[0-9a-f]{16}$/.test(name) ? UNUSED_MS : Infinity;
    if (path !== target && Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > patience) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

/** Exit codes: what the compiler refuses, and a folder in which nothing can be written. */
export const exitCodes = { failed: 1, readOnly: 3 };

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    // A folder as the second argument: compiled there, without pages and links, for a test.
    const [kind = 'server', folder] = process.argv.slice(2);
    await (folder ? compile(kinds[kind], folder) : build(kinds[kind]));
  } catch (error) {
    const isReadOnly = ['EACCES', 'EPERM', 'EROFS'].includes(error.code);
    const hint = isReadOnly ? '. Run npm run build as a user who may write there' : '';
    process.stderr.write(`error: ${error.message}${hint}\n`);
    process.exitCode = isReadOnly ? exitCodes.readOnly : exitCodes.failed;
  }
}
