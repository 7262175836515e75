/** The JSON object that was signed, whoever signed it: read strictly, and made fit to be stored. */

/** A message has a few levels; PostgreSQL and JSON.stringify both fail on a body that is nothing but brackets. */
const maxDepth = 64;

const utf8 = new TextDecoder('utf-8', { fatal: true });

export type JsonObject = Record<string, unknown>;

/** Why a message could not be read: a mistake of the sender, in words that may be answered. */
export interface Problem {
  readonly problem: string;
}

/** A problem is: not a JSON object in UTF-8, a key given twice, nested deeper than 64 levels. */
export function readJsonObject(body: Buffer): { readonly object: JsonObject } | Problem {
  let object: unknown;
  let text: string;
  try {
    text = utf8.decode(body);
    object = JSON.parse(text);
  } catch {
    return { problem: 'the body is not JSON in UTF-8' };
  }
  if (!isObject(object)) return { problem: 'the body is not a JSON object' };
  const problem = problemOfStructure(text);
  return problem === undefined ? { object } : { problem };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** NUL, and half of a surrogate pair: legal in JSON's escapes, refused by PostgreSQL's jsonb. */
export const notStorable = /[\0\p{Surrogate}]/u;
const allNotStorable = new RegExp(notStorable, 'gu');

/**
 * The same value with U+FFFD in place of every NUL and half surrogate pair, in keys too. Such a character in a note to
 * the customer must not keep a payment from being recorded; ids, types and references with one were refused before.
 * Recursion is bounded by `maxDepth`. A key `__proto__` stays an ordinary key: fromEntries defines, it does not assign.
 */
export function storable(object: JsonObject): JsonObject {
  return storableValue(object) as JsonObject;
}

function storableValue(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(allNotStorable, '\uFFFD');
  if (Array.isArray(value)) return value.map(storableValue);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [storableValue(key), storableValue(inner)]));
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
