/** Queue tokens: a waiting room in front of the shop signs one for each shopper whom it lets through. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { CallerError } from '../domain/errors';
import type { AdmissionHook } from './admission';

/** Separates these HMACs from any other use of the same secret. */
const PURPOSE = 'flash-sale queue token v1';
const MAX_LENGTH = 1_024;

/**
 * `<end, in seconds since 1970>.<customer, base64url>.<HMAC-SHA256, base64url>`. Without a customer the token admits anyone who
 * carries it.
 */
export function signQueueToken(secret: string, { sub, endsAtSeconds }: { sub: string; endsAtSeconds: number }): string {
  const claims = `${endsAtSeconds}.${Buffer.from(sub).toString('base64url')}`;
  return `${claims}.${digest(secret, claims).toString('base64url')}`;
}

/**
 * Admits to `createHold` only clients that the waiting room let through; other operations, such as ordering existing holds, need
 * no token. Throws `CallerError` FORBIDDEN for a missing, malformed or expired token, or one of another customer.
 */
export function queueHook(secret: string): AdmissionHook {
  return ({ fields, caller, client }) => {
    if (!fields.includes('createHold')) return;
    const { queueToken } = client;
    if (queueToken === undefined) throw refused('Wait in the queue first: createHold needs its x-queue-token');
    const token = read(secret, queueToken);
    if (!token) throw refused('The queue token is not valid');
    if (token.endsAtSeconds * 1_000 <= Date.now()) throw refused('The queue token has ended: queue again');
    if (token.sub !== '' && token.sub !== caller.customerId) throw refused('The queue token is not valid');
  };
}

const refused = (message: string) => new CallerError('FORBIDDEN', message);

function read(secret: string, token: string): { sub: string; endsAtSeconds: number } | null {
  const [, claims, end, sub, signature] =
    (token.length <= MAX_LENGTH && /^((\d{1,12})\.([\w-]*))\.([\w-]{43})$/.exec(token)) || [];
  if (claims === undefined) return null;
  if (!timingSafeEqual(Buffer.from(signature!, 'base64url'), digest(secret, claims))) return null;
  return { sub: Buffer.from(sub!, 'base64url').toString('utf8'), endsAtSeconds: Number(end) };
}

function digest(secret: string, claims: string): Buffer {
  return createHmac('sha256', secret).update(`${PURPOSE}\n${claims}`).digest();
}
