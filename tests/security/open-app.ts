/** The whole app on a fresh database, for attacks with any settings and any request. */
import { randomUUID } from 'node:crypto';
import { startApp, type App, type AppOptions } from '../../src/app';
import { loadConfig, type Config } from '../../src/config';
import { signToken } from '../../src/graphql/http/tokens';
import { freshDatabase, type FreshDatabase } from '../support/database';

/** The required settings of production. Loopback is limited like any other address. */
export const PRODUCTION = {
  NODE_ENV: 'production',
  JWT_SECRET: 'j'.repeat(32),
  WEBHOOK_SECRETS: `whsec_${Buffer.alloc(24, 7).toString('base64')}`,
};

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly data: any;
  readonly errors: { message: string; extensions: { code: string; retryAfterMs?: number } }[];
  /** Of the first error. */
  readonly code: string | undefined;
}

export interface Target {
  readonly app: App;
  readonly config: Config;
  readonly db: FreshDatabase;
  readonly url: string;
  token(sub: string, roles?: readonly string[]): Promise<string>;
  /** POST /graphql. `token`: a bearer token; null: anonymous. */
  ask(
    query: string | Record<string, unknown>,
    variables?: Record<string, unknown>,
    more?: { token?: string | null; headers?: Record<string, string> },
  ): Promise<Answer>;
  /** A product with stock, by SQL: no request is counted for it. Answers its id. */
  product(totalStock: number, maxPerCustomer?: number, id?: string): Promise<string>;
  close(): Promise<void>;
}

export async function openApp(env: NodeJS.ProcessEnv = {}, options: Partial<AppOptions> = {}): Promise<Target> {
  const db = await freshDatabase();
  return openOn(db, env, options, () => db.close());
}

/** Another server on the same database. */
export async function openOn(
  db: FreshDatabase,
  env: NodeJS.ProcessEnv = {},
  options: Partial<AppOptions> = {},
  afterClose: () => Promise<void> = async () => undefined,
): Promise<Target> {
  const config = loadConfig({ NODE_ENV: 'test', PORT: '0', SWEEP_CRON: 'off', DATABASE_URL: db.url, ...env });
  const app = await startApp(config, { databaseUrl: config.databaseUrls[0]!, log: db.log, ...options });
  const token: Target['token'] = (sub, roles = []) => signToken(config.auth, { sub, roles, ttlSeconds: 3_600 });
  return {
    app,
    config,
    db,
    url: app.url,
    token,
    ask: async (query, variables, { token: bearer, headers } = {}) => {
      const response = await fetch(`${app.url}/graphql`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(bearer && { authorization: `Bearer ${bearer}` }),
          ...headers,
        },
        body: JSON.stringify(typeof query === 'string' ? { query, ...(variables && { variables }) } : query),
      });
      const text = await response.text();
      const { data, errors = [] } = JSON.parse(text) as Pick<Answer, 'data' | 'errors'>;
      const { status, headers: answered } = response;
      return { status, headers: answered, text, data, errors, code: errors[0]?.extensions.code };
    },
    product: async (totalStock, maxPerCustomer, id = randomUUID()) => {
      await db.sql(
        `WITH p AS (INSERT INTO products (id, sku, name, price_minor, currency, max_per_customer)
           VALUES ($1, $2, $2, 1000, 'USD', $4)),
         s AS (INSERT INTO stock (product_id, total, available) VALUES ($1, $3, $3))
         INSERT INTO stock_adjustments (id, product_id, delta, reason, actor, created_at)
           VALUES (gen_random_uuid(), $1, $3, 'created', 'test', now())`,
        [id, `SKU-${id}`, totalStock, maxPerCustomer ?? null],
      );
      return id;
    },
    close: async () => {
      await app.close();
      await afterClose();
    },
  };
}

export const HOLD = `mutation Hold($input: CreateHoldInput!) {
  createHold(input: $input) { hold { id status } userErrors { code } }
}`;
