/** The whole app over real HTTP, on a database of its own: short words for GraphQL, tokens and signed webhooks. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { startApp, type App } from '../../src/app';
import { developmentWebhookSecret, loadConfig, type Config } from '../../src/config';
import { signToken } from '../../src/graphql/http/tokens';
import { signPayload } from '../../src/webhooks/signature';
import { ALICE, BOB } from './checkout';
import { freshDatabase, type FreshDatabase, type Sql } from './database';

/** The body of an answer, as loose as JSON: a test names what it expects of it. */
export interface GqlBody {
  data?: any;
  errors?: {
    message: string;
    path?: unknown;
    extensions?: { code?: string; requestId?: string; retryAfterMs?: number };
  }[];
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface GqlReply extends Reply {
  readonly body: GqlBody;
}

export interface UserError {
  code: string;
  message: string;
  field: string[] | null;
  retryAfterMs: number | null;
  stockReturnsAt: string | null;
}

/** One mutation's payload. `object` is whichever of hold, order, product and paymentEvent it has. */
export interface Payload {
  readonly object: any;
  readonly userErrors: UserError[];
  readonly codes: string[];
}

export interface WebhookOptions {
  secret?: string;
  /** `webhook-id`; the message's event id unless said. */
  id?: string;
  timestamp?: number | string;
  /** The bytes that are signed and sent, in place of the message's JSON. */
  body?: string | Buffer;
  headers?: Record<string, string>;
}

export interface WebhookReply extends Reply {
  readonly body: { event_id?: string; outcome?: string; duplicate?: boolean; order_id?: string; error?: string };
}

export interface Tokens {
  readonly alice: string;
  readonly bob: string;
  readonly admin: string;
}

/** What may be said of a client, whether the server runs in this process or in another. */
export interface Client {
  readonly url: string;
  readonly tokens: Tokens;
  fetch(path: string, init?: RequestInit): Promise<Reply>;
  /** POST /graphql with these very bytes. */
  post(body: string | Buffer, headers?: Record<string, string>): Promise<GqlReply>;
  gql(query: string, variables?: Record<string, unknown> | null, token?: string | null): Promise<GqlReply>;
  /** One mutation, answered without top-level errors. */
  mutate(name: Mutation, input: Record<string, unknown>, token?: string | null): Promise<Payload>;
  /** A product with stock; what is not said is sold at 10.00 USD without limit or window. */
  product(totalStock: number, more?: Record<string, unknown>): Promise<any>;
  /** A hold that has to be granted. */
  hold(productId: string, more?: Record<string, unknown>, token?: string | null): Promise<any>;
  /** An order that has to be placed. */
  order(holdIds: string | readonly string[], token?: string | null): Promise<any>;
  token(sub: string, roles?: readonly string[]): Promise<string>;
  webhook(message: Record<string, unknown>, options?: WebhookOptions): Promise<WebhookReply>;
}

export interface TestServer extends Client {
  readonly app: App;
  readonly config: Config;
  readonly db: FreshDatabase;
  readonly sql: Sql;
  close(): Promise<void>;
}

const MONEY = '{ amountMinor currency }';
export const PRODUCT = `{ id sku name description price ${MONEY} availableStock totalStock saleStatus saleStartsAt saleEndsAt maxPerCustomer }`;
export const HOLD = `{ id quantity unitPrice ${MONEY} total ${MONEY} status createdAt expiresAt product { id } order { id } }`;
export const ORDER = `{ id status total ${MONEY} createdAt paymentDueAt paidAt cancelledAt
  lines { quantity unitPrice ${MONEY} product { id } hold { id status } } }`;
export const EVENT = `{ eventId provider type reference amount ${MONEY} outcome receivedAt settledAt order { id status } }`;
export const USER_ERRORS = 'userErrors { code message field retryAfterMs stockReturnsAt }';

const SELECTIONS = {
  createHold: ['hold', HOLD],
  releaseHold: ['hold', HOLD],
  createOrder: ['order', ORDER],
  cancelOrder: ['order', ORDER],
  createProduct: ['product', PRODUCT],
  updateProduct: ['product', PRODUCT],
  adjustStock: ['product', PRODUCT],
  replayPaymentEvent: ['paymentEvent', EVENT],
} as const;
export type Mutation = keyof typeof SELECTIONS;
export const MUTATIONS = Object.keys(SELECTIONS) as Mutation[];

export function mutationText(name: Mutation): string {
  const type = `${name[0]!.toUpperCase()}${name.slice(1)}Input!`;
  const [object, fields] = SELECTIONS[name];
  return `mutation Test($input: ${type}) { ${name}(input: $input) { ${object} ${fields} ${USER_ERRORS} } }`;
}

/** What no answer may hold: a frame of a stack, SQL, a module, an address of the database, a secret. */
export const LEAK =
  /\bat [^"]+:\d+:\d+|\.js\b|\.ts\b|node_modules|select |insert |postgres|127\.0\.0\.1|development-only|whsec_|jjjj/i;

/** Whatever a test asks for: no refusal speaks of the inside. The rest of an answer may repeat what a shopper wrote. */
function expectNoLeak({ data, errors }: GqlBody): void {
  const refusals = JSON.stringify([errors, ...Object.values<any>(data ?? {}).map((field) => field?.userErrors)]);
  if (LEAK.test(refusals)) throw new Error(`an answer speaks of the inside: ${refusals}`);
}

/** Call it in `beforeAll`, and `close` in `afterAll`. Nothing sweeps unless `SWEEP_CRON` says so. */
export async function openServer(env: NodeJS.ProcessEnv = {}): Promise<TestServer> {
  const db = await freshDatabase();
  const server = await serve(db, env);
  return {
    ...server,
    db,
    sql: db.sql,
    close: async () => {
      await server.close();
      await db.close();
    },
  };
}

/** A server on a database that is there already; several on one are several servers. Closes itself, not the database. */
export async function serve(
  db: Pick<FreshDatabase, 'url' | 'log'>,
  env: NodeJS.ProcessEnv = {},
): Promise<Omit<TestServer, 'db' | 'sql'>> {
  const config = loadConfig({ NODE_ENV: 'test', PORT: '0', SWEEP_CRON: 'off', DATABASE_URL: db.url, ...env });
  const app = await startApp(config, { databaseUrl: config.databaseUrls[0]!, log: db.log });
  return { ...(await clientOf(app.url, config)), app, config, close: () => app.close() };
}

export async function clientOf(
  url: string,
  config: Pick<Config, 'auth' | 'webhookSecrets'> = loadConfig({ NODE_ENV: 'test' }),
): Promise<Client> {
  const token = (sub: string, roles: readonly string[] = []) =>
    signToken(config.auth, { sub, roles, ttlSeconds: 3_600 });
  const tokens = { alice: await token(ALICE), bob: await token(BOB), admin: await token('operator', ['admin']) };

  const call = async (path: string, init?: RequestInit): Promise<Reply> => {
    const response = await fetch(`${url}${path}`, init);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const post: Client['post'] = async (body, headers = { 'content-type': 'application/json' }) => {
    const reply = await call('/graphql', { method: 'POST', body: body as RequestInit['body'], headers });
    const answer = JSON.parse(reply.text) as GqlBody;
    expectNoLeak(answer);
    return { ...reply, body: answer };
  };
  const gql: Client['gql'] = (query, variables, bearer) =>
    post(JSON.stringify({ query, ...(variables !== undefined && { variables }) }), {
      'content-type': 'application/json',
      ...(bearer && { authorization: `Bearer ${bearer}` }),
    });
  const mutate: Client['mutate'] = async (name, input, bearer) => {
    const { body } = await gql(mutationText(name), { input }, bearer);
    if (body.errors) throw new NotExecuted(name, body.errors);
    const payload = body.data[name];
    const { userErrors } = payload as { userErrors: UserError[] };
    return { object: payload[SELECTIONS[name][0]], userErrors, codes: userErrors.map((error) => error.code) };
  };
  const granted = async (answer: Promise<Payload>) => {
    const { object, codes } = await answer;
    if (object === null) throw new Error(`refused: ${codes.join()}`);
    return object;
  };
  return {
    url,
    tokens,
    token,
    fetch: call,
    post,
    gql,
    mutate,
    product: (totalStock, more) => {
      const sku = `SKU-${randomUUID()}`;
      const input = { sku, name: `Product ${sku}`, priceMinor: 1_000, currency: 'USD', totalStock, ...more };
      return granted(mutate('createProduct', input, tokens.admin));
    },
    hold: (productId, more, bearer) => granted(mutate('createHold', { productId, ...more }, bearer)),
    order: (holdIds, bearer) => granted(mutate('createOrder', { holdIds }, bearer)),
    webhook: async (message, options) => {
      const { body, headers } = signedWebhook(message, { secret: config.webhookSecrets[0]!, ...options });
      const reply = await call('/webhooks/payments', { method: 'POST', body: body as RequestInit['body'], headers });
      return { ...reply, body: reply.text.startsWith('{') ? JSON.parse(reply.text) : {} };
    },
  };
}

class NotExecuted extends Error {
  constructor(
    name: string,
    readonly errors: NonNullable<GqlBody['errors']>,
  ) {
    super(`${name}: ${JSON.stringify(errors)}`);
  }
}

/**
 * As a client does: the same request again, while the server is BUSY or does not know (SERVICE_UNAVAILABLE). On a machine
 * that does seven things at once both happen; what must be true is so all the same. Without a key, repeat only reads.
 */
export async function insist(work: () => Promise<Payload>): Promise<Payload> {
  for (;;) {
    try {
      const payload = await work();
      if (payload.codes[0] !== 'BUSY') return payload;
    } catch (error) {
      const code = error instanceof NotExecuted ? error.errors[0]!.extensions?.code : undefined;
      if (code !== 'SERVICE_UNAVAILABLE') throw error;
    }
    await sleep(50 + 100 * Math.random());
  }
}

/** A message of the provider with its headers, as it goes over the wire. */
export function signedWebhook(
  message: Record<string, unknown>,
  options: WebhookOptions = {},
): { body: string | Buffer; headers: Record<string, string> } {
  const body = options.body ?? JSON.stringify(message);
  const id = options.id ?? String(message.event_id ?? 'msg_1');
  const timestamp = options.timestamp ?? Math.floor(Date.now() / 1_000);
  const signature = signPayload({ id, timestamp, body, secret: options.secret ?? developmentWebhookSecret });
  return {
    body,
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': signature,
      ...options.headers,
    },
  };
}

/** What a provider says of an order or a hold; the amount is its total unless `data` says else. */
export function paymentMessage(
  kind: 'succeeded' | 'failed' | 'refunded' | (string & {}),
  about: { id: string; total: { amountMinor: number; currency: string } },
  data: Record<string, unknown> = {},
): Record<string, unknown> & { event_id: string; data: Record<string, unknown> } {
  const event_id = `evt_${randomUUID()}`;
  const { amountMinor, currency } = about.total;
  return {
    event_id,
    type: `payment.${kind}`,
    timestamp: new Date().toISOString(),
    data: { reference: about.id, amount_minor: amountMinor, currency, payment_id: `pay_${event_id}`, ...data },
  };
}

/** Every statement that the app sends while `work` runs, with the time at which it was sent. */
export async function statementsOf(
  { app }: Pick<TestServer, 'app'>,
  work: () => Promise<unknown>,
): Promise<{ sql: string; atMs: number }[]> {
  const statements: { sql: string; atMs: number }[] = [];
  const note = ({ sql }: { sql: string }) => void statements.push({ sql, atMs: performance.now() });
  const knexes = [app.database.orm.em.getKnex(), await app.database.readForBatch(async (em) => em.getKnex())];
  for (const knex of knexes) knex.on('query', note);
  try {
    await work();
  } finally {
    for (const knex of knexes) knex.off('query', note);
  }
  return statements;
}
