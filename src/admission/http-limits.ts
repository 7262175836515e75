/** What HTTP allows anybody before a route is asked: timeouts, headers, bodies, other origins' pages. */
import type { IncomingMessage, Server, ServerOptions } from 'node:http';
import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config';
import { UnreadableRequest } from '../domain/errors';
import type { Metrics } from '../telemetry/metrics';
import { QUEUE_TOKEN_HEADER } from './clients';

/** A request whose headers and body have not come by then is a slow attack, or a lost client. */
const REQUEST_TIMEOUT_MS = 15_000;
/** How often node looks for those that are late: its default of 30 s would triple what is promised above. */
const CHECK_EVERY_MS = 2_000;
const PREFLIGHT_MAX_AGE_SECONDS = 600;

/** What clients, and the tools that watch them, put into a request: one header that is not here, and a browser sends nothing. */
const HEADERS_OF_CLIENTS = [
  // `accept`: browsers ask about it, too, once it is long.
  ...['accept', 'authorization', 'content-type', 'idempotency-key', 'x-requested-with', QUEUE_TOKEN_HEADER],
  ...['apollo-require-preflight', 'graphql-require-preflight', 'x-apollo-operation-name', 'x-apollo-operation-id'],
  ...['x-apollo-operation-type', 'apollographql-client-name', 'apollographql-client-version'],
  // W3C Trace Context, Sentry, Zipkin, Datadog, New Relic, Elastic, Application Insights
  ...['traceparent', 'tracestate', 'baggage', 'sentry-trace', 'x-request-id', 'x-correlation-id', 'request-id'],
  ...['b3', 'x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid', 'x-b3-sampled', 'x-b3-flags', 'newrelic'],
  ...['x-datadog-trace-id', 'x-datadog-parent-id', 'x-datadog-origin', 'x-datadog-sampling-priority'],
  ...['elastic-apm-traceparent', 'request-context'],
];

/** Answers that are no page: nothing in them may be run, framed or taken for something else. Pages set a policy of their own. */
const NO_CONTENT = "default-src 'none'; frame-ancestors 'none'";

/** For node's server: a request that is not whole in time, its headers or its body, is answered 408 within 17 s. */
export const requestLimits: ServerOptions = {
  connectionsCheckingInterval: CHECK_EVERY_MS,
  headersTimeout: REQUEST_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  // Asked for below, where the refusal has the shape of its route.
  requireHostHeader: false,
};

/** Of each server, as a host name may stand for several addresses. */
export function limitSockets(server: Server, { keepAliveSeconds, maxConnections }: Config, metrics: Metrics): void {
  server.keepAliveTimeout = keepAliveSeconds * 1_000;
  server.maxConnections = maxConnections;
  server.on('drop', () => metrics.connectionDropped());
}

/** Every answer has the headers, refusals and unknown paths, too. Before any route is registered. */
export async function limitHttp(http: FastifyInstance, config: Config, metrics: Metrics): Promise<void> {
  countAnswers(http, metrics);
  const headers = securityHeaders(config);
  http.addHook('onRequest', (request, reply, done) => {
    void reply.headers(headers);
    const problem = ambiguityOf(request.raw);
    // The rest of what was sent is not worth reading.
    if (problem) void reply.header('connection', 'close');
    done(problem ?? undefined);
  });
  // Without origins there is no answer to a preflight, and browsers keep other origins' pages away.
  if (config.corsOrigins.length === 0) return;
  await http.register(cors, {
    origin: config.corsOrigins.includes('*') ? '*' : [...config.corsOrigins],
    methods: ['GET', 'POST'],
    allowedHeaders: [...new Set([...HEADERS_OF_CLIENTS, ...config.corsHeaders])],
    exposedHeaders: ['retry-after', 'x-request-id'],
    // Who asks is said by a header that pages set themselves, never by a cookie.
    credentials: false,
    maxAge: PREFLIGHT_MAX_AGE_SECONDS,
  });
}

function countAnswers(http: FastifyInstance, metrics: Metrics): void {
  http.addHook('onResponse', (request, reply, done) => {
    metrics.httpAnswer(request.routeOptions.url ?? 'unknown', reply.statusCode, reply.elapsedTime / 1_000);
    done();
  });
}

function securityHeaders({ hstsMaxAgeSeconds }: Pick<Config, 'hstsMaxAgeSeconds'>): Record<string, string> {
  return {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'content-security-policy': NO_CONTENT,
    'x-frame-options': 'DENY',
    ...(hstsMaxAgeSeconds > 0 && { 'strict-transport-security': `max-age=${hstsMaxAgeSeconds}` }),
  };
}

/**
 * Of a request that we and a proxy in front of us could read differently, or whose text would be changed by reading it: what
 * to send instead. node takes the first of two such headers, and knows no encoding of a body but its own.
 */
function ambiguityOf({ headers, rawHeaders, url, httpVersion }: IncomingMessage): UnreadableRequest | null {
  const seen = [false, false, false];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== 4 && name.length < 12) continue;
    const index = ONLY_ONCE.indexOf(name.toLowerCase());
    if (index < 0) continue;
    if (seen[index]) return new UnreadableRequest(400, `Send the header ${ONLY_ONCE[index]} once`);
    seen[index] = true;
  }
  if (headers.host === undefined && httpVersion === '1.1') return new UnreadableRequest(400, 'Send the header host');
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return new UnreadableRequest(415, `Send the body as it is, not encoded as ${named(encoding)}`);
  }
  const transfer = headers['transfer-encoding'];
  if (transfer !== undefined && transfer.toLowerCase() !== 'chunked') {
    return new UnreadableRequest(
      501,
      `Send the body as it is or chunked, not in the transfer coding ${named(transfer)}`,
    );
  }
  const charset = CHARSET.exec(headers['content-type'] ?? '')?.[1];
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
    return new UnreadableRequest(415, `Send the body in UTF-8, not in ${named(charset)}`);
  }
  if (url !== undefined && url.includes('%') && !isPercentEncodedUtf8(url)) {
    return new UnreadableRequest(400, 'Send an address that is percent-encoded UTF-8');
  }
  return null;
}

/** Of 4, or of 12 and more letters: most headers need not be looked at any closer. */
const ONLY_ONCE = ['host', 'authorization', 'content-type'];
const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]+)/i;
/** A client's own words come back to it cut short, and without anything that a terminal or a page could take for more. */
const named = (text: string) => text.replaceAll(/[^\w.,+ -]/g, '?').slice(0, 40);

function isPercentEncodedUtf8(url: string): boolean {
  try {
    decodeURIComponent(url);
    return true;
  } catch {
    return false;
  }
}

/** The answer to bytes that are no request, or that did not all come in time. They have no route: GraphQL's shape is as good as any. */
export function rawAnswer({ code = '' }: NodeJS.ErrnoException): { readonly status: number; readonly text: string } {
  const [status, message] = RAW_ANSWERS[code] ?? ['400 Bad Request', 'The request could not be read'];
  const body = JSON.stringify({ errors: [{ message, extensions: { code: 'BAD_REQUEST' } }] });
  const headers = Object.entries(securityHeaders({ hstsMaxAgeSeconds: 0 })).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const text =
    `HTTP/1.1 ${status}\r\n${headers.join('')}Content-Type: application/json\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;
  return { status: Number.parseInt(status, 10), text };
}

const RAW_ANSWERS: Readonly<Record<string, readonly [status: string, message: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not come in time'],
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers are too large'],
};
