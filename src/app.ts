/** The composition root: builds all parts on one database, and serves them. Tests start the same app. */
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import type { ApolloServer } from '@apollo/server';
import type { FastifyInstance } from 'fastify';
import type { GraphQLSchema } from 'graphql';
import { admissionOf, type Admission, type AdmissionHook } from './admission/admission';
import { clientsOf, type ClientOf } from './admission/clients';
import { openCheckout, type Checkout } from './checkout/checkout';
import type { Config } from './config';
import { openDatabase, type Database } from './database/database';
import { gaugesOf } from './database/gauges';
import { documentGuard } from './graphql/documents/guard';
import { codegenDocuments, KnownDocuments } from './graphql/documents/known';
import { openApollo } from './graphql/http/apollo';
import type { Context, Services } from './graphql/http/context';
import { maskErrors } from './graphql/http/errors';
import { graphqlRoutes } from './graphql/http/routes';
import { createTokenVerifier } from './graphql/http/tokens';
import { opensWebSocket, serveWebSockets } from './graphql/http/websocket';
import { StockLevels } from './graphql/live/level-reader';
import { sharedReads } from './graphql/live/shared-reads';
import { StockWatch } from './graphql/live/stock-watch';
import { schemaFor } from './graphql/schema';
import { healthRoutes, metricsRoute } from './http/health';
import { openHttpServer } from './http/server';
import { startSweepJob } from './jobs/sweep-job';
import { sealFailpoints } from './postgres/failpoints';
import type { Logger } from './telemetry/logger';
import { Metrics } from './telemetry/metrics';
import { staticPages } from './web/static-pages';
import { paymentsWebhook } from './webhooks/payments-route';
import { SimulatedProvider } from './webhooks/simulated-provider';
import { standardProvider } from './webhooks/standard';
import { stripeProvider } from './webhooks/stripe';

export interface App {
  /** `http://host:port`, with the real port. */
  readonly url: string;
  readonly checkout: Checkout;
  readonly metrics: Metrics;
  readonly database: Database;
  readonly services: Services;
  readonly apollo: ApolloServer<Context>;
  /** readyz 503 → sweep → sockets → requests in progress → Apollo → pools. Idempotent. */
  close(): Promise<void>;
}

export interface AppOptions {
  /** Of several servers the one that currently takes writes is used. */
  readonly databaseUrl: string | readonly string[];
  readonly log: Logger;
  /** Executed instead of the schema of these settings. The benchmark adds mutations. */
  readonly schema?: GraphQLSchema;
  /** Answers /metrics when this process is one of several. By default it answers with its own metrics. */
  readonly scrapeWith?: (metrics: Metrics) => () => Promise<string>;
  /** Replaces the queue tokens of ADMISSION_SECRET. */
  readonly admissionHook?: AdmissionHook;
  /** Replace the documents that codegen wrote. */
  readonly documents?: readonly string[];
}

/**
 * Serves on the configured address. The database must be migrated. Throws when the port is taken, and when PERSISTED_ONLY is on
 * but there are no trusted documents.
 */
export async function startApp(config: Config, options: AppOptions): Promise<App> {
  const { log } = options;
  if (config.environment === 'production') sealFailpoints();
  const schema = options.schema ?? schemaFor(config);
  const documents = knownDocuments(schema, config, options);
  const metrics = new Metrics();
  const scrape = options.scrapeWith?.(metrics) ?? (() => metrics.text());
  const database = await connectDatabase(config, options, metrics);
  const { holdTtlSeconds, orderPaymentWindowSeconds } = config;
  const checkout = openCheckout({ database, log, metrics, holdTtlSeconds, orderPaymentWindowSeconds }, config);
  const { fastify, ...http } = await openHttpServer(config, { log, metrics }, opensWebSocket);
  const provider = config.environment === 'production' ? null : simulatedProvider(config, log, fastify);
  const serverMetrics = async () => ({ server: serverName(fastify), text: await scrape() });
  const services = servicesOf(config, options.admissionHook, {
    schema,
    documents,
    checkout,
    database,
    log,
    metrics,
    provider,
    serverMetrics,
  });
  const state = { isStopping: false };

  const apollo = await openApollo(services, config);
  await fastify.register(graphqlRoutes(apollo, services, config));
  await fastify.register(webhookRoutes(config, services));
  await fastify.register(staticPages(config));
  healthRoutes(fastify, database, state);
  metricsRoute(fastify, metrics.contentType, scrape);
  const webSockets = serveWebSockets(fastify.server, apollo, services);

  const closeServices = async () => {
    await apollo.stop();
    await metrics.close();
    await database.close();
  };
  try {
    await fastify.listen({ host: config.host, port: config.port });
  } catch (error) {
    await webSockets.close();
    await http.drain();
    await closeServices();
    throw portError(error, config);
  }
  const sweep = config.sweepCron === null ? null : startSweepJob(checkout.sweep, config.sweepCron, log);

  let closing: Promise<void> | undefined;
  const close = async () => {
    state.isStopping = true;
    http.announceStop();
    await sweep?.stop();
    provider?.close();
    await Promise.all([webSockets.close(), http.drain()]);
    await closeServices();
  };
  return {
    url: urlOf(fastify, config),
    checkout,
    metrics,
    database,
    services,
    apollo,
    close: () => (closing ??= close()),
  };
}

function knownDocuments(
  schema: GraphQLSchema,
  { persistedOnly }: Config,
  { documents: texts = codegenDocuments() }: AppOptions,
): KnownDocuments {
  const documents = new KnownDocuments(schema, texts);
  if (!persistedOnly || documents.size > 0) return documents;
  throw new Error(
    'PERSISTED_ONLY=on serves only the operations that codegen wrote, and there are none: npm run codegen',
  );
}

async function connectDatabase(config: Config, { databaseUrl, log }: AppOptions, metrics: Metrics): Promise<Database> {
  const database = await openDatabase({
    url: databaseUrl,
    poolSize: config.databasePoolSize,
    log,
    onRetry: (reason) => metrics.retry(reason),
  });
  metrics.watch(gaugesOf(database), log);
  return database;
}

function servicesOf(
  config: Config,
  hook: AdmissionHook | undefined,
  given: Pick<
    Services,
    'schema' | 'documents' | 'checkout' | 'database' | 'log' | 'metrics' | 'provider' | 'serverMetrics'
  >,
): Services {
  const { schema, documents, database, log, metrics } = given;
  const { persistedOnly } = config;
  const isProduction = config.environment === 'production';
  const admission = admissionOf(config, { log, hook });
  return {
    ...given,
    levels: new StockLevels(database.read),
    reads: sharedReads(database),
    watch: new StockWatch(new StockLevels(database.readWatched, { withDescriptions: true }), log),
    admission,
    clientOf: clientsOf(config, { log, metrics }),
    guard: documentGuard({ schema, admission, documents, persistedOnly, hidesSchema: isProduction }),
    verify: createTokenVerifier(config),
    mask: maskErrors({ log, metrics }),
    developmentAuth: isProduction ? null : config.auth,
  };
}

function webhookRoutes(config: Config, { checkout, log, metrics, admission, clientOf }: Services) {
  return paymentsWebhook({
    recordPaymentEvent: checkout.recordPaymentEvent,
    providers: [standardProvider(config.webhookSecrets), stripeProvider(config.stripeWebhookSecret)],
    log,
    metrics,
    countFailure: failureCount(admission, clientOf),
  });
}

/** A sender without a valid signature is counted by its address. */
function failureCount({ rates }: Admission, clientOf: ClientOf) {
  return (request: IncomingMessage) => rates.count('webhook', { customerId: '', client: clientOf(request) }, 1);
}

function urlOf({ server }: FastifyInstance, { host }: Config): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`;
}

/** The same for all workers of a server, and different for each server: a machine's name, or a container's id. */
function serverName({ server }: FastifyInstance): string {
  return `${hostname()}:${(server.address() as AddressInfo).port}`;
}

/** Sends to this server's own webhook, over HTTP like a real provider. */
function simulatedProvider(config: Config, log: Logger, http: FastifyInstance): SimulatedProvider {
  const { host, webhookSecrets } = config;
  return new SimulatedProvider({
    secret: webhookSecrets[0]!,
    webhook: () => {
      const webhook = new URL('/webhooks/payments', urlOf(http, config));
      if (host === '0.0.0.0' || host === '::') webhook.hostname = '127.0.0.1';
      return webhook;
    },
    onFailure: (err) => log.warn({ event: 'simulation.failed', err }, 'simulation.failed'),
  });
}

function portError(error: unknown, { host, port }: Config): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') return new Error(`Port ${port} on ${host} is taken: stop what uses it, or set PORT.`);
  if (code === 'EACCES') return new Error(`Port ${port} is not allowed for this user: set PORT to 1024 or more.`);
  if (code === 'EADDRNOTAVAIL') return new Error(`This machine does not have the address ${host}: set HOST.`);
  return error;
}
