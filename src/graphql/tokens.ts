/** Who is asking: a bearer token (JWT) becomes a caller, or is refused; no token at all is an anonymous shopper. */
import { createSecretKey } from 'node:crypto';
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify, type JWTVerifyOptions, SignJWT } from 'jose';
import type { AuthConfig } from '../config';
import { CallerError, Unavailable } from '../domain/errors';

export interface Caller {
  /** '' is anonymous. */
  readonly customerId: string;
  readonly isAdmin: boolean;
}

export const anonymous: Caller = Object.freeze({ customerId: '', isAdmin: false });

/** Pinned, so that a public key never serves as an HMAC secret, and `none` never as a signature. */
const publicKeyAlgorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'];
/** What fits a header that node reads at all; a real token has well under 2,000 characters. */
const maxTokenLength = 8_192;
/** An issuer's clock may be ahead of ours; our own secret is used on our own clock. */
const issuerClockToleranceSeconds = 5;
/** Once the keys are known they are fetched again only now and then, so this is no part of an ordinary request. */
const keysTimeoutMs = 2_000;

/** Verified tokens that are remembered: at most 8 MB of them, and none longer than a minute, so a withdrawn key soon ends. */
const maxRemembered = 4_096;
const maxRememberedLength = 2_048;
const maxRememberedMs = 60_000;

interface Remembered {
  caller: Caller;
  untilMs: number;
}

export type TokenVerifier = (authorizationHeader: string | undefined) => Promise<Caller>;

/**
 * Makes the one judge of `Authorization` headers. No header is the anonymous caller. Whatever is not `Bearer <token>`, or
 * a token that does not verify, has expired, or names no customer, is refused as UNAUTHENTICATED and never anonymous.
 * Throws Unavailable when the issuer's keys are out of reach, for then nothing is known about the token.
 */
export function createTokenVerifier({ auth }: { auth: AuthConfig }): TokenVerifier {
  const verifyToken = tokenCheck(auth);
  const remembered = new Map<string, Remembered>();
  return async (header) => {
    if (header === undefined) return anonymous;
    const token = /^Bearer +([\w.~+/=-]+)$/i.exec(header)?.[1];
    if (token === undefined || token.length > maxTokenLength) {
      throw new CallerError('UNAUTHENTICATED', 'The Authorization header must be: Bearer <token>');
    }
    const nowMs = Date.now();
    const known = remembered.get(token);
    if (known !== undefined && nowMs < known.untilMs) return known.caller;
    const claims = await verifyToken(token);
    const caller = callerOf(claims);
    if (token.length <= maxRememberedLength) remember(remembered, token, caller, claims.exp, nowMs);
    return caller;
  };
}

export interface TokenClaims {
  sub: string;
  roles?: readonly string[];
  ttlSeconds: number;
}

/** A token that this server accepts while it is configured with the same secret. Only where `auth` is a secret. */
export async function signToken(auth: AuthConfig, { sub, roles = [], ttlSeconds }: TokenClaims): Promise<string> {
  if (auth.kind !== 'secret') throw new Error('Tokens are signed by the issuer behind JWKS_URL, not here');
  const token = new SignJWT(roles.length > 0 ? { roles } : {})
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(sub)
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1000) + ttlSeconds);
  if (auth.issuer !== undefined) token.setIssuer(auth.issuer);
  if (auth.audience !== undefined) token.setAudience(auth.audience);
  return token.sign(secretKey(auth.secret));
}

function tokenCheck(auth: AuthConfig): (token: string) => Promise<JWTPayload> {
  const required: JWTVerifyOptions = {
    ...(auth.issuer !== undefined && { issuer: auth.issuer }),
    ...(auth.audience !== undefined && { audience: auth.audience }),
  };
  if (auth.kind === 'secret') {
    const key = secretKey(auth.secret);
    const options = { ...required, algorithms: ['HS256'] };
    return async (token) => (await jwtVerify(token, key, options).catch(refuse)).payload;
  }
  const keys = createRemoteJWKSet(new URL(auth.url), { timeoutDuration: keysTimeoutMs });
  const options = { ...required, algorithms: publicKeyAlgorithms, clockTolerance: issuerClockToleranceSeconds };
  return async (token) => (await jwtVerify(token, keys, options).catch(refuse)).payload;
}

function secretKey(secret: string) {
  return createSecretKey(Buffer.from(secret, 'utf8'));
}

/** jose names what is wrong with a token by a class of its own; a failed fetch of the keys is a plain error, or one of three. */
function refuse(error: unknown): never {
  const isAboutKeys =
    !(error instanceof errors.JOSEError) ||
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    error.code === errors.JOSEError.code;
  if (isAboutKeys) throw new Unavailable({ cause: error });
  const isExpired = error instanceof errors.JWTExpired;
  throw new CallerError('UNAUTHENTICATED', isExpired ? 'The token has expired' : 'The token is not valid');
}

function callerOf({ sub, roles }: JWTPayload): Caller {
  // PostgreSQL stores no NUL, and its driver silently changes half a surrogate pair into another customer's name.
  if (typeof sub !== 'string' || sub === '' || sub.length > 255 || /[\0\p{Surrogate}]/u.test(sub)) {
    throw new CallerError('UNAUTHENTICATED', 'The token names no customer: sub must be a text of 1 to 255 characters');
  }
  return Object.freeze({ customerId: sub, isAdmin: Array.isArray(roles) && roles.includes('admin') });
}

function remember(
  remembered: Map<string, Remembered>,
  token: string,
  caller: Caller,
  expiresAtSeconds: number | undefined,
  nowMs: number,
): void {
  const untilMs = Math.min(nowMs + maxRememberedMs, (expiresAtSeconds ?? Infinity) * 1000);
  remembered.delete(token);
  remembered.set(token, { caller, untilMs });
  if (remembered.size <= maxRemembered) return;
  // A Map keeps the order of insertion: the first one is the oldest.
  for (const oldest of remembered.keys()) {
    remembered.delete(oldest);
    break;
  }
}
