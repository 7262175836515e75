/** The bytes of the requests, and what their answers must contain. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { Hold, Order } from '../../domain/records';
import { signPayload } from '../../webhooks/signature';

/** The fields that a page needs of a new hold. The no-op mutation has the same input and selection. */
const SELECTION =
  '{ hold { id status quantity expiresAt total { amountMinor currency } } userErrors { code message } }';
const holdDocument = (name: string, field: string) =>
  `mutation ${name}($input: CreateHoldInput!) { ${field}(input: $input) ${SELECTION} }`;

export const HOLD_DOCUMENT = holdDocument('Bench', 'createHold');
export const NAIVE_DOCUMENT = holdDocument('Bench', 'naiveCreateHold');
export const NOOP_DOCUMENT = holdDocument('Bench', 'noop');
/** The same documents with other names; the benchmark's server trusts them. */
export const TRUSTED_HOLD_DOCUMENT = holdDocument('Trusted', 'createHold');
export const TRUSTED_NOOP_DOCUMENT = holdDocument('Trusted', 'noop');
export const TRUSTED_DOCUMENTS = [TRUSTED_HOLD_DOCUMENT, TRUSTED_NOOP_DOCUMENT];
/** As the storefront asks, including the product. */
export const STOREFRONT_DOCUMENT = `mutation Storefront($input: CreateHoldInput!) { createHold(input: $input) {
  hold { id product { id name sku } quantity unitPrice { amountMinor currency } total { amountMinor currency } status createdAt expiresAt }
  userErrors { code message field retryAfterMs stockReturnsAt } } }`;
const BARE_NOOP_DOCUMENT = 'mutation Bench { bareNoop }';
const ORDER_DOCUMENT =
  'mutation Bench($input: CreateOrderInput!) { createOrder(input: $input) { order { id status } userErrors { code message } } }';

export const GRANTED = ['"hold":{"id":"', '"userErrors":[]'] as const;
export const GRANTED_WITH_PRODUCT = ['"product":{"id":"', '"userErrors":[]'] as const;
export const REFUSED = ['"hold":null', '"code":"OUT_OF_STOCK"'] as const;
/** BUSY: the stock row stayed locked for longer than a request may wait. */
export const BUSY = ['"hold":null', '"code":"BUSY"'] as const;
export const ORDERED = ['"order":{"id":"', '"status":"PENDING_PAYMENT"', '"userErrors":[]'] as const;
export const APPLIED = ['"outcome":"APPLIED"', '"duplicate":false'] as const;
export const DONE = ['{"data":{"bareNoop":true}}'] as const;

export function forHold(document: string, productId: string): Uint8Array {
  return graphql({ query: document, variables: { input: { productId, quantity: 1 } } });
}

/** Each has its own idempotency key, as the storefront's requests do. */
export function forKeyedHolds(productId: string, count: number): Uint8Array[] {
  return Array.from({ length: count }, () =>
    graphql({
      query: HOLD_DOCUMENT,
      variables: { input: { productId, quantity: 1, idempotencyKey: randomUUID() } },
    }),
  );
}

/** Names the document only by the hash of its text. */
export function forTrustedHold(document: string, productId: string): Uint8Array {
  const sha256Hash = createHash('sha256').update(document).digest('hex');
  const extensions = { persistedQuery: { version: 1, sha256Hash } };
  return graphql({ extensions, variables: { input: { productId, quantity: 1 } } });
}

export const forBareNoop = (): Uint8Array => graphql({ query: BARE_NOOP_DOCUMENT });

export function forOrder(hold: Hold): Uint8Array {
  return graphql({ query: ORDER_DOCUMENT, variables: { input: { holdIds: [hold.id] } } });
}

/** Signed now, so valid for 5 minutes. */
export function forPayment(order: Order, secret: string): Uint8Array {
  const eventId = `evt_${randomUUID()}`;
  const body = JSON.stringify({
    event_id: eventId,
    type: 'payment.succeeded',
    timestamp: new Date().toISOString(),
    data: {
      reference: order.id,
      amount_minor: order.totalMinor,
      currency: order.currency,
      payment_id: `pay_${randomUUID()}`,
    },
  });
  const id = `msg_${randomUUID()}`;
  const timestamp = Math.floor(Date.now() / 1_000);
  return post('/webhooks/payments', body, {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signPayload({ id, timestamp, body, secret }),
  });
}

export const newWebhookSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`;

/** The body as it was given, for another server. */
export function forPeer(url: URL, body: string): Uint8Array {
  return post(`${url.pathname}${url.search}`, body, { host: url.host });
}

function graphql(body: object): Uint8Array {
  return post('/graphql', JSON.stringify(body), {});
}

function post(path: string, body: string, headers: Readonly<Record<string, string>>): Uint8Array {
  const lines = Object.entries({
    host: '127.0.0.1',
    'content-type': 'application/json',
    accept: 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
}
