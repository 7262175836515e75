/** `npm run webhook:send -- --type payment.succeeded --reference ID`: plays the payment provider, with a valid signature. */
import './node-version.cjs';
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { loadDotEnv, loadSettings } from '../config';
import { signToken } from '../graphql/http/tokens';
import { postJson, sendPaymentEvent, type WebhookAnswer } from '../webhooks/simulated-provider';
import { configuredUrl, exitCodes, runCommand, wholeNumberOption } from './options';

/** Each copy needs its own connection. */
const MAX_TIMES = 1_000;
const LOOK_UP_TOKEN_TTL_SECONDS = 60;

interface Options {
  type: string;
  reference: string;
  eventId: string;
  amountMinor?: number;
  currency?: string;
  paymentId?: string;
  times: number;
  delayMs: number;
  badSignature: boolean;
  url?: string;
}

interface Amount {
  amountMinor?: number | undefined;
  currency?: string | undefined;
}

const command = new Command('webhook:send')
  .description('Sends a payment event to the webhook of a running server, as the payment provider would.')
  .requiredOption('--type <type>', 'payment.succeeded, payment.failed, payment.refunded, or another type')
  .requiredOption('--reference <id>', 'the id of the order, or of a hold')
  .addOption(new Option('--event-id <id>', 'the event’s id').default(`evt_${randomUUID()}`, 'a new one'))
  .option(
    '--amount-minor <n>',
    'the amount in minor units (default: the total of the order or hold)',
    wholeNumberOption(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  )
  .option('--currency <code>', 'the currency (default: that of the order or hold)')
  .option('--payment-id <id>', 'the provider’s id of the payment (default: none is sent)')
  .option('--times <n>', 'how many copies are sent at the same time', wholeNumberOption(1, MAX_TIMES), 1)
  .option('--delay-ms <n>', 'how long to wait before sending', wholeNumberOption(0, 24 * 3600 * 1000), 0)
  .option('--bad-signature', 'sign with a wrong secret', false)
  .option('--url <url>', 'the webhook’s URL (default: http://HOST:PORT/webhooks/payments)')
  .addHelpText(
    'after',
    `
Signs with the first of WEBHOOK_SECRETS. If no amount is given, looks it up at the server with an admin's token.
Prints one line for each distinct answer: count, status, body.

Exit code: 0 every copy was acknowledged (2xx), or refused (401) with --bad-signature;
           1 the server could not be reached or answered otherwise; 2 bad usage.

Example:
  npm run webhook:send -- --type payment.succeeded --reference 0199… --times 100`,
  )
  .action(async (options: Options) => {
    loadDotEnv();
    await sendWebhook(options);
  });

async function sendWebhook(options: Options): Promise<void> {
  const url = webhookUrl(options.url);
  const amount = await amountOf(options, url);
  await setTimeout(options.delayMs);
  const secret = options.badSignature ? wrongSecret() : loadSettings(['webhookSecrets']).webhookSecrets[0];
  if (secret === undefined) throw new Error('WEBHOOK_SECRETS contains no secret to sign with');
  const answers = await sendPaymentEvent({ url, secret, times: options.times }, { ...options, ...amount });
  print(answers);
  const isExpected = ({ status }: WebhookAnswer) =>
    options.badSignature ? status === 401 : status >= 200 && status < 300;
  if (!answers.every(isExpected)) process.exitCode = exitCodes.failed;
}

function print(answers: readonly WebhookAnswer[]): void {
  const counts = new Map<string, number>();
  for (const { status, body } of answers) {
    const line = `${status} ${body}`;
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  for (const [line, count] of counts) process.stdout.write(`${count} × ${line}\n`);
}

/**
 * The amount and currency of the event: as given, else the total of the order or hold, for types whose amount is checked. A
 * failed payment's amount is not, so it may be sent without one for an unknown reference.
 */
async function amountOf(options: Options, url: URL): Promise<Amount> {
  const { type, reference, amountMinor, currency } = options;
  const given = { amountMinor, currency };
  if (amountMinor !== undefined && currency !== undefined) return given;
  if (!['payment.succeeded', 'payment.failed', 'payment.refunded'].includes(type)) return given;
  const total = await lookUpTotal(reference, new URL('/graphql', url));
  if (total === null && type !== 'payment.failed') {
    throw new Error(`No order or hold has the id ${reference}: give --amount-minor and --currency`);
  }
  return { amountMinor: amountMinor ?? total?.amountMinor, currency: currency ?? total?.currency };
}

const TOTAL_QUERY = `query Total($id: ID!) {
  order(id: $id) { total { amountMinor currency } }
  hold(id: $id) { total { amountMinor currency } }
}`;

interface TotalAnswer {
  data?: Record<'order' | 'hold', { total: Required<Amount> } | null> | null;
  errors?: { message: string }[];
}

async function lookUpTotal(reference: string, url: URL): Promise<Amount | null> {
  const { auth } = loadSettings(['auth']);
  if (auth.kind === 'jwks') {
    throw new Error('Amounts cannot be looked up if JWKS_URL is set: give --amount-minor and --currency');
  }
  const token = await signToken(auth, { sub: 'webhook-send', roles: ['admin'], ttlSeconds: LOOK_UP_TOKEN_TTL_SECONDS });
  const query = JSON.stringify({ query: TOTAL_QUERY, variables: { id: reference } });
  const { status, body } = await postJson(url, query, { authorization: `Bearer ${token}` });
  const answer = readJson(body);
  if (!answer?.data) {
    const why = answer?.errors?.[0]?.message ?? `status ${status}`;
    throw new Error(`The amount could not be looked up at ${url} (${why}): give --amount-minor and --currency`);
  }
  return (answer.data.order ?? answer.data.hold)?.total ?? null;
}

function readJson(text: string): TotalAnswer | null {
  try {
    return JSON.parse(text) as TotalAnswer;
  } catch {
    return null;
  }
}

function webhookUrl(given: string | undefined): URL {
  if (given !== undefined) {
    if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol)) {
      return command.error(`error: --url must be an http:// or https:// URL, not ${given}`);
    }
    return new URL(given);
  }
  const config = loadSettings(['host', 'port']);
  if (config.port === 0) return command.error('error: PORT is 0, so the server’s port is unknown: give --url');
  return new URL('/webhooks/payments', configuredUrl(config));
}

function wrongSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

void runCommand(command);
