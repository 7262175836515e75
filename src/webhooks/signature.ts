/** Standard Webhooks signatures (standardwebhooks.com), version 1: HMAC-SHA256 over the raw bytes. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** How far a message's clock may be off, either way; as the standard's own libraries have it. */
const toleranceSeconds = 5 * 60;
/** A rotation needs two; more is an attempt to make us compute. */
const maxSignatures = 16;
/** 16 signatures take less than 800 characters. */
const maxSignatureHeaderLength = 2048;

export interface SignedPayload {
  id: string;
  timestamp: number | string;
  body: Buffer | string;
  /** `whsec_<base64>` */
  secret: string;
}

export interface SignedRequest {
  headers: IncomingHttpHeaders;
  /** The bytes as they came: text that was decoded and encoded again is another message. */
  body: Buffer;
  secrets: readonly string[];
  nowSeconds: number;
}

/** The value of `webhook-signature` for one message: `v1,<base64>`. */
export function signPayload({ id, timestamp, body, secret }: SignedPayload): string {
  return `v1,${digest({ id, timestamp, body, secret }).toString('base64')}`;
}

/**
 * Whether one of `secrets` signed these very bytes, id and timestamp, not more than 5 minutes ago or ahead. The time
 * taken does not depend on which secret or signature matches. The reason is for the log: senders need no more than 401.
 */
export function verifySignature({ headers, body, secrets, nowSeconds }: SignedRequest): 'ok' | { reason: string } {
  const id = headers['webhook-id'];
  const timestamp = headers['webhook-timestamp'];
  const signature = headers['webhook-signature'];
  if (!isIdentifier(id)) return { reason: 'webhook-id is missing or malformed' };
  if (!isTimestamp(timestamp)) return { reason: 'webhook-timestamp is missing or no decimal number of seconds' };
  const offBySeconds = nowSeconds - Number(timestamp);
  if (offBySeconds > toleranceSeconds) return { reason: 'webhook-timestamp is more than 5 minutes ago' };
  if (offBySeconds < -toleranceSeconds) return { reason: 'webhook-timestamp is more than 5 minutes ahead' };
  const candidates = signaturesIn(signature);
  if (typeof candidates === 'string') return { reason: candidates };

  let isSigned = false;
  for (const secret of secrets) {
    const expected = digest({ id, timestamp, body, secret });
    // No early exit: the time would tell which secret is the current one.
    for (const candidate of candidates) isSigned = timingSafeEqual(expected, candidate) || isSigned;
  }
  return isSigned ? 'ok' : { reason: 'no signature matches' };
}

function digest({ id, timestamp, body, secret }: SignedPayload): Buffer {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
}

/** Printable ASCII: node reads headers as Latin-1, so anything else would not be the bytes that were signed. */
function isIdentifier(value: string | string[] | undefined): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,255}$/.test(value);
}

/** Digits alone: `167abc`, `-1`, `1e9` and `NaN` are read as numbers by much that is more helpful. */
function isTimestamp(value: string | string[] | undefined): value is string {
  return typeof value === 'string' && /^(0|[1-9]\d{0,11})$/.test(value);
}

/** The version 1 signatures of the header, 32 bytes each; other versions are not ours and are passed over. */
function signaturesIn(value: string | string[] | undefined): Buffer[] | string {
  if (typeof value !== 'string' || value === '') return 'webhook-signature is missing';
  if (value.length > maxSignatureHeaderLength) return 'webhook-signature is too long';
  const parts = value.split(' ');
  if (parts.length > maxSignatures) return 'webhook-signature holds too many signatures';
  const ours = parts.filter((part) => /^v1,[A-Za-z0-9+/]{43}=$/.test(part));
  return ours.length > 0
    ? ours.map((part) => Buffer.from(part.slice(3), 'base64'))
    : 'webhook-signature holds no v1 signature';
}
