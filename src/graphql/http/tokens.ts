/** Who is asking: a bearer token (JWT) becomes a caller, or is refused; no token at all is an anonymous shopper. */
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

/** Pinned, so that a public key never serves as an HMAC secret, and `none` never as a signature. */
const publicKeyAlgorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'];
/** What fits a header that node reads at all; a real token has well under 2,000 characters. */
const maxTokenLength = 8_192;
/** An issuer's clock may be ahead of ours; our own secret is used on our own clock. */
const issuerClockToleranceSeconds = 5;

/** Once the keys are known they are fetched again only now and then, so this is no part of an ordinary request. */
const keysTimeoutMs = 2_000;
/** So long a withdrawn key goes on verifying. */
const keysMaxAgeMs = 600_000;
/**
 * A token that no known key fits may be signed with a new one: the keys are fetched again at once, so often in a row, and once
 * more after each pause. Tokens that nobody signed are a flood here, and no flood at the issuer.
 */
const maxEarlyFetches = 3;
const earlyFetchEveryMs = 10_000;
/** Of a token without `kid`: an issuer has two keys while it exchanges them, some have one for each algorithm and region. */
const maxKeysTried = 16;

/** Verified tokens that are remembered: at most 8 MB of them, and none longer than a minute, so a withdrawn key soon ends. */
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
 * Makes the one judge of `Authorization` headers, to be made once for a process: it keeps the issuer's keys and what it has verified. No header is the anonymous caller. Whatever is not `Bearer <token>`, or
 * a token that does not verify, has expired, never expires, or names no customer, is refused as UNAUTHENTICATED and never anonymous.
 * Throws Unavailable when the issuer's keys are out of reach, for then nothing is known about the token.
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

/** Verifies with the keys that an issuer publishes, which are fetched when they are old or no key fits a token. */
function checkByKeys(url: URL, options: JWTVerifyOptions): (token: string) => Promise<JWTPayload> {
  // When keys are fetched is decided here: jose measures by the wall clock, and refuses a new key for half a minute.
  const keys = createRemoteJWKSet(url, {
    timeoutDuration: keysTimeoutMs,
    cacheMaxAge: Infinity,
    cooldownDuration: Infinity,
  });
  let fetchedAtMs = -Infinity;
  let earlyFetches = maxEarlyFetches;
  let countedAtMs = performance.now();
  let fetching: Promise<void> | null = null;
  /** Of the last fetch: as long as it fails, nothing is known about a token that no known key fits. */
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
      // Others may have fetched meanwhile, or be about to: that is enough for this token, too.
      if (fetching === null && fetchedAtMs === seenAtMs && !mayFetchEarly()) throw failure ?? error;
      if (fetching !== null || fetchedAtMs === seenAtMs) await fetchKeys();
      return verifyWithAny(token, keys, options);
    }
  };
}

/** With the key that the token names; where it names none, with each that fits its algorithm. */
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

/** A key that nobody knows, or a signature of none of them where the token does not say which key it means. */
function mayHaveNewKey(error: unknown, token: string): boolean {
  if (error instanceof errors.JWKSNoMatchingKey) return true;
  return error instanceof errors.JWSSignatureVerificationFailed && decodeProtectedHeader(token).kid === undefined;
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
  throw new CallerError('UNAUTHENTICATED', reasonOf(error));
}

function reasonOf(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired';
  const isEndless =
    error instanceof errors.JWTClaimValidationFailed && error.claim === 'exp' && error.reason === 'missing';
  return isEndless ? 'The token never expires: it must say when, by exp' : 'The token is not valid';
}

function callerOf({ sub, roles }: JWTPayload): Caller {
  // PostgreSQL stores no NUL, and its driver silently changes half a surrogate pair into another customer's name.
  if (typeof sub !== 'string' || sub === '' || sub.length > 255 || /[\0\p{Surrogate}]/u.test(sub)) {
    throw new CallerError('UNAUTHENTICATED', 'The token names no customer: sub must be a text of 1 to 255 characters');
  }
  return Object.freeze({ customerId: sub, isAdmin: Array.isArray(roles) && roles.includes('admin') });
}
