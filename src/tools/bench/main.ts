/** `npm run bench`: measures the server, as ratios to baselines within the same run. */
import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { SingleBar } from 'cli-progress';
import { Command, InvalidArgumentError } from 'commander';
import { loadDotEnv, loadSettings } from '../../config';
import { readStockUpdates } from './bench-sql';
import { writeDocument } from './document';
import { forTerminal, type Report } from './report';
import { judge, scoreOf } from './scores';
import type { Slice } from './slice';
import { soak } from './soak';
import { Stage } from './stage';
import { MOST_CONNECTIONS, setScene, type Peer, type Scene, type Subject } from './subjects';
import { interruptible, runCommand, wholeNumberOption } from '../../cli/options';

interface Options {
  runs: number;
  seconds: number;
  only?: string[];
  products?: number;
  connections: number;
  quick: boolean;
  full: boolean;
  soak: number;
  cpuProf?: string;
  against?: URL;
  body?: string;
  expect: string;
  json: boolean;
  write: boolean;
}

const HOT_PRODUCTS = [10, 100];
/** Slices that do not count, while code is compiled, pages are read and supplies are estimated. */
const WARM_UP_MS = 2_000;

const command = new Command('bench')
  .description(
    'Measures this build beside a mutation that does nothing, a naive createHold and the bare transaction, interleaved.',
  )
  .option('--runs <n>', 'how often each subject has its slice', wholeNumberOption(1, 100), 5)
  .option('--seconds <n>', 'measured seconds of a slice', wholeNumberOption(1, 600), 4)
  .option('--only <subjects>', 'names, separated by commas, such as holds,noop or holds@64', (text) => text.split(','))
  .option('--products <n>', 'only: granted holds of one product, and of so many', wholeNumberOption(2, 1_000))
  .option(
    '--connections <n>',
    'of the load on many products, and on the one beside them',
    wholeNumberOption(1, 1_000),
    MOST_CONNECTIONS,
  )
  .option('--quick', 'one run of one second each: whether it works, not how fast', false)
  .option('--full', 'also 2,000 who watch, 1 million holds in the table, and WORKERS=2', false)
  .option('--soak <seconds>', 'at the end so long a load of granted holds alone', wholeNumberOption(0, 86_400), 0)
  .option('--cpu-prof <folder>', 'write a CPU profile of the measured server there')
  .option('--against <url>', 'of another GraphQL server on 127.0.0.1: the same load, in the same run', loopbackUrl)
  .option('--body <json>', 'what that server is sent by POST')
  .option('--expect <text>', 'what each of its answers must contain', '{"data":{')
  .option('--json', 'print everything as JSON', false)
  .option('--write', 'write docs/performance.md and its plot', false)
  .addHelpText(
    'after',
    `
Works in databases of its own, on DATABASE_URL's server or else on an embedded PostgreSQL in .data/bench, and drops them.
Takes some 7 s a slice: about 20 minutes with 5 runs. Only the ratios can be compared between machines and days.

Exit code: 0 when all was measured, whether the targets are reached or not;
           1 when an answer was wrong, rows and answers differ, reconcile finds a broken promise, or the load
             generator could not keep its schedule; 2 on bad usage.

Examples:
  npm run bench -- --quick
  npm run bench -- --only holds@256,noop@256 --against http://127.0.0.1:3000/graphql --body '{"query":"mutation{buy}"}'
  npm run bench -- --runs 5 --full --soak 600 --write`,
  )
  .action(bench);

async function bench(options: Options): Promise<void> {
  const peer = peerIn(options);
  loadDotEnv();
  const { databaseUrls } = loadSettings(['databaseUrls']);
  const runs = options.quick ? 1 : options.runs;
  const seconds = options.quick ? 1 : options.seconds;
  const say = (line: string) => void (options.json || process.stderr.write(`${line}\n`));
  let opening: Promise<Stage> | undefined;
  const work = async () => {
    const stage = await (opening = Stage.open(databaseUrls, say));
    const execArgv = options.cpuProf ? ['--cpu-prof', `--cpu-prof-dir=${options.cpuProf}`] : [];
    const { products, connections } = options;
    const wants = wantsOf(products === undefined ? options.only : [`holds@${connections}`, `holds-${products}`]);
    const hotProducts = products === undefined ? HOT_PRODUCTS : [products];
    const scene = await setScene(stage, { isFull: options.full, wants, hotProducts, connections, execArgv, peer });
    const slices = await measureAll(scene.subjects, runs, seconds, options);
    return finish(stage, scene, slices, runs, seconds, options);
  };
  const report = await interruptible(work, async () => (await opening?.catch(() => undefined))?.close());
  if (options.write) await writeDocument(report);
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : forTerminal(report));
}

/** Load goes to this machine alone. */
function loopbackUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === 'http:' && url.hostname === '127.0.0.1') return url;
  throw new InvalidArgumentError('It must be like http://127.0.0.1:3000/graphql.');
}

function peerIn({ against, body, expect }: Options): Peer | null {
  if (!against) return null;
  if (body === undefined) throw new Error('--against needs --body, such as \'{"query":"mutation{buy}"}\'');
  return { url: against, body, expected: expect };
}

function wantsOf(only: readonly string[] | undefined): (key: string) => boolean {
  return (key) => !only || key.startsWith('peer@') || only.includes(key) || only.includes(key.split('@')[0]!);
}

/** Measures one slice of each subject in turn and repeats, so that drift of the machine affects all alike. */
async function measureAll(
  subjects: readonly Subject[],
  runs: number,
  seconds: number,
  { json }: Options,
): Promise<ReadonlyMap<string, Slice[]>> {
  const measured = subjects.filter((subject) => subject.skipped === undefined);
  const slices = new Map<string, Slice[]>(measured.map((subject) => [subject.key, []]));
  const bar = new SingleBar({
    format: '{bar} {value}/{total}  {what}',
    stream: process.stderr,
    noTTYOutput: false,
    hideCursor: true,
  });
  if (!json) bar.start(measured.length * (runs + 1), 0, { what: '' });
  try {
    for (let run = 0; run <= runs; run += 1) {
      for (const subject of measured) {
        bar.update({ what: `${run === 0 ? 'warm-up' : `run ${run}`}: ${subject.key}` });
        const slice = await measureOne(subject, run === 0 ? Math.min(WARM_UP_MS, seconds * 1_000) : seconds * 1_000);
        if (run > 0) slices.get(subject.key)!.push(slice);
        bar.increment();
      }
    }
  } finally {
    bar.stop();
  }
  return slices;
}

async function measureOne(subject: Subject, measuredMs: number): Promise<Slice> {
  try {
    return await subject.measure(measuredMs);
  } catch (error) {
    throw new Error(`${subject.key}: ${(error as Error).message}`, { cause: error });
  }
}

async function finish(
  stage: Stage,
  { subjects, shop, server }: Scene,
  slices: ReadonlyMap<string, Slice[]>,
  runs: number,
  seconds: number,
  options: Options,
): Promise<Report> {
  const holds = subjects.find((subject) => subject.key === 'holds@256');
  const soaked = options.soak > 0 && holds ? await soak(options.soak, server.pid!, holds.measure) : null;
  const stock = await readStockUpdates(shop.client);
  const scores = subjects.map((subject) => scoreOf(subject, slices.get(subject.key) ?? []));
  const [cpu] = cpus();
  return {
    at: new Date().toISOString(),
    runs,
    secondsPerSlice: seconds,
    machine: { cores: cpus().length, cpu: cpu?.model ?? 'unknown', memoryGb: Math.round(totalmem() / 2 ** 30) },
    node: process.version,
    postgres: stage.settings,
    commit: commitOf(),
    stock,
    scores,
    targets: judge(scores, stock),
    soak: soaked,
  };
}

/** null outside of a git clone. */
function commitOf(): string | null {
  try {
    const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore'];
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio }).trim();
  } catch {
    return null;
  }
}

void runCommand(command);
