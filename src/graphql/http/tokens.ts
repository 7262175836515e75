/** Verifies bearer tokens (JWT). A request without a token is an anonymous caller. */
import { createSecretKey } from 'node:crypto';
import {
  createRemoteJWKSet,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyOptions,
  SignJWT,
} from 'jose';
import { LRUCache } from 'lru-cache';
import type { AuthConfig } from '../../config';
import { CallerError, Unavailable } from '../../domain/errors';

export interface Caller {
  /** '' is anonymous. */
  readonly customerId: string;
  readonly isAdmin: boolean;
}

export const anonymous: Caller = Object.freeze({ customerId: '', isAdmin: false });

/** Fixed, so that a public key is never used as an HMAC secret, and `none` never as a signature. */
const publicKeyAlgorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'];
/** Fits into the headers that Node accepts. Real tokens have fewer than 2,000 characters. */
const maxTokenLength = 8_192;
/** For tokens of an issuer, whose clock may be ahead of ours. */
const issuerClockToleranceSeconds = 5;

/** Keys are fetched rarely, so ordinary requests do not wait for them. */
const keysTimeoutMs = 2_000;
/** A withdrawn key verifies tokens for this long. */
const keysMaxAgeMs = 600_000;
/**
 * A token that no known key fits may have been signed with a new key, so the keys are fetched early: this many times in a row,
 * and once more after each pause. A flood of forged tokens thus does not become a flood at the issuer.
 */
const maxEarlyFetches = 3;
const earlyFetchEveryMs = 10_000;
/** For a token without `kid`. Issuers have two keys during a rotation, some one for each algorithm and region. */
const maxKeysTried = 16;

/** The cache of verified tokens: at most 8 MB, and at most a minute, so that a withdrawn key soon stops working. */
const maxRemembered = 4_096;
const maxRememberedLength = 2_048;
const maxRememberedMs = 60_000;

interface Verified {
  readonly caller: Caller;
  /** On the monotonic clock: the wall clock may be set back. */
  readonly forgetAtMs: number;
  /** On the wall clock, as the token says. */
  readonly expiresAtMs: number;
}

export type TokenVerifier = (authorizationHeader: string | undefined) => Promise<Caller>;

/**
 * Create one verifier per process: it caches the issuer's keys and verified tokens. Without a header the caller is anonymous.
 * Throws UNAUTHENTICATED for anything but `Bearer <token>`, and for a token that does not verify, has expired, never expires, or
 * names no customer. Throws Unavailable when the issuer's keys cannot be fetched, because nothing is known about the token then.
 */
export function createTokenVerifier({ auth }: { auth: AuthConfig }): TokenVerifier {
  const verifyToken = tokenCheck(auth);
  const remembered = new LRUCache<string, Verified>({ max: maxRemembered });
  return async (header) => {
    if (header === undefined) return anonymous;
    const token = /^Bearer +([\w.~+/=-]+)$/i.exec(header)?.[1];
    if (token === undefined || token.length > maxTokenLength) {
      throw new CallerError('UNAUTHENTICATED', 'The Authorization header must be: Bearer <token>');
    }
    const nowMs = performance.now();
    const known = remembered.get(token);
    if (known !== undefined && nowMs < known.forgetAtMs && Date.now() < known.expiresAtMs) return known.caller;
    const claims = await verifyToken(token);
    const caller = callerOf(claims);
    if (token.length <= maxRememberedLength) {
      const expiresAtMs = (claims.exp ?? Infinity) * 1_000;
      remembered.set(token, { caller, forgetAtMs: nowMs + maxRememberedMs, expiresAtMs });
    }
    return caller;
  };
}

export interface TokenClaims {
  sub: string;
  roles?: readonly string[];
  ttlSeconds: number;
}

/** Signs a token for servers with the same secret. Throws unless `auth` is a secret. */
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
    ...(!auth.allowsNoExpiry && { requiredClaims: ['exp'] }),
  };
  if (auth.kind === 'secret') {
    const key = secretKey(auth.secret);
    const options = { ...required, algorithms: ['HS256'] };
    return async (token) => (await jwtVerify(token, key, options).catch(refuse)).payload;
  }
  const options = { ...required, algorithms: publicKeyAlgorithms, clockTolerance: issuerClockToleranceSeconds };
  const verifyByKeys = checkByKeys(new URL(auth.url), options);
  return (token) => verifyByKeys(token).catch(refuse);
}

/** Verifies with the keys that an issuer publishes. Fetches them when they are old, or when no key fits a token. */
function checkByKeys(url: URL, options: JWTVerifyOptions): (token: string) => Promise<JWTPayload> {
  // We decide when to fetch keys: jose measures by the wall clock, and ignores a new key for half a minute.
  const keys = createRemoteJWKSet(url, {
    timeoutDuration: keysTimeoutMs,
    cacheMaxAge: Infinity,
    cooldownDuration: Infinity,
  });
  let fetchedAtMs = -Infinity;
  let earlyFetches = maxEarlyFetches;
  let countedAtMs = performance.now();
  let fetching: Promise<void> | null = null;
  /** The error of the last fetch. While it is set, nothing is known about a token that no known key fits. */
  let failure: unknown = null;

  const fetchKeys = () => (fetching ??= fetchNow().finally(() => (fetching = null)));
  const fetchNow = async (): Promise<void> => {
    try {
      await keys.reload();
      fetchedAtMs = performance.now();
      failure = null;
    } catch (error) {
      failure = error;
      throw error;
    }
  };

  const mayFetchEarly = (): boolean => {
    const regained = Math.floor((performance.now() - countedAtMs) / earlyFetchEveryMs);
    earlyFetches = Math.min(maxEarlyFetches, earlyFetches + regained);
    countedAtMs += regained * earlyFetchEveryMs;
    if (earlyFetches === 0) return false;
    earlyFetches -= 1;
    return true;
  };

  return async (token) => {
    if (performance.now() - fetchedAtMs >= keysMaxAgeMs) await fetchKeys();
    const seenAtMs = fetchedAtMs;
    try {
      return await verifyWithAny(token, keys, options);
    } catch (error) {
      if (!mayHaveNewKey(error, token)) throw error;
      // A fetch by another request, completed or in progress, serves this token, too.
      if (fetching === null && fetchedAtMs === seenAtMs && !mayFetchEarly()) throw failure ?? error;
      if (fetching !== null || fetchedAtMs === seenAtMs) await fetchKeys();
      return verifyWithAny(token, keys, options);
    }
  };
}

/** Verifies with the key that the token names, or with each key for its algorithm when it names none. */
async function verifyWithAny(
  token: string,
  keys: ReturnType<typeof createRemoteJWKSet>,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, keys, options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    let tried = 0;
    for await (const key of error) {
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch (reason) {
        if (!(reason instanceof errors.JWSSignatureVerificationFailed)) throw reason;
      }
      if (++tried === maxKeysTried) break;
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

/** An unknown key, or, for a token that names no key, a signature by none of the known ones. */
function mayHaveNewKey(error: unknown, token: string): boolean {
  if (error instanceof errors.JWKSNoMatchingKey) return true;
  return error instanceof errors.JWSSignatureVerificationFailed && decodeProtectedHeader(token).kid === undefined;
}

function secretKey(secret: string) {
  return createSecretKey(Buffer.from(secret, 'utf8'));
}

/** jose has an error class for each fault of a token. A failed fetch of the keys is a plain error, or one of three classes. */
function refuse(error: unknown): never {
  const isAboutKeys =
    !(error instanceof errors.JOSEError) ||
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    error.code === errors.JOSEError.code;
  if (isAboutKeys) throw new Unavailable({ cause: error });
  throw new CallerError('UNAUTHENTICATED', reasonOf(error));
}

function reasonOf(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired';
  const isEndless =
    error instanceof errors.JWTClaimValidationFailed && error.claim === 'exp' && error.reason === 'missing';
  return isEndless ? 'The token never expires: it must say when, by exp' : 'The token is not valid';
}

function callerOf({ sub, roles }: JWTPayload): Caller {
  // PostgreSQL stores no NUL, and its driver would silently turn half a surrogate pair into another customer's id.
  if (typeof sub !== 'string' || sub === '' || sub.length > 255 || /[\0\p{Surrogate}]/u.test(sub)) {
    throw new CallerError('UNAUTHENTICATED', 'The token names no customer: sub must be a text of 1 to 255 characters');
  }
  return Object.freeze({ customerId: sub, isAdmin: Array.isArray(roles) && roles.includes('admin') });
}
