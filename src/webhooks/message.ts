/** A payment message of the standard provider: what it says to the checkout, or what is wrong with it. */
import { isPaymentType } from '../domain/judge-payment';
import type { PaymentMessage } from '../domain/payment-message';
import { isObject, notStorable, readJsonObject, storable, type JsonObject, type Problem } from './json-body';

/** As long as a key of ours may be. */
const maxTextLength = 255;

/**
 * Reads one message. A problem is a mistake of the sender, told in words that may be answered (400): not a JSON object
 * in UTF-8, a key given twice, nested deeper than 64 levels, no `event_id`, no `type`, for the three known types,
 * no `data.reference`, or a `payment_id` that is there and cannot be read as one. A bad amount or currency is no problem here:
 * such a message is kept and judged.
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
    // Taken for none, it would make two payments of one: each event without an id stands for a payment of its own.
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
 * An id as text. Many systems number theirs, and send the number as such: it is read as its decimal digits. null: there is
 * none. undefined: what is there is no id, or a number beyond 2^53−1, of which JSON has lost the last digits.
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
