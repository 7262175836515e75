/** Tokens while the issuer exchanges its keys, and the exact answers that a bad one gets over HTTP. */
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, SignJWT } from 'jose';
import { CallerError, Unavailable } from '../../src/domain/errors';
import { createTokenVerifier } from '../../src/graphql/http/tokens';
import { expectNothingMoved } from '../support/invariants';
import { LEAK } from '../support/server';
import { HOLD, openApp, type Target } from './open-app';

const MINUTE_MS = 60_000;
const keys = ['old', 'new'].map((kid) => ({ kid, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) }));
const [old, next] = keys as [(typeof keys)[0], (typeof keys)[0]];
let issuer: Server;
let url: string;
let published: readonly (typeof keys)[0][] = [old];
let fetched = 0;
let isDown = false;

beforeAll(async () => {
  const answerKeys = async (response: ServerResponse) => {
    fetched += 1;
    if (isDown) return void response.writeHead(500).end();
    const jwks = await Promise.all(
      published.map(async ({ kid, publicKey }) => ({ ...(await exportJWK(publicKey)), kid, alg: 'ES256' })),
    );
    response.end(JSON.stringify({ keys: jwks }));
  };
  issuer = createServer((_request, response) => void answerKeys(response));
  await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/keys`;
});
afterAll(() => {
  issuer.closeAllConnections();
  issuer.close();
});

const sign = (key: KeyObject, kid: string, sub = 'alice') =>
  new SignJWT({ sub, n: Math.random() }).setProtectedHeader({ alg: 'ES256', kid }).setExpirationTime('2h').sign(key);

describe('while the issuer rotates its keys', () => {
  beforeEach(() => {
    published = [old];
    fetched = 0;
    jest.useFakeTimers({ now: Date.now(), doNotFake: ['nextTick', 'setImmediate', 'setTimeout', 'queueMicrotask'] });
  });
  afterEach(() => jest.useRealTimers());
  /** Both clocks go on: the wall clock, and the one that only measures. */
  const later = (ms: number) => jest.advanceTimersByTime(ms);

  test('tokens of the new key are accepted at once, those of the old key until it is withdrawn', async () => {
    const verify = createTokenVerifier({ auth: { kind: 'jwks', url } });
    const verifies = async (key: (typeof keys)[0]) => {
      try {
        return (await verify(`Bearer ${await sign(key.privateKey, key.kid)}`)).customerId;
      } catch (error) {
        if (error instanceof CallerError) return error.code;
        throw error;
      }
    };
    expect(await verifies(old)).toBe('alice');
    published = [old, next];
    expect(await verifies(next)).toBe('alice');
    expect(await verifies(old)).toBe('alice');
    published = [next];
    later(11 * MINUTE_MS);
    expect(await verifies(old)).toBe('UNAUTHENTICATED');
    expect(await verifies(next)).toBe('alice');
  });

  test('an accepted token is refused at most 11 minutes after its key was withdrawn', async () => {
    const verify = createTokenVerifier({ auth: { kind: 'jwks', url } });
    const header = `Bearer ${await sign(old.privateKey, 'old')}`;
    await expect(verify(header)).resolves.toMatchObject({ customerId: 'alice' });
    published = [next];
    later(11 * MINUTE_MS);
    await expect(verify(header)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  test('a flood of unknown key ids does not flood the issuer, and a new key is known within 10 s', async () => {
    const verify = createTokenVerifier({ auth: { kind: 'jwks', url } });
    await verify(`Bearer ${await sign(old.privateKey, 'old')}`);
    for (let i = 0; i < 100; i++) {
      const header = `Bearer ${await sign(next.privateKey, `unknown-${i}`)}`;
      await expect(verify(header)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    }
    // The first fetch, and three more before the flood is taken for one.
    expect(fetched).toBe(4);
    published = [old, next];
    later(10_000);
    await expect(verify(`Bearer ${await sign(next.privateKey, 'new')}`)).resolves.toMatchObject({
      customerId: 'alice',
    });
    expect(fetched).toBe(5);
  });

  test('while the issuer is unreachable, a token of an unknown key is not called invalid', async () => {
    const verify = createTokenVerifier({ auth: { kind: 'jwks', url } });
    await verify(`Bearer ${await sign(old.privateKey, 'old')}`);
    isDown = true;
    try {
      for (let n = 0; n < 10; n++) {
        await expect(verify(`Bearer ${await sign(next.privateKey, 'new')}`)).rejects.toBeInstanceOf(Unavailable);
      }
      await expect(verify(`Bearer ${await sign(old.privateKey, 'old')}`)).resolves.toMatchObject({
        customerId: 'alice',
      });
    } finally {
      isDown = false;
    }
  });
});

describe('over HTTP, a token that does not verify is 401 UNAUTHENTICATED and touches nothing:', () => {
  const secret = 's'.repeat(32);
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = (payload: unknown, header: object = { alg: 'HS256' }, key = secret) => {
    const signed = `${encode(header)}.${encode(payload)}`;
    return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
  };
  const exp = Math.floor(Date.now() / 1_000) + 600;
  const claims = { sub: 'alice', iss: 'issuer', aud: 'shop', exp };
  let target: Target;
  let productId: string;
  beforeAll(async () => {
    target = await openApp({ JWT_SECRET: secret, JWT_ISSUER: 'issuer', JWT_AUDIENCE: 'shop' }, { documents: [HOLD] });
    productId = await target.product(10);
  });
  afterAll(() => target.close());

  test.each<[string, string, RegExp]>([
    ['alg none', `${encode({ alg: 'none' })}.${encode(claims)}.`, /must be: Bearer|not valid/],
    ['RS256 signed with the secret', token(claims, { alg: 'RS256' }), /not valid/],
    ['another secret', token(claims, { alg: 'HS256' }, 'x'.repeat(32)), /not valid/],
    ['an end that has passed', token({ ...claims, exp: exp - 1_200 }), /expired/],
    ['another issuer', token({ ...claims, iss: 'evil' }), /not valid/],
    ['another audience', token({ ...claims, aud: 'other' }), /not valid/],
    ['no customer', token({ ...claims, sub: undefined }), /names no customer/],
    ['an empty customer', token({ ...claims, sub: '' }), /names no customer/],
    ['nonsense', 'abc', /not valid/],
  ])('%s', async (_name, bearer, says) => {
    for (const query of [HOLD, `# not trusted\n${HOLD}`]) {
      const answer = await expectNothingMoved(target.db, () =>
        target.ask(query, { input: { productId, quantity: 1 } }, { token: bearer }),
      );
      expect(answer).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });
      expect(answer.data).toBeUndefined();
      expect(answer.errors[0]!.message).toMatch(says);
      expect(answer.text).not.toMatch(LEAK);
      expect(answer.text).not.toContain(secret);
    }
  });

  test('a valid token is accepted with exactly the roles that it names', async () => {
    const hold = await target.ask(HOLD, { input: { productId } }, { token: token(claims) });
    expect(hold.data.createHold.hold.status).toBe('ACTIVE');
    for (const roles of [undefined, [], ['Admin'], 'admin', { admin: true }]) {
      const report = await target.ask(`{ stockReport(productId: "${productId}") { total } }`, undefined, {
        token: token({ ...claims, roles }),
      });
      expect(report.code).toBe('FORBIDDEN');
    }
  });
});
