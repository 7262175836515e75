/** Simulates the payment provider: signs payment events and sends them to the webhook over HTTP. */
import { randomUUID } from 'node:crypto';
import { traceHeaders } from '../telemetry/tracing';
import { signPayload } from './signature';

const ANSWER_TIMEOUT_MS = 30_000;

export interface SimulatedEvent {
  readonly eventId: string;
  readonly type: string;
  readonly reference: string;
  readonly amountMinor?: number | undefined;
  readonly currency?: string | undefined;
  readonly paymentId?: string | undefined;
}

export interface WebhookAnswer {
  readonly status: number;
  readonly body: string;
}

/** Sends `times` copies at once, each as a separate delivery. Throws an Error with the cause when the server cannot be reached. */
export async function sendPaymentEvent(
  { url, secret, times }: { url: URL; secret: string; times: number },
  event: SimulatedEvent,
): Promise<WebhookAnswer[]> {
  const body = JSON.stringify({
    event_id: event.eventId,
    type: event.type,
    timestamp: new Date().toISOString(),
    data: {
      reference: event.reference,
      amount_minor: event.amountMinor,
      currency: event.currency,
      payment_id: event.paymentId,
    },
  });
  return Promise.all(Array.from({ length: times }, () => deliver(url, body, secret)));
}

function deliver(url: URL, body: string, secret: string): Promise<WebhookAnswer> {
  const id = `msg_${randomUUID()}`;
  const timestamp = Math.floor(Date.now() / 1000);
  return postJson(url, body, {
    ...traceHeaders(),
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signPayload({ id, timestamp, body, secret }),
  });
}

export async function postJson(url: URL, body: string, headers: Record<string, string>): Promise<WebhookAnswer> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    return { status: response.status, body: (await response.text()).trim() };
  } catch (error) {
    const { cause, message } = error as Error;
    const why = cause instanceof Error ? cause.message || cause.name : message;
    throw new Error(`The server at ${url.origin} could not be reached: ${why}`);
  }
}

/** Scheduled deliveries at a time. */
const MAX_WAITING = 1_000;

/** The provider inside a development server. Timers send delayed events, which are lost when the process ends. */
export class SimulatedProvider {
  private readonly waiting = new Set<NodeJS.Timeout>();

  /** `webhook`: evaluated for each delivery, because the port is known only once the server listens. */
  constructor(private readonly options: { webhook: () => URL; secret: string; onFailure: (error: unknown) => void }) {}

  /** Returns the webhook's answers; none when `delayMs` is not 0. */
  async send(
    event: SimulatedEvent,
    { delayMs, times }: { delayMs: number; times: number },
  ): Promise<readonly WebhookAnswer[]> {
    const sendNow = () => sendPaymentEvent({ url: this.options.webhook(), secret: this.options.secret, times }, event);
    if (delayMs === 0) return sendNow();
    if (this.waiting.size >= MAX_WAITING) throw new Error(`${MAX_WAITING} deliveries wait already`);
    const timer = setTimeout(() => {
      this.waiting.delete(timer);
      sendNow().catch(this.options.onFailure);
    }, delayMs);
    this.waiting.add(timer);
    return [];
  }

  close(): void {
    for (const timer of this.waiting) clearTimeout(timer);
  }
}
