/** What HTTP allows anybody before a route is asked: sockets, timeouts, headers, other origins' pages. */
import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config';
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
} as const;

/** Every answer has the headers, refusals and unknown paths, too. Before any route is registered. */
export async function limitHttp(http: FastifyInstance, config: Config): Promise<void> {
  http.server.maxConnections = config.maxConnections;
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

function securityHeaders({ hstsMaxAgeSeconds }: Config): Record<string, string> {
  return {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'content-security-policy': NO_CONTENT,
    'x-frame-options': 'DENY',
    ...(hstsMaxAgeSeconds > 0 && { 'strict-transport-security': `max-age=${hstsMaxAgeSeconds}; includeSubDomains` }),
  };
}
