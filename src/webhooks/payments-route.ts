/** POST /webhooks/payments and …/stripe: verify → parse → use case → status code. 200 means that the event is committed. */
import type { IncomingMessage } from 'node:http';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Checkout } from '../checkout/checkout';
import type { Recorded } from '../checkout/record-payment-event';
import { Busy, RateLimited, Unavailable, UnreadableRequest } from '../domain/errors';
import type { Logger } from '../telemetry/logger';
import type { Metrics, WebhookRefusal } from '../telemetry/metrics';
import type { Provider } from './provider';

/** Timestamps outside this window (in ms) are clock errors, and are not measured. */
const PLAUSIBLE_AGE_MS = 30 * 24 * 3_600_000;
const PLAUSIBLE_AHEAD_MS = 5 * 60_000;
/** Retry-After in seconds, when only an operator can fix the cause. */
const RETRY_AFTER_SECONDS = 60;

export interface PaymentsWebhook {
  readonly recordPaymentEvent: Checkout['recordPaymentEvent'];
  readonly providers: readonly Provider[];
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Throws `RateLimited` after too many bad signatures. Good ones are never counted or refused: providers share few addresses. */
  readonly countFailure: (request: IncomingMessage) => Promise<void>;
}

/**
 * A plugin with a scope of its own, in which bodies stay the bytes that were signed.
 *
 * 200 with the event's outcome, for duplicates too · 400 malformed message · 401 bad signature · 409 known id with different content ·
 * 413 too large · 415 not JSON · 429 too many bad signatures from one address · 501 another transfer coding than chunked ·
 * 503 + Retry-After when the event could not be stored, or the provider is not set up. Never 410, which providers take for "never
 * again". docs/webhooks.openapi.yaml describes all of them.
 */
export function paymentsWebhook(webhook: PaymentsWebhook) {
  return async (scope: FastifyInstance): Promise<void> => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    for (const provider of webhook.providers) {
      scope.post(
        provider.path,
        {
          bodyLimit: provider.maxBodyBytes,
          errorHandler: (error: FastifyError, request, reply) =>
            void answerError(webhook, provider, error, request, reply),
        },
        (request, reply) => receive(webhook, provider, request, reply),
      );
    }
  };
}

async function receive(
  { recordPaymentEvent, log, metrics, countFailure }: PaymentsWebhook,
  provider: Provider,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const refused = (reason: WebhookRefusal) => metrics.webhookRefused(provider.name, reason);
  if (provider.missing !== null) {
    refused('NOT_SET_UP');
    return tryLater(reply, RETRY_AFTER_SECONDS, provider.missing);
  }
  if (!isJson(request)) {
    refused('NOT_JSON');
    return problem(reply, 415, 'Send application/json');
  }
  const receivedAtMs = Date.now();
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const verdict = provider.verify(request.headers, body);
  if (verdict !== 'ok') {
    await countFailure(request.raw);
    log.warn(
      { event: 'payment.unsigned', requestId: request.id, provider: provider.name, reason: verdict.reason },
      'payment.unsigned',
    );
    refused('SIGNATURE');
    return problem(reply, 401, 'The signature is missing, does not match, or its timestamp is more than 5 minutes off');
  }
  const message = provider.parse(body);
  if ('problem' in message) {
    refused('MALFORMED');
    return problem(reply, 400, message.problem);
  }
  const recorded = await recordPaymentEvent(provider.name, message, request.id);
  if (recorded.kind === 'recorded') {
    const lagMs = receivedAtMs - provider.sentAt(message);
    if (lagMs >= -PLAUSIBLE_AHEAD_MS && lagMs <= PLAUSIBLE_AGE_MS) metrics.webhookLag(Math.max(0, lagMs) / 1_000);
  }
  if (recorded.kind === 'conflict') refused('CONFLICT');
  return answer(reply, recorded);
}

function answer(reply: FastifyReply, recorded: Recorded): FastifyReply {
  if (recorded.kind === 'conflict') return problem(reply, 409, 'This event_id came before with another content');
  const { eventId, outcome, orderId } = recorded.event;
  return reply.send({
    event_id: eventId,
    outcome,
    duplicate: recorded.kind === 'duplicate',
    ...(orderId !== null && { order_id: orderId }),
  });
}

function isJson({ headers }: FastifyRequest): boolean {
  const type = (headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  return type === 'application/json';
}

function problem(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).send({ error: message });
}

function tryLater(reply: FastifyReply, seconds: number, message: string): FastifyReply {
  return problem(reply.header('retry-after', seconds), 503, message);
}

function answerError(
  { log, metrics }: PaymentsWebhook,
  provider: Provider,
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  metrics.webhookRefused(provider.name, refusalOf(error));
  if (error instanceof Busy || error instanceof Unavailable) {
    const seconds = Math.max(1, Math.ceil(error.retryAfterMs / 1_000));
    return tryLater(reply, seconds, 'The event could not be stored: send it again');
  }
  if (error instanceof RateLimited) {
    reply.header('retry-after', Math.max(1, Math.ceil(error.retryAfterMs / 1_000)));
    return problem(reply, 429, 'Too many messages without a valid signature');
  }
  const status = error.statusCode ?? 500;
  if (error instanceof UnreadableRequest) return problem(reply, status, error.message);
  if (status === 413) return problem(reply, 413, `A message may have ${request.routeOptions.bodyLimit} bytes`);
  if (status === 415) return problem(reply, 415, 'Send application/json');
  if (status >= 400 && status < 500) return problem(reply, status, 'The request could not be read');
  log.error({ event: 'request.failed', err: error, requestId: request.id }, 'request.failed');
  return problem(reply, 500, `Internal server error (request ${request.id})`);
}

function refusalOf(error: FastifyError): WebhookRefusal {
  if (error instanceof Busy || error instanceof Unavailable) return 'NOT_STORED';
  if (error instanceof RateLimited) return 'RATE_LIMITED';
  const status = error.statusCode ?? 500;
  if (status === 413) return 'TOO_LARGE';
  if (status === 415) return 'NOT_JSON';
  return status >= 400 && status < 500 ? 'UNREADABLE' : 'INTERNAL_SERVER_ERROR';
}
