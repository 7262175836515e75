/** The configuration of the process: settings from environment variables, validated once into a frozen, typed object. */
import {
  defaultRateLimits,
  environmentKeys,
  readValues,
  textOf,
  type HoldCooldown,
  type Key,
  type RateLimits,
  type Values,
} from './settings';

export { defaultRateLimits, environmentKeys, rateClasses, type RateClass, type RateLimits } from './settings';
export * from './process-environment';

/** Public secrets for development. Production refuses them by value. */
export const developmentJwtSecret = 'development-only-jwt-secret-known-to-everybody';
export const developmentWebhookSecret = 'whsec_ZGV2ZWxvcG1lbnQtb25seS13ZWJob29rLXNlY3JldA==';

/**
 * Load balancers keep idle connections for 60 s (AWS, nginx, Azure) and must close them first: the side that closes first cannot
 * lose a request that was on its way.
 */
const DEFAULT_KEEP_ALIVE_SECONDS = 72;

export type Environment = 'development' | 'test' | 'production';
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** How tokens are verified: with a shared secret (HS256), or with the public keys of an issuer. */
export type TokenKeys = { kind: 'secret'; secret: string } | { kind: 'jwks'; url: string };
export type AuthConfig = TokenKeys & { issuer?: string; audience?: string; allowsNoExpiry?: boolean };

export interface Config {
  readonly environment: Environment;
  readonly host: string;
  /** 0 asks the operating system for a free port. */
  readonly port: number;
  readonly workers: number;
  /** Of several, the writable server is used. Empty: the embedded PostgreSQL. */
  readonly databaseUrls: readonly string[];
  readonly databasePoolSize: number;
  /** Migrations of newer builds that this build accepts. */
  readonly acceptMigrations: readonly string[];
  readonly holdTtlSeconds: number;
  readonly orderPaymentWindowSeconds: number;
  /** A node-cron expression; null: this process never sweeps. */
  readonly sweepCron: string | null;
  /** `whsec_<base64>`; the first one signs, all verify. */
  readonly webhookSecrets: readonly string[];
  readonly stripeWebhookSecret: string | null;
  readonly auth: Readonly<AuthConfig>;
  readonly logLevel: LogLevel;
  /** null: no log file. */
  readonly logFile: string | null;
  readonly playground: boolean;
  /** Whether only the documents written by codegen are served. */
  readonly persistedOnly: boolean;
  /** null: unlimited. */
  readonly rateLimits: RateLimits | null;
  /** Live holds of one customer over all products; null: unlimited. */
  readonly maxActiveHolds: number | null;
  readonly holdCooldown: HoldCooldown | null;
  /** Verifies the waiting room's queue tokens; null: there is no waiting room. */
  readonly admissionSecret: string | null;
  /** Proxies whose X-Forwarded-For is trusted: addresses and networks, or the number of proxies in a row. Empty: none. */
  readonly trustedProxies: readonly string[] | number;
  /** Origins whose pages may call this server; `*`: all. */
  readonly corsOrigins: readonly string[];
  /** Headers that these pages may send besides the usual ones, in lower case. */
  readonly corsHeaders: readonly string[];
  /** 0: no Strict-Transport-Security. */
  readonly hstsMaxAgeSeconds: number;
  /** Open sockets of one process; further ones are closed at once. */
  readonly maxConnections: number;
  /** How long an idle socket stays open after an answer. */
  readonly keepAliveSeconds: number;
}

/** Invalid configuration. The message names every bad key and what it accepts; it repeats no secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly problems: readonly string[]) {
    super(`Invalid configuration:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

/**
 * The configuration of this process. Everything is optional in development and test; production refuses development secrets and
 * the embedded database. Throws one ConfigError that names every bad key.
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return read(env, environmentKeys);
}

/** Only the fields that a command uses. Other settings may be missing or invalid: migrating production needs no JWT_SECRET. */
export function loadSettings<Field extends keyof Config>(
  fields: readonly Field[],
  env: NodeJS.ProcessEnv = process.env,
): Pick<Config, Field> {
  const config = read(env, ['NODE_ENV', ...environmentKeys.filter((key) => fields.includes(fieldOf(key) as Field))]);
  return Object.fromEntries(fields.map((field) => [field, config[field]])) as Pick<Config, Field>;
}

function read(env: NodeJS.ProcessEnv, keys: readonly Key[]): Config {
  const problems: string[] = [];
  const values = readValues(env, keys, problems);
  const environment = values.NODE_ENV ?? 'development';
  const unfit = [
    ...contradictions(values, env),
    ...(environment === 'production' ? unfitForProduction(values, env) : []),
  ];
  problems.push(...unfit.filter(([key]) => keys.includes(key)).map(([, problem]) => problem));
  if (problems.length > 0) throw new ConfigError(problems);
  return freeze(toConfig(values, environment));
}

/** Fields of keys that are named differently; HOLD_TTL_SECONDS is holdTtlSeconds. */
const FIELDS: Partial<Record<Key, keyof Config>> = {
  NODE_ENV: 'environment',
  DATABASE_URL: 'databaseUrls',
  RATE_LIMIT: 'rateLimits',
  JWT_SECRET: 'auth',
  JWKS_URL: 'auth',
  JWT_ISSUER: 'auth',
  JWT_AUDIENCE: 'auth',
  JWT_ALLOW_NO_EXPIRY: 'auth',
};

function fieldOf(key: Key): string {
  return FIELDS[key] ?? key.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** The configuration without secrets and passwords, for logs. */
export function redactedConfig(config: Config): Record<string, unknown> {
  const { auth } = config;
  return {
    ...config,
    databaseUrls: config.databaseUrls.map(withoutPassword),
    webhookSecrets: config.webhookSecrets.map(() => '[redacted]'),
    stripeWebhookSecret: config.stripeWebhookSecret === null ? null : '[redacted]',
    admissionSecret: config.admissionSecret === null ? null : '[redacted]',
    auth: auth.kind === 'secret' ? { ...auth, secret: '[redacted]' } : { ...auth, url: withoutPassword(auth.url) },
  };
}

/** A key and what is wrong with it. */
type Problem = readonly [Key, string];

function contradictions(values: Values, env: NodeJS.ProcessEnv): Problem[] {
  const problems: Problem[] = [];
  if (textOf(env, 'JWT_SECRET') !== undefined && textOf(env, 'JWKS_URL') !== undefined) {
    problems.push(['JWT_SECRET', 'JWT_SECRET and JWKS_URL exclude each other: set the one that verifies your tokens']);
  }
  if (values.CORS_HEADERS?.length && !values.CORS_ORIGINS?.length) {
    problems.push(['CORS_HEADERS', 'CORS_HEADERS needs CORS_ORIGINS: without it no page of another origin may call']);
  }
  return problems;
}

function unfitForProduction(values: Values, env: NodeJS.ProcessEnv): Problem[] {
  const problems: Problem[] = [];
  const isMissing = (key: Key) => textOf(env, key) === undefined;
  const refuse = (key: Key, problem: string) => problems.push([key, problem]);
  if (isMissing('DATABASE_URL') || values.DATABASE_URL?.length === 0) {
    refuse('DATABASE_URL', 'DATABASE_URL must be set in production: the embedded PostgreSQL is for development');
  }
  if (isMissing('JWT_SECRET') && isMissing('JWKS_URL')) {
    refuse('JWT_SECRET', 'JWT_SECRET or JWKS_URL must be set in production');
  }
  if (values.JWT_SECRET === developmentJwtSecret) {
    refuse('JWT_SECRET', 'JWT_SECRET must not be the development secret in production');
  }
  if (isMissing('WEBHOOK_SECRETS')) refuse('WEBHOOK_SECRETS', 'WEBHOOK_SECRETS must be set in production');
  if (values.WEBHOOK_SECRETS?.includes(developmentWebhookSecret)) {
    refuse('WEBHOOK_SECRETS', 'WEBHOOK_SECRETS must not hold the development secret in production');
  }
  if (values.JWKS_URL && new URL(values.JWKS_URL).protocol !== 'https:') {
    refuse('JWKS_URL', 'JWKS_URL must be an https:// URL in production');
  }
  return problems;
}

function toConfig(values: Values, environment: Environment): Config {
  return {
    environment,
    host: values.HOST ?? '127.0.0.1',
    port: values.PORT ?? 4000,
    workers: values.WORKERS ?? 1,
    databaseUrls: values.DATABASE_URL ?? [],
    databasePoolSize: values.DATABASE_POOL_SIZE ?? 8,
    acceptMigrations: values.ACCEPT_MIGRATIONS ?? [],
    holdTtlSeconds: values.HOLD_TTL_SECONDS ?? 120,
    orderPaymentWindowSeconds: values.ORDER_PAYMENT_WINDOW_SECONDS ?? 900,
    sweepCron: values.SWEEP_CRON === undefined ? '* * * * * *' : values.SWEEP_CRON,
    webhookSecrets: values.WEBHOOK_SECRETS ?? [developmentWebhookSecret],
    stripeWebhookSecret: values.STRIPE_WEBHOOK_SECRET ?? null,
    auth: {
      ...tokenKeys(values),
      ...(values.JWT_ISSUER !== undefined && { issuer: values.JWT_ISSUER }),
      ...(values.JWT_AUDIENCE !== undefined && { audience: values.JWT_AUDIENCE }),
      ...(values.JWT_ALLOW_NO_EXPIRY && { allowsNoExpiry: true }),
    },
    logLevel: values.LOG_LEVEL ?? 'info',
    logFile: values.LOG_FILE === undefined ? defaultLogFile(environment) : values.LOG_FILE,
    playground: values.PLAYGROUND ?? environment !== 'production',
    persistedOnly: values.PERSISTED_ONLY ?? false,
    rateLimits: values.RATE_LIMIT === undefined ? defaultRateLimits : values.RATE_LIMIT,
    maxActiveHolds:
      values.MAX_ACTIVE_HOLDS === undefined ? defaultMaxActiveHolds(environment) : values.MAX_ACTIVE_HOLDS,
    holdCooldown: values.HOLD_COOLDOWN ?? null,
    admissionSecret: values.ADMISSION_SECRET ?? null,
    trustedProxies: values.TRUSTED_PROXIES ?? [],
    corsOrigins: values.CORS_ORIGINS ?? [],
    corsHeaders: values.CORS_HEADERS ?? [],
    hstsMaxAgeSeconds: values.HSTS_MAX_AGE_SECONDS ?? 0,
    maxConnections: values.MAX_CONNECTIONS ?? 20_000,
    keepAliveSeconds: values.KEEP_ALIVE_SECONDS ?? DEFAULT_KEEP_ALIVE_SECONDS,
  };
}

function tokenKeys(values: Values): TokenKeys {
  return values.JWKS_URL === undefined
    ? { kind: 'secret', secret: values.JWT_SECRET ?? developmentJwtSecret }
    : { kind: 'jwks', url: values.JWKS_URL };
}

/** Twice the holds of the largest order. Unlimited for tests, which may need more. */
function defaultMaxActiveHolds(environment: Environment): number | null {
  return environment === 'production' ? 100 : null;
}

function defaultLogFile(environment: Environment): string {
  return environment === 'test' ? 'logs/testing.log' : 'logs/app.log';
}

function freeze(config: Config): Config {
  for (const value of Object.values(config)) if (typeof value === 'object') Object.freeze(value);
  return Object.freeze(config);
}

function withoutPassword(url: string): string {
  const parsed = new URL(url);
  if (parsed.password !== '') parsed.password = 'redacted';
  // Parameters may contain a password, too, and none of them is needed to recognise a database.
  return `${parsed.protocol}//${parsed.username}${parsed.password && `:${parsed.password}`}${parsed.username && '@'}${parsed.host}${parsed.pathname}`;
}
