/**
 * The header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): the key of the one mutation that a request asks for.
 * It is taken or refused, never ignored, because its sender counts on it.
 */
import type { IncomingMessage } from 'node:http';
import { getNamedType, isInputObjectType, type GraphQLSchema } from 'graphql';
import { CallerError } from '../../domain/errors';
import { MAX_KEY_LENGTH } from '../../domain/input';
import type { Context } from './context';

export const IDEMPOTENCY_KEY_HEADER = 'idempotency-key';

/** A structured field's string (RFC 9651, 3.3.3), as the draft demands: printable ASCII in quotes, `\` before `"` and `\`. */
const QUOTED = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"$/;
/** As most clients send it. Without the characters that would separate two keys, or begin a parameter. */
const BARE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/;

const mistake = (message: string) => new CallerError('BAD_USER_INPUT', message);

/**
 * A quoted and a bare key of the same characters are one key. Throws BAD_USER_INPUT for any other value, and so for two headers,
 * which node joins by a comma.
 */
export function parseIdempotencyKey(header: string): string {
  const quoted = QUOTED.exec(header)?.[1]?.replace(/\\(.)/g, '$1');
  const key = quoted ?? (BARE.test(header) ? header : '');
  if (key !== '' && key.length <= MAX_KEY_LENGTH) return key;
  throw mistake(
    `Idempotency-Key must hold one key of 1 to ${MAX_KEY_LENGTH} ASCII characters, best a UUID in double quotes`,
  );
}

/** Throws BAD_USER_INPUT unless the root fields of a mutation are one whose input has an idempotencyKey. */
export function requireKeyedMutation(schema: GraphQLSchema, fields: readonly string[]): void {
  const [name, ...others] = fields.filter((field) => field !== '__typename');
  if (name !== undefined && others.length === 0 && takesKey(schema, name)) return;
  throw mistake(
    'Idempotency-Key needs an operation with one root field, which is a mutation whose input has an idempotencyKey: ' +
      'leave the header out, or put a key into each input',
  );
}

function takesKey(schema: GraphQLSchema, name: string): boolean {
  const { args = [] } = schema.getMutationType()?.getFields()[name] ?? {};
  return args
    .map(({ type }) => getNamedType(type))
    .some((type) => isInputObjectType(type) && 'idempotencyKey' in type.getFields());
}

/** Throws BAD_USER_INPUT: a socket outlives its first request, and a key names one intent. */
export function refuseKeyOfSocket({ headers }: IncomingMessage): void {
  if (headers[IDEMPOTENCY_KEY_HEADER] === undefined) return;
  throw mistake('over WebSocket the key belongs in the input, not in Idempotency-Key');
}

/**
 * The input with the key of the header, for resolvers of mutations that take a key. Throws BAD_USER_INPUT when the input has
 * another key.
 */
export function withKey<Input extends { readonly idempotencyKey?: string | null }>(
  input: Input,
  { idempotencyKey }: Pick<Context, 'idempotencyKey'>,
): Input {
  if (idempotencyKey === null) return input;
  const own = input.idempotencyKey ?? idempotencyKey;
  if (own !== idempotencyKey) throw mistake('Idempotency-Key and the idempotencyKey of the input differ: send one key');
  return { ...input, idempotencyKey };
}
