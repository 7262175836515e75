/** POST /webhooks/payments: verify → parse → use case → status code. Only what was committed is answered 200. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { RecordPaymentEvent } from '../checkout/record-payment-event';
import { Busy, Unavailable } from '../domain/errors';
import type { Logger } from '../telemetry/logger';
import { parsePaymentMessage } from './message';
import { verifySignature } from './signature';

const PROVIDER = 'standard';
const MAX_BODY_BYTES = 64 * 1024;

/**
 * A plugin of its own scope: here bodies stay the bytes that were signed.
 *
 * 200 with the event's outcome, also for a duplicate · 400 not a message of ours · 401 signature · 409 the id came before
 * with another content · 413 too large · 415 not JSON · 503 + Retry-After when it could not be stored. Never 410, which
 * providers take for "never again".
 */
export function paymentsWebhook(options: {
  recordPaymentEvent: RecordPaymentEvent;
  secrets: readonly string[];
  log: Logger;
}) {
  const { recordPaymentEvent, secrets, log } = options;
  return async (scope: FastifyInstance): Promise<void> => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES }, (_request, body, done) =>
      done(null, body),
    );
    scope.setErrorHandler((error: FastifyError, request, reply) => answerError(log, error, request, reply));
    scope.post('/webhooks/payments', async (request, reply) => {
      if (!isPlainJson(request)) return problem(reply, 415, 'Send application/json, not compressed');
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const { headers } = request;
      const verdict = verifySignature({ headers, body, secrets, nowSeconds: Date.now() / 1_000 });
      if (verdict !== 'ok') {
        log.warn({ event: 'payment.unsigned', reason: verdict.reason }, 'payment.unsigned');
        return problem(reply, 401, 'The signature is missing or does not match');
      }
      const message = parsePaymentMessage(body);
      if ('problem' in message) return problem(reply, 400, message.problem);
      const recorded = await recordPaymentEvent(PROVIDER, message);
      if (recorded.kind === 'conflict') return problem(reply, 409, 'This event_id came before with another content');
      const { eventId, outcome, orderId } = recorded.event;
      return reply.send({
        event_id: eventId,
        outcome,
        duplicate: recorded.kind === 'duplicate',
        ...(orderId !== null && { order_id: orderId }),
      });
    });
  };
}

function isPlainJson({ headers }: FastifyRequest): boolean {
  const type = (headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  const encoding = headers['content-encoding'] ?? 'identity';
  return type === 'application/json' && encoding === 'identity';
}

function problem(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).send({ error: message });
}

function answerError(log: Logger, error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error instanceof Busy || error instanceof Unavailable) {
    reply.header('retry-after', Math.max(1, Math.ceil(error.retryAfterMs / 1_000)));
    return problem(reply, 503, 'The event could not be stored: send it again');
  }
  const status = error.statusCode ?? 500;
  if (status === 413) return problem(reply, 413, `A message may have ${MAX_BODY_BYTES} bytes`);
  if (status === 415) return problem(reply, 415, 'Send application/json');
  if (status >= 400 && status < 500) return problem(reply, status, 'The request could not be read');
  log.error({ event: 'request.failed', err: error, requestId: request.id }, 'request.failed');
  return problem(reply, 500, `Internal server error (request ${request.id})`);
}
