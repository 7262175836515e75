/** The server process: loads the configuration, finds and prepares the database, serves, and shuts down on a signal. */
import './cli/node-version.cjs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { startApp } from './app';
import { loadConfig, loadDotEnv, redactedConfig, type Config } from './config';
import { checkSchema } from './database/check-schema';
import { checkServer } from './database/check-server';
import { findDatabase } from './postgres/find-database';
import { migrate } from './database/migrate';
import { describeMissingFixes, readServerVersion } from './database/minor-versions';
import { openDatabase } from './database/database';
import { seedIfEmpty } from './database/seed';
import { readFirstProductId } from './database/read-models';
import { Stop, Stopped } from './stopping';
import { scrapeAllWorkers } from './telemetry/cluster-metrics';
import { closeLogger, createLogger, type Logger } from './telemetry/logger';
import { startTracing } from './telemetry/tracing';
import { surviveUncaught } from './telemetry/uncaught';
import { isWorker, report, startWorkers } from './workers';

/** Time for the last log lines, in ms. Writing never ends while nothing reads the output. */
const FLUSH_LOG_WITHIN_MS = 300;
const EXIT_WITHIN_MS = 200;

interface ProcessContext {
  readonly log: Logger;
  readonly stop: Stop;
  readonly uncaught: ReturnType<typeof surviveUncaught>;
}

async function main(): Promise<void> {
  loadDotEnv();
  const config = loadConfig();
  const { logLevel: level, logFile: file, environment } = config;
  const log = createLogger({ level, file, environment });
  log.debug({ event: 'config', config: redactedConfig(config) }, 'config');
  const uncaught = surviveUncaught(log);
  // Writing to a closed terminal fails, which must not end the process before requests in progress are answered.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => undefined);
  const stop = new Stop(log, isWorker);
  const stopTracing = await startTracing(log);
  try {
    await (isWorker ? serveAsWorker : serve)(config, { log, stop, uncaught });
  } catch (error) {
    if (!stop.isRequested) throw error;
    if (!(error instanceof Stopped)) log.warn({ event: 'server.stopping', err: error }, 'server.stopping');
  } finally {
    await stopTracing();
    log.info({ event: 'server.stopped' }, 'server.stopped');
    await Promise.race([closeLogger(log), sleep(FLUSH_LOG_WITHIN_MS, undefined, { ref: false })]);
  }
}

/** Runs in the only process, or in the primary of several workers; it finds and prepares the database in both cases. */
async function serve(config: Config, { log, stop, uncaught }: ProcessContext): Promise<void> {
  const say = (message: string) => log.info({ event: 'postgres' }, message);
  const database = await findDatabase(config.databaseUrls, say, stop.signal);
  try {
    const productId = await stop.unlessRequested(prepare(config, database.url, { log, stop }));
    const server = await startServer(config, database.urls, { log, stop, uncaught });
    log.info({ event: 'server.started', url: server.url, workers: config.workers }, 'server.started');
    if (config.environment === 'development') greet(server.url, productId);
    await stop.requested();
    await stop.waitForServer(server.stop());
  } finally {
    await database.stop({ withinMs: stop.leftMs(), withoutOwn: true });
  }
}

async function startServer(
  config: Config,
  databaseUrls: readonly string[],
  { log, stop, uncaught }: ProcessContext,
): Promise<{ url: string; stop(): Promise<void> }> {
  if (config.workers > 1) {
    const workers = await startWorkers(config.workers, databaseUrls.join(), { log, stop });
    uncaught.serveOn(null);
    return workers;
  }
  const app = await startApp(config, { databaseUrl: databaseUrls, log });
  uncaught.serveOn(app.metrics);
  return { url: app.url, stop: () => app.close() };
}

/** Runs in each of several workers; the primary has found and prepared the database. */
async function serveAsWorker(config: Config, { log, stop, uncaught }: ProcessContext): Promise<void> {
  try {
    const app = await startApp(config, { databaseUrl: config.databaseUrls, log, scrapeWith: scrapeAllWorkers });
    uncaught.serveOn(app.metrics);
    report({ url: app.url });
    await stop.requested();
    await stop.waitForServer(app.close());
  } catch (error) {
    report({ error: error instanceof Error ? error.message : String(error) });
    throw error;
  } finally {
    // The channel to the primary would keep this process alive.
    process.disconnect?.();
  }
}

/** Migrates, and seeds an empty database outside production. Returns the id of a product for the greeting's example. */
async function prepare(
  config: Config,
  url: string,
  { log, stop }: Pick<ProcessContext, 'log' | 'stop'>,
): Promise<string | null> {
  const database = await openDatabase({ url, poolSize: 2, log });
  const warn = (warning: string) => log.warn({ event: 'database.warning', warning }, 'database.warning');
  try {
    for (const warning of await checkServer(database, config.databaseUrls.length > 1)) warn(warning);
    const isEmbedded = config.databaseUrls.length === 0;
    const missingFixes = describeMissingFixes(await readServerVersion(database), { isEmbedded });
    if (missingFixes !== null && isEmbedded) log.info({ event: 'postgres' }, missingFixes);
    else if (missingFixes !== null) warn(missingFixes);
    const applied = await migrate(database, url, { accepted: config.acceptMigrations, signal: stop.signal, say: warn });
    if (applied.length > 0) log.info({ event: 'database.migrated', applied }, 'database.migrated');
    for (const warning of await checkSchema(database)) warn(warning);
    if (config.environment !== 'production' && (await seedIfEmpty(database))) {
      log.info({ event: 'database.seeded' }, 'database.seeded');
    }
    return await database.read(readFirstProductId);
  } finally {
    await database.close();
  }
}

function greet(url: string, productId: string | null): void {
  const mutation = `mutation { createHold(input: { productId: "${productId}", quantity: 1 }) { hold { id expiresAt } userErrors { code message } } }`;
  process.stdout.write(
    `\n  Storefront   ${url}/\n  Playground   ${url}/graphql\n  Operators    ${url}/ops\n\n  Hold a unit:\n\n` +
      `  curl -s ${url}/graphql -H 'content-type: application/json' \\\n    -d '${JSON.stringify({ query: mutation })}'\n\n`,
  );
}

/** The error in one line, with its cause: an error such as `Unavailable` only summarises. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message.split('\n')[0]}` : error.message;
}

async function start(): Promise<void> {
  await main().catch((error: unknown) => {
    process.stderr.write(`error: ${reasonOf(error)}\n`);
    process.exitCode = 1;
  });
  // An open pool or a timer must not keep the process alive.
  setTimeout(() => process.exit(), EXIT_WITHIN_MS).unref();
}

void new Command('start')
  .description(
    'Serves the checkout until SIGTERM, SIGINT or SIGHUP. Settings are environment variables or in .env; see .env.example.',
  )
  .action(start)
  .parseAsync();
