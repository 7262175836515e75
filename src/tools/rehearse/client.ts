/** The rehearsal's GraphQL and webhook client. It repeats each request with the same key until it is answered. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { signPayload } from '../../webhooks/signature';
import type { Step, Tally } from './tally';
import type { HttpAnswer, HttpClient } from '../load/http-client';

/** After a fault the service recovers within 30 s (P10), so requests are repeated for longer than that. */
const patienceMs = 30_000;
const firstPauseMs = 50;
const longestPauseMs = 2_000;

/** The token to send, and the moment from which latency counts; both are optional. */
export interface Asking {
  readonly step?: Step;
  readonly intendedMs?: number;
  readonly token?: string | null;
}

export type Answer<T> =
  { readonly granted: true; readonly value: T } | { readonly granted: false; readonly codes: readonly string[] };

export interface PaymentAnswer {
  readonly outcome: string;
  readonly duplicate: boolean;
  readonly orderId: string | null;
}

/** No answer came in time, so it is unknown whether the request had its effect. */
export class Unanswered extends Error {}
/** The answer violates the contract. */
export class WrongAnswer extends Error {}

type Reply<T> = { readonly value: T } | { readonly again: string; readonly afterMs: number };

interface GraphqlBody {
  data?: Record<string, unknown> | null;
  errors?: { message: string; extensions?: { code?: string; retryAfterMs?: number } }[];
}

interface Payload {
  userErrors: { code: string; message: string; retryAfterMs?: number | null }[];
}

export class Client {
  constructor(
    private readonly transport: HttpClient,
    private readonly tally: Tally,
    private readonly webhookSecret: string,
  ) {}

  /** The data of a query. Throws `Unanswered`, `WrongAnswer`. */
  query<T>(query: string, variables: object, asking: Asking = {}): Promise<T> {
    return this.untilAnswered(asking, () => this.graphql<T>(query, variables, asking));
  }

  /** The object of a document with one mutation, or the codes of its refusal. Throws `Unanswered`, `WrongAnswer`. */
  mutate<T>(query: string, input: object, asking: Asking): Promise<Answer<T>> {
    return this.untilAnswered(asking, async () => {
      const reply = await this.graphql<Record<string, Payload & Record<string, T | null>>>(query, { input }, asking);
      if (!('value' in reply)) return reply;
      const { userErrors, ...objects } = Object.values(reply.value)[0]!;
      const [object] = Object.values(objects);
      const busy = userErrors.find((error) => error.code === 'BUSY');
      if (busy) return { again: 'BUSY', afterMs: busy.retryAfterMs ?? 0 };
      if ((object === null) !== userErrors.length > 0) {
        throw new WrongAnswer('the object must be null exactly when there are userErrors');
      }
      const codes = userErrors.map((error) => error.code);
      return { value: object ? { granted: true, value: object as T } : { granted: false, codes } };
    });
  }

  /** Delivers a signed payment event, repeatedly if necessary, as a provider does. */
  deliver(message: object, asking: Asking): Promise<PaymentAnswer> {
    const body = JSON.stringify(message);
    return this.untilAnswered(asking, async () => {
      const id = `msg_${randomUUID()}`;
      const timestamp = Math.floor(Date.now() / 1_000);
      const signature = signPayload({ id, timestamp, body, secret: this.webhookSecret });
      const reply = await this.post('/webhooks/payments', body, {
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': signature,
      });
      if (!('value' in reply)) return reply;
      const answer = json(reply.value) as { outcome?: string; duplicate?: boolean; order_id?: string };
      if (reply.value.status !== 200 || answer.outcome === undefined) throw wrong(reply.value);
      const { outcome, duplicate = false, order_id: orderId = null } = answer;
      return { value: { outcome, duplicate, orderId } };
    });
  }

  private async graphql<T>(query: string, variables: object, { token }: Asking): Promise<Reply<T>> {
    const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
    const reply = await this.post('/graphql', JSON.stringify({ query, variables }), headers);
    if (!('value' in reply)) return reply;
    const { data, errors } = json(reply.value) as GraphqlBody;
    const transient = errors?.find(({ extensions }) => isTransient(extensions?.code));
    if (transient?.extensions) {
      return { again: transient.extensions.code!, afterMs: transient.extensions.retryAfterMs ?? 0 };
    }
    if (errors || !data || reply.value.status !== 200) throw wrong(reply.value);
    return { value: data as T };
  }

  private async post(path: string, body: string, headers: Record<string, string | number>): Promise<Reply<HttpAnswer>> {
    this.tally.requests += 1;
    try {
      const answer = await this.transport.post(path, body, headers);
      // A load balancer answers 502 and 504 while a server restarts.
      if ([429, 502, 503, 504].includes(answer.status)) {
        const again = answer.status === 429 ? 'RATE_LIMITED' : 'SERVICE_UNAVAILABLE';
        return { again, afterMs: answer.retryAfterMs };
      }
      return { value: answer };
    } catch (error) {
      return { again: `network: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`, afterMs: 0 };
    }
  }

  private async untilAnswered<T>(
    { step, intendedMs = this.tally.nowMs() }: Asking,
    ask: () => Promise<Reply<T>>,
  ): Promise<T> {
    const giveUpMs = this.tally.nowMs() + patienceMs;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      const reply = await ask();
      if ('value' in reply) {
        if (step) this.tally.answered(step, intendedMs);
        return reply.value;
      }
      this.tally.retriedBy.add(reply.again);
      // Jitter, so that requests refused together do not return together.
      const waitMs = Math.max(reply.afterMs, pauseMs) * (1 + Math.random() / 2);
      if (this.tally.nowMs() + waitMs > giveUpMs || this.transport.isClosed) {
        throw new Unanswered(`${step ?? 'look-up'}: ${reply.again} for ${patienceMs / 1_000} s`);
      }
      await sleep(waitMs);
    }
  }
}

function isTransient(code: string | undefined): boolean {
  return code === 'SERVICE_UNAVAILABLE' || code === 'RATE_LIMITED';
}

function json(answer: HttpAnswer): object {
  try {
    const value = JSON.parse(answer.body) as unknown;
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Reported below, with the status.
  }
  throw wrong(answer);
}

function wrong({ status, body }: HttpAnswer): WrongAnswer {
  return new WrongAnswer(`status ${status}: ${body.slice(0, 300).replace(/\s+/g, ' ')}`);
}
