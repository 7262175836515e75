/** What HTTP allows anybody before a route is asked: sockets, timeouts, headers, other origins' pages. */
import type { Socket } from 'node:net';
import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config';
import type { Metrics } from '../telemetry/metrics';
import { QUEUE_TOKEN_HEADER } from './clients';

/** A request whose headers and body have not come by then is a slow attack, or a lost client. */
const REQUEST_TIMEOUT_MS = 15_000;
/** How long a socket may stay without a request after an answer. Longer than a page's pause between two clicks. */
const KEEP_ALIVE_MS = 15_000;
/** How often node looks for those that are late: its default of 30 s would triple what is promised above. */
const CHECK_EVERY_MS = 2_000;
const PREFLIGHT_MAX_AGE_SECONDS = 600;

/** Answers that are no page: nothing in them may be run, framed or taken for something else. Pages set a policy of their own. */
const NO_CONTENT = "default-src 'none'; frame-ancestors 'none'";

/** For `fastify()`. A socket without a request, whole and in time, is closed within 17 s. */
export const socketLimits = {
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
  http: { connectionsCheckingInterval: CHECK_EVERY_MS, headersTimeout: REQUEST_TIMEOUT_MS },
  clientErrorHandler: answerRaw,
} as const;

/** Every answer has the headers, refusals and unknown paths, too. Before any route is registered. */
export async function limitHttp(http: FastifyInstance, config: Config, metrics: Metrics): Promise<void> {
  http.server.maxConnections = config.maxConnections;
  countAnswers(http, metrics);
  const headers = securityHeaders(config);
  http.addHook('onRequest', (_request, reply, done) => {
    void reply.headers(headers);
    done();
  });
  // Without origins there is no answer to a preflight, and browsers keep other origins' pages away.
  if (config.corsOrigins.length === 0) return;
  await http.register(cors, {
    origin: config.corsOrigins.includes('*') ? '*' : [...config.corsOrigins],
    methods: ['GET', 'POST'],
    allowedHeaders: ['authorization', 'content-type', 'apollo-require-preflight', QUEUE_TOKEN_HEADER],
    exposedHeaders: ['retry-after', 'x-request-id'],
    // Who asks is said by a header that pages set themselves, never by a cookie.
    credentials: false,
    maxAge: PREFLIGHT_MAX_AGE_SECONDS,
  });
}

/** Every answer, and every connection that gets none. */
function countAnswers(http: FastifyInstance, metrics: Metrics): void {
  http.addHook('onResponse', (request, reply, done) => {
    metrics.httpAnswer(request.routeOptions.url ?? 'unknown', reply.statusCode, reply.elapsedTime / 1_000);
    done();
  });
  http.server.on('drop', () => metrics.connectionDropped());
  // Before the listener that answers, which destroys the socket.
  http.server.prependListener('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (isAnswerable(error, socket)) metrics.httpAnswer('unreadable', Number.parseInt(rawAnswerOf(error)[0], 10));
  });
}

function securityHeaders({ hstsMaxAgeSeconds }: Pick<Config, 'hstsMaxAgeSeconds'>): Record<string, string> {
  return {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'content-security-policy': NO_CONTENT,
    'x-frame-options': 'DENY',
    ...(hstsMaxAgeSeconds > 0 && { 'strict-transport-security': `max-age=${hstsMaxAgeSeconds}; includeSubDomains` }),
  };
}

/** What node could not read as a request, or did not get in time, has no route: answered in GraphQL's shape to be on the safe side. */
function answerRaw(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!isAnswerable(error, socket)) return;
  const [status, message] = rawAnswerOf(error);
  const body = JSON.stringify({ errors: [{ message, extensions: { code: 'BAD_REQUEST' } }] });
  const headers = Object.entries(securityHeaders({ hstsMaxAgeSeconds: 0 })).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  if (socket.writable) {
    socket.write(
      `HTTP/1.1 ${status}\r\n${headers.join('')}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  }
  socket.destroy(error);
}

const isAnswerable = (error: NodeJS.ErrnoException, socket: Socket) => error.code !== 'ECONNRESET' && !socket.destroyed;

function rawAnswerOf(error: NodeJS.ErrnoException): readonly [status: string, message: string] {
  return RAW_ANSWERS[error.code ?? ''] ?? ['400 Bad Request', 'The request could not be read'];
}

const RAW_ANSWERS: Readonly<Record<string, readonly [status: string, message: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not come in time'],
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers are too large'],
};
