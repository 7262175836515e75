/** Standard Webhooks signatures (standardwebhooks.com), version 1: HMAC-SHA256 over the raw bytes. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** Allowed clock difference in either direction, as in the standard's own libraries. */
const toleranceSeconds = 5 * 60;
/** A rotation needs two. Many more are an attempt to waste CPU. */
const maxSignatures = 16;
/** 16 signatures take fewer than 800 characters. */
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
  /** The bytes as received: decoding and encoding them again could change them. */
  body: Buffer;
  secrets: readonly string[];
  nowSeconds: number;
}

/** The value of `webhook-signature` for one message: `v1,<base64>`. */
export function signPayload({ id, timestamp, body, secret }: SignedPayload): string {
  return `v1,${digest({ id, timestamp, body, secret }).toString('base64')}`;
}

/**
 * Whether one of `secrets` signed these bytes with this id and timestamp, at most 5 minutes ago or ahead. The time taken does not
 * depend on which secret or signature matches. The reason is for the log; the sender only gets 401.
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
    // No early exit, which would reveal by its time which secret matched.
    for (const candidate of candidates) isSigned = timingSafeEqual(expected, candidate) || isSigned;
  }
  return isSigned ? 'ok' : { reason: 'no signature matches' };
}

function digest({ id, timestamp, body, secret }: SignedPayload): Buffer {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
}

/** Printable ASCII: Node reads headers as Latin-1, so other characters would not be the bytes that were signed. */
function isIdentifier(value: string | string[] | undefined): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,255}$/.test(value);
}

/** Only digits. More lenient parsers accept `167abc`, `-1`, `1e9` or `NaN`. */
function isTimestamp(value: string | string[] | undefined): value is string {
  return typeof value === 'string' && /^(0|[1-9]\d{0,11})$/.test(value);
}

/** The version 1 signatures in the header, 32 bytes each. Other versions are ignored. */
function signaturesIn(value: string | string[] | undefined): Buffer[] | string {
  if (typeof value !== 'string' || value === '') return 'webhook-signature is missing';
  if (value.length > maxSignatureHeaderLength) return 'webhook-signature is too long';
  const parts = value.split(' ');
  if (parts.length > maxSignatures) return 'webhook-signature holds too many signatures';
  const versionOne = parts.filter((part) => /^v1,[A-Za-z0-9+/]{43}=$/.test(part));
  return versionOne.length > 0
    ? versionOne.map((part) => Buffer.from(part.slice(3), 'base64'))
    : 'webhook-signature holds no v1 signature';
}
