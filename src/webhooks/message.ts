/** A provider's message: from the bytes that were signed to what the checkout understands, or to what is wrong with them. */
import { isPaymentType } from '../domain/judge-payment';
import type { PaymentMessage } from '../domain/payment-message';

/** As long as a key of ours may be. */
const maxTextLength = 255;
/** A message has two levels; PostgreSQL and JSON.stringify both fail on a body that is nothing but brackets. */
const maxDepth = 64;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads one message. A problem is a mistake of the sender, told in words that may be answered (400): not a JSON object
 * in UTF-8, a key given twice, nested deeper than 64 levels, no `event_id`, no `type`, or, for the three known types,
 * no `data.reference`. A bad amount, currency or payment id is no problem here: such a message is kept and judged.
 */
export function parsePaymentMessage(body: Buffer): PaymentMessage | { problem: string } {
  let payload: unknown;
  let text: string;
  try {
    text = utf8.decode(body);
    payload = JSON.parse(text);
  } catch {
    return { problem: 'the body is not JSON in UTF-8' };
  }
  if (!isObject(payload)) return { problem: 'the body is not a JSON object' };
  const problem = problemOfStructure(text);
  return problem === undefined ? readMessage(payload) : { problem };
}

function readMessage(payload: Record<string, unknown>): PaymentMessage | { problem: string } {
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
    payload: storable(payload) as Record<string, unknown>,
  };
}

const textRule = `must be a text of 1 to ${maxTextLength} characters, without NUL and half surrogate pairs`;

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= maxTextLength && !notStorable.test(value);
}

function isAmount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCurrency(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Z]{3}$/.test(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function dataOf(payload: unknown): Record<string, unknown> {
  return isObject(payload) && isObject(payload.data) ? payload.data : {};
}

/** NUL, and half of a surrogate pair: legal in JSON's escapes, refused by PostgreSQL's jsonb. */
const notStorable = /[\0\p{Surrogate}]/u;
const allNotStorable = new RegExp(notStorable, 'gu');

/**
 * The same value with U+FFFD in place of every NUL and half surrogate pair, in keys too. Such a character in a note to
 * the customer must not keep a payment from being recorded; ids, types and references with one were refused before.
 * Recursion is bounded by `maxDepth`. A key `__proto__` stays an ordinary key: fromEntries defines, it does not assign.
 */
function storable(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(allNotStorable, '\uFFFD');
  if (Array.isArray(value)) return value.map(storable);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [storable(key), storable(inner)]));
}

/**
 * What JSON.parse lets pass: a key given twice (it keeps the last, another reader the first, and one of them would pay
 * the wrong order) and boundless depth. `text` is known to be JSON, so only strings and brackets need to be told apart.
 */
function problemOfStructure(text: string): string | undefined {
  /** One entry for each open bracket: the keys of an object so far, or null for an array. */
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '{' || character === '[') {
      if (open.push(character === '{' ? new Set() : null) > maxDepth) return 'the body is nested too deeply';
    } else if (character === '}' || character === ']') {
      open.pop();
    } else if (character === '"') {
      const end = endOfString(text, at);
      const keys = open.at(-1);
      if (keys && isFollowedByColon(text, end)) {
        const key = JSON.parse(text.slice(at, end)) as string;
        if (keys.has(key)) return `the key ${JSON.stringify(key.slice(0, 80))} is given twice`;
        keys.add(key);
      }
      at = end - 1;
    }
  }
  return undefined;
}

/** The index after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

function isFollowedByColon(text: string, from: number): boolean {
  let at = from;
  while (/\s/.test(text[at] ?? '')) at++;
  return text[at] === ':';
}
