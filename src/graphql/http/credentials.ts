/** The credential in the payload of a WebSocket's `connection_init`, which each client library shapes in its own way. */
import { CallerError } from '../../domain/errors';

/** Names under which clients are seen to send a token, in any case; `authorization` is the one that is read. */
const CREDENTIAL =
  /^(authorization|(x[-_])?(auth|access|id|bearer)?[-_]?(token|jwt)|bearer|jwt|api[-_]?key|x[-_]api[-_]key)$/i;
/** Under whatever name. */
const BEARER = /^\s*(bearer|basic)\s/i;
/** Payloads are flat, or hold their headers one level down; deeper than this nobody looks, and nothing is accepted. */
const MAX_DEPTH = 5;

/**
 * `{ authorization }` or `{ headers: { authorization } }`, names in any case. undefined: there is no credential. Throws
 * UNAUTHENTICATED for whatever else looks like one: who meant to be somebody is never served as nobody.
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

/** Asked for every operation of a socket, whose payload never changes. */
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
