/** The composition root: builds every room on one database, and serves it. Tests start the same app. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import type { ApolloServer } from '@apollo/server';
import type { GraphQLSchema } from 'graphql';
import fastify, { type FastifyInstance } from 'fastify';
import { admissionOf, type Admission, type AdmissionHook } from './admission/admission';
import { clientsOf, type ClientOf } from './admission/clients';
import { limitHttp, limitSockets, rawAnswer, requestLimits } from './admission/http-limits';
import { Sockets } from './admission/sockets';
import { openCheckout, type Checkout } from './checkout/checkout';
import type { Config } from './config';
import { sealFailpoints } from './postgres/failpoints';
import { pendingMigrations } from './database/migrate';
import { gaugesOf } from './database/gauges';
import { openDatabase, type Database } from './database/database';
import type { Context, Room } from './graphql/http/context';
import { documentGuard } from './graphql/documents/guard';
import { maskErrors } from './graphql/http/errors';
import { schemaFor } from './graphql/schema';
import { openApollo } from './graphql/http/apollo';
import { graphqlRoutes } from './graphql/http/routes';
import { sharedReads } from './graphql/live/shared-reads';
import { StockLevels } from './graphql/live/level-reader';
import { StockWatch } from './graphql/live/stock-watch';
import { asksForWebSocket, serveWebSockets } from './graphql/http/websocket';
import { createTokenVerifier } from './graphql/http/tokens';
import { codegenDocuments, TrustedDocuments } from './graphql/documents/trusted';
import { startSweepJob } from './jobs/sweep-job';
import type { Logger } from './telemetry/logger';
import { Metrics } from './telemetry/metrics';
import { paymentsWebhook } from './webhooks/payments-route';
import { SimulatedProvider } from './webhooks/simulated-provider';
import { standardProvider } from './webhooks/standard';
import { stripeProvider } from './webhooks/stripe';
import { staticPages } from './web/static-pages';

/** How long a stop waits for requests in progress before it cuts them off. */
const DRAIN_MS = 10_000;
/** How often a stop looks for connections whose last answer has been sent. */
const IDLE_CHECK_MS = 100;

export interface App {
  /** `http://host:port`, with the real port. */
  readonly url: string;
  readonly checkout: Checkout;
  readonly metrics: Metrics;
  readonly database: Database;
  readonly room: Room;
  readonly apollo: ApolloServer<Context>;
  /** readyz 503 → sweep → sockets → requests in progress → Apollo → pools. Idempotent. */
  close(): Promise<void>;
}

export interface AppOptions {
  /** Of several servers, the one that takes writes is used, whichever that is at the moment. */
  readonly databaseUrl: string | readonly string[];
  readonly log: Logger;
  /** Executed instead of the schema of these settings. The benchmark adds mutations. */
  readonly schema?: GraphQLSchema;
  /** How /metrics is answered, when this process is one of several. Left out: with its own metrics. */
  readonly scrapeWith?: (metrics: Metrics) => () => Promise<string>;
  /** In place of the queue tokens of ADMISSION_SECRET. */
  readonly admissionHook?: AdmissionHook;
  /** In place of those that codegen wrote. */
  readonly documents?: readonly string[];
}

/**
 * Serves on the configured address. The database is migrated. Throws when the port is taken, and when only trusted documents
 * are to be served and there are none.
 */
export async function startApp(config: Config, options: AppOptions): Promise<App> {
  const { log, schema = schemaFor(config) } = options;
  if (config.environment === 'production') sealFailpoints();
  const admission = admissionOf(config, { log, hook: options.admissionHook });
  const trusted = new TrustedDocuments(schema, options.documents ?? codegenDocuments());
  if (config.persistedOnly && trusted.size === 0) {
    throw new Error(
      'PERSISTED_ONLY=on serves only the operations that codegen wrote, and there are none: npm run codegen',
    );
  }
  const metrics = new Metrics();
  const scrape = options.scrapeWith?.(metrics) ?? (() => metrics.text());
  const database = await openDatabase({
    url: options.databaseUrl,
    poolSize: config.databasePoolSize,
    log,
    onRetry: (reason) => metrics.retry(reason),
  });
  metrics.watch(gaugesOf(database), log);
  const { holdTtlSeconds, orderPaymentWindowSeconds } = config;
  const checkout = openCheckout({ database, log, metrics, holdTtlSeconds, orderPaymentWindowSeconds }, config);
  const levels = new StockLevels(database.read);
  const sockets = socketsOf(log, metrics);
  const http = httpServer(sockets, config, metrics);
  const isProduction = config.environment === 'production';
  const provider = isProduction ? null : simulatedProvider(config, log, () => urlOf(http, config));
  const clientOf = clientsOf(config, { log, metrics });
  const room: Room = {
    schema,
    checkout,
    database,
    log,
    metrics,
    levels,
    reads: sharedReads(database),
    watch: new StockWatch(new StockLevels(database.readWatched, { withDescriptions: true }), log),
    admission,
    clientOf,
    trusted,
    guard: documentGuard({
      schema,
      admission,
      trusted,
      persistedOnly: config.persistedOnly,
      hidesSchema: config.environment === 'production',
    }),
    verify: createTokenVerifier(config),
    mask: maskErrors({ log, metrics }),
    serverMetrics: async () => ({ server: serverName(http), text: await scrape() }),
    provider,
    developmentAuth: isProduction ? null : config.auth,
  };
  const state = { isDraining: false };
  // Whoever is answered during a stop is told not to send another request on this connection.
  http.addHook('onSend', (_request, reply, _payload, done) => {
    if (state.isDraining) void reply.header('connection', 'close');
    done();
  });
  const apollo = await openApollo(room, config);
  await limitHttp(http, config, metrics);
  await http.register(graphqlRoutes(apollo, room, config));
  await http.register(
    paymentsWebhook({
      recordPaymentEvent: checkout.recordPaymentEvent,
      providers: [standardProvider(config.webhookSecrets), stripeProvider(config.stripeWebhookSecret)],
      log,
      metrics,
      countFailure: failureCount(admission, room.clientOf),
    }),
  );
  await http.register(staticPages(config));
  healthRoutes(http, database, state);
  metricsRoute(http, metrics, scrape);
  const webSockets = serveWebSockets(http.server, apollo, room);
  try {
    await http.listen({ host: config.host, port: config.port });
  } catch (error) {
    await webSockets.close();
    sockets.close();
    await apollo.stop();
    await metrics.close();
    await database.close();
    throw portError(error, config);
  }
  const sweep = config.sweepCron === null ? null : startSweepJob(checkout.sweep, config.sweepCron, log);

  let closing: Promise<void> | undefined;
  const close = async () => {
    state.isDraining = true;
    await sweep?.stop();
    provider?.close();
    await Promise.all([webSockets.close(), drain(http, sockets)]);
    await apollo.stop();
    await metrics.close();
    await database.close();
  };
  return {
    url: urlOf(http, config),
    checkout,
    metrics,
    database,
    room,
    apollo,
    close: () => (closing ??= close()),
  };
}

function urlOf({ server }: FastifyInstance, { host }: Config): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`;
}

/** The same for all workers of a server, and another for each server: machines by their name, containers by their id. */
function serverName({ server }: FastifyInstance): string {
  return `${hostname()}:${(server.address() as AddressInfo).port}`;
}

/** Sends to this very server, as whoever cannot see into it would. */
function simulatedProvider({ host, webhookSecrets }: Config, log: Logger, url: () => string): SimulatedProvider {
  return new SimulatedProvider({
    secret: webhookSecrets[0]!,
    webhook: () => {
      const webhook = new URL('/webhooks/payments', url());
      if (host === '0.0.0.0' || host === '::') webhook.hostname = '127.0.0.1';
      return webhook;
    },
    onFailure: (err) => log.warn({ event: 'simulation.failed', err }, 'simulation.failed'),
  });
}

function socketsOf(log: Logger, metrics: Metrics): Sockets {
  return new Sockets({
    mayUpgrade: asksForWebSocket,
    answerTo: (error) => {
      const { status, text } = rawAnswer(error);
      metrics.httpAnswer('unreadable', status);
      return text;
    },
    onFailure: (err) => log.error({ event: 'request.failed', err }, 'request.failed'),
    onStalled: (details) => log.warn({ event: 'sockets.stalled', ...details }, 'sockets.stalled'),
  });
}

function httpServer(sockets: Sockets, config: Config, metrics: Metrics): FastifyInstance {
  const http = fastify({
    logger: false,
    genReqId: () => randomUUID(),
    serverFactory: (handler) => {
      const server = sockets.server(handler, requestLimits);
      limitSockets(server, config, metrics);
      return server;
    },
    // `Sockets` answers what is no request; Fastify would destroy the socket while its client still sends.
    clientErrorHandler: () => undefined,
    routerOptions: { ignoreTrailingSlash: true },
    // Requests that come while the server drains are answered, not cut off: readyz has told the balancer already.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
  });
  // First of all, so that a body which is refused while it is read has it, too.
  http.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id);
    done();
  });
  return http;
}

/** Senders that sign nothing are counted by their address. */
function failureCount({ rates }: Admission, clientOf: ClientOf) {
  return (request: IncomingMessage) => rates.count('webhook', { customerId: '', client: clientOf(request) }, 1);
}

/** livez: the process answers. readyz: it can sell, too. */
function healthRoutes(http: FastifyInstance, database: Database, state: { isDraining: boolean }): void {
  let isMigrated = false;
  http.get('/livez', async () => ({ status: 'ok' }));
  http.get('/readyz', async (_request, reply) => {
    const notReady = (reason: string) => reply.code(503).send({ status: 'not ready', reason });
    if (state.isDraining) return notReady('the server is stopping');
    try {
      await database.ping();
      // Migrations never go back while a server runs, so one look that finds them complete is enough.
      isMigrated ||= (await database.read(() => pendingMigrations(database))).length === 0;
    } catch {
      return notReady('the database does not answer');
    }
    return isMigrated ? { status: 'ok' } : notReady('migrations are missing');
  });
}

/** For Prometheus. */
function metricsRoute(http: FastifyInstance, metrics: Metrics, scrape: () => Promise<string>): void {
  http.get('/metrics', async (_request, reply) => {
    void reply.type(metrics.contentType).header('cache-control', 'no-store');
    return scrape();
  });
}

/**
 * Answers what has begun. A client keeps its connection after an answer, and may never use it again: what becomes idle is
 * closed, or each such client would hold up the stop until the cut-off.
 */
async function drain(http: FastifyInstance, sockets: Sockets): Promise<void> {
  const cutOff = setTimeout(() => sockets.destroyAll(), DRAIN_MS);
  const closeIdle = setInterval(() => sockets.closeIdle(), IDLE_CHECK_MS);
  await http.close();
  clearInterval(closeIdle);
  clearTimeout(cutOff);
  sockets.close();
}

function portError(error: unknown, { host, port }: Config): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') return new Error(`Port ${port} on ${host} is taken: stop what uses it, or set PORT.`);
  if (code === 'EACCES') return new Error(`Port ${port} is not allowed for this user: set PORT to 1024 or more.`);
  if (code === 'EADDRNOTAVAIL') return new Error(`This machine does not have the address ${host}: set HOST.`);
  return error;
}
