/** The settings of the process: environment variables, checked once and turned into one frozen, typed object. */
import { accessSync, constants, existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { validate as isCronExpression } from 'node-cron';
import { z } from 'zod';

/** A file or folder of the project, whether the code runs compiled or from its sources. */
export function projectPath(...parts: readonly string[]): string {
  let root = __dirname;
  while (!existsSync(join(root, 'package.json'))) root = dirname(root);
  return join(root, ...parts);
}

/** The well-known secrets of a machine that was given none. Production refuses them by value. */
export const developmentJwtSecret = 'development-only-jwt-secret-known-to-everybody';
export const developmentWebhookSecret = 'whsec_ZGV2ZWxvcG1lbnQtb25seS13ZWJob29rLXNlY3JldA==';

/** HS256 asks for a key at least as long as its hash (RFC 7518, 3.2). */
const minJwtSecretBytes = 32;
/** Standard Webhooks asks for 24 to 64; providers are seen to send 16. */
const minWebhookSecretBytes = 16;
/** Holds and payment windows longer than this are surely milliseconds written by mistake. */
const maxWindowSeconds = 30 * 24 * 3600;

export type Environment = 'development' | 'test' | 'production';
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** What verifies tokens: one shared secret (HS256), or the public keys of an issuer. */
export type TokenKeys = { kind: 'secret'; secret: string } | { kind: 'jwks'; url: string };
export type AuthConfig = TokenKeys & { issuer?: string; audience?: string; allowsNoExpiry?: boolean };

/** What is counted apart, each with a limit of its own. `document`: one that has to be read, and tokens that do not verify. */
export const rateClasses = ['browse', 'hold', 'order', 'admin', 'document', 'webhook'] as const;
export type RateClass = (typeof rateClasses)[number];

/** Requests in 10 s; null: as many as they like. */
export interface Rate {
  readonly perCustomer: number | null;
  readonly perAddress: number | null;
}

export interface RateLimits extends Readonly<Record<RateClass, Rate>> {
  /** Whether this very machine is limited, too: as it is, its tools, tests and benches are not. */
  readonly loopback: boolean;
}

/**
 * No person reaches what a customer may do. An address may be an office or a whole mobile network, so it may do what many
 * persons do: 500 holds in one second pass. `webhook`: bad signatures; good ones are not counted.
 */
export const defaultRateLimits: RateLimits = {
  browse: { perCustomer: 300, perAddress: 3_000 },
  hold: { perCustomer: 50, perAddress: 1_000 },
  order: { perCustomer: 30, perAddress: 600 },
  admin: { perCustomer: 600, perAddress: 1_200 },
  document: { perCustomer: 60, perAddress: 300 },
  webhook: { perCustomer: null, perAddress: 100 },
  loopback: false,
};

/**
 * Balancers keep idle connections for 60 s (AWS, nginx, Azure) and must be the first to close them: the side that closes first
 * cannot tell whether a request was on its way.
 */
const defaultKeepAliveSeconds = 72;

/** After letting this many holds expire within this time, a customer gets no new hold for as long. */
export interface HoldCooldown {
  readonly holds: number;
  readonly seconds: number;
}

export interface Config {
  readonly environment: Environment;
  readonly host: string;
  /** 0 asks the system for a free one. */
  readonly port: number;
  readonly workers: number;
  /** Several: the writable one is used. Empty: the embedded PostgreSQL. */
  readonly databaseUrls: readonly string[];
  readonly databasePoolSize: number;
  /** Migrations of newer builds that the database may have. */
  readonly acceptMigrations: readonly string[];
  readonly holdTtlSeconds: number;
  readonly orderPaymentWindowSeconds: number;
  /** A node-cron expression; null: this process never sweeps. */
  readonly sweepCron: string | null;
  /** `whsec_<base64>`; the first signs, all verify. */
  readonly webhookSecrets: readonly string[];
  readonly stripeWebhookSecret: string | null;
  readonly auth: Readonly<AuthConfig>;
  readonly logLevel: LogLevel;
  /** null: no log file. */
  readonly logFile: string | null;
  readonly playground: boolean;
  /** Only the documents that codegen wrote are served. */
  readonly persistedOnly: boolean;
  /** null: nothing is counted. */
  readonly rateLimits: RateLimits | null;
  /** Live holds of one customer over all products; null: any number. */
  readonly maxActiveHolds: number | null;
  readonly holdCooldown: HoldCooldown | null;
  /** Signs the waiting room's queue tokens; null: there is no queue. */
  readonly admissionSecret: string | null;
  /** Whose X-Forwarded-For is believed: addresses and networks, or how many proxies stand in a row. Empty: nobody's. */
  readonly trustedProxies: readonly string[] | number;
  /** Origins whose pages may call us; `*`: every one. */
  readonly corsOrigins: readonly string[];
  /** Headers that these pages may send, besides those that clients and their tools are known to. In lower case. */
  readonly corsHeaders: readonly string[];
  /** 0: no Strict-Transport-Security. */
  readonly hstsMaxAgeSeconds: number;
  /** Open sockets of one process; the next one is closed at once. */
  readonly maxConnections: number;
  /** How long a socket stays open without a request after an answer. */
  readonly keepAliveSeconds: number;
}

/** The settings do not hold. The message names every bad key, with what is accepted; it repeats no secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly problems: readonly string[]) {
    super(`The settings do not hold:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .pipe(z.number().min(min).max(max));

const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

const hasProtocol = (text: string, protocols: readonly string[]): boolean =>
  URL.canParse(text) && protocols.includes(new URL(text).protocol);

const databaseUrls = z
  .string()
  .transform(list)
  .pipe(
    z.array(z.string().refine((url) => hasProtocol(url, ['postgres:', 'postgresql:']) && new URL(url).host !== '')),
  );

const onOrOff = z.enum(['on', 'off']).transform((text) => text === 'on');

const offOr = <T>(schema: z.ZodType<T, string>) =>
  z.union([z.literal('off').transform(() => null), schema]) as z.ZodType<T | null, string>;

/** `hold=30/600,loopback=on`: the defaults with these changes. */
const rateChanges = z.string().transform((text, context): RateLimits => {
  const limits: Record<string, unknown> = { ...defaultRateLimits };
  for (const part of list(text)) {
    const [, name, customer, address] = /^([a-z]+)=(\d{1,9}|-)\/(\d{1,9}|-)$/.exec(part) ?? [];
    const points = (digits: string) => (digits === '-' ? null : Number(digits));
    if (part === 'loopback=on') limits.loopback = true;
    else if (name !== undefined && (rateClasses as readonly string[]).includes(name)) {
      limits[name] = { perCustomer: points(customer!), perAddress: points(address!) };
    } else context.addIssue({ code: 'custom', message: part });
  }
  return limits as unknown as RateLimits;
});

const rateLimits = z.union([z.literal('on').transform(() => defaultRateLimits), offOr(rateChanges)]);

const cooldown = z
  .string()
  .regex(/^[1-9]\d{0,3}\/[1-9]\d{0,5}$/)
  .transform((text): HoldCooldown => {
    const [holds, seconds] = text.split('/').map(Number) as [number, number];
    return { holds, seconds };
  });

const proxies = z.union([
  z
    .string()
    .regex(/^[1-9]$/)
    .transform(Number),
  z
    .string()
    .transform(list)
    .pipe(z.array(z.string().refine(isNetwork)).min(1)),
]);

const setting = <T>(accepts: string, schema: z.ZodType<T, string>) => ({ accepts, schema });

/** Every key that is read, with what it accepts. Blank counts as unset, so that `KEY=` in a file means the default. */
const settings = {
  NODE_ENV: setting('development, test or production', z.enum(['development', 'test', 'production'])),
  HOST: setting('a host name or an address, such as 127.0.0.1', z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/)),
  PORT: setting('a whole number from 0 (any free port) to 65535', wholeNumber(0, 65535)),
  WORKERS: setting('a whole number from 1 to 64', wholeNumber(1, 64)),
  DATABASE_URL: setting('postgres://user:password@host:port/database, several separated by commas', databaseUrls),
  DATABASE_POOL_SIZE: setting('a whole number from 1 to 1000', wholeNumber(1, 1000)),
  ACCEPT_MIGRATIONS: setting(
    'names of migrations, separated by commas',
    z
      .string()
      .transform(list)
      .pipe(z.array(z.string().regex(/^[\w.-]+$/))),
  ),
  HOLD_TTL_SECONDS: setting(`a whole number from 1 to ${maxWindowSeconds}`, wholeNumber(1, maxWindowSeconds)),
  ORDER_PAYMENT_WINDOW_SECONDS: setting(
    `a whole number from 1 to ${maxWindowSeconds}`,
    wholeNumber(1, maxWindowSeconds),
  ),
  SWEEP_CRON: setting(
    'a cron expression of 5 or 6 fields (* * * * * * is every second), or off',
    z.string().refine((text) => text === 'off' || isCronExpression(text)),
  ),
  WEBHOOK_SECRETS: setting(
    `whsec_<base64 of at least ${minWebhookSecretBytes} bytes>, several separated by commas`,
    z
      .string()
      .transform(list)
      .pipe(z.array(z.string().refine(isWebhookSecret)).min(1)),
  ),
  STRIPE_WEBHOOK_SECRET: setting('the endpoint’s secret, whsec_…', z.string().regex(/^whsec_[\x21-\x7e]{16,}$/)),
  JWT_SECRET: setting(
    `at least ${minJwtSecretBytes} bytes`,
    z.string().refine((text) => Buffer.byteLength(text) >= minJwtSecretBytes),
  ),
  JWKS_URL: setting('an https:// URL (http:// outside production)', z.string().refine(isWebUrl)),
  JWT_ISSUER: setting('a text', z.string()),
  JWT_AUDIENCE: setting('a text', z.string()),
  JWT_ALLOW_NO_EXPIRY: setting('on or off', onOrOff),
  LOG_LEVEL: setting(
    'trace, debug, info, warn, error, fatal or silent',
    z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
  ),
  LOG_FILE: setting(
    'a path, or off',
    z.string().refine((text) => !text.includes('\0')),
  ),
  PLAYGROUND: setting('on or off', onOrOff),
  PERSISTED_ONLY: setting('on or off', onOrOff),
  RATE_LIMIT: setting(
    `on, off, or changes such as hold=30/600,loopback=on (${rateClasses.join(', ')}; per customer/per address in 10 s, - for none)`,
    rateLimits,
  ),
  MAX_ACTIVE_HOLDS: setting('a whole number from 1 to 10000, or off', offOr(wholeNumber(1, 10_000))),
  HOLD_COOLDOWN: setting('<holds>/<seconds>, such as 10/300, or off', offOr(cooldown)),
  ADMISSION_SECRET: setting(
    `at least ${minJwtSecretBytes} bytes`,
    z.string().refine((text) => Buffer.byteLength(text) >= minJwtSecretBytes),
  ),
  TRUSTED_PROXIES: setting(
    'addresses and networks, separated by commas, or the number of proxies from 1 to 9',
    proxies,
  ),
  CORS_ORIGINS: setting(
    'origins such as https://shop.example, separated by commas, or *',
    z
      .string()
      .transform(list)
      .pipe(z.array(z.string().refine((text) => text === '*' || isOrigin(text)))),
  ),
  CORS_HEADERS: setting(
    'names of headers such as x-tenant, separated by commas',
    z
      .string()
      .transform((text) => list(text.toLowerCase()))
      .pipe(z.array(z.string().regex(/^[a-z0-9][a-z0-9_-]{0,99}$/))),
  ),
  HSTS_MAX_AGE_SECONDS: setting('a whole number of seconds up to 63072000 (two years)', wholeNumber(0, 63_072_000)),
  MAX_CONNECTIONS: setting('a whole number from 1 to 1000000', wholeNumber(1, 1_000_000)),
  KEEP_ALIVE_SECONDS: setting('a whole number from 1 to 3600', wholeNumber(1, 3_600)),
};

type Key = keyof typeof settings;
type Values = { [K in Key]: z.output<(typeof settings)[K]['schema']> | undefined };

/** Every environment variable that is read, for `.env.example` and its test. */
export const environmentKeys = Object.keys(settings) as readonly Key[];

/** Keys whose value is never repeated, not even in an error about itself. */
const secretKeys: readonly Key[] = [
  'WEBHOOK_SECRETS',
  'STRIPE_WEBHOOK_SECRET',
  'JWT_SECRET',
  'ADMISSION_SECRET',
  'DATABASE_URL',
];

/**
 * The settings of this process, frozen. In development and test everything is optional.
 * Throws one ConfigError that names every bad key and what is accepted. Production refuses development secrets and the
 * embedded database.
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return read(env, environmentKeys);
}

/**
 * The settings that a command uses, as `loadConfig` would answer them. What is wrong with others is no concern of it: who
 * migrates a production database needs no JWT_SECRET.
 */
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
  const refusals = [
    ...contradictions(values, env),
    ...(environment === 'production' ? unfitForProduction(values, env) : []),
  ];
  problems.push(...refusals.filter(([key]) => keys.includes(key)).map(([, problem]) => problem));
  if (problems.length > 0) throw new ConfigError(problems);
  return freeze(toConfig(values, environment));
}

/** What a key decides, where its name does not say so: HOLD_TTL_SECONDS is holdTtlSeconds. */
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

/**
 * Adds what `.env` in the working directory names to the environment; what is set already wins.
 * For entry points only: a test never depends on the file of whoever runs it. No file is no error; one that cannot be read is,
 * because it may name the database.
 */
export function loadDotEnv(): void {
  if (!existsSync('.env')) return;
  try {
    accessSync('.env', constants.R_OK);
    process.loadEnvFile('.env');
  } catch (error) {
    throw new Error(
      `.env cannot be read: make it readable for the user who runs this, or remove it (${(error as Error).message})`,
    );
  }
}

/**
 * Whether text on a stream is coloured: FORCE_COLOR and NO_COLOR as Node itself reads them, else on a terminal that can.
 * No settings of ours: they are agreed between all programs (no-color.org).
 */
export function isColored(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env.FORCE_COLOR !== undefined) return ['', '1', '2', '3', 'true'].includes(env.FORCE_COLOR);
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
}

/**
 * The environment of a child process that shall run with this one's settings: `over` replaces what is set, `unlessSet` only
 * fills in what is not.
 */
export function environmentForChild(
  over: Partial<Record<Key, string>>,
  unlessSet: Partial<Record<Key, string>> = {},
): NodeJS.ProcessEnv {
  const missing = Object.entries(unlessSet).filter(([key]) => textOf(process.env, key as Key) === undefined);
  return { ...process.env, ...Object.fromEntries(missing), ...over };
}

/** The settings as they may be printed: no secret, no password in a URL. */
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

function readValues(env: NodeJS.ProcessEnv, keys: readonly Key[], problems: string[]): Values {
  const values: Record<string, unknown> = {};
  for (const key of keys) {
    const text = textOf(env, key);
    if (text === undefined) continue;
    const result = settings[key].schema.safeParse(text);
    if (result.success) values[key] = result.data;
    else problems.push(refusal(key, text));
  }
  return values as Values;
}

/** A trailing newline of a mounted secret file is no part of any value. */
function textOf(env: NodeJS.ProcessEnv, key: Key): string | undefined {
  return env[key]?.trim() || undefined;
}

function refusal(key: Key, text: string): string {
  const shown = secretKeys.includes(key) ? '' : ` (it is ${JSON.stringify(text.slice(0, 80))})`;
  return `${key} must be ${settings[key].accepts}${shown}`;
}

/** What is wrong, and with which key. */
type Refusal = readonly [Key, string];

function contradictions(values: Values, env: NodeJS.ProcessEnv): Refusal[] {
  const problems: Refusal[] = [];
  if (textOf(env, 'JWT_SECRET') !== undefined && textOf(env, 'JWKS_URL') !== undefined) {
    problems.push(['JWT_SECRET', 'JWT_SECRET and JWKS_URL exclude each other: set the one that signs your tokens']);
  }
  if (values.CORS_HEADERS?.length && !values.CORS_ORIGINS?.length) {
    problems.push([
      'CORS_HEADERS',
      'CORS_HEADERS needs CORS_ORIGINS: without origins no page of another origin may call',
    ]);
  }
  return problems;
}

function unfitForProduction(values: Values, env: NodeJS.ProcessEnv): Refusal[] {
  const problems: Refusal[] = [];
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
    sweepCron: values.SWEEP_CRON === 'off' ? null : (values.SWEEP_CRON ?? '* * * * * *'),
    webhookSecrets: values.WEBHOOK_SECRETS ?? [developmentWebhookSecret],
    stripeWebhookSecret: values.STRIPE_WEBHOOK_SECRET ?? null,
    auth: {
      ...tokenKeys(values),
      ...(values.JWT_ISSUER !== undefined && { issuer: values.JWT_ISSUER }),
      ...(values.JWT_AUDIENCE !== undefined && { audience: values.JWT_AUDIENCE }),
      ...(values.JWT_ALLOW_NO_EXPIRY && { allowsNoExpiry: true }),
    },
    logLevel: values.LOG_LEVEL ?? 'info',
    logFile: values.LOG_FILE === 'off' ? null : (values.LOG_FILE ?? defaultLogFile(environment)),
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
    keepAliveSeconds: values.KEEP_ALIVE_SECONDS ?? defaultKeepAliveSeconds,
  };
}

function tokenKeys(values: Values): TokenKeys {
  return values.JWKS_URL === undefined
    ? { kind: 'secret', secret: values.JWT_SECRET ?? developmentJwtSecret }
    : { kind: 'jwks', url: values.JWKS_URL };
}

/** Twice the holds of the largest order. A test may well want more. */
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

/** Canonical base64 only: Buffer.from() skips what it does not know, and would turn a typing error into another key. */
function isWebhookSecret(text: string): boolean {
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text)?.[1];
  if (encoded === undefined) return false;
  const bytes = Buffer.from(encoded, 'base64');
  return (
    bytes.length >= minWebhookSecretBytes && bytes.toString('base64').replace(/=+$/, '') === encoded.replace(/=+$/, '')
  );
}

function isWebUrl(text: string): boolean {
  return hasProtocol(text, ['https:', 'http:']);
}

/** As a browser writes it in `Origin`: scheme, host and port, no path and no slash. */
function isOrigin(text: string): boolean {
  return hasProtocol(text, ['https:', 'http:']) && new URL(text).origin === text;
}

/** An address, or a network in CIDR notation, of either family. */
function isNetwork(text: string): boolean {
  const [address, bits, ...more] = text.split('/');
  const family = isIP(address!);
  if (family === 0 || more.length > 0) return false;
  return (
    bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= (family === 4 ? 32 : 128))
  );
}

function withoutPassword(url: string): string {
  const parsed = new URL(url);
  if (parsed.password !== '') parsed.password = 'redacted';
  // A password may also stand among the parameters; none of them is needed to recognise a database.
  return `${parsed.protocol}//${parsed.username}${parsed.password && `:${parsed.password}`}${parsed.username && '@'}${parsed.host}${parsed.pathname}`;
}

/** Whether `npm run` started this process, or one of those that did. */
export function isBelowNpm(): boolean {
  return process.env.npm_lifecycle_event !== undefined;
}

/** What a child process needs of its surroundings, and none of this one's settings. */
export function bareEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  return { PATH, HOME, TMPDIR };
}
