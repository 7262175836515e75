/** The HTTP server before any route: sockets, time limits, security headers, refused requests, and the drain at a stop. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server, ServerOptions } from 'node:http';
import fastify, { type FastifyInstance } from 'fastify';
import type { Config } from '../config';
import type { Logger } from '../telemetry/logger';
import type { Metrics } from '../telemetry/metrics';
import { ambiguityOf } from './ambiguity';
import { allowOrigins, securityHeaders } from './headers';
import { Sockets } from './sockets';
import { traceRequests } from './traces';

/** For a whole request. One that takes longer is a slow attack or a lost client. */
const REQUEST_TIMEOUT_MS = 15_000;
/** How often Node looks for late requests. Its default of 30 s would triple the timeout above. */
const CHECK_EVERY_MS = 2_000;
/** How long a stop waits for requests in progress before it destroys their sockets. */
const DRAIN_MS = 10_000;
/** How often a stop closes connections whose last answer has been sent. */
const IDLE_CHECK_MS = 100;

/** A request whose headers and body are not complete in time is answered 408 within 17 s. */
const TIME_LIMITS: ServerOptions = {
  connectionsCheckingInterval: CHECK_EVERY_MS,
  headersTimeout: REQUEST_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  // `ambiguityOf` refuses a missing host in the shape of the route's answers.
  requireHostHeader: false,
};

export interface HttpServer {
  readonly fastify: FastifyInstance;
  /** From now on every answer asks the client to close its connection. */
  announceStop(): void;
  /** Lets requests in progress end, then closes all sockets. */
  drain(): Promise<void>;
}

/** Register routes afterwards: every answer then has the headers, and is counted, refusals and unknown paths included. */
export async function openHttpServer(
  config: Config,
  telemetry: { readonly log: Logger; readonly metrics: Metrics },
  mayUpgrade: (request: IncomingMessage) => boolean,
): Promise<HttpServer> {
  const { metrics } = telemetry;
  const sockets = openSockets(telemetry, mayUpgrade);
  const http = fastify({
    logger: false,
    genReqId: () => randomUUID(),
    serverFactory: (handler) => {
      const server = sockets.server(handler, TIME_LIMITS);
      limitConnections(server, config, metrics);
      return server;
    },
    // `Sockets` answers malformed requests; Fastify would destroy the socket while its client still sends.
    clientErrorHandler: () => undefined,
    routerOptions: { ignoreTrailingSlash: true },
    // Requests that arrive during the drain are answered: readyz has told the load balancer already.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
  });
  const headers = securityHeaders(config);
  let isStopping = false;
  http.addHook('onRequest', (request, reply, done) => {
    void reply.headers(headers).header('x-request-id', request.id);
    const problem = ambiguityOf(request.raw);
    // The rest of such a request is not read.
    if (problem) void reply.header('connection', 'close');
    done(problem ?? undefined);
  });
  http.addHook('onSend', (_request, reply, _payload, done) => {
    if (isStopping) void reply.header('connection', 'close');
    done();
  });
  http.addHook('onResponse', (request, reply, done) => {
    metrics.httpAnswer(request.routeOptions.url ?? 'unknown', reply.statusCode, reply.elapsedTime / 1_000);
    done();
  });
  traceRequests(http);
  await allowOrigins(http, config);
  return {
    fastify: http,
    announceStop: () => void (isStopping = true),
    drain: () => drain(http, sockets),
  };
}

function openSockets(
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
  mayUpgrade: (request: IncomingMessage) => boolean,
): Sockets {
  return new Sockets({
    mayUpgrade,
    answerTo: (error) => {
      const { status, text } = rawAnswer(error);
      metrics.httpAnswer('unreadable', status);
      return text;
    },
    onFailure: (err) => log.error({ event: 'request.failed', err }, 'request.failed'),
    onStalled: (details) => log.warn({ event: 'sockets.stalled', ...details }, 'sockets.stalled'),
  });
}

/** For each of the servers that Fastify opens: a host name may stand for several addresses. */
function limitConnections(server: Server, { keepAliveSeconds, maxConnections }: Config, metrics: Metrics): void {
  server.keepAliveTimeout = keepAliveSeconds * 1_000;
  server.maxConnections = maxConnections;
  server.on('drop', () => metrics.connectionDropped());
}

/** Clients keep idle connections open. Each would hold up the stop until the cut-off, so they are closed one after another. */
async function drain(http: FastifyInstance, sockets: Sockets): Promise<void> {
  const cutOff = setTimeout(() => sockets.destroyAll(), DRAIN_MS);
  const closeIdle = setInterval(() => sockets.closeIdle(), IDLE_CHECK_MS);
  await http.close();
  clearInterval(closeIdle);
  clearTimeout(cutOff);
  sockets.close();
}

/** Answers bytes that are no request, or not a whole one in time. They have no route, so the answer has GraphQL's shape. */
function rawAnswer({ code = '' }: NodeJS.ErrnoException): { readonly status: number; readonly text: string } {
  const [status, message] = RAW_ANSWERS[code] ?? ['400 Bad Request', 'The request could not be read'];
  const body = JSON.stringify({ errors: [{ message, extensions: { code: 'BAD_REQUEST' } }] });
  const headers = Object.entries({
    ...securityHeaders({ hstsMaxAgeSeconds: 0 }),
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return { status: Number.parseInt(status, 10), text: `HTTP/1.1 ${status}\r\n${headers.join('')}\r\n${body}` };
}

const RAW_ANSWERS: Readonly<Record<string, readonly [status: string, message: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not come in time'],
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers are too large'],
};
