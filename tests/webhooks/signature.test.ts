/** A webhook is believed only when one of our secrets signed these very bytes, this id and this minute. */
import { createHmac } from 'node:crypto';
import { signPayload, verifySignature } from '../../src/webhooks/signature';

const secret = `whsec_${Buffer.from('a secret of the provider').toString('base64')}`;
const otherSecret = `whsec_${Buffer.from('another secret, of old').toString('base64')}`;
const nowSeconds = 1_795_342_800;
const id = 'msg_1';
const body = Buffer.from('{"event_id":"evt_1","note":"Grüße ✓"}');

/** Computed without the code under test. */
function hmac(key: string, signedText: string, bytes = body): string {
  const keyBytes = Buffer.from(key.slice('whsec_'.length), 'base64');
  const signed = Buffer.concat([Buffer.from(signedText), bytes]);
  return `v1,${createHmac('sha256', keyBytes).update(signed).digest('base64')}`;
}

const valid = hmac(secret, `${id}.${nowSeconds}.`);

interface Change {
  id?: string | undefined;
  timestamp?: string | undefined;
  signature?: string | undefined;
  body?: Buffer;
  secrets?: string[];
}

function verify(change: Change = {}) {
  const sent = { id, timestamp: String(nowSeconds), signature: valid, body, secrets: [secret], ...change };
  const headers = Object.fromEntries(
    [
      ['webhook-id', sent.id],
      ['webhook-timestamp', sent.timestamp],
      ['webhook-signature', sent.signature],
    ].filter(([, value]) => value !== undefined),
  );
  return verifySignature({ headers, body: sent.body, secrets: sent.secrets, nowSeconds });
}

function signedAt(timestamp: string): Change {
  return { timestamp, signature: hmac(secret, `${id}.${timestamp}.`) };
}

function flipBit(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

test('our signature equals one computed from the standard', () => {
  expect(signPayload({ id, timestamp: nowSeconds, body, secret })).toBe(valid);
  expect(signPayload({ id, timestamp: nowSeconds, body: body.toString(), secret })).toBe(valid);
});

test('our signature equals the example of the standard', () => {
  // From the Standard Webhooks specification's reference implementations.
  const signature = signPayload({
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestamp: 1614265330,
    body: '{"test": 2432232314}',
    secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  });
  expect(signature).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
});

describe('a message is accepted', () => {
  test.each<[string, Change]>([
    ['as it was signed', {}],
    ['at the far ends of five minutes', signedAt(String(nowSeconds - 300))],
    ['from a clock that is ahead by five minutes', signedAt(String(nowSeconds + 300))],
    ['while secrets are exchanged, signed with the new one', { secrets: [otherSecret, secret] }],
    ['while secrets are exchanged, signed with both', { signature: `${hmac(otherSecret, 'x')} ${valid}` }],
    ['beside a signature of another version', { signature: `v1a,c2lnbmF0dXJl ${valid} v2,x` }],
    ['with an empty body', { body: Buffer.alloc(0), signature: hmac(secret, `${id}.${nowSeconds}.`, Buffer.alloc(0)) }],
    [
      'with bytes that are no text',
      { body: Buffer.from([255, 0, 254]), signature: hmac(secret, `${id}.${nowSeconds}.`, Buffer.from([255, 0, 254])) },
    ],
  ])('%s', (_name, change) => {
    expect(verify(change)).toBe('ok');
  });
});

describe('a message is refused', () => {
  test.each<[string, Change]>([
    ['without an id', { id: undefined }],
    ['without a timestamp', { timestamp: undefined }],
    ['without a signature', { signature: undefined }],
    ['with an empty id', { id: '', signature: hmac(secret, `.${nowSeconds}.`) }],
    [
      'with an id of a kilobyte',
      { id: 'i'.repeat(1024), signature: hmac(secret, `${'i'.repeat(1024)}.${nowSeconds}.`) },
    ],
    ['with an empty signature', { signature: '' }],
    ['with a signature of nothing', { signature: 'v1,' }],
    ['with the signature of another version', { signature: valid.replace('v1,', 'v2,') }],
    ['with the bare signature', { signature: valid.slice(3) }],
    ['with a signature that is cut short', { signature: valid.slice(0, -5) }],
    ['with a signature and junk in it', { signature: valid.replace('v1,', 'v1,!') }],
    ['with a secret that is not ours', { secrets: [otherSecret] }],
    ['when there is no secret', { secrets: [] }],
    ['with a bit flipped at the start of the body', { body: flipBit(body, 0) }],
    ['with a bit flipped at the end of the body', { body: flipBit(body, body.length - 1) }],
    ['with one byte more', { body: Buffer.concat([body, Buffer.from(' ')]) }],
    ['under another id', { id: 'msg_2' }],
    ['with the timestamp of another second', { timestamp: String(nowSeconds + 1) }],
    ['that was signed more than five minutes ago', signedAt(String(nowSeconds - 301))],
    ['that was signed more than five minutes ahead', signedAt(String(nowSeconds + 301))],
    ...['167abc', '-1', 'NaN', '1e9', '0x6b', '1795342800.0', ' 1795342800', '01795342800', '', '9'.repeat(30)].map(
      (timestamp): [string, Change] => [`with the timestamp ${JSON.stringify(timestamp)}`, signedAt(timestamp)],
    ),
  ])('%s', (_name, change) => {
    expect(verify(change)).toEqual({ reason: expect.any(String) });
  });
});

test.each([
  ['a megabyte of signatures', `${hmac(otherSecret, 'x')} `.repeat(20_000) + valid],
  ['a megabyte without a space', 'v1,'.padEnd(1024 * 1024, 'A')],
  ['more signatures than any rotation needs', `${hmac(otherSecret, 'x')} `.repeat(16) + valid],
])('%s are refused at little cost', (_name, signature) => {
  const startedAt = performance.now();
  expect(verify({ signature })).toEqual({ reason: expect.any(String) });
  expect(performance.now() - startedAt).toBeLessThan(100);
});
