/** Finds the credential in the payload of a WebSocket's `connection_init`, whose shape differs between client libraries. */
import { CallerError } from '../../domain/errors';

/** Names under which clients have been seen to send a token, in any case. Only `authorization` is accepted. */
const CREDENTIAL =
  /^(authorization|(x[-_])?(auth|access|id|bearer)?[-_]?(token|jwt)|bearer|jwt|api[-_]?key|x[-_]api[-_]key)$/i;
/** A credential under any name. */
const BEARER = /^\s*(bearer|basic)\s/i;
/** Payloads are flat or contain `headers`. Nothing below this depth is searched. */
const MAX_DEPTH = 5;

/**
 * The value of `{ authorization }` or `{ headers: { authorization } }`, names in any case; undefined when there is no credential.
 * Throws UNAUTHENTICATED for anything else that looks like one, so a client that meant to sign in is never served anonymously.
 */
export function credentialIn(payload: Readonly<Record<string, unknown>> | undefined): string | undefined {
  if (payload === undefined) return undefined;
  const found = known.get(payload) ?? credentialsIn(payload, []);
  known.set(payload, found);
  const [first] = found;
  if (first === undefined) return undefined;
  const isUsable = ({ path, value }: Found) => /^(headers\.)?authorization$/i.test(path) && typeof value === 'string';
  if (!found.every((credential) => isUsable(credential) && credential.value === first.value)) {
    throw new CallerError('UNAUTHENTICATED', 'Send { "authorization": "Bearer <token>" } in connection_init');
  }
  return first.value as string;
}

/** Each operation of a socket asks again, and the payload never changes. */
const known = new WeakMap<object, readonly Found[]>();

interface Found {
  readonly path: string;
  readonly value: unknown;
}

function credentialsIn(value: unknown, path: readonly string[]): Found[] {
  if (typeof value !== 'object' || value === null || path.length === MAX_DEPTH) return [];
  return Object.entries(value).flatMap(([name, inner]): Found[] => {
    if (inner === null) return [];
    const here = [...path, name];
    const isCredential = CREDENTIAL.test(name) || (typeof inner === 'string' && BEARER.test(inner));
    return isCredential ? [{ path: here.join('.'), value: inner }] : credentialsIn(inner, here);
  });
}
