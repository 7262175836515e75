/** `npm run attacks`: measures what cheap attacks, and the rate limits against them, cost a sale. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { environmentForChild, loadDotEnv, loadSettings, projectPath } from '../../config';
import { openCheckout } from '../../checkout/checkout';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../postgres/embedded';
import { migrate } from '../../database/migrate';
import { openDatabase, type Database } from '../../database/database';
import { newId } from '../../database/ids';
import { closeLogger, createLogger } from '../../telemetry/logger';
import { Metrics } from '../../telemetry/metrics';
import { ATTACKS } from './attack-set';
import { sell, type Measured } from './crowd';
import { interruptible, runCommand, wholeNumberOption } from '../../cli/options';
import { startServer, type ChildServer } from '../load/child-server';
import { residentMbOf } from '../load/cpu';
import { median } from '../load/percentiles';
import { findFreePort } from '../load/ports';

/** More than any run sells. */
const STOCK = 100_000_000;
/** Products with long descriptions, so that pages are full and answers large. */
const PRODUCTS = 100;
const DESCRIPTION = 'Large and small words about it. '.repeat(312);
const START_WITHIN_MS = 60_000;
/** Until sockets are open and a flood has reached its height. */
const ATTACK_SETTLES_MS = 1_500;

/** The attacker runs on loopback, so it is limited; holds are not, because the crowd stands for many addresses. */
const LIMITED = { RATE_LIMIT: 'hold=-/-,loopback=on' };
/** Counts every hold but refuses none. */
const COUNTING = { RATE_LIMIT: 'hold=-/999999999,loopback=on' };

interface Options {
  readonly seconds: number;
  readonly rounds: number;
  readonly only?: string;
}

const say = (line: string) => process.stdout.write(`${line}\n`);

const command = new Command('attacks')
  .description(
    'Sells a hot product over HTTP, on a separate embedded database, under one cheap attack after the other, and with rate\n' +
      'limits off and on. Each figure is the median of interleaved pairs, with the minimum and maximum in brackets.',
  )
  .option('--seconds <n>', 'duration of each measurement', wholeNumberOption(1, 60), 3)
  .option('--rounds <n>', 'number of pairs', wholeNumberOption(1, 50), 5)
  .option('--only <text>', 'measure only attacks with this in their name; limits: the cost of rate limits')
  .addHelpText('after', '\nExit code: 0 measured, 1 the measurement failed.')
  .action(async (options: Options) => {
    loadDotEnv();
    await withShop(async ({ databaseUrl, productId }) => {
      if (!options.only || 'limits'.includes(options.only)) await measureLimits(databaseUrl, productId, options);
      await measureAttacks(databaseUrl, productId, options);
    });
  });

async function measureLimits(databaseUrl: string, productId: string, options: Options): Promise<void> {
  const off = await serve(databaseUrl, { RATE_LIMIT: 'off' });
  const on = await serve(databaseUrl, COUNTING);
  try {
    const pairs = await inTurns(
      options,
      () => measure(off, productId, options),
      () => measure(on, productId, options),
    );
    say(report('rate limits: off against on', pairs));
  } finally {
    await Promise.all([off.stop(), on.stop()]);
  }
}

async function measureAttacks(databaseUrl: string, productId: string, options: Options): Promise<void> {
  const chosen = ATTACKS.filter(({ name }) => !options.only || name.includes(options.only));
  if (chosen.length === 0) return;
  const server = await serve(databaseUrl, LIMITED);
  try {
    for (const { name } of chosen) {
      const pairs = await inTurns(
        options,
        () => measure(server, productId, options),
        () => underAttack(name, server, () => measure(server, productId, options)),
      );
      say(`${report(name, pairs)}  ${Math.round(residentMbOf(server.pid) ?? NaN)} MB`);
    }
  } finally {
    await server.stop();
  }
}

const measure = async (server: ChildServer, productId: string, { seconds }: Options) => {
  const measured = await sell(server.url, server.pid, productId, seconds * 1_000);
  if (measured.others > 0)
    throw new Error(`${measured.others} answers were not holds, so this run measured something else`);
  return measured;
};

type Pair = readonly [without: Measured, having: Measured];

/** The first pair is a warm-up. The order alternates from round to round. */
async function inTurns(
  { rounds }: Options,
  without: () => Promise<Measured>,
  having: () => Promise<Measured>,
): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (let round = 0; round <= rounds; round++) {
    const isSwapped = round % 2 === 1;
    const first = await (isSwapped ? having() : without());
    const second = await (isSwapped ? without() : having());
    if (round > 0) pairs.push(isSwapped ? [second, first] : [first, second]);
  }
  return pairs;
}

async function underAttack<T>(name: string, { url }: ChildServer, work: () => Promise<T>): Promise<T> {
  const attacker = fork(join(__dirname, 'attacker.js'), [name, url.href], { env: environmentForChild({}) });
  const ended = once(attacker, 'exit');
  try {
    await sleep(ATTACK_SETTLES_MS);
    return await work();
  } finally {
    attacker.kill('SIGTERM');
    await ended;
  }
}

/**
 * "of one core" is the CPU share that the attack itself takes: what the server used, less what its holds cost without the attack.
 * Unlike the loss of holds, it is the same on a busy machine.
 */
function report(name: string, pairs: readonly Pair[]): string {
  const base = median(pairs.map(([without]) => without.cpuMicrosPerHold));
  const ofHolds = pairs.map(([without, having]) => having.holdsPerSecond / without.holdsPerSecond - 1);
  const perHold = pairs.map(([without, having]) => having.cpuMicrosPerHold / without.cpuMicrosPerHold - 1);
  const ofCore = pairs.map(([, having]) => having.cores - (having.holdsPerSecond * base) / 1e6);
  return [
    name.padEnd(42),
    `${Math.round(median(pairs.map(([without]) => without.holdsPerSecond)))} holds/s ${spread(ofHolds)}`,
    `${Math.round(base)} µs CPU a hold ${spread(perHold)}`,
    `of one core ${spread(ofCore)}`,
  ].join('  ');
}

function spread(changes: readonly number[]): string {
  const percent = (change: number) => `${change >= 0 ? '+' : ''}${(change * 100).toFixed(1)} %`;
  return `${percent(median(changes))} (${percent(Math.min(...changes))} … ${percent(Math.max(...changes))})`;
}

async function withShop(work: (shop: { databaseUrl: string; productId: string }) => Promise<void>): Promise<void> {
  const directory = projectPath('.data', 'attacks');
  const { holdTtlSeconds, orderPaymentWindowSeconds } = loadSettings(['holdTtlSeconds', 'orderPaymentWindowSeconds']);
  const log = createLogger({ level: 'silent', file: null, environment: 'test' });
  let starting: Promise<EmbeddedPostgres> | undefined;
  let database: Database | undefined;
  const run = async (signal: AbortSignal) => {
    const embedded = await (starting = startEmbeddedPostgres({ directory, log: () => undefined, signal }));
    database = await openDatabase({ url: embedded.url, poolSize: 2, log });
    await migrate(database, embedded.url);
    const { createProduct } = openCheckout({
      database,
      log,
      metrics: new Metrics(),
      holdTtlSeconds,
      orderPaymentWindowSeconds,
    });
    const caller = { customerId: 'attacks', isAdmin: true };
    const name = `Attacked ${newId()}`;
    const input = { sku: name, name, priceMinor: 4_999, currency: 'USD', totalStock: STOCK };
    const product = await createProduct(input, caller);
    if (!product.granted) throw new Error('The product to sell could not be created');
    for (let count = 1; count <= PRODUCTS; count += 1) {
      const sku = `${name} ${count}`;
      await createProduct({ ...input, sku, name: sku, description: DESCRIPTION }, caller);
    }
    await work({ databaseUrl: embedded.url, productId: product.value.id });
  };
  await interruptible(run, async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await database?.close();
    await (await starting?.catch(() => undefined))?.stop({ withoutOwn: true });
    await closeLogger(log);
  });
}

/** All servers that were started, so that an interrupted run can stop them. */
const servers: ChildServer[] = [];

/** Production's settings, except that holds outlive a run. */
async function serve(databaseUrl: string, limits: Record<string, string>): Promise<ChildServer> {
  const port = await findFreePort();
  const env = environmentForChild({
    ...{ NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port), DATABASE_URL: databaseUrl, WORKERS: '1' },
    ...{ JWT_SECRET: newId(), WEBHOOK_SECRETS: `whsec_${Buffer.from(newId()).toString('base64')}`, JWKS_URL: '' },
    ...{ LOG_LEVEL: 'warn', LOG_FILE: 'off', SWEEP_CRON: 'off', HOLD_TTL_SECONDS: '21600', PLAYGROUND: 'off' },
    ...limits,
  });
  const server = startServer(new URL(`http://127.0.0.1:${port}`), env, START_WITHIN_MS);
  servers.push(server);
  await server.ready;
  return server;
}

void runCommand(command);
