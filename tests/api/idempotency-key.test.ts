/** The header Idempotency-Key is the key of a request's only mutation, or the request is refused: on the fast path and by Apollo. */
import { execFile, spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { getNamedType, isInputObjectType } from 'graphql';
import { WebSocket } from 'ws';
import { checkoutSchema } from '../../src/graphql/schema';
import { openApp, type Answer, type Target } from '../security/open-app';
import { expectClean, expectNothingMoved } from '../support/invariants';
import { paymentMessage, signedWebhook } from '../support/server';

const HOLD = `mutation Hold($input: CreateHoldInput!) {
  createHold(input: $input) { hold { id quantity total { amountMinor currency } } userErrors { code } }
}`;
const ORDER = `mutation Order($input: CreateOrderInput!) {
  createOrder(input: $input) { order { id total { amountMinor currency } } userErrors { code } }
}`;
const ADJUST = `mutation Adjust($input: AdjustStockInput!) {
  adjustStock(input: $input) { product { id totalStock } userErrors { code } }
}`;
const LITERAL = `mutation Literal($id: ID!) { __typename ...Held }
  fragment Held on Mutation { mine: createHold(input: { productId: $id }) { hold { id } userErrors { code } } }`;
const RELEASE = `mutation Release($input: ReleaseHoldInput!) { releaseHold(input: $input) { userErrors { code } } }`;
const TWO = `mutation Two($input: CreateHoldInput!) {
  one: createHold(input: $input) { userErrors { code } } two: createHold(input: $input) { userErrors { code } }
}`;
const KEYED_AND_OTHER = `mutation Both($input: CreateHoldInput!, $other: ReleaseHoldInput!) {
  createHold(input: $input) { userErrors { code } } releaseHold(input: $other) { userErrors { code } }
}`;
const QUERY = `query Time { serverTime }`;

let target: Target;
let productId: string;
let token: string;
let admin: string;
beforeAll(async () => {
  const documents = [HOLD, ORDER, ADJUST, LITERAL, RELEASE, TWO, KEYED_AND_OTHER, QUERY];
  target = await openApp({ PLAYGROUND: 'off' }, { documents });
  productId = await target.product(10_000);
  token = await target.token('alice');
  admin = await target.token('operator', ['admin']);
});
afterAll(async () => {
  await expectClean(target.db);
  await target.close();
});

type Variables = Record<string, unknown>;
interface Sent {
  /** As it stands in the header. */
  readonly key?: string;
  readonly token?: string | null;
}

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

/** The three ways of a request, of which the first two take the fast path. */
const WAYS: Readonly<Record<string, (document: string, variables: Variables) => Record<string, unknown>>> = {
  'a trusted document': (query, variables) => ({ query, variables }),
  'the hash of a trusted document': (query, variables) => ({
    extensions: { persistedQuery: { version: 1, sha256Hash: hashOf(query) } },
    variables,
  }),
  'a document that Apollo reads': (query, variables) => ({ query: `${query} #`, variables }),
};

const newKey = () => `"${randomUUID()}"`;

describe.each(Object.keys(WAYS))('sent as %s', (way) => {
  const ask = (document: string, variables: Variables, { key, token: bearer = token }: Sent): Promise<Answer> =>
    target.ask(WAYS[way]!(document, variables), undefined, {
      token: bearer,
      headers: key === undefined ? {} : { 'idempotency-key': key },
    });
  const hold = async (sent: Sent, input: Variables = {}) => {
    const { status, errors, data } = await ask(HOLD, { input: { productId, ...input } }, sent);
    expect([status, errors]).toEqual([200, []]);
    return data.createHold as { hold: { id: string; quantity: number } | null; userErrors: { code: string }[] };
  };
  /** Nothing happened, and the answer is one sentence. */
  const expectRefused = async (
    status: number,
    sentence: RegExp,
    document: string,
    variables: Variables,
    key: string,
  ) => {
    const answer = await expectNothingMoved(target.db, () => ask(document, variables, { key }));
    expect([answer.status, answer.code, answer.errors.length]).toEqual([status, 'BAD_USER_INPUT', 1]);
    expect(answer.errors[0]!.message).toMatch(sentence);
    expect(answer.data ?? null).toBeNull();
  };

  test('one header sent twice makes one hold, and two headers make two', async () => {
    const key = newKey();
    const first = await hold({ key });
    expect(first.hold).not.toBeNull();
    expect(await expectNothingMoved(target.db, () => hold({ key }))).toEqual(first);
    expect((await hold({ key: newKey() })).hold!.id).not.toBe(first.hold!.id);
  });

  test('ten copies at once make one hold', async () => {
    const key = newKey();
    const answers = await Promise.all(Array.from({ length: 10 }, () => hold({ key })));
    expect(new Set(answers.map((answer) => answer.hold!.id)).size).toBe(1);
  });

  test('a quoted key, a bare key and the key of an input are one key', async () => {
    const key = `${randomUUID()} "a\\b"`;
    const { id } = (await hold({}, { idempotencyKey: key })).hold!;
    const quoted = `"${key.replace(/["\\]/g, '\\$&')}"`;
    expect((await hold({ key: quoted })).hold!.id).toBe(id);
    expect((await hold({ key: quoted }, { idempotencyKey: key })).hold!.id).toBe(id);
    expect((await hold({ key: quoted }, { idempotencyKey: null })).hold!.id).toBe(id);
    const bare = randomUUID();
    expect((await hold({ key: bare })).hold!.id).toBe((await hold({ key: `"${bare}"` })).hold!.id);
  });

  test('the header with another quantity is IDEMPOTENCY_KEY_REUSED', async () => {
    const key = newKey();
    await hold({ key });
    expect((await hold({ key }, { quantity: 2 })).userErrors).toEqual([{ code: 'IDEMPOTENCY_KEY_REUSED' }]);
  });

  test('the keys of two customers, and of two mutations, are different keys', async () => {
    const key = newKey();
    const own = (await hold({ key })).hold!;
    expect((await hold({ key, token: await target.token('bob') })).hold!.id).not.toBe(own.id);
    const { data } = await ask(ORDER, { input: { holdIds: [own.id] } }, { key });
    expect(data.createOrder.userErrors).toEqual([]);
  });

  test('a purchase that names no key but the header is repeated without a second effect', async () => {
    const key = newKey();
    const { hold: held } = await hold({ key });
    const order = () => ask(ORDER, { input: { holdIds: [held!.id] } }, { key });
    const { data } = await order();
    expect((await expectNothingMoved(target.db, order)).data).toEqual(data);
    const message = paymentMessage('succeeded', data.createOrder.order);
    const { body, headers } = signedWebhook(message, { secret: target.config.webhookSecrets[0]! });
    const paid = await fetch(`${target.url}/webhooks/payments`, { method: 'POST', body: String(body), headers });
    expect([paid.status, await paid.json()]).toMatchObject([200, { outcome: 'APPLIED' }]);
  });

  test('an operator’s adjustment is made once for one header', async () => {
    const id = await target.product(5);
    const adjust = () =>
      ask(ADJUST, { input: { productId: id, delta: 3, reason: 'found' } }, { key: 'adjust-1', token: admin });
    expect((await adjust()).data.adjustStock.product.totalStock).toBe(8);
    expect((await expectNothingMoved(target.db, adjust)).data.adjustStock.product.totalStock).toBe(8);
  });

  test('an input that is written in the document, below an alias and a fragment next to __typename, takes the header', async () => {
    const key = newKey();
    const first = await ask(LITERAL, { id: productId }, { key });
    expect(first.data.mine.hold.id).toEqual(expect.any(String));
    expect((await ask(LITERAL, { id: productId }, { key })).data).toEqual(first.data);
  });

  test('a header and another key in the input are refused', async () => {
    const variables = { input: { productId, idempotencyKey: randomUUID() } };
    // By decision 23 an operation that was executed is answered 200.
    await expectRefused(
      200,
      /^Idempotency-Key and the idempotencyKey of the input differ: /,
      HOLD,
      variables,
      newKey(),
    );
  });

  test.each<[string, string, () => Variables]>([
    ['several mutations with a key', TWO, () => ({ input: { productId } })],
    [
      'a mutation with a key and one without',
      KEYED_AND_OTHER,
      () => ({ input: { productId }, other: { holdId: 'x' } }),
    ],
    ['a mutation without a key', RELEASE, () => ({ input: { holdId: 'x' } })],
    ['a query', QUERY, () => ({})],
  ])('%s is refused with a header, and answered without', async (_name, document, variables) => {
    const sentence = /^Idempotency-Key needs an operation with one root field, which is a mutation /;
    await expectRefused(400, sentence, document, variables(), newKey());
    expect(await ask(document, variables(), {})).toMatchObject({ status: 200, errors: [] });
  });

  test.each([
    ['nothing', ''],
    ['an empty text', '""'],
    ['256 characters', `"${'k'.repeat(256)}"`],
    ['256 bare characters', 'k'.repeat(256)],
    ['no closing quote', '"key'],
    ['an escape of no quote', '"a\\b"'],
    ['an unescaped quote', '"a"b"'],
    ['a parameter', '"key";v=1'],
    ['two keys', '"one", "two"'],
    ['two bare keys', 'one, two'],
    ['a bare key with a space', 'my key'],
    ['a letter outside of ASCII', '"clé"'],
    ['a tab', '"a\tb"'],
  ])('a header that holds %s is refused', async (_name, key) => {
    const sentence = /^Idempotency-Key must hold one key of 1 to 255 ASCII characters, best a UUID in double quotes$/;
    await expectRefused(400, sentence, HOLD, { input: { productId } }, key);
  });

  test('a key of 255 characters is taken', async () => {
    const key = `"${randomUUID().padEnd(255, 'k')}"`;
    expect((await hold({ key })).hold!.id).toBe((await hold({ key })).hold!.id);
  });

  test('a token that does not verify is refused for the token, whatever the header holds', async () => {
    expect(await ask(HOLD, { input: { productId } }, { key: '', token: 'x' })).toMatchObject({ status: 401 });
  });
});

test('a query by GET is refused with a header', async () => {
  const response = await fetch(`${target.url}/graphql?query=${encodeURIComponent(QUERY)}`, {
    headers: { 'idempotency-key': newKey(), accept: 'application/json' },
  });
  expect([response.status, await response.json()]).toMatchObject([
    400,
    { errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] },
  ]);
});

test('a WebSocket whose handshake has the header is closed', async () => {
  const socket = new WebSocket(target.url.replace('http', 'ws') + '/graphql', 'graphql-transport-ws', {
    headers: { 'idempotency-key': newKey() },
  });
  socket.once('open', () => socket.send(JSON.stringify({ type: 'connection_init' })));
  const [code, reason] = await new Promise<[number, string]>((resolve) =>
    socket.once('close', (closed, why) => resolve([closed, String(why)])),
  );
  expect([code, reason]).toEqual([
    4403,
    'BAD_USER_INPUT: over WebSocket the key belongs in the input, not in Idempotency-Key',
  ]);
});

test('every mutation whose input has an idempotencyKey takes the header', () => {
  const keyed = Object.values(checkoutSchema().getMutationType()!.getFields()).filter(({ args }) =>
    args.some(({ type }) => {
      const input = getNamedType(type);
      return isInputObjectType(input) && 'idempotencyKey' in input.getFields();
    }),
  );
  // Each has a test above: its resolver has to call `withKey`.
  expect(keyed.map(({ name }) => name).sort()).toEqual(['adjustStock', 'createHold', 'createOrder']);
});

const hasCurl = spawnSync('curl', ['--version']).error === undefined;

(hasCurl ? test : test.skip)('curl with one header makes one hold, and with two it is refused', async () => {
  const run = async (...keys: string[]) => {
    const query = `mutation { createHold(input: { productId: "${productId}" }) { hold { id } } }`;
    const { stdout } = await promisify(execFile)('curl', [
      ...['-sS', `${target.url}/graphql`, '-H', 'content-type: application/json'],
      ...keys.flatMap((key) => ['-H', `Idempotency-Key: ${key}`]),
      ...['--data', JSON.stringify({ query })],
    ]);
    return JSON.parse(stdout);
  };
  const key = newKey();
  const first = await run(key);
  expect(first.data.createHold.hold.id).toEqual(expect.any(String));
  expect(await run(key)).toEqual(first);
  expect((await run(key, key)).errors[0].extensions.code).toBe('BAD_USER_INPUT');
});
