/** A span for each request, from its headers to the end of its answer, while OpenTelemetry is on. */
import type { FastifyInstance } from 'fastify';
import { isTracing, startRequest } from '../telemetry/tracing';

/** Asked every few seconds by balancers and Prometheus. */
const UNTRACED = new Set(['/livez', '/readyz', '/metrics']);
/** A property, because a WeakMap with an entry for each request would cost every garbage collection. */
const SPAN = 'span';

/** Call it before routes are registered, and after tracing was started. Adds nothing while it is off. */
export function traceRequests(http: FastifyInstance): void {
  if (!isTracing()) return;
  http.decorateRequest(SPAN, null);
  http.addHook('onRequest', (request, _reply, done) => {
    const { url: route = 'unknown' } = request.routeOptions;
    const attributes = {
      'http.request.method': request.method,
      'http.route': route,
      'checkout.request_id': request.id,
    };
    if (!UNTRACED.has(route)) {
      request.setDecorator(SPAN, startRequest(`${request.method} ${route}`, request.headers, attributes));
    }
    done();
  });
  // Only after the body was read: its events come from outside of the span.
  http.addHook('preHandler', (request, _reply, done) => {
    const span = request.getDecorator<ReturnType<typeof startRequest>>(SPAN);
    if (span) span.within(done);
    else done();
  });
  http.addHook('onResponse', (request, { statusCode }, done) => {
    const span = request.getDecorator<ReturnType<typeof startRequest>>(SPAN);
    span?.end({ 'http.response.status_code': statusCode }, statusCode >= 500);
    done();
  });
}
