/** The headers of every answer, and which other origins may read it. */
import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import { QUEUE_TOKEN_HEADER } from '../admission/clients';
import type { Config } from '../config';

const PREFLIGHT_MAX_AGE_SECONDS = 600;

/** What clients, and the tools that trace them, add to a request. A browser blocks a request with a header that is not listed. */
const HEADERS_OF_CLIENTS = [
  // `accept`: browsers include it in a preflight when it is long.
  ...['accept', 'authorization', 'content-type', 'idempotency-key', 'x-requested-with', QUEUE_TOKEN_HEADER],
  ...['apollo-require-preflight', 'graphql-require-preflight', 'x-apollo-operation-name', 'x-apollo-operation-id'],
  ...['x-apollo-operation-type', 'apollographql-client-name', 'apollographql-client-version'],
  // W3C Trace Context, Sentry, Zipkin, Datadog, New Relic, Elastic, Application Insights
  ...['traceparent', 'tracestate', 'baggage', 'sentry-trace', 'x-request-id', 'x-correlation-id', 'request-id'],
  ...['b3', 'x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid', 'x-b3-sampled', 'x-b3-flags', 'newrelic'],
  ...['x-datadog-trace-id', 'x-datadog-parent-id', 'x-datadog-origin', 'x-datadog-sampling-priority'],
  ...['elastic-apm-traceparent', 'request-context'],
];

/** For answers that are not pages: nothing in them may run or be framed. Each page sets its own policy. */
const NO_CONTENT = "default-src 'none'; frame-ancestors 'none'";

/** Also for answers to bytes that are no request, which Fastify never sees; @fastify/helmet would set them only for its own. */
export function securityHeaders({ hstsMaxAgeSeconds }: Pick<Config, 'hstsMaxAgeSeconds'>): Record<string, string> {
  return {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'content-security-policy': NO_CONTENT,
    'x-frame-options': 'DENY',
    ...(hstsMaxAgeSeconds > 0 && { 'strict-transport-security': `max-age=${hstsMaxAgeSeconds}` }),
  };
}

/** Without origins no preflight is answered, so browsers keep pages of other origins away. */
export async function allowOrigins(http: FastifyInstance, { corsOrigins, corsHeaders }: Config): Promise<void> {
  if (corsOrigins.length === 0) return;
  await http.register(cors, {
    origin: corsOrigins.includes('*') ? '*' : [...corsOrigins],
    methods: ['GET', 'POST'],
    allowedHeaders: [...new Set([...HEADERS_OF_CLIENTS, ...corsHeaders])],
    exposedHeaders: ['retry-after', 'x-request-id'],
    // Callers identify themselves by a header that pages set, never by a cookie.
    credentials: false,
    maxAge: PREFLIGHT_MAX_AGE_SECONDS,
  });
}
