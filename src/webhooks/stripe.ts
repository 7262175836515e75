/** The provider `stripe`: Stripe's package verifies the signatures; its events become payment messages. */
import Stripe from 'stripe';
import type { PaymentType } from '../domain/judge-payment';
import { minorDigits } from '../domain/money';
import type { PaymentMessage } from '../domain/payment-message';
import { isObject, readJsonObject, storable, type JsonObject, type Problem } from './json-body';
import { idRule, isAmount, isCurrency, isText, readId, textRule } from './message';
import type { Provider } from './provider';

/** Must fit events with 50 metadata keys of 500 characters, and invoices with hundreds of lines, which are IGNORED. */
const MAX_BODY_BYTES = 512 * 1024;
/** Keys of `metadata`, the first one present counts. */
const REFERENCE_KEYS = ['order_id', 'hold_id', 'reference'] as const;

/**
 * Decimal digits of Stripe's unit where it differs from ISO 4217's minor unit: hundredths for ISK and UGX, whole ariary for MGA.
 * HUF and TWD are special only for payouts. https://docs.stripe.com/currencies#special-cases
 */
const STRIPE_DIGITS: Readonly<Record<string, number>> = { ISK: 2, UGX: 2, MGA: 0 };

interface Meaning {
  readonly type: PaymentType;
  readonly amount: string;
  readonly payment: string;
  /** Money moved, so an event without a reference is shown to the operators. */
  readonly isMoney: boolean;
}

/**
 * The events that are applied; all others are recorded as IGNORED. That includes `payment_intent.payment_failed`, because the
 * shopper may try another card, and charges without a PaymentIntent.
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
 * Over the raw bytes, at most 5 minutes old. Every exception means refusal: for some malformed headers (an empty `v1`, one that is
 * not ASCII) the package throws something other than its own error for bad signatures.
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
 * Returns a problem for a body that is no JSON object, lacks `id` or `type`, or has an unreadable payment id. A success or refund
 * without a reference in `metadata` gets the payment's own id as its reference. No order or hold has it, so the event stays PARKED
 * for the operators, as money has moved. Answering 4xx would make Stripe repeat it for three days and then give up.
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

/** In the currency's minor unit. null: not an amount, or not exact in that unit, such as a fraction of a króna. */
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

/** As `readId`, for an id or an expanded object with an id. */
function idOf(value: unknown): string | null | undefined {
  return isObject(value) ? (readId(value.id) ?? undefined) : readId(value);
}
