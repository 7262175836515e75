/** The process: settings, database, server; stops in order on SIGTERM and SIGINT. */
import { Command } from 'commander';
import { startApp } from './app';
import { loadConfig, loadDotEnv, redactedConfig, type Config } from './config';
import { checkServer } from './database/check-server';
import { findDatabase } from './database/find-database';
import { migrate } from './database/migrate';
import { openDatabase } from './database/orm';
import { seedIfEmpty } from './database/seed';
import { readFirstProductId } from './database/views';
import { scrapeAllWorkers } from './telemetry/cluster-metrics';
import { closeLogger, createLogger, type Logger } from './telemetry/logger';
import { surviveUncaught } from './telemetry/uncaught';
import { isWorker, report, startWorkers } from './workers';

interface Surroundings {
  readonly log: Logger;
  readonly stopping: Promise<void>;
  readonly uncaught: ReturnType<typeof surviveUncaught>;
}

async function main(): Promise<void> {
  loadDotEnv();
  const config = loadConfig();
  const { logLevel: level, logFile: file, environment } = config;
  const log = createLogger({ level, file, environment });
  log.debug({ event: 'config', config: redactedConfig(config) }, 'config');
  const uncaught = surviveUncaught(log);
  const stopping = stopSignal(log);
  try {
    await (isWorker ? serveAsWorker : serve)(config, { log, stopping, uncaught });
  } finally {
    log.info({ event: 'server.stopped' }, 'server.stopped');
    await closeLogger(log);
  }
}

/** The only process, or the one that looks after the workers. Either way the database is its business. */
async function serve(config: Config, { log, stopping, uncaught }: Surroundings): Promise<void> {
  const database = await findDatabase(config.databaseUrls, (message) => log.info({ event: 'postgres' }, message));
  try {
    const productId = await prepare(config, database.url, log);
    const server = await startServer(config, database.urls, { log, uncaught });
    log.info({ event: 'server.started', url: server.url, workers: config.workers }, 'server.started');
    if (config.environment === 'development') greet(server.url, productId);
    await stopping;
    await server.stop();
  } finally {
    await database.stop();
  }
}

async function startServer(
  config: Config,
  databaseUrls: readonly string[],
  { log, uncaught }: Pick<Surroundings, 'log' | 'uncaught'>,
): Promise<{ url: string; stop(): Promise<void> }> {
  if (config.workers > 1) {
    const workers = await startWorkers(config.workers, databaseUrls.join(), log);
    uncaught.serveOn(null);
    return workers;
  }
  const app = await startApp(config, { databaseUrl: databaseUrls, log });
  uncaught.serveOn(app.checkout.metrics);
  return { url: app.url, stop: () => app.close() };
}

/** One of several: its database was found and prepared by the process that started it. */
async function serveAsWorker(config: Config, { log, stopping, uncaught }: Surroundings): Promise<void> {
  try {
    const app = await startApp(config, { databaseUrl: config.databaseUrls, log, scrapeWith: scrapeAllWorkers });
    uncaught.serveOn(app.checkout.metrics);
    report({ url: app.url });
    await stopping;
    await app.close();
  } catch (error) {
    report({ error: error instanceof Error ? error.message : String(error) });
    throw error;
  } finally {
    // The channel to the primary would keep this process open.
    process.disconnect?.();
  }
}

/** Migrates, and fills an empty development database. Answers a product for the first example. */
async function prepare(config: Config, url: string, log: Logger): Promise<string | null> {
  const database = await openDatabase({ url, poolSize: 2, log });
  try {
    for (const warning of await checkServer(database, config.databaseUrls.length > 1))
      log.warn({ event: 'database.warning', warning }, 'database.warning');
    const applied = await migrate(database, url);
    if (applied.length > 0) log.info({ event: 'database.migrated', applied }, 'database.migrated');
    if (config.environment !== 'production' && (await seedIfEmpty(database))) {
      log.info({ event: 'database.seeded' }, 'database.seeded');
    }
    return await database.read(readFirstProductId);
  } finally {
    await database.close();
  }
}

/** Resolves at the first SIGTERM or SIGINT; a second one is for those who cannot wait. */
function stopSignal(log: Logger): Promise<void> {
  return new Promise((resolve) => {
    let isStopping = false;
    const stop = (signal: NodeJS.Signals) => {
      if (isStopping) process.exit(130);
      isStopping = true;
      log.info({ event: 'server.stopping', signal }, 'server.stopping');
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}

function greet(url: string, productId: string | null): void {
  const mutation = `mutation { createHold(input: { productId: "${productId}", quantity: 1 }) { hold { id expiresAt } userErrors { code message } } }`;
  process.stdout.write(
    `\n  Storefront   ${url}/\n  Playground   ${url}/graphql\n  Operators    ${url}/ops\n\n  Hold a unit:\n\n` +
      `  curl -s ${url}/graphql -H 'content-type: application/json' \\\n    -d '${JSON.stringify({ query: mutation })}'\n\n`,
  );
}

/** One line. Of an error that only sums up (`Unavailable`) its cause says what the operator has to know. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message.split('\n')[0]}` : error.message;
}

function start(): Promise<void> {
  return main().catch((error: unknown) => {
    process.stderr.write(`error: ${reasonOf(error)}\n`);
    process.exitCode = 1;
    // Whatever still holds the process open (a pool, a timer) must not keep a failed start alive.
    setTimeout(() => process.exit(1), 2_000).unref();
  });
}

void new Command('start')
  .description(
    'Serves the checkout until SIGTERM or SIGINT. Settings: environment variables, or .env; see .env.example.',
  )
  .action(start)
  .parseAsync();
