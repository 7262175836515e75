/** Parses the payment messages of the standard provider. */
import { isPaymentType } from '../domain/judge-payment';
import type { PaymentMessage } from '../domain/payment-message';
import { isObject, notStorable, readJsonObject, storable, type JsonObject, type Problem } from './json-body';

/** The limit of idempotency keys, too. */
const maxTextLength = 255;

/**
 * Returns a problem, which is answered 400, for a body that is no JSON object in UTF-8, has a key twice, is nested deeper than 64
 * levels, or lacks `event_id` or `type`; and, for the three known types, one that lacks `data.reference` or has an unreadable
 * `payment_id`. A message with a bad amount or currency is no problem here: it is stored and judged.
 */
export function parsePaymentMessage(body: Buffer): PaymentMessage | Problem {
  const read = readJsonObject(body);
  return 'problem' in read ? read : readMessage(read.object);
}

function readMessage(payload: JsonObject): PaymentMessage | Problem {
  const { type } = payload;
  const data = dataOf(payload);
  const eventId = readId(payload.event_id);
  const reference = readId(data.reference);
  const paymentId = readId(data.payment_id);
  if (typeof eventId !== 'string') return { problem: `event_id ${idRule}` };
  if (!isText(type)) return { problem: `type ${textRule}` };
  if (isPaymentType(type)) {
    if (typeof reference !== 'string') return { problem: `data.reference ${idRule}` };
    // Read as missing, it would turn one payment into two: each event without an id counts as a separate payment.
    if (paymentId === undefined) return { problem: `data.payment_id, if there is one, ${idRule}` };
  }
  return {
    eventId,
    type,
    reference: reference ?? '',
    amountMinor: isAmount(data.amount_minor) ? data.amount_minor + 0 : null,
    currency: isCurrency(data.currency) ? data.currency : null,
    paymentId: paymentId ?? null,
    payload: storable(payload),
  };
}

/**
 * An id as text. Many systems send numbers, which are read as decimal digits. null: there is none. undefined: the value is not an
 * id, or a number beyond 2^53−1, whose last digits JSON has lost.
 */
export function readId(value: unknown): string | null | undefined {
  if (value === undefined || value === null || value === '') return null;
  if (Number.isSafeInteger(value)) return String(value);
  return isText(value) ? value : undefined;
}

export const textRule = `must be a text of 1 to ${maxTextLength} characters, without NUL and half surrogate pairs`;

export const idRule = `must be a text of 1 to ${maxTextLength} characters, without NUL and half surrogate pairs, or a whole number within ±(2^53−1)`;

export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= maxTextLength && !notStorable.test(value);
}

export function isAmount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function isCurrency(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Z]{3}$/.test(value);
}

function dataOf(payload: JsonObject): JsonObject {
  return isObject(payload.data) ? payload.data : {};
}
