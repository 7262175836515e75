/** Every setting: its environment variable, the values it accepts, and how its text is parsed. */
import { isIP } from 'node:net';
import { validate as isCronExpression } from 'node-cron';
import { z } from 'zod';

/** HS256 requires a key at least as long as its hash (RFC 7518, 3.2). */
const MIN_JWT_SECRET_BYTES = 32;
/** Standard Webhooks requires 24 to 64 bytes, but some providers send 16. */
const MIN_WEBHOOK_SECRET_BYTES = 16;
/** Longer holds and payment windows are surely milliseconds written by mistake. */
const MAX_WINDOW_SECONDS = 30 * 24 * 3600;

/** Classes of requests, each with its own limits. `document`: documents that must be parsed, and invalid tokens. */
export const rateClasses = ['browse', 'hold', 'order', 'admin', 'document', 'webhook'] as const;
export type RateClass = (typeof rateClasses)[number];

/** Requests in 10 s; null: unlimited. */
export interface Rate {
  readonly perCustomer: number | null;
  readonly perAddress: number | null;
}

export interface RateLimits extends Readonly<Record<RateClass, Rate>> {
  /** Whether loopback addresses are limited, too. They are exempt by default for tools, tests and benchmarks. */
  readonly loopback: boolean;
}

/**
 * No person exceeds the limits of a customer. An address may be an office or a mobile network, so its limit is that of many
 * persons: 500 holds in one second pass. `webhook` counts bad signatures only.
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

/** A customer who lets this many holds expire within this time gets no new hold for as long. */
export interface HoldCooldown {
  readonly holds: number;
  readonly seconds: number;
}

const text = z.string();

const wholeNumber = (min: number, max: number) =>
  text
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .pipe(z.number().min(min).max(max));

const split = (value: string): string[] =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

const listOf = (item: z.ZodType<string, string>) => text.transform(split).pipe(z.array(item));

const secretOf = (minBytes: number) => text.refine((value) => Buffer.byteLength(value) >= minBytes);

const hasProtocol = (value: string, protocols: readonly string[]): boolean =>
  URL.canParse(value) && protocols.includes(new URL(value).protocol);

const isWebUrl = (value: string): boolean => hasProtocol(value, ['https:', 'http:']);

const databaseUrls = listOf(
  text.refine((url) => hasProtocol(url, ['postgres:', 'postgresql:']) && new URL(url).host !== ''),
);

const onOrOff = z.enum(['on', 'off']).transform((value) => value === 'on');

const offOr = <T>(schema: z.ZodType<T, string>) =>
  z.union([z.literal('off').transform(() => null), schema]) as z.ZodType<T | null, string>;

/** `hold=30/600,loopback=on`: the defaults with these changes. */
const rateChanges = text.transform((value, context): RateLimits => {
  const limits: Record<string, unknown> = { ...defaultRateLimits };
  for (const part of split(value)) {
    const [, name, customer, address] = /^([a-z]+)=(\d{1,9}|-)\/(\d{1,9}|-)$/.exec(part) ?? [];
    const requests = (digits: string) => (digits === '-' ? null : Number(digits));
    if (part === 'loopback=on') limits.loopback = true;
    else if (name !== undefined && (rateClasses as readonly string[]).includes(name)) {
      limits[name] = { perCustomer: requests(customer!), perAddress: requests(address!) };
    } else context.addIssue({ code: 'custom', message: part });
  }
  return limits as unknown as RateLimits;
});

const cooldown = text.regex(/^[1-9]\d{0,3}\/[1-9]\d{0,5}$/).transform((value): HoldCooldown => {
  const [holds, seconds] = value.split('/').map(Number) as [number, number];
  return { holds, seconds };
});

const setting = <T>(accepts: string, schema: z.ZodType<T, string>) => ({ accepts, schema });

/** What each environment variable accepts. A blank value counts as unset, so `KEY=` in a file means the default. */
export const settings = {
  NODE_ENV: setting('development, test or production', z.enum(['development', 'test', 'production'])),
  HOST: setting('a host name or an address, such as 127.0.0.1', text.regex(/^[A-Za-z0-9.:_-]{1,253}$/)),
  PORT: setting('a whole number from 0 (any free port) to 65535', wholeNumber(0, 65535)),
  WORKERS: setting('a whole number from 1 to 64', wholeNumber(1, 64)),
  DATABASE_URL: setting('postgres://user:password@host:port/database, several separated by commas', databaseUrls),
  DATABASE_POOL_SIZE: setting('a whole number from 1 to 1000', wholeNumber(1, 1000)),
  ACCEPT_MIGRATIONS: setting('names of migrations, separated by commas', listOf(text.regex(/^[\w.-]+$/))),
  HOLD_TTL_SECONDS: setting(`a whole number from 1 to ${MAX_WINDOW_SECONDS}`, wholeNumber(1, MAX_WINDOW_SECONDS)),
  ORDER_PAYMENT_WINDOW_SECONDS: setting(
    `a whole number from 1 to ${MAX_WINDOW_SECONDS}`,
    wholeNumber(1, MAX_WINDOW_SECONDS),
  ),
  SWEEP_CRON: setting(
    'a cron expression of 5 or 6 fields (* * * * * * is every second), or off',
    offOr(text.refine((value) => isCronExpression(value))),
  ),
  WEBHOOK_SECRETS: setting(
    `whsec_<base64 of at least ${MIN_WEBHOOK_SECRET_BYTES} bytes>, several separated by commas`,
    listOf(text.refine(isWebhookSecret)).refine((secrets) => secrets.length > 0),
  ),
  STRIPE_WEBHOOK_SECRET: setting('the endpoint’s secret, whsec_…', text.regex(/^whsec_[\x21-\x7e]{16,}$/)),
  JWT_SECRET: setting(`at least ${MIN_JWT_SECRET_BYTES} bytes`, secretOf(MIN_JWT_SECRET_BYTES)),
  JWKS_URL: setting('an https:// URL (http:// outside production)', text.refine(isWebUrl)),
  JWT_ISSUER: setting('a text', text),
  JWT_AUDIENCE: setting('a text', text),
  JWT_ALLOW_NO_EXPIRY: setting('on or off', onOrOff),
  LOG_LEVEL: setting(
    'trace, debug, info, warn, error, fatal or silent',
    z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
  ),
  LOG_FILE: setting('a path, or off', offOr(text.refine((path) => !path.includes('\0')))),
  PLAYGROUND: setting('on or off', onOrOff),
  PERSISTED_ONLY: setting('on or off', onOrOff),
  RATE_LIMIT: setting(
    `on, off, or changes such as hold=30/600,loopback=on (${rateClasses.join(', ')}; per customer/per address in 10 s, - for none)`,
    z.union([z.literal('on').transform(() => defaultRateLimits), offOr(rateChanges)]),
  ),
  MAX_ACTIVE_HOLDS: setting('a whole number from 1 to 10000, or off', offOr(wholeNumber(1, 10_000))),
  HOLD_COOLDOWN: setting('<holds>/<seconds>, such as 10/300, or off', offOr(cooldown)),
  ADMISSION_SECRET: setting(`at least ${MIN_JWT_SECRET_BYTES} bytes`, secretOf(MIN_JWT_SECRET_BYTES)),
  TRUSTED_PROXIES: setting(
    'addresses and networks, separated by commas, or the number of proxies from 1 to 9',
    z.union([
      text.regex(/^[1-9]$/).transform(Number),
      listOf(text.refine(isNetwork)).refine((networks) => networks.length > 0),
    ]),
  ),
  CORS_ORIGINS: setting(
    'origins such as https://shop.example, separated by commas, or *',
    listOf(text.refine((origin) => origin === '*' || isOrigin(origin))),
  ),
  CORS_HEADERS: setting(
    'names of headers such as x-tenant, separated by commas',
    listOf(text.toLowerCase().regex(/^[a-z0-9][a-z0-9_-]{0,99}$/)),
  ),
  HSTS_MAX_AGE_SECONDS: setting('a whole number of seconds up to 63072000 (two years)', wholeNumber(0, 63_072_000)),
  MAX_CONNECTIONS: setting('a whole number from 1 to 1000000', wholeNumber(1, 1_000_000)),
  KEEP_ALIVE_SECONDS: setting('a whole number from 1 to 3600', wholeNumber(1, 3_600)),
};

export type Key = keyof typeof settings;
/** Parsed values; undefined: not set. */
export type Values = { readonly [K in Key]: z.output<(typeof settings)[K]['schema']> | undefined };

export const environmentKeys = Object.keys(settings) as readonly Key[];

/** Values of these keys are never repeated, not even in errors about them. */
const SECRET_KEYS: readonly Key[] = [
  'WEBHOOK_SECRETS',
  'STRIPE_WEBHOOK_SECRET',
  'JWT_SECRET',
  'ADMISSION_SECRET',
  'DATABASE_URL',
];

/** The values of these keys. Adds a sentence to `problems` for each value that is not accepted. */
export function readValues(env: NodeJS.ProcessEnv, keys: readonly Key[], problems: string[]): Values {
  const values: Record<string, unknown> = {};
  for (const key of keys) {
    const value = textOf(env, key);
    if (value === undefined) continue;
    const result = settings[key].schema.safeParse(value);
    if (result.success) values[key] = result.data;
    else problems.push(`${key} must be ${settings[key].accepts}${SECRET_KEYS.includes(key) ? '' : shown(value)}`);
  }
  return values as Values;
}

const shown = (value: string): string => ` (it is ${JSON.stringify(value.slice(0, 80))})`;

/** Trimmed, because mounted secret files end with a newline. undefined: blank or not set. */
export function textOf(env: NodeJS.ProcessEnv, key: Key): string | undefined {
  return env[key]?.trim() || undefined;
}

/** Accepts canonical base64 only: Buffer.from() ignores unknown characters and would turn a typing error into another key. */
function isWebhookSecret(value: string): boolean {
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(value)?.[1];
  if (encoded === undefined) return false;
  const bytes = Buffer.from(encoded, 'base64');
  const withoutPadding = (base64: string) => base64.replace(/=+$/, '');
  return (
    bytes.length >= MIN_WEBHOOK_SECRET_BYTES && withoutPadding(bytes.toString('base64')) === withoutPadding(encoded)
  );
}

/** As a browser writes it in `Origin`: scheme, host and port, without a path or a trailing slash. */
function isOrigin(value: string): boolean {
  return isWebUrl(value) && new URL(value).origin === value;
}

/** An address, or a network in CIDR notation, of either family. */
function isNetwork(value: string): boolean {
  const [address, bits, ...more] = value.split('/');
  const family = isIP(address!);
  if (family === 0 || more.length > 0) return false;
  return (
    bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= (family === 4 ? 32 : 128))
  );
}
