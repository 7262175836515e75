/** A verified token names its customer; any other token is refused and never counts as anonymous. */
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, SignJWT } from 'jose';
import type { AuthConfig } from '../../src/config';
import { CallerError, Unavailable } from '../../src/domain/errors';
import { createTokenVerifier, signToken } from '../../src/graphql/http/tokens';

const secret = 's'.repeat(32);
const auth: AuthConfig = { kind: 'secret', secret, issuer: 'issuer', audience: 'shop' };
const verify = createTokenVerifier({ auth });
const nowSeconds = Math.floor(Date.now() / 1000);
const claims = { sub: 'alice', iss: 'issuer', aud: 'shop', exp: nowSeconds + 600 };

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Put together by hand, so that a library's good sense does not stand in the way of a bad token. */
function token(
  payload: unknown,
  header: object = { alg: 'HS256' },
  key: string | Buffer = secret,
  hash = 'sha256',
): string {
  const signed = `${encode(header)}.${typeof payload === 'string' ? payload : encode(payload)}`;
  return `${signed}.${createHmac(hash, key).update(signed).digest('base64url')}`;
}

async function expectRefused(header: string, verifier = verify): Promise<void> {
  const refusal = await verifier(header).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(CallerError);
  expect(refusal).toMatchObject({ code: 'UNAUTHENTICATED' });
  expect((refusal as Error).message).not.toContain(secret);
}

/** Publishes keys over HTTP, and counts how often it is asked. */
async function issuerOf(jwks: () => unknown) {
  let answer = jwks;
  let fetched = 0;
  const server = createServer((_request, response) => {
    fetched += 1;
    response.end(JSON.stringify(answer()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    fetched: () => fetched,
    answerWith: (next: () => unknown) => void (answer = next),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

describe('an issuer whose tokens name no key (kid)', () => {
  const pairs = [0, 1, 2].map(() => generateKeyPairSync('rsa', { modulusLength: 2048 }));
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwkOf = async (key: KeyObject, more: object = {}) => ({ ...(await exportJWK(key)), ...more });
  const unnamed = (key: KeyObject, alg = 'RS256', payload: object = claims) =>
    new SignJWT({ ...payload, n: Math.random() }).setProtectedHeader({ alg }).sign(key);

  test('may have several keys: a token is tried with each key of its algorithm', async () => {
    const keys = [
      ...(await Promise.all(pairs.slice(0, 2).map(({ publicKey }, n) => jwkOf(publicKey, { kid: `key-${n}` })))),
      await jwkOf(ec.publicKey),
      await jwkOf(pairs[2]!.publicKey, { use: 'enc' }),
    ];
    const issuer = await issuerOf(() => ({ keys }));
    try {
      const verifyByKeys = createTokenVerifier({ auth: { kind: 'jwks', url: issuer.url } });
      for (const { privateKey } of pairs.slice(0, 2)) {
        await expect(verifyByKeys(`Bearer ${await unnamed(privateKey)}`)).resolves.toMatchObject({
          customerId: 'alice',
        });
        await expect(verifyByKeys(`Bearer ${await unnamed(privateKey, 'PS256')}`)).resolves.toMatchObject({
          customerId: 'alice',
        });
      }
      await expect(verifyByKeys(`Bearer ${await unnamed(ec.privateKey, 'ES256')}`)).resolves.toMatchObject({
        customerId: 'alice',
      });
      expect(issuer.fetched()).toBe(1);
      await expectRefused(`Bearer ${await unnamed(pairs[2]!.privateKey)}`, verifyByKeys);
      const old = await unnamed(pairs[1]!.privateKey, 'RS256', { ...claims, exp: nowSeconds - 60 });
      await expect(verifyByKeys(`Bearer ${old}`)).rejects.toThrow('The token has expired');
    } finally {
      issuer.close();
    }
  });

  test('may rotate its keys: a token of a new key is accepted at once', async () => {
    const [old, next] = await Promise.all(pairs.slice(0, 2).map(({ publicKey }) => jwkOf(publicKey)));
    const issuer = await issuerOf(() => ({ keys: [old] }));
    try {
      const verifyByKeys = createTokenVerifier({ auth: { kind: 'jwks', url: issuer.url } });
      await expect(verifyByKeys(`Bearer ${await unnamed(pairs[0]!.privateKey)}`)).resolves.toMatchObject({
        customerId: 'alice',
      });
      issuer.answerWith(() => ({ keys: [old, next] }));
      const tokens = await Promise.all(Array.from({ length: 50 }, () => unnamed(pairs[1]!.privateKey)));
      for (const caller of await Promise.all(tokens.map((text) => verifyByKeys(`Bearer ${text}`)))) {
        expect(caller.customerId).toBe('alice');
      }
      expect(issuer.fetched()).toBe(2);
    } finally {
      issuer.close();
    }
  });
});

test('without a header a shopper is anonymous', async () => {
  await expect(verify(undefined)).resolves.toEqual({ customerId: '', isAdmin: false });
});

describe('a caller is', () => {
  test.each<[string, object, object]>([
    ['the customer of the token', claims, { customerId: 'alice', isAdmin: false }],
    ['an admin by role', { ...claims, roles: ['editor', 'admin'] }, { customerId: 'alice', isAdmin: true }],
    ['no admin by another role', { ...claims, roles: ['administrator'] }, { customerId: 'alice', isAdmin: false }],
    ['no admin by a role that is no list', { ...claims, roles: 'admin' }, { customerId: 'alice', isAdmin: false }],
    ['no admin by an object', { ...claims, roles: { admin: true } }, { customerId: 'alice', isAdmin: false }],
    ['anybody with a long name', { ...claims, sub: 'ü'.repeat(255) }, { customerId: 'ü'.repeat(255), isAdmin: false }],
    ['welcome for several audiences', { ...claims, aud: ['other', 'shop'] }, { customerId: 'alice', isAdmin: false }],
  ])('%s', async (_name, payload, caller) => {
    const header = `Bearer ${token(payload)}`;
    await expect(verify(header)).resolves.toEqual(caller);
    await expect(verify(header)).resolves.toEqual(caller);
    await expect(verify(header.replace('Bearer', 'bearer'))).resolves.toEqual(caller);
  });

  test('the subject of a token that we signed', async () => {
    const signed = await signToken(auth, { sub: 'bob', roles: ['admin'], ttlSeconds: 60 });
    await expect(verify(`Bearer ${signed}`)).resolves.toEqual({ customerId: 'bob', isAdmin: true });
  });
});

describe('a header is refused when it is', () => {
  const good = token(claims);
  test.each([
    ['empty', ''],
    ['Bearer alone', 'Bearer'],
    ['Bearer and a space', 'Bearer '],
    ['the bare token', good],
    ['Basic', `Basic ${good}`],
    ['two tokens', `Bearer ${good} ${good}`],
    ['two headers in one', `Bearer ${good}, Bearer ${good}`],
    ['followed by a line', `Bearer ${good}\n`],
    ['no token at all', 'Bearer null'],
    ['a token of 100 kB', `Bearer ${token({ ...claims, pad: 'p'.repeat(100_000) })}`],
    ['with NUL', `Bearer ${good}\0`],
  ])('%s', (_name, header) => expectRefused(header));
});

describe('a token is refused', () => {
  const [headerPart, payloadPart, signaturePart] = token(claims).split('.') as [string, string, string];
  test.each<[string, string]>([
    ['with alg none', `${encode({ alg: 'none' })}.${payloadPart}.`],
    ['with alg None and a signature', `${encode({ alg: 'None' })}.${payloadPart}.${signaturePart}`],
    ['without a signature', `${headerPart}.${payloadPart}.`],
    ['of two parts', `${headerPart}.${payloadPart}`],
    ['with HS512 instead of HS256', token(claims, { alg: 'HS512' }, secret, 'sha512')],
    ['that says RS256 and is an HMAC', token(claims, { alg: 'RS256' })],
    ['with the wrong secret', token(claims, { alg: 'HS256' }, 'x'.repeat(32))],
    ['with an empty secret', token(claims, { alg: 'HS256' }, '')],
    ['with another payload', `${headerPart}.${encode({ ...claims, sub: 'bob' })}.${signaturePart}`],
    ['with a critical header nobody knows', token(claims, { alg: 'HS256', crit: ['x'], x: 1 })],
    ['that has expired', token({ ...claims, exp: nowSeconds - 1 })],
    ['that expired long ago', token({ ...claims, exp: 1 })],
    ['that never expires', token({ ...claims, exp: undefined })],
    ['that never expires, by null', token({ ...claims, exp: null })],
    ['whose end is a text', token({ ...claims, exp: String(claims.exp) })],
    ['that is not valid yet', token({ ...claims, nbf: nowSeconds + 600 })],
    ['of another issuer', token({ ...claims, iss: 'somebody' })],
    ['of no issuer', token({ ...claims, iss: undefined })],
    ['for another audience', token({ ...claims, aud: 'other' })],
    ['for no audience', token({ ...claims, aud: undefined })],
    ['without a customer', token({ ...claims, sub: undefined })],
    ['with an empty customer', token({ ...claims, sub: '' })],
    ['whose customer is a number', token({ ...claims, sub: 7 })],
    ['whose customer is a list', token({ ...claims, sub: ['alice'] })],
    ['whose customer is too long', token({ ...claims, sub: 'a'.repeat(256) })],
    ['whose customer holds NUL', token({ ...claims, sub: 'alice\0' })],
    ['whose customer is half a surrogate pair', token({ ...claims, sub: 'alice\ud800' })],
    ['whose payload is a list', token([claims])],
    ['whose payload is no JSON', token(Buffer.from('alice').toString('base64url'))],
    ['whose payload is no base64', token('ä')],
  ])('%s', (_name, text) => expectRefused(`Bearer ${text}`));
});

test('a token without an expiry is refused with the reason, and accepted only where a setting says so', async () => {
  const header = `Bearer ${token({ ...claims, exp: undefined })}`;
  await expect(verify(header)).rejects.toMatchObject({
    code: 'UNAUTHENTICATED',
    message: expect.stringMatching(/exp/),
  });
  const lenient = createTokenVerifier({ auth: { ...auth, allowsNoExpiry: true } });
  for (let n = 0; n < 2; n++) await expect(lenient(header)).resolves.toEqual({ customerId: 'alice', isAdmin: false });
  await expectRefused(`Bearer ${token({ ...claims, exp: nowSeconds - 1 })}`, lenient);
});

test('setting the wall clock back does not prolong the cache of a verified token', async () => {
  jest.useFakeTimers({ now: Date.now(), doNotFake: ['nextTick', 'setImmediate', 'setTimeout', 'queueMicrotask'] });
  const issuer = await issuerOf(() => ({ keys: [] }));
  try {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = { ...(await exportJWK(ec.publicKey)), kid: 'ec' };
    issuer.answerWith(() => ({ keys: [jwk] }));
    const verifyByKeys = createTokenVerifier({ auth: { kind: 'jwks', url: issuer.url } });
    const signed = await new SignJWT({ sub: 'alice' })
      .setProtectedHeader({ alg: 'ES256', kid: 'ec' })
      .setExpirationTime('5h')
      .sign(ec.privateKey);
    await expect(verifyByKeys(`Bearer ${signed}`)).resolves.toMatchObject({ customerId: 'alice' });
    issuer.answerWith(() => ({ keys: [] }));
    jest.advanceTimersByTime(11 * 60_000);
    jest.setSystemTime(Date.now() - 3_600_000);
    await expectRefused(`Bearer ${signed}`, verifyByKeys);
  } finally {
    jest.useRealTimers();
    issuer.close();
  }
});

test('a token that was accepted is refused once it has expired', async () => {
  const header = `Bearer ${token({ ...claims, exp: nowSeconds + 2 })}`;
  jest.useFakeTimers({
    now: nowSeconds * 1000,
    doNotFake: ['nextTick', 'setImmediate', 'setTimeout', 'queueMicrotask'],
  });
  try {
    await expect(verify(header)).resolves.toMatchObject({ customerId: 'alice' });
    jest.setSystemTime((nowSeconds + 2) * 1000);
    await expectRefused(header);
  } finally {
    jest.useRealTimers();
  }
});

test('neither the cache nor another configuration of a verifier lets a bad token in', async () => {
  const header = `Bearer ${token(claims)}`;
  await verify(header);
  await expectRefused(header, createTokenVerifier({ auth: { kind: 'secret', secret: 'o'.repeat(32) } }));
});

test('a flood of different tokens is verified one by one', async () => {
  for (let i = 0; i < 5_000; i++) {
    const caller = await verify(`Bearer ${token({ ...claims, sub: `customer-${i}` })}`);
    if (caller.customerId !== `customer-${i}`) throw new Error(`customer-${i} was taken for ${caller.customerId}`);
  }
});

describe('with the public keys of an issuer', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
  let server: Server;
  let keysAnswer: { status: number; body: string };
  let url: string;

  beforeAll(async () => {
    const keys = await Promise.all(
      [rsa, ec].map(async ({ publicKey }, i) => ({ ...(await exportJWK(publicKey)), kid: ['rsa', 'ec'][i] })),
    );
    keysAnswer = { status: 200, body: JSON.stringify({ keys }) };
    server = createServer((_request, response) => response.writeHead(keysAnswer.status).end(keysAnswer.body));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const verifier = () => createTokenVerifier({ auth: { kind: 'jwks', url, issuer: 'issuer', audience: 'shop' } });
  const signedBy = (key: KeyObject, alg: string, kid: string, payload: object = claims) =>
    new SignJWT({ ...payload }).setProtectedHeader({ alg, kid }).sign(key);

  test.each([
    ['RS256', 'rsa', rsa.privateKey],
    ['PS256', 'rsa', rsa.privateKey],
    ['ES256', 'ec', ec.privateKey],
  ])('%s is accepted', async (alg, kid, key) => {
    const header = `Bearer ${await signedBy(key, alg, kid)}`;
    await expect(verifier()(header)).resolves.toEqual({ customerId: 'alice', isAdmin: false });
  });

  test('a public key is not accepted as an HMAC secret', async () => {
    const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' });
    const der = rsa.publicKey.export({ type: 'spki', format: 'der' });
    for (const key of [pem, der]) {
      await expectRefused(`Bearer ${token(claims, { alg: 'HS256', kid: 'rsa' }, key)}`, verifier());
      await expectRefused(`Bearer ${token(claims, { alg: 'RS256', kid: 'rsa' }, key)}`, verifier());
    }
  });

  test('alg none, an unpinned algorithm, a stranger’s key, an unknown key and an expired token are refused', async () => {
    const verifyByKeys = verifier();
    await expectRefused(`Bearer ${encode({ alg: 'none' })}.${encode(claims)}.`, verifyByKeys);
    await expectRefused(`Bearer ${await signedBy(rsa.privateKey, 'RS512', 'rsa')}`, verifyByKeys);
    await expectRefused(`Bearer ${await signedBy(stranger.privateKey, 'RS256', 'rsa')}`, verifyByKeys);
    await expectRefused(`Bearer ${await signedBy(stranger.privateKey, 'RS256', 'unknown')}`, verifyByKeys);
    const old = { ...claims, exp: nowSeconds - 60 };
    await expectRefused(`Bearer ${await signedBy(rsa.privateKey, 'RS256', 'rsa', old)}`, verifyByKeys);
  });

  test.each([
    ['answers with an error', { status: 500, body: 'oops' }],
    ['answers with what is no JSON', { status: 200, body: '<html>' }],
    ['answers with what are no keys', { status: 200, body: '{"keys":7}' }],
  ])('when the issuer %s, a token is SERVICE_UNAVAILABLE and the next attempt may succeed', async (_name, answer) => {
    const verifyByKeys = verifier();
    const header = `Bearer ${await signedBy(rsa.privateKey, 'RS256', 'rsa')}`;
    const good = keysAnswer;
    keysAnswer = answer;
    try {
      await expect(verifyByKeys(header)).rejects.toBeInstanceOf(Unavailable);
    } finally {
      keysAnswer = good;
    }
    await expect(verifyByKeys(header)).resolves.toMatchObject({ customerId: 'alice' });
  });

  test('an unreachable issuer makes tokens SERVICE_UNAVAILABLE, not invalid', async () => {
    const verifyByKeys = createTokenVerifier({ auth: { kind: 'jwks', url: 'http://127.0.0.1:9/keys' } });
    const header = `Bearer ${await signedBy(rsa.privateKey, 'RS256', 'rsa')}`;
    await expect(verifyByKeys(header)).rejects.toBeInstanceOf(Unavailable);
    await expect(verifyByKeys(undefined)).resolves.toMatchObject({ customerId: '' });
  });
});
