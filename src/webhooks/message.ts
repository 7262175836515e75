/** A payment message of the standard provider: what it says to the checkout, or what is wrong with it. */
import { isPaymentType } from '../domain/judge-payment';
import type { PaymentMessage } from '../domain/payment-message';
import { isObject, notStorable, readJsonObject, storable, type JsonObject, type Problem } from './json-body';

/** As long as a key of ours may be. */
const maxTextLength = 255;

/**
 * Reads one message. A problem is a mistake of the sender, told in words that may be answered (400): not a JSON object
 * in UTF-8, a key given twice, nested deeper than 64 levels, no `event_id`, no `type`, or, for the three known types,
 * no `data.reference`. A bad amount, currency or payment id is no problem here: such a message is kept and judged.
 */
export function parsePaymentMessage(body: Buffer): PaymentMessage | Problem {
  const read = readJsonObject(body);
  return 'problem' in read ? read : readMessage(read.object);
}

function readMessage(payload: JsonObject): PaymentMessage | Problem {
  const { event_id: eventId, type } = payload;
  if (!isText(eventId)) return { problem: `event_id ${textRule}` };
  if (!isText(type)) return { problem: `type ${textRule}` };
  const data = dataOf(payload);
  if (isPaymentType(type) && !isText(data.reference)) return { problem: `data.reference ${textRule}` };
  return {
    eventId,
    type,
    reference: isText(data.reference) ? data.reference : '',
    amountMinor: isAmount(data.amount_minor) ? data.amount_minor + 0 : null,
    currency: isCurrency(data.currency) ? data.currency : null,
    paymentId: isText(data.payment_id) ? data.payment_id : null,
    payload: storable(payload),
  };
}

export const textRule = `must be a text of 1 to ${maxTextLength} characters, without NUL and half surrogate pairs`;

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
