/** Configuration: defaults, validation of every value, and no secret in errors or logs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ConfigError,
  defaultRateLimits,
  developmentJwtSecret,
  developmentWebhookSecret,
  environmentKeys,
  isColored,
  loadConfig,
  loadDotEnv,
  loadSettings,
  redactedConfig,
} from '../src/config';

const jwtSecret = 'j'.repeat(32);
const webhookSecret = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
const production = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://shop:pa%24s@db.example:5432/shop',
  JWT_SECRET: jwtSecret,
  WEBHOOK_SECRETS: webhookSecret,
};

function problemsOf(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test('every line of .env is read, also behind a byte order mark, and variables that are set already win', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dot-env-'));
  const before = process.cwd();
  const env = { ...process.env };
  try {
    process.chdir(folder);
    writeFileSync('.env', '\ufeffPORT=4731\r\nexport LOG_LEVEL=warn # why\r\nHOLD_TTL_SECONDS="7"\r\n');
    process.env.LOG_LEVEL = 'error';
    loadDotEnv();
    expect(process.env).toMatchObject({ PORT: '4731', LOG_LEVEL: 'error', HOLD_TTL_SECONDS: '7' });
  } finally {
    process.chdir(before);
    process.env = env;
    rmSync(folder, { recursive: true });
  }
});

test('development needs no settings', () => {
  expect(loadConfig({})).toEqual({
    environment: 'development',
    host: '127.0.0.1',
    port: 4000,
    workers: 1,
    databaseUrls: [],
    databasePoolSize: 8,
    acceptMigrations: [],
    holdTtlSeconds: 120,
    orderPaymentWindowSeconds: 900,
    sweepCron: '* * * * * *',
    webhookSecrets: [developmentWebhookSecret],
    stripeWebhookSecret: null,
    auth: { kind: 'secret', secret: developmentJwtSecret },
    logLevel: 'info',
    logFile: 'logs/app.log',
    playground: true,
    persistedOnly: false,
    rateLimits: defaultRateLimits,
    maxActiveHolds: null,
    holdCooldown: null,
    admissionSecret: null,
    trustedProxies: [],
    corsOrigins: [],
    corsHeaders: [],
    hstsMaxAgeSeconds: 0,
    maxConnections: 20_000,
    keepAliveSeconds: 72,
  });
});

test('every setting is read', () => {
  const config = loadConfig({
    NODE_ENV: 'test',
    HOST: '0.0.0.0',
    PORT: '0',
    WORKERS: '2',
    DATABASE_URL: 'postgres://a/x, postgresql://b/x',
    DATABASE_POOL_SIZE: '2',
    ACCEPT_MIGRATIONS: '20270101-a, 20270102-b',
    HOLD_TTL_SECONDS: '2',
    ORDER_PAYMENT_WINDOW_SECONDS: '60',
    SWEEP_CRON: 'off',
    WEBHOOK_SECRETS: `${webhookSecret},${developmentWebhookSecret}`,
    STRIPE_WEBHOOK_SECRET: 'whsec_0123456789abcdef',
    JWKS_URL: 'https://issuer.example/keys',
    JWT_ISSUER: 'issuer',
    JWT_AUDIENCE: 'shop',
    JWT_ALLOW_NO_EXPIRY: 'on',
    LOG_LEVEL: 'debug',
    LOG_FILE: 'off',
    PLAYGROUND: 'off',
    PERSISTED_ONLY: 'on',
    RATE_LIMIT: 'off',
    MAX_ACTIVE_HOLDS: '20',
    HOLD_COOLDOWN: '10/300',
    ADMISSION_SECRET: 'q'.repeat(32),
    TRUSTED_PROXIES: '10.0.0.0/8, ::1',
    CORS_ORIGINS: 'https://shop.example, http://localhost:5173',
    CORS_HEADERS: 'X-Tenant, x-session',
    HSTS_MAX_AGE_SECONDS: '31536000',
    MAX_CONNECTIONS: '500',
    KEEP_ALIVE_SECONDS: '90',
  });
  expect(config).toEqual({
    environment: 'test',
    host: '0.0.0.0',
    port: 0,
    workers: 2,
    databaseUrls: ['postgres://a/x', 'postgresql://b/x'],
    databasePoolSize: 2,
    acceptMigrations: ['20270101-a', '20270102-b'],
    holdTtlSeconds: 2,
    orderPaymentWindowSeconds: 60,
    sweepCron: null,
    webhookSecrets: [webhookSecret, developmentWebhookSecret],
    stripeWebhookSecret: 'whsec_0123456789abcdef',
    auth: {
      ...{ kind: 'jwks', url: 'https://issuer.example/keys', issuer: 'issuer', audience: 'shop' },
      allowsNoExpiry: true,
    },
    logLevel: 'debug',
    logFile: null,
    playground: false,
    persistedOnly: true,
    rateLimits: null,
    maxActiveHolds: 20,
    holdCooldown: { holds: 10, seconds: 300 },
    admissionSecret: 'q'.repeat(32),
    trustedProxies: ['10.0.0.0/8', '::1'],
    corsOrigins: ['https://shop.example', 'http://localhost:5173'],
    corsHeaders: ['x-tenant', 'x-session'],
    hstsMaxAgeSeconds: 31_536_000,
    maxConnections: 500,
    keepAliveSeconds: 90,
  });
});

test('RATE_LIMIT changes the defaults, and TRUSTED_PROXIES accepts a number', () => {
  expect(loadConfig({ RATE_LIMIT: 'on' }).rateLimits).toEqual(defaultRateLimits);
  expect(loadConfig({ RATE_LIMIT: 'hold=30/600, browse=-/5,loopback=on' }).rateLimits).toEqual({
    ...defaultRateLimits,
    hold: { perCustomer: 30, perAddress: 600 },
    browse: { perCustomer: null, perAddress: 5 },
    loopback: true,
  });
  expect(loadConfig({ TRUSTED_PROXIES: '2' }).trustedProxies).toBe(2);
});

test('a blank value counts as unset', () => {
  const blank = Object.fromEntries(environmentKeys.map((key) => [key, ' ']));
  expect(loadConfig(blank)).toEqual(loadConfig({}));
});

test('the configuration is frozen', () => {
  const config = loadConfig({});
  for (const part of [config, config.auth, config.webhookSecrets, config.databaseUrls]) {
    expect(Object.isFrozen(part)).toBe(true);
  }
});

describe('bad values', () => {
  test.each([
    ['NODE_ENV', 'prod'],
    ['HOST', 'a b'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '4e3'],
    ['PORT', '4000.0'],
    ['WORKERS', '0'],
    ['DATABASE_URL', 'mysql://a/x'],
    ['DATABASE_URL', 'postgres://a/x,nonsense'],
    ['DATABASE_URL', 'postgres:'],
    ['DATABASE_POOL_SIZE', '0'],
    ['ACCEPT_MIGRATIONS', 'a;b'],
    ['HOLD_TTL_SECONDS', '0'],
    ['HOLD_TTL_SECONDS', '1.5'],
    ['HOLD_TTL_SECONDS', '120s'],
    ['HOLD_TTL_SECONDS', '9'.repeat(30)],
    ['ORDER_PAYMENT_WINDOW_SECONDS', 'Infinity'],
    ['SWEEP_CRON', 'often'],
    ['SWEEP_CRON', '61 * * * * *'],
    ['WEBHOOK_SECRETS', 'secret'],
    ['WEBHOOK_SECRETS', ','],
    ['WEBHOOK_SECRETS', `whsec_${Buffer.alloc(15).toString('base64')}`],
    ['WEBHOOK_SECRETS', `${webhookSecret},whsec_!!!!!!!!!!!!!!!!!!!!!!!!`],
    ['STRIPE_WEBHOOK_SECRET', 'sk_live_1'],
    ['JWT_SECRET', 'j'.repeat(31)],
    ['JWKS_URL', 'ftp://issuer.example/keys'],
    ['JWKS_URL', 'keys'],
    ['LOG_LEVEL', 'loud'],
    ['PLAYGROUND', 'yes'],
    ['RATE_LIMIT', '0'],
    ['RATE_LIMIT', 'hold=30'],
    ['RATE_LIMIT', 'loopback=1/1'],
    ['RATE_LIMIT', 'hold=30/600,pay=1/1'],
    ['PERSISTED_ONLY', '1'],
    ['MAX_ACTIVE_HOLDS', '0'],
    ['HOLD_COOLDOWN', '0/300'],
    ['HOLD_COOLDOWN', '10'],
    ['ADMISSION_SECRET', 'q'.repeat(31)],
    ['TRUSTED_PROXIES', '0'],
    ['TRUSTED_PROXIES', 'proxy.example'],
    ['TRUSTED_PROXIES', '0.0.0.0/0'],
    ['TRUSTED_PROXIES', '10.0.0.0/33'],
    ['TRUSTED_PROXIES', '10.0.0.1,all'],
    ['CORS_ORIGINS', 'shop.example'],
    ['CORS_ORIGINS', 'https://shop.example/'],
    ['CORS_ORIGINS', 'null'],
    ['CORS_HEADERS', 'x tenant'],
    ['CORS_HEADERS', '*'],
    ['CORS_HEADERS', 'x-tenant:'],
    ['JWT_ALLOW_NO_EXPIRY', 'yes'],
    ['HSTS_MAX_AGE_SECONDS', '-1'],
    ['MAX_CONNECTIONS', '0'],
    ['KEEP_ALIVE_SECONDS', '0'],
    ['KEEP_ALIVE_SECONDS', '3601'],
  ])('the value %s=%s is refused', (key, value) => {
    const problems = problemsOf({ [key]: value });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(new RegExp(`^${key} must be `));
  });
});

test('one error names every bad key and what it accepts', () => {
  const env = { PORT: 'x', HOLD_TTL_SECONDS: '-5', NODE_ENV: 'production', JWT_SECRET: 'short', LOG_LEVEL: 'loud' };
  expect(() => loadConfig(env)).toThrow(ConfigError);
  expect(problemsOf(env).map((problem) => problem.split(' ')[0])).toEqual([
    'PORT',
    'HOLD_TTL_SECONDS',
    'JWT_SECRET',
    'LOG_LEVEL',
    'DATABASE_URL',
    'WEBHOOK_SECRETS',
  ]);
  expect(problemsOf({ PORT: 'x' })[0]).toBe('PORT must be a whole number from 0 (any free port) to 65535 (it is "x")');
});

test('errors about settings repeat no secret', () => {
  const secrets = {
    JWT_SECRET: 'hush-1',
    WEBHOOK_SECRETS: 'hush-2',
    DATABASE_URL: 'hush-3',
    STRIPE_WEBHOOK_SECRET: 'hush-4',
    ADMISSION_SECRET: 'hush-5',
  };
  expect(problemsOf(secrets)).toHaveLength(5);
  expect(problemsOf(secrets).join()).not.toContain('hush');
});

test.each([
  ['JWT_SECRET and JWKS_URL', { JWT_SECRET: jwtSecret, JWKS_URL: 'https://issuer.example/keys' }],
  ['CORS_HEADERS', { CORS_HEADERS: 'x-tenant' }],
])('settings that contradict each other are named: %s', (name, env) => {
  expect(problemsOf(env)).toEqual([expect.stringContaining(name)]);
});

describe('production', () => {
  test('production starts with its required settings, and without a playground by default', () => {
    expect(loadConfig(production)).toMatchObject({ environment: 'production', playground: false });
    expect(loadConfig({ ...production, PLAYGROUND: 'on' }).playground).toBe(true);
    expect(loadConfig({ ...production, JWT_SECRET: '', JWKS_URL: 'https://issuer.example/keys' }).auth.kind).toBe(
      'jwks',
    );
  });

  test('production limits the live holds of a customer by default', () => {
    expect(loadConfig(production).maxActiveHolds).toBe(100);
    expect(loadConfig({ ...production, MAX_ACTIVE_HOLDS: 'off' }).maxActiveHolds).toBeNull();
  });

  test.each<[string, NodeJS.ProcessEnv]>([
    ['DATABASE_URL', { DATABASE_URL: undefined }],
    ['DATABASE_URL', { DATABASE_URL: ' , ' }],
    ['JWT_SECRET', { JWT_SECRET: undefined }],
    ['JWT_SECRET', { JWT_SECRET: developmentJwtSecret }],
    ['WEBHOOK_SECRETS', { WEBHOOK_SECRETS: undefined }],
    ['WEBHOOK_SECRETS', { WEBHOOK_SECRETS: `${webhookSecret},${developmentWebhookSecret}` }],
    ['JWKS_URL', { JWT_SECRET: '', JWKS_URL: 'http://issuer.example/keys' }],
  ])('production refuses a missing or unfit %s: %j', (key, change) => {
    expect(problemsOf({ ...production, ...change })).toEqual([expect.stringContaining(key)]);
  });
});

describe('settings of commands', () => {
  const withoutSecrets = { NODE_ENV: 'production', DATABASE_URL: production.DATABASE_URL };

  test('a command gets the fields it names and needs no other settings', () => {
    expect(loadSettings(['environment', 'databaseUrls'], withoutSecrets)).toEqual({
      environment: 'production',
      databaseUrls: [production.DATABASE_URL],
    });
    expect(loadSettings(['databaseUrls'], { ...withoutSecrets, PORT: 'x', JWT_SECRET: 'short' })).toEqual({
      databaseUrls: [production.DATABASE_URL],
    });
  });

  test('a command refuses bad values of the settings that it uses', () => {
    const problems = (...fields: Parameters<typeof loadSettings>[0]) => {
      try {
        loadSettings(fields, { NODE_ENV: 'production', PORT: 'x' });
      } catch (error) {
        return (error as ConfigError).problems.map((problem) => problem.split(' ')[0]);
      }
      return [];
    };
    expect(problems('port')).toEqual(['PORT']);
    expect(problems('auth')).toEqual(['JWT_SECRET']);
    expect(problems('databaseUrls', 'webhookSecrets')).toEqual(['DATABASE_URL', 'WEBHOOK_SECRETS']);
  });

  test('a command can use every field, and each key belongs to a field', () => {
    const config = loadConfig(production);
    const fields = Object.keys(config) as (keyof typeof config)[];
    expect(loadSettings(fields, production)).toEqual(config);
    for (const key of environmentKeys) {
      const bad = {
        NODE_ENV: 'test',
        [key]: key === 'JWT_ISSUER' || key === 'JWT_AUDIENCE' || key === 'LOG_FILE' ? undefined : ';',
      };
      if (bad[key] !== undefined) expect(() => loadSettings(fields, bad)).toThrow(`${key} must be`);
    }
  });
});

test.each([
  [{}, true, true],
  [{}, false, false],
  [{ NO_COLOR: '1' }, true, false],
  [{ NO_COLOR: '' }, true, true],
  [{ TERM: 'dumb' }, true, false],
  [{ FORCE_COLOR: '1' }, false, true],
  [{ FORCE_COLOR: '0' }, true, false],
  [{ NO_COLOR: '1', FORCE_COLOR: '1' }, false, true],
])('with %j text on a stream (a terminal: %s) is coloured: %s', (env, isTTY, expected) => {
  expect(isColored({ isTTY }, env)).toBe(expected);
});

test('a redacted configuration contains no secret', () => {
  const printed = JSON.stringify(
    redactedConfig(
      loadConfig({
        ...production,
        DATABASE_URL: 'postgres://shop:hush@db.example/shop?password=hush,postgres://db2.example/shop',
        STRIPE_WEBHOOK_SECRET: 'whsec_hushhushhushhush',
        ADMISSION_SECRET: 'hush'.repeat(8),
      }),
    ),
  );
  for (const secret of ['hush', jwtSecret, webhookSecret]) expect(printed).not.toContain(secret);
  for (const shown of ['shop', 'db.example', 'db2.example']) expect(printed).toContain(shown);
});

test('.env.example lists every setting with its default', () => {
  const lines = readFileSync(`${__dirname}/../.env.example`, 'utf8').split('\n');
  const settings = lines.flatMap(
    (line) => (/^#([A-Z_]+)=(.*)$/.exec(line)?.slice(1, 3) as [string, string] | undefined) ?? [],
  );
  const pairs = Array.from({ length: settings.length / 2 }, (_, i) => [settings[2 * i], settings[2 * i + 1]]);
  expect(pairs.map(([key]) => key).sort()).toEqual([...environmentKeys].sort());
  expect(loadConfig(Object.fromEntries(pairs))).toEqual(loadConfig({}));
});
