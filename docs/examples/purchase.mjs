/**
 * A whole purchase in Node with plain fetch: hold a unit, order it, pay as the provider would, read the order.
 *
 *   node docs/examples/purchase.mjs [product id]
 *
 * SHOP_URL is the server (http://localhost:4000), TOKEN a bearer token if you have one, WEBHOOK_SECRET what
 * WEBHOOK_SECRETS of the server holds (unset: the secret of a development server).
 */
import { createHmac, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const shop = process.env.SHOP_URL ?? 'http://localhost:4000';
const token = process.env.TOKEN;
const secret = process.env.WEBHOOK_SECRET ?? 'whsec_ZGV2ZWxvcG1lbnQtb25seS13ZWJob29rLXNlY3JldA==';

/** Sends the same request again, with the same key, as long as the server says that it may help. */
async function graphql(query, variables) {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(`${shop}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await response.json();
    const refusal = Object.values(data ?? {})[0]?.userErrors?.[0];
    const { code, retryAfterMs } = errors?.[0].extensions ?? refusal ?? {};
    const mayRetry = ['BUSY', 'RATE_LIMITED', 'SERVICE_UNAVAILABLE'].includes(code);
    if (mayRetry && attempt < 5) await sleep(retryAfterMs ?? 500);
    else if (code) throw new Error(`${code}: ${(errors?.[0] ?? refusal).message}`);
    else return data;
  }
}

async function pay(order) {
  const body = JSON.stringify({
    event_id: `evt_${randomUUID()}`,
    type: 'payment.succeeded',
    timestamp: new Date().toISOString(),
    data: {
      reference: order.id,
      amount_minor: order.total.amountMinor,
      currency: order.total.currency,
      payment_id: `pay_${randomUUID()}`,
    },
  });
  const id = `msg_${randomUUID()}`;
  const timestamp = String(Math.floor(Date.now() / 1000));
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  const response = await fetch(`${shop}/webhooks/payments`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    },
    body,
  });
  if (!response.ok) throw new Error(`the webhook answered ${response.status}: ${await response.text()}`);
  return response.json();
}

const productId = process.argv[2] ?? '01930000-0000-7000-8000-000000000001';
const { createHold } = await graphql(
  `
    mutation Hold($input: CreateHoldInput!) {
      createHold(input: $input) {
        hold {
          id
          expiresAt
        }
        userErrors {
          code
          message
          retryAfterMs
        }
      }
    }
  `,
  { input: { productId, idempotencyKey: randomUUID() } },
);
console.log(`holding until ${createHold.hold.expiresAt}`);

const { createOrder } = await graphql(
  `
    mutation Order($input: CreateOrderInput!) {
      createOrder(input: $input) {
        order {
          id
          total {
            amountMinor
            currency
          }
        }
        userErrors {
          code
          message
          retryAfterMs
        }
      }
    }
  `,
  { input: { holdIds: [createHold.hold.id], idempotencyKey: randomUUID() } },
);
const { order } = createOrder;
console.log(`order ${order.id}: ${order.total.amountMinor} ${order.total.currency} (minor units)`);

console.log(`webhook: ${(await pay(order)).outcome}`);

const { order: paid } = await graphql(
  `
    query OrderStatus($id: ID!) {
      order(id: $id) {
        status
      }
    }
  `,
  { id: order.id },
);
console.log(`order is ${paid.status}`);
