/** Reads a webhook's JSON body strictly, and makes it fit for jsonb. */

/** Messages have a few levels. PostgreSQL and JSON.stringify both fail on a body of nothing but brackets. */
const maxDepth = 64;

const utf8 = new TextDecoder('utf-8', { fatal: true });

export type JsonObject = Record<string, unknown>;

/** Why a message could not be read: the sender's mistake, in words that are sent back. */
export interface Problem {
  readonly problem: string;
}

/** Refuses a body that is no JSON object in UTF-8, has a key twice, or is nested deeper than 64 levels. */
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

/** NUL and half a surrogate pair are legal in JSON's escapes, but jsonb refuses them. */
export const notStorable = /[\0\p{Surrogate}]/u;
const allNotStorable = new RegExp(notStorable, 'gu');

/**
 * Replaces every NUL and half surrogate pair by U+FFFD, in keys too: such a character in a note to the customer must not prevent
 * a payment from being recorded. (Ids, types and references with one are refused.) `maxDepth` bounds the recursion. A key
 * `__proto__` stays an ordinary key, because fromEntries defines properties and does not assign them.
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
 * Finds what JSON.parse accepts: a duplicate key (it keeps the last, another parser the first, and one of them would pay the
 * wrong order) and unlimited depth. `text` is valid JSON, so only strings and brackets have to be recognised.
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
