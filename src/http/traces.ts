/** A span for each request, from its headers to the end of its answer, while OpenTelemetry is on. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isTracing, startRequest } from '../telemetry/tracing';

/** Asked every few seconds by balancers and Prometheus. */
const UNTRACED = new Set(['/livez', '/readyz', '/metrics']);

/** Call it before routes are registered, and after tracing was started. Adds nothing while it is off. */
export function traceRequests(http: FastifyInstance): void {
  if (!isTracing()) return;
  const spans = new WeakMap<FastifyRequest, NonNullable<ReturnType<typeof startRequest>>>();
  http.addHook('onRequest', (request, _reply, done) => {
    const { url: route = 'unknown' } = request.routeOptions;
    const attributes = {
      'http.request.method': request.method,
      'http.route': route,
      'checkout.request_id': request.id,
    };
    const span = UNTRACED.has(route) ? null : startRequest(`${request.method} ${route}`, request.headers, attributes);
    if (span) spans.set(request, span);
    done();
  });
  // Only after the body was read: its events come from outside of the span.
  http.addHook('preHandler', (request, _reply, done) => {
    const span = spans.get(request);
    if (span) span.within(done);
    else done();
  });
  http.addHook('onResponse', (request, reply, done) => {
    spans.get(request)?.end({ 'http.response.status_code': reply.statusCode }, reply.statusCode >= 500);
    done();
  });
}
