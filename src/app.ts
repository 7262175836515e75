/** The composition root: builds every room on one database, and serves it. Tests start the same app. */
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance } from 'fastify';
import type { Checkout } from './checkout/checkout';
import { createHoldOf } from './checkout/create-hold';
import { createOrderOf } from './checkout/create-order';
import { recordPaymentEventOf } from './checkout/record-payment-event';
import type { Config } from './config';
import { sealFailpoints } from './database/failpoints';
import { pendingMigrations } from './database/migrate';
import { openDatabase, type Database } from './database/orm';
import type { Room } from './graphql/context';
import { checkoutSchema } from './graphql/schema';
import { graphqlRoutes, graphqlServer } from './graphql/server';
import { sharedReads } from './graphql/shared-reads';
import { StockLevels } from './graphql/stock-levels';
import { codegenDocuments } from './graphql/trusted-documents';
import { startSweepJob } from './jobs/sweep-job';
import { withRequestId, type Logger } from './telemetry/logger';
import { paymentsWebhook } from './webhooks/payments-route';
import { storefront } from './web/storefront';

/** A request whose headers and body have not come by then is a slow attack, or a lost client. */
const REQUEST_TIMEOUT_MS = 15_000;
/** How long a stop waits for requests in progress before it cuts them off. */
const DRAIN_MS = 10_000;

export interface App {
  /** `http://host:port`, with the real port. */
  readonly url: string;
  readonly checkout: Checkout;
  readonly database: Database;
  /** readyz 503 → sweep → requests in progress → Apollo → pools. Idempotent. */
  close(): Promise<void>;
}

export interface AppOptions {
  readonly databaseUrl: string;
  readonly log: Logger;
  /** What the benchmark has beside ours: resolvers, and documents that are trusted. */
  readonly resolvers?: readonly Function[];
  readonly documents?: readonly string[];
}

/** Serves on the configured address. The database is migrated. Throws when the port is taken. */
export async function startApp(config: Config, options: AppOptions): Promise<App> {
  const { log, resolvers = [], documents = [] } = options;
  if (config.environment === 'production') sealFailpoints();
  checkoutSchema(...resolvers);
  const database = await openDatabase({ url: options.databaseUrl, poolSize: config.databasePoolSize, log });
  const { holdTtlSeconds, orderPaymentWindowSeconds } = config;
  const checkout: Checkout = { database, log, holdTtlSeconds, orderPaymentWindowSeconds };
  const room: Room = {
    checkout,
    createHold: createHoldOf(checkout),
    createOrder: createOrderOf(checkout),
    levels: new StockLevels(database),
    reads: sharedReads(database),
  };
  const state = { isDraining: false };
  const apollo = await graphqlServer(room, config);
  const http = httpServer();
  await http.register(graphqlRoutes(apollo, room, config, [...codegenDocuments(), ...documents]));
  await http.register(
    paymentsWebhook({ recordPaymentEvent: recordPaymentEventOf(checkout), secrets: config.webhookSecrets, log }),
  );
  await http.register(storefront);
  healthRoutes(http, database, state);
  try {
    await http.listen({ host: config.host, port: config.port });
  } catch (error) {
    await apollo.stop();
    await database.close();
    throw portError(error, config);
  }
  const sweep = config.sweepCron === null ? null : startSweepJob(checkout, config.sweepCron);

  let closing: Promise<void> | undefined;
  const close = async () => {
    state.isDraining = true;
    await sweep?.stop();
    await drain(http);
    await apollo.stop();
    await database.close();
  };
  return {
    url: `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${(http.server.address() as AddressInfo).port}`,
    checkout,
    database,
    close: () => (closing ??= close()),
  };
}

function httpServer(): FastifyInstance {
  const http = fastify({
    logger: false,
    genReqId: () => randomUUID(),
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Requests that come while the server drains are answered, not cut off: readyz has told the balancer already.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
  });
  http.server.headersTimeout = REQUEST_TIMEOUT_MS;
  // First of all, so that a body which is refused while it is read has it, too.
  http.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id);
    done();
  });
  // After the body was read: its events come from the socket, outside of any context.
  http.addHook('preValidation', (request, _reply, done) => withRequestId(request.id, done));
  return http;
}

/** livez: the process answers. readyz: it can sell, too. */
function healthRoutes(http: FastifyInstance, database: Database, state: { isDraining: boolean }): void {
  let isMigrated = false;
  http.get('/livez', async () => ({ status: 'ok' }));
  http.get('/readyz', async (_request, reply) => {
    const notReady = (reason: string) => reply.code(503).send({ status: 'not ready', reason });
    if (state.isDraining) return notReady('the server is stopping');
    try {
      await database.read((em) => em.execute('SELECT 1'));
      // Migrations never go back while a server runs, so one look that finds them complete is enough.
      isMigrated ||= (await database.read(() => pendingMigrations(database))).length === 0;
    } catch {
      return notReady('the database does not answer');
    }
    return isMigrated ? { status: 'ok' } : notReady('migrations are missing');
  });
}

async function drain(http: FastifyInstance): Promise<void> {
  const cutOff = setTimeout(() => http.server.closeAllConnections(), DRAIN_MS);
  await http.close();
  clearTimeout(cutOff);
}

function portError(error: unknown, { host, port }: Config): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') return new Error(`Port ${port} on ${host} is taken: stop what uses it, or set PORT.`);
  if (code === 'EACCES') return new Error(`Port ${port} is not allowed for this user: set PORT to 1024 or more.`);
  if (code === 'EADDRNOTAVAIL') return new Error(`This machine does not have the address ${host}: set HOST.`);
  return error;
}
