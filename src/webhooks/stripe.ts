/** The provider `stripe`: Stripe's signatures, verified by its own package, and its events in our words. */
import Stripe from 'stripe';
import type { PaymentType } from '../domain/judge-payment';
import { minorDigits } from '../domain/money';
import type { PaymentMessage } from '../domain/payment-message';
import { isObject, readJsonObject, storable, type JsonObject, type Problem } from './json-body';
import { idRule, isAmount, isCurrency, isText, readId, textRule } from './message';
import type { Provider } from './provider';

/** Events of 50 metadata keys with 500 characters each, and of invoices with hundreds of lines, which are IGNORED, must fit. */
const MAX_BODY_BYTES = 512 * 1024;
/** What a shop puts into `metadata`, the first that is there. */
const REFERENCE_KEYS = ['order_id', 'hold_id', 'reference'] as const;

/**
 * Digits of the unit in which Stripe counts, where that is another than ISO 4217's minor unit: it kept hundredths for ISK and UGX,
 * and counts whole ariary. HUF and TWD are special for payouts only. https://docs.stripe.com/currencies#special-cases
 */
const STRIPE_DIGITS: Readonly<Record<string, number>> = { ISK: 2, UGX: 2, MGA: 0 };

interface Meaning {
  readonly type: PaymentType;
  readonly amount: string;
  readonly payment: string;
  /** Money moved: an event that names nothing of ours is kept before the operators. */
  readonly isMoney: boolean;
}

/**
 * The events that mean something here; every other is recorded and IGNORED. `payment_intent.payment_failed` is one of those: the
 * shopper may try another card. A charge without a PaymentIntent is not ours.
 */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  'payment_intent.succeeded': { type: 'payment.succeeded', amount: 'amount_received', payment: 'id', isMoney: true },
  'payment_intent.canceled': { type: 'payment.failed', amount: 'amount', payment: 'id', isMoney: false },
  'charge.refunded': {
    type: 'payment.refunded',
    amount: 'amount_refunded',
    payment: 'payment_intent',
    isMoney: true,
  },
};

export function stripeProvider(secret: string | null): Provider {
  return {
    name: 'stripe',
    path: '/webhooks/payments/stripe',
    maxBodyBytes: MAX_BODY_BYTES,
    missing: secret === null ? 'Stripe is not set up on this server: set STRIPE_WEBHOOK_SECRET' : null,
    verify: (headers, body) => verify(headers['stripe-signature'], body, secret!),
    parse: parseStripeEvent,
    sentAt: ({ payload: { created } }) => (typeof created === 'number' ? created * 1_000 : NaN),
  };
}

/**
 * By the raw bytes, and not more than 5 minutes old. Whatever is thrown refuses: the package answers some malformed headers
 * (an empty `v1`, one that is not ASCII) with an error other than its own for a bad signature.
 */
function verify(header: string | string[] | undefined, body: Buffer, secret: string): 'ok' | { reason: string } {
  try {
    Stripe.webhooks.constructEvent(body, header ?? '', secret);
    return 'ok';
  } catch (error) {
    return { reason: error instanceof Error ? error.message.split('\n')[0]!.trim() : 'not verified' };
  }
}

/**
 * Reads one event. A problem is a body that is no JSON object, or that has no `id` or no `type`, or names the payment by what
 * is no id. A success or a refund whose
 * `metadata` names nothing of ours is kept under the payment's own id: nobody knows that reference, so it stays PARKED before
 * the operators, as it is money; and answering 4xx would make Stripe send it for three days, and then give up on us.
 */
export function parseStripeEvent(body: Buffer): PaymentMessage | Problem {
  const read = readJsonObject(body);
  if ('problem' in read) return read;
  const { type, data } = read.object;
  const id = readId(read.object.id);
  if (typeof id !== 'string') return { problem: `id ${idRule}` };
  if (!isText(type)) return { problem: `type ${textRule}` };
  const about = isObject(data) && isObject(data.object) ? data.object : {};
  const meaning = Object.hasOwn(MEANINGS, type) ? MEANINGS[type]! : null;
  const reference = referenceOf(about);
  const paymentId = meaning && idOf(about[meaning.payment]);
  if (paymentId === undefined) return { problem: `data.object.${meaning!.payment}, if there is one, ${idRule}` };
  const names = reference ?? (meaning?.isMoney ? paymentId : null);
  const named = typeof about.currency === 'string' ? about.currency.toUpperCase() : null;
  const currency = isCurrency(named) ? named : null;
  return {
    eventId: id,
    type: meaning && names !== null ? meaning.type : type,
    reference: names ?? '',
    amountMinor: amountIn(currency, meaning && about[meaning.amount]),
    currency,
    paymentId,
    payload: storable(read.object),
  };
}

/** In the currency's minor unit. null for what is no amount, or cannot be said exactly: a part of a króna. */
function amountIn(currency: string | null, amount: unknown): number | null {
  if (!isAmount(amount)) return null;
  if (currency === null || !Object.hasOwn(STRIPE_DIGITS, currency)) return amount;
  const shift = minorDigits(currency) - STRIPE_DIGITS[currency]!;
  const inMinorUnit = shift < 0 ? amount / 10 ** -shift : amount * 10 ** shift;
  return isAmount(inMinorUnit) ? inMinorUnit : null;
}

function referenceOf({ metadata }: JsonObject): string | null {
  if (!isObject(metadata)) return null;
  const named = REFERENCE_KEYS.map((key) => metadata[key]).map((value) =>
    readId(typeof value === 'string' ? value.trim() : value),
  );
  return named.find((id) => typeof id === 'string') ?? null;
}

/** An id, or that of the object that it names where Stripe was asked to expand it. As `readId`. */
function idOf(value: unknown): string | null | undefined {
  return isObject(value) ? (readId(value.id) ?? undefined) : readId(value);
}
