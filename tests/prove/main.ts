/** `npm run prove`: injects faults, and checks that every promise holds. */
import { existsSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MultiBar, type SingleBar } from 'cli-progress';
import { Command } from 'commander';
import { runCommand, wholeNumberOption } from '../../src/cli/options';
import { Fixture, FAILURE_FILE, Violation } from './fixture';
import { Random } from '../../src/tools/load/random';
import { Tally } from './tally';
import { DISK_IS_FULL, faultNamed, FAULTS, LOG_DOES_NOT_FIT, type Fault } from './faults';
import { proveRaces } from './deterministic-races';
import { DOCUMENT_NEEDS, proveAllDocuments } from './documents';
import { INPUT_NEEDS, proveInputs } from './inputs';
import { COST_NEEDS, proveCost } from './cost';
import { MODEL_NEEDS, proveModel } from './model';
import { proveRounds, ROUND_NEEDS } from './rounds';
import { catchMutation, MUTATIONS } from './mutations';
import { proveWire, WIRE_NEEDS } from './wire';
import { proveSaleUnderFaults, SALE_NEEDS, FAULTY_SALE_NEEDS, type Measured } from './sale-under-faults';

/** 1: a promise is broken, or a mutation was not caught · 2: the proof could not be carried out. */
const EXIT = { violated: 1, unproven: 2 } as const;
/** Few connections, so that they can be exhausted. */
const POSTGRES_SETTINGS = { max_connections: '60', shared_buffers: '64MB' };

interface Options {
  seed: number;
  minutes: number;
  only?: string[];
  sabotage?: boolean;
  fault?: string;
  disk?: string;
}

interface Part {
  readonly name: string;
  readonly about: string;
  /** Of the time. */
  readonly share: number;
  readonly needs: readonly string[];
  run(run: Run): Promise<void>;
}

interface Run {
  readonly fixture: Fixture;
  readonly seed: number;
  readonly tally: Tally;
  readonly needs: readonly string[];
  /** Parts of the names of the selected faults. */
  readonly fault: string;
  /** Of the part, from 0 to 1 and beyond. */
  progress(): number;
  say(line: string): void;
}

const TIMES_FULL = 6;
/** A directory that may be filled without harm. */
const SMALL_BYTES = 1_000_000_000;
/** A part continues after its time until what it needs has happened, but not for ever. */
const MAX_OVERTIME = 5;
const isTimeLeft = (run: Run) => () =>
  run.progress() < 1 || (run.tally.missing(run.needs).length > 0 && run.progress() < MAX_OVERTIME);

const PARTS: readonly Part[] = [
  {
    name: 'certain',
    about: 'races in which one side surely waits for the other; each tells a mistake from the right way',
    share: 0.001,
    needs: ['races'],
    run: async (run) => proveRaces(await run.fixture.installation(), run.tally),
  },
  {
    name: 'model',
    about: 'one client; after each step the database says what the specification says',
    share: 0.25,
    needs: MODEL_NEEDS,
    run: async (run) => proveModel(await run.fixture.installation(), run.seed, isTimeLeft(run), run.tally),
  },
  {
    name: 'rounds',
    about: 'several clients, two servers; some serial order explains every answer and the end',
    share: 0.3,
    needs: ROUND_NEEDS,
    run: async (run) => proveRounds(await run.fixture.installation(), run.seed, isTimeLeft(run), run.tally),
  },
  {
    name: 'swarm',
    about: 'a sale on two servers while one to three faults strike; every client was told the truth',
    share: 0.45,
    needs: FAULTY_SALE_NEEDS,
    run: async (run) => {
      for (let n = 0; n === 0 || isTimeLeft(run)(); n += 1) {
        const seed = run.seed + n;
        const random = new Random(seed);
        await strike(run, `swarm, seed ${seed}`, random, chooseFaults(seed, random));
      }
    },
  },
  {
    name: 'inputs',
    about: 'bad values for every argument and input field, over HTTP and WebSocket; none is a fault of the server',
    share: 0.05,
    needs: INPUT_NEEDS,
    run: async (run) => proveInputs(await run.fixture.installation(), new Random(run.seed), isTimeLeft(run), run.tally),
  },
  {
    name: 'documents',
    about: '10,000 generated documents; each is executed as graphql executes it; only with --only',
    share: 0,
    needs: DOCUMENT_NEEDS,
    run: (run) => proveAllDocuments(run.seed, run.tally),
  },
  {
    name: 'wire',
    about:
      'raw HTTP and WebSocket bytes beside well-formed requests; nothing ends, nothing is kept, a stop ends in time',
    share: 0.1,
    needs: WIRE_NEEDS,
    run: async (run) => {
      const installation = await run.fixture.installation();
      const server = await installation.server({ PLAYGROUND: 'on', KEEP_ALIVE_SECONDS: '2' });
      const target = {
        ...{ url: server.client.url, pid: server.pid },
        complaints: () =>
          [...server.logged('uncaught'), ...server.logged('request.failed')].map((line) => JSON.stringify(line)),
        death: () => server.deaths[0] ?? null,
        stop: () => server.kill('SIGTERM'),
      };
      await proveWire(target, new Random(run.seed), isTimeLeft(run), run.tally);
    },
  },
  {
    name: 'faults',
    about: 'every fault of the table, one after another, measured',
    share: 0,
    needs: FAULTY_SALE_NEEDS,
    run: async (run) => {
      for (const [n, fault] of FAULTS.entries()) {
        if (!fault.name.includes(run.fault)) continue;
        await strike(run, `faults, seed ${run.seed + n}`, new Random(run.seed + n), [fault]);
      }
    },
  },
  {
    name: 'cost',
    about: 'documents made from the schema, the most expensive ones kept and changed: none passes its bounds',
    share: 0,
    needs: COST_NEEDS,
    run: async (run) => {
      const lines = await proveCost(await run.fixture.installation(), new Random(run.seed), isTimeLeft(run), run.tally);
      for (const line of lines) run.say(line);
    },
  },
  {
    name: 'disk',
    about: 'the disk of PostgreSQL is full in the middle of a sale; only with --disk',
    share: 0,
    needs: SALE_NEEDS,
    run: async (run) => {
      for (let n = 0; n < TIMES_FULL; n += 1) {
        const fault = n % 2 === 0 ? DISK_IS_FULL : LOG_DOES_NOT_FIT;
        await strike(run, `disk, seed ${run.seed + n}`, new Random(run.seed + n), [fault]);
      }
      // A running server learns the outcome of its COMMIT; only one that ends leaves its clients without an answer.
      const seed = run.seed + TIMES_FULL;
      await strike(run, `disk, seed ${seed}`, new Random(seed), [DISK_IS_FULL, CRASH]);
    },
  },
];

/** The faults that cause everything a sale needs, in turns, so that even a short run has it. */
const CRASH = faultNamed('kill -9 of a server right after a COMMIT, before anybody was told');
const LOSSES = [faultNamed('COMMIT is carried out, its answer lost'), faultNamed('COMMIT is lost')];

/** By the seed of the sale, so that it can be repeated without those before it. */
function chooseFaults(seed: number, random: Random): Fault[] {
  const faults = [seed % 2 === 0 ? CRASH : random.oneOf(LOSSES)];
  while (faults.length < 3 && random.isTrue(0.5)) {
    const clashes = (fault: Fault) =>
      faults.some((other) => (other.restarts && fault.restarts) || (other.arms && fault.arms));
    const fitting = FAULTS.filter((fault) => !faults.includes(fault) && !clashes(fault));
    faults.push(random.oneOf(fitting));
  }
  return faults;
}

async function strike(run: Run, name: string, random: Random, faults: readonly Fault[]): Promise<void> {
  const title = faults.map((fault) => fault.name).join(' + ');
  try {
    const measured = await proveSaleUnderFaults(run.fixture, random, faults, run.tally);
    run.say(`${title}\n      ${row(measured)}`);
  } catch (error) {
    if (error instanceof Error) error.message = `${name}, ${title}: ${error.message}`;
    throw error;
  }
}

function row({ acknowledged, refused, busy, unknown, granted, recoveredMs, slowestMs }: Measured): string {
  return (
    `${acknowledged} acknowledged, ${refused} refused, ${busy} BUSY, ${unknown} unknown at first` +
    ` (${granted} granted when asked again at the end), sells again after ${recoveredMs} ms, slowest answer ${slowestMs} ms`
  );
}

const command = new Command('prove')
  .description(
    'Breaks on purpose whatever can break, on a PostgreSQL of its own, and looks whether every promise holds.',
  )
  .option('--seed <n>', 'repeats what that seed chose', wholeNumberOption(0, 2 ** 31 - 1))
  .option('--minutes <n>', 'how long', wholeNumberOption(1, 24 * 60), 3)
  .option('--only <parts>', `some of ${PARTS.map(({ name }) => name).join(', ')}`, (text) => text.split(','))
  .option('--fault <text>', 'of the part faults, only those with this in their name')
  .option('--disk <folder>', 'of the part disk: a file system of under 1 GB with nothing else on it, which is filled')
  .option('--sabotage', 'breaks the program instead, in twelve ways, and looks whether the proof notices', false)
  .addHelpText(
    'after',
    `\nParts:\n${PARTS.map(({ name, about }) => `  ${name.padEnd(9)} ${about}`).join('\n')}` +
      '\n\nExit code: 0 every promise held, 1 one was broken, 2 the proof could not be made.',
  )
  .action(async (given: Partial<Options> & { minutes: number }) => {
    const seed = given.seed ?? Math.floor(Math.random() * 2 ** 31);
    process.exitCode = given.sabotage ? await proveMutations(seed, given.only) : await prove({ ...given, seed });
  });

async function prove({ seed, minutes, only, fault = '', disk }: Options): Promise<number> {
  checkDisk(disk, only);
  if (!FAULTS.some(({ name }) => name.includes(fault))) command.error(`error: --fault ${fault}: there is none`);
  const parts = only ? PARTS.filter(({ name }) => only.includes(name)) : PARTS.filter(({ share }) => share > 0);
  if (parts.length !== (only?.length ?? parts.length)) {
    command.error(`error: --only takes some of: ${PARTS.map(({ name }) => name).join()}`);
  }
  process.stdout.write(`seed ${seed}, ${minutes} min\n`);
  const shares = parts.reduce((sum, { share }) => sum + share, 0);
  for (const part of parts) {
    const fixture = await Fixture.open(POSTGRES_SETTINGS, disk);
    // Parts without a share of a whole run get all the time when they are selected alone.
    const ms = (shares === 0 ? 1 / parts.length : part.share / shares) * minutes * 60_000;
    const code = await provePart(part, fixture, seed, ms, fault);
    if (code !== 0) return code;
  }
  process.stdout.write('✔ Every promise held.\n');
  return 0;
}

/** Checks the options before anything starts. */
function checkDisk(disk: string | undefined, only: readonly string[] = []): void {
  if ((disk !== undefined) !== only.includes('disk'))
    command.error('error: --disk <folder> and --only disk go together');
  if (disk === undefined) return;
  if (!existsSync(disk)) command.error(`error: --disk ${disk}: there is no such folder`);
  const { bsize, blocks } = statfsSync(disk);
  if (bsize * blocks > SMALL_BYTES) {
    command.error(
      `error: --disk ${disk}: this file system has more than 1 GB, and would be filled; mount a small one there`,
    );
  }
}

/** Prints a table "n of n caught". First, the same races must find nothing in the unchanged program. */
async function proveMutations(seed: number, only?: readonly string[]): Promise<number> {
  if (only && only.join() !== 'certain') command.error('error: a sabotage is looked for by the part certain');
  const fixture = await Fixture.open(POSTGRES_SETTINGS);
  try {
    process.stdout.write(`seed ${seed}\n`);
    const found = await catchMutation(fixture, { name: 'nothing', noticedBy: [], edits: [] }, seed);
    if (found.length > 0) throw new Error(`the proof finds fault with the program as it is: ${found[0]!.reason}`);
    process.stdout.write(`✔    ${'nothing (control)'.padEnd(50)} nothing found\n`);
    let count = 0;
    for (const [n, mistake] of MUTATIONS.entries()) {
      const failed = await catchMutation(fixture, mistake, seed);
      const caught = failed.find(({ mark, race }) => mark === '✘' && mistake.noticedBy.includes(race));
      if (caught) count += 1;
      const title = `${caught ? '✔' : '✘'} ${String(n + 1).padStart(2)} ${mistake.name.padEnd(50)}`;
      process.stdout.write(`${title} ${caught ? `${caught.race}: ${caught.reason}` : 'NOT NOTICED'}\n`);
      for (const { mark, race, reason } of failed.filter((other) => other !== caught)) {
        process.stdout.write(`       also ${mark} ${race}: ${reason}\n`);
      }
    }
    process.stdout.write(`${count} of ${MUTATIONS.length} caught\n`);
    return count === MUTATIONS.length ? 0 : EXIT.violated;
  } finally {
    await fixture.close(false);
  }
}

async function provePart(part: Part, fixture: Fixture, seed: number, ms: number, fault: string): Promise<number> {
  const startedAt = performance.now();
  const progress = () => (performance.now() - startedAt) / Math.max(ms, 1);
  const bar = progressBar(part.name, progress);
  const tally = new Tally();
  const said: string[] = [];
  let failure: unknown;
  try {
    await part.run({ fixture, seed, tally, needs: part.needs, fault, progress, say: (line) => said.push(line) });
    // A single fault does not cause everything.
    const missing = fault === '' ? tally.missing(part.needs) : [];
    if (missing.length > 0) failure = new Error(`nothing is proven, as these never happened: ${missing.join(', ')}`);
  } catch (error) {
    failure = error;
  }
  bar.stop();
  const isViolation = failure instanceof Violation;
  const mark = !failure ? '✔' : isViolation ? '✘' : '?';
  process.stdout.write(`${mark} ${part.name}: ${tally}\n${said.map((line) => `    ${line}\n`).join('')}`);
  if (failure) {
    const message = failure instanceof Error ? (isViolation ? failure.message : failure.stack) : String(failure);
    writeFileSync(join(fixture.directory, FAILURE_FILE), JSON.stringify({ part: part.name, seed, message }, null, 1));
    process.stdout.write(`${message}\n\n${isViolation ? 'A promise is broken' : 'The proof could not be made'}.`);
    const again = `--only ${part.name}${fixture.disk === undefined ? '' : ` --disk ${fixture.disk}`} --seed ${seed}`;
    process.stdout.write(` Again: npm run prove -- ${again}\nLogs and histories: ${fixture.directory}\n`);
  }
  await fixture.close(Boolean(failure));
  return failure ? (isViolation ? EXIT.violated : EXIT.unproven) : 0;
}

/** Only on a terminal; a log keeps the lines. */
function progressBar(name: string, progress: () => number): { stop(): void } {
  if (!process.stdout.isTTY) return { stop: () => undefined };
  const bars = new MultiBar({ format: '  {name} {bar} {percentage}%', clearOnComplete: true, hideCursor: true });
  const bar: SingleBar = bars.create(100, 0, { name });
  const timer = setInterval(() => bar.update(Math.min(100, Math.round(progress() * 100))), 250);
  return {
    stop: () => {
      clearInterval(timer);
      bars.stop();
    },
  };
}

void runCommand(command);
