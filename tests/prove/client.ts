/** A client of the checkout, over HTTP or in this process, which speaks in the terms of the specification. */
import { createHmac, randomUUID } from 'node:crypto';
import { developmentJwtSecret, developmentWebhookSecret } from '../../src/config';
import { Busy, Unavailable } from '../../src/domain/errors';
import type { Order } from '../../src/domain/records';
import type { Answer } from '../../src/domain/refusals';
import { HttpClient as Http, type HttpAnswer } from '../../src/tools/load/http-client';
import { codesOf, rawMessage, type Server } from '../support/checkout';
import type { EventState, EventType, HoldState, Op, OrderState, Reply, State } from './spec';
import type { Sql } from '../support/database';

/**
 * Codes besides the specification's: BUSY (nothing happened), UNAVAILABLE (unknown outcome), LOST (no answer), UNREACHED (never
 * sent), INTERNAL (a bug).
 */
export type Client = (op: Op) => Promise<Reply>;

const ANSWER_MS = 30_000;
const CURRENCY = 'USD';

/** The use cases in this process, as one server runs them. */
export function clientOf(server: Server): Client {
  return async (op) => {
    try {
      return await perform(server, op);
    } catch (error) {
      if (error instanceof Busy) return { code: 'BUSY' };
      if (error instanceof Unavailable) return { code: 'UNAVAILABLE' };
      return { code: 'INTERNAL', status: String(error) };
    }
  };
}

async function perform(server: Server, op: Op): Promise<Reply> {
  switch (op.kind) {
    case 'hold': {
      const { product, quantity, customer, key } = op;
      const input = { productId: product, quantity, customerId: customer, idempotencyKey: key };
      return replyOf(await server.createHold(input));
    }
    case 'release':
      return replyOf(await server.releaseHold(op.hold, op.customer));
    case 'order':
      return orderReply(
        await server.createOrder({ holdIds: op.holds, customerId: op.customer, idempotencyKey: op.key }),
      );
    case 'cancel':
      return orderReply(await server.cancelOrder(op.order, op.customer));
    case 'adjust':
      return replyOf(await server.adjustStock({ productId: op.product, delta: op.delta, idempotencyKey: op.key }));
    case 'event': {
      const recorded = await server.receive(
        rawMessage({
          type: `payment.${op.type}`,
          eventId: op.id,
          reference: op.reference,
          amountMinor: op.amount,
          currency: CURRENCY,
          paymentId: op.payment,
        }),
      );
      if (recorded.kind === 'conflict') return { code: 'CONFLICT' };
      const { outcome, orderId } = recorded.event;
      return { code: 'ok', id: orderId, status: outcome, isDuplicate: recorded.kind === 'duplicate' };
    }
    case 'replay': {
      const answer = await server.replay(op.event);
      return answer.granted ? { code: 'ok', status: answer.value.outcome } : { code: codesOf(answer).join() };
    }
    default:
      throw new Error(`nobody asks for ${op.kind}`);
  }
}

function replyOf(answer: Answer<{ id: string }>): Reply {
  return answer.granted ? { code: 'ok', id: answer.value.id } : { code: codesOf(answer).join() };
}

function orderReply(answer: Answer<Order>): Reply {
  return { ...replyOf(answer), ...(answer.granted && { status: answer.value.status }) };
}

const DOCUMENTS = {
  hold: `mutation ($input: CreateHoldInput!) { r: createHold(input: $input) { o: hold { id } userErrors { code } } }`,
  release: `mutation ($input: ReleaseHoldInput!) { r: releaseHold(input: $input) { o: hold { id } userErrors { code } } }`,
  order: `mutation ($input: CreateOrderInput!) { r: createOrder(input: $input) { o: order { id status } userErrors { code } } }`,
  cancel: `mutation ($input: CancelOrderInput!) { r: cancelOrder(input: $input) { o: order { id status } userErrors { code } } }`,
  adjust: `mutation ($input: AdjustStockInput!) { r: adjustStock(input: $input) { o: product { id } userErrors { code } } }`,
  replay: `mutation ($input: ReplayPaymentEventInput!) { r: replayPaymentEvent(input: $input) { o: paymentEvent { id: eventId status: outcome } userErrors { code } } }`,
};

/** A client of a server process over HTTP. */
export class HttpClient {
  private readonly http: Http;

  constructor(readonly url: string) {
    this.http = new Http(new URL(url), { connections: 600, answerWithinMs: ANSWER_MS });
  }

  readonly ask: Client = (op) => {
    switch (op.kind) {
      case 'hold':
        return this.mutate('hold', op.customer, {
          productId: op.product,
          quantity: op.quantity,
          ...(op.key !== null && { idempotencyKey: op.key }),
        });
      case 'release':
        return this.mutate('release', op.customer, { holdId: op.hold });
      case 'order':
        return this.mutate('order', op.customer, {
          holdIds: op.holds,
          ...(op.key !== null && { idempotencyKey: op.key }),
        });
      case 'cancel':
        return this.mutate('cancel', op.customer, { orderId: op.order });
      case 'adjust':
        return this.mutate('adjust', ADMIN, {
          productId: op.product,
          delta: op.delta,
          reason: 'prove',
          idempotencyKey: op.key,
        });
      case 'replay':
        return this.mutate('replay', ADMIN, { provider: 'standard', eventId: op.event });
      case 'event':
        return this.report(op);
      default:
        throw new Error(`nobody asks for ${op.kind}`);
    }
  };

  /** The status of a page; 0 without an answer. */
  async status(path: string): Promise<number> {
    return (await this.send(this.http.get(path))).status;
  }

  async query(document: string, variables = {}, customer = ''): Promise<Sent> {
    const body = JSON.stringify({ query: document, variables });
    return this.send(this.http.post('/graphql', body, headersFor(customer)));
  }

  close(): void {
    this.http.close();
  }

  private async mutate(name: keyof typeof DOCUMENTS, customer: string, input: object): Promise<Reply> {
    const sent = await this.query(DOCUMENTS[name], { input }, customer);
    if (sent.status === 0) return { code: sent.body };
    const { data, errors } = json<Payload>(sent.body);
    if (data?.r) {
      const { o, userErrors } = data.r;
      if (o) return { code: 'ok', id: o.id, ...(o.status && { status: o.status }) };
      return { code: userErrors.map((error) => error.code).join() };
    }
    const code = errors?.[0]?.extensions?.code;
    return { code: code === 'SERVICE_UNAVAILABLE' ? 'UNAVAILABLE' : 'INTERNAL', status: sent.body.slice(0, 300) };
  }

  private async report(op: Op & { kind: 'event' }): Promise<Reply> {
    const data = { reference: op.reference, amount_minor: op.amount, currency: CURRENCY, payment_id: op.payment };
    const body = JSON.stringify({ event_id: op.id, type: `payment.${op.type}`, data });
    const id = `msg_${randomUUID()}`;
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const sent = await this.send(this.http.post('/webhooks/payments', body, signed(id, timestamp, body)));
    if (sent.status === 0) return { code: sent.body };
    if (sent.status === 200) {
      const answer = json<{ outcome: string; duplicate: boolean; order_id?: string }>(sent.body);
      return { code: 'ok', id: answer.order_id ?? null, status: answer.outcome, isDuplicate: answer.duplicate };
    }
    if (sent.status === 409) return { code: 'CONFLICT' };
    return { code: sent.status === 503 ? 'UNAVAILABLE' : 'INTERNAL', status: `${sent.status} ${sent.body}` };
  }

  private async send(asked: Promise<HttpAnswer>): Promise<Sent> {
    try {
      return await asked;
    } catch (error) {
      return { status: 0, body: (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'UNREACHED' : 'LOST' };
    }
  }
}

export interface Sent {
  /** 0: no answer, and `body` says why. */
  readonly status: number;
  readonly body: string;
}

interface Payload {
  data?: { r?: { o?: { id: string; status?: string } | null; userErrors: { code: string }[] } | null } | null;
  errors?: { extensions?: { code?: string } }[];
}

function json<T>(text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    return {} as T;
  }
}

const ADMIN = '\u0001admin';

function headersFor(customer: string): Record<string, string> {
  if (customer === '') return {};
  return { authorization: `Bearer ${customer === ADMIN ? token('operator', ['admin']) : token(customer)}` };
}

const tokens = new Map<string, string>();
/** Signs a token, as an issuer would. */
function token(sub: string, roles: string[] = []): string {
  const known = tokens.get(sub);
  if (known) return known;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const nowSeconds = Math.floor(Date.now() / 1_000);
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub, roles, iat: nowSeconds, exp: nowSeconds + 86_400 })}`;
  const made = `${text}.${createHmac('sha256', developmentJwtSecret).update(text).digest('base64url')}`;
  tokens.set(sub, made);
  return made;
}

function signed(id: string, timestamp: string, body: string): Record<string, string> {
  const secret = Buffer.from(developmentWebhookSecret.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}

/** The stored state of some products, in the specification's terms, from one snapshot. */
export async function readState(sql: Sql, products: readonly string[], eventsLike: string): Promise<State> {
  const [row] = await sql<{ state: Stored }>(
    `SELECT json_build_object(
       'products', (SELECT json_object_agg(s.product_id, json_build_object('total', s.total, 'available', s.available,
           'limit', p.max_per_customer)) FROM stock s JOIN products p ON p.id = s.product_id WHERE p.id = ANY ($1::uuid[])),
       'holds', (SELECT json_object_agg(id, json_build_object('product', product_id, 'quantity', quantity,
           'customer', customer_id, 'key', idempotency_key,
           'status', CASE WHEN status = 'ACTIVE' AND expires_at <= now() THEN 'EXPIRED' ELSE status END,
           'isOut', given_back_at IS NULL AND NOT (status = 'ACTIVE' AND expires_at <= now()),
           'isStoredOut', given_back_at IS NULL, 'order', order_id) ORDER BY id) FROM holds WHERE product_id = ANY ($1::uuid[])),
       'orders', (SELECT json_object_agg(o.id, json_build_object('customer', o.customer_id, 'status', o.status,
           'cancelledBy', o.cancelled_by, 'paidBy', o.payment_event_id, 'isByPayment', o.placed_by = 'PAYMENT',
           'holds', (SELECT json_agg(l.hold_id) FROM order_lines l WHERE l.order_id = o.id)) ORDER BY o.created_at, o.id)
         FROM orders o WHERE EXISTS (
           SELECT FROM order_lines l WHERE l.order_id = o.id AND l.product_id = ANY ($1::uuid[]))),
       'events', (SELECT json_object_agg(event_id, json_build_object('type', split_part(type, '.', 2),
           'reference', reference, 'amount', amount_minor, 'payment', payment_id, 'outcome', outcome, 'order', order_id,
           'isSettled', settled_at IS NOT NULL) ORDER BY received_at, event_id)
         FROM payment_events WHERE event_id LIKE $2)) AS state`,
    [products, eventsLike],
  );
  const { state } = row!;
  const out: Record<string, number> = {};
  const holds: Record<string, HoldState> = {};
  for (const [id, { isStoredOut, ...hold }] of Object.entries(state.holds ?? {})) {
    holds[id] = hold;
    if (isStoredOut) out[hold.product] = (out[hold.product] ?? 0) + hold.quantity;
  }
  const known: State['products'] = {};
  for (const [id, { total, limit, available }] of Object.entries(state.products)) {
    // The stock counter must agree with the holds, which the specification counts each time.
    known[id] = { total: available === total - (out[id] ?? 0) ? total : Number.NaN, limit, adjusted: {} };
  }
  return { products: known, holds, orders: state.orders ?? {}, events: state.events ?? {} };
}

interface Stored {
  products: Record<string, { total: number; available: number; limit: number | null }>;
  holds: Record<string, HoldState & { isStoredOut: boolean }> | null;
  orders: Record<string, OrderState> | null;
  events: Record<string, Omit<EventState, 'type'> & { type: EventType }> | null;
}
