/** A shop as a client library meets it, and payment providers that sign with their own libraries. */
import { randomUUID } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import Stripe from 'stripe';
import { expectClean } from '../support/invariants';
import { openServer, type TestServer } from '../support/server';

const STRIPE_SECRET = 'whsec_of_the_endpoint_1234567890';

export interface ClientShop {
  readonly server: TestServer;
  /** With 5 units at 49.99 USD. */
  product(): Promise<{ readonly id: string }>;
  /** The provider reports that the order is paid, and the shop applies it. */
  pay(orderId: string, provider: Provider): Promise<void>;
  statusOf(orderId: string): Promise<string>;
  close(): Promise<void>;
}

export type Provider = 'standardwebhooks' | 'stripe';
export const PROVIDERS: readonly Provider[] = ['standardwebhooks', 'stripe'];

/** Call it in `beforeAll`, and `close` in `afterAll`, which expects that every promise holds. */
export async function openClientShop(env: NodeJS.ProcessEnv = {}): Promise<ClientShop> {
  const server = await openServer({ STRIPE_WEBHOOK_SECRET: STRIPE_SECRET, PLAYGROUND: 'off', ...env });
  const shop: ClientShop = {
    server,
    product: async () => {
      const id = randomUUID();
      // By SQL, because PERSISTED_ONLY refuses the mutation.
      await server.sql(
        `WITH p AS (INSERT INTO products (id, sku, name, price_minor, currency) VALUES ($1, $2, $2, 4999, 'USD')),
         s AS (INSERT INTO stock (product_id, total, available) VALUES ($1, 5, 5))
         INSERT INTO stock_adjustments (id, product_id, delta, reason, actor, created_at)
           VALUES (gen_random_uuid(), $1, 5, 'created', 'test', now())`,
        [id, `SKU-${id}`],
      );
      return { id };
    },
    pay: async (orderId, provider) => {
      const { path, body, headers } = provider === 'stripe' ? byStripe(orderId) : byStandardWebhooks(server, orderId);
      const reply = await server.fetch(path, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json', ...headers },
      });
      expect([reply.status, JSON.parse(reply.text)]).toMatchObject([200, { outcome: 'APPLIED', order_id: orderId }]);
    },
    statusOf: async (orderId) => {
      const [row] = await server.sql<{ status: string }>('SELECT status FROM orders WHERE id = $1', [orderId]);
      return row!.status;
    },
    close: async () => {
      await expectClean(server.db);
      await server.close();
    },
  };
  return shop;
}

function byStandardWebhooks({ config }: TestServer, reference: string) {
  const event_id = `evt_${randomUUID()}`;
  const data = { reference, amount_minor: 4_999, currency: 'USD', payment_id: `pay_${event_id}` };
  const body = JSON.stringify({ event_id, type: 'payment.succeeded', timestamp: new Date().toISOString(), data });
  const sentAt = new Date();
  const headers = {
    'webhook-id': event_id,
    'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1_000)),
    'webhook-signature': new Webhook(config.webhookSecrets[0]!).sign(event_id, sentAt, body),
  };
  return { path: '/webhooks/payments', body, headers };
}

function byStripe(orderId: string) {
  const id = `evt_${randomUUID()}`;
  const object = {
    ...{ id: `pi_${id}`, object: 'payment_intent', amount: 4_999, amount_received: 4_999, currency: 'usd' },
    ...{ metadata: { order_id: orderId }, status: 'succeeded' },
  };
  const created = Math.floor(Date.now() / 1_000);
  const payload = JSON.stringify({
    ...{ id, object: 'event', created, type: 'payment_intent.succeeded', data: { object } },
    ...{ api_version: '2025-09-30.clover', livemode: false, pending_webhooks: 1 },
  });
  const signature = Stripe.webhooks.generateTestHeaderString({ payload, secret: STRIPE_SECRET });
  return { path: '/webhooks/payments/stripe', body: payload, headers: { 'stripe-signature': signature } };
}
