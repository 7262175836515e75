/** `npm run rehearse`: simulates a minute of a sale against a real server, and checks that it kept its promises. */
import { Command, InvalidArgumentError } from 'commander';
import { type Config, loadDotEnv, loadSettings } from '../../config';
import { configuredUrl, exitCodes, interruptible, runCommand, wholeNumberOption } from '../../cli/options';
import { stories, type Plan, type Story } from './plan';
import { rehearse } from './rehearsal';
import { writeReport } from './report';
import { isListening, isReady, type ChildServer } from '../load/child-server';
import { runReconcile, startRehearsalServer } from './processes';
import { summarize } from './summary';
import { Progress, terminalReport } from './terminal';
import type { Tally } from './tally';

/** Limits of one process: every shopper sends some ten requests, and every latency is kept. */
const most = { shoppers: 200_000, stock: 1_000_000, products: 100, seconds: 3_600, connections: 2_000 } as const;

const USED = ['host', 'port', 'auth', 'webhookSecrets'] as const;
type Used = Pick<Config, (typeof USED)[number]>;

/** A server that is already running is left running. */
type RehearsedServer = Pick<ChildServer, 'url' | 'ready' | 'stop'>;

type Options = Omit<Plan, 'shares'> &
  Record<Story, number> & { url?: URL; start: boolean; allowRemote: boolean; report: string; json: boolean };

const command = new Command('rehearse').description(
  'Rehearses a sale: shoppers arrive in a burst, browse, hold, order and pay, or do not; payments come on time, early, ' +
    'late, twice, or fail. Afterwards every acknowledged hold, order and payment is held against what the server answers. ' +
    'It creates products of its own, on the server that runs, or on one that it starts and stops.',
);
command
  .option('--shoppers <n>', 'how many arrive', wholeNumberOption(1, most.shoppers), 1_000)
  .option('--stock <n>', 'units on sale in all, divided among the products', wholeNumberOption(1, most.stock), 100)
  .option('--products <n>', 'how many products', wholeNumberOption(1, most.products), 3)
  .option('--duration-seconds <n>', 'how long shoppers keep arriving', wholeNumberOption(1, most.seconds), 60)
  .option('--seed <n>', 'the same seed rehearses the same sale', wholeNumberOption(0, 2 ** 31 - 1), 1)
  .option('--connections <n>', 'sockets to the server', wholeNumberOption(1, most.connections), 256);
for (const { flag, share, says } of Object.values(stories)) {
  command.option(`--${flag} <share>`, `share of this story: ${says}`, wholeNumberOption(0, 1_000_000), share);
}
command
  .option('--url <url>', 'the server (default: the configured http://HOST:PORT)', serverUrl)
  .option('--start', 'start a server of its own; so it does, too, when nothing listens and no --url is given', false)
  .option('--allow-remote', 'let --url be another machine', false)
  .option('--report <file>', 'the HTML report', 'logs/rehearsal.html')
  .option('--json', 'print the result as JSON, and nothing else, on standard output', false)
  .addHelpText(
    'after',
    `
Shares are weights: they need not add up to 100. Tokens and payment events are signed with the secrets of this
configuration, and reconcile reads its database, so run it with the server's settings. A server that it starts itself has
the same settings; where they are not set, holds and payment windows are shortened to fit into the sale.

Exit code: 0 when every promise was kept; 1 when one was broken, or the rehearsal could not take place; 2 on bad usage.

Examples:
  npm run rehearse
  npm run rehearse -- --shoppers 5000 --stock 200 --duration-seconds 30 --start
  npm run rehearse -- --late 40 --failed 40 --seed 7 --report /tmp/late.html
  npm run --silent rehearse -- --json > rehearsal.json`,
  )
  .action(run);

async function run(options: Options): Promise<void> {
  loadDotEnv();
  // A server started here reads its own settings and reports errors in them.
  const config = loadSettings(USED);
  const plan = planOf(options);
  const progress = new Progress(plan.shoppers);
  const server = await findServer(options, config, progress);
  // There is no verdict if the run is interrupted.
  await interruptible(
    (signal) => perform(options, plan, config, server, progress, signal),
    async () => {
      progress.abandon();
      await server.stop();
    },
  );
}

async function perform(
  options: Options,
  plan: Plan,
  config: Used,
  server: RehearsedServer,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  await server.ready;
  let tally: Tally | undefined;
  const rehearsed = await rehearse(plan, {
    url: server.url,
    config,
    signal,
    reconcile: runReconcile,
    onOpening: (opened) => progress.start((tally = opened)),
    onClosing: () => {
      progress.stop(tally!);
      progress.say('Holding what was acknowledged against what the server answers …');
    },
  });
  const summary = summarize(rehearsed);
  writeReport(options.report, rehearsed, summary);
  await print(options.json ? JSON.stringify(summary, null, 2) : `\n${terminalReport(summary, options.report)}`);
  if (!summary.ok) process.exitCode = exitCodes.failed;
}

/** Resolves when it is written: a pipe may be slow, and the process exits right after. */
function print(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${text}\n`, () => resolve()));
}

/** Contradicting options are bad usage; nothing has been started by then. */
function planOf(options: Options): Plan {
  const { shoppers, stock, products, durationSeconds, seed, connections } = options;
  if (stock < products)
    command.error(`error: --stock ${stock} is too little for --products ${products}: one unit each`);
  const shares = Object.fromEntries(Object.keys(stories).map((story) => [story, options[story as Story]])) as Record<
    Story,
    number
  >;
  if (Object.values(shares).every((share) => share === 0)) {
    const flags = Object.values(stories).map(({ flag }) => `--${flag}`);
    command.error(`error: one of ${flags.join(', ')} has to be above 0`);
  }
  return { shoppers, stock, products, durationSeconds, seed, connections, shares };
}

/** The running server, or a new one, which `stop` stops. */
async function findServer(options: Options, config: Used, progress: Progress): Promise<RehearsedServer> {
  const { url: given, start, allowRemote, durationSeconds } = options;
  if (given && start) command.error('error: --url names a server that runs, --start starts another: give one of them');
  const url = given ?? (config.port === 0 ? null : configuredUrl(config));
  if (url && !start) {
    if (!allowRemote && !isLoopback(url)) {
      command.error(`error: ${url.hostname} may be another machine: rehearse there only with --allow-remote`);
    }
    if (await isReady(url)) return { url, ready: Promise.resolve(), stop: async () => undefined };
    if (await isListening(url)) throw new Error(`What listens at ${url.origin} is no server that is ready to sell.`);
    if (given) throw new Error(`Nothing listens at ${url.origin}.`);
    progress.say(`Nothing listens at ${url.origin}.`);
  }
  const server = await startRehearsalServer(config, durationSeconds);
  progress.say(`Starting a server at ${server.url.origin} …`);
  return server;
}

function serverUrl(text: string): URL {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new InvalidArgumentError('Give an http:// or https:// URL.');
  }
  return new URL(text);
}

function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

// Waiting shoppers of an interrupted run would keep the process alive for some seconds.
void runCommand(command).then(() => process.exit());
