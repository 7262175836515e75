/** Scalpers cannot exceed `maxPerCustomer`, hoard over all products, let holds expire for ever, or bypass the waiting room. */
import { createHmac } from 'node:crypto';
import { signQueueToken } from '../../src/admission/queue-tokens';
import { CallerError, RateLimited } from '../../src/domain/errors';
import { expectClean, expectNothingMoved } from '../support/invariants';
import { HOLD, openApp, openOn, PRODUCTION, type Answer, type Target } from './open-app';

const ORDER = `mutation Order($input: CreateOrderInput!) {
  createOrder(input: $input) { order { id } userErrors { code } }
}`;
const CANCEL = `mutation Cancel($input: CancelOrderInput!) {
  cancelOrder(input: $input) { order { status } userErrors { code } }
}`;
const codesOf = (answers: readonly Answer[]) =>
  answers.map((answer) => answer.data?.createHold.userErrors[0]?.code ?? answer.code);
const idsOf = (answers: readonly Answer[]) => answers.flatMap((answer) => answer.data?.createHold?.hold?.id ?? []);

describe('maxPerCustomer cannot be exceeded', () => {
  let first: Target;
  let second: Target;
  let token: string;
  beforeAll(async () => {
    first = await openApp();
    second = await openOn(first.db);
    token = await first.token('alice');
  });
  afterAll(async () => {
    await second.close();
    await first.close();
  });

  const hold = (server: Target, productId: string, quantity = 1) =>
    server.ask(HOLD, { input: { productId, quantity } }, { token });
  const unitsOf = async (productId: string) => {
    const [row] = await first.db.sql<{ n: number }>(
      "SELECT coalesce(sum(quantity), 0)::int AS n FROM holds WHERE product_id = $1 AND customer_id = 'alice' AND given_back_at IS NULL",
      [productId],
    );
    return row!.n;
  };

  test('by parallel requests to two servers', async () => {
    const productId = await first.product(1_000, 3);
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => hold(i % 2 ? first : second, productId)));
    expect(idsOf(answers)).toHaveLength(3);
    expect(codesOf(answers).filter((code) => code === 'LIMIT_PER_CUSTOMER')).toHaveLength(97);
    expect(await unitsOf(productId)).toBe(3);
    await expectClean(first.db);
  });

  test('by aliases of one document, or a larger quantity', async () => {
    const productId = await first.product(1_000, 2);
    const three = `mutation Three($input: CreateHoldInput!) { ${['a', 'b', 'c']
      .map((name) => `${name}: createHold(input: $input) { hold { id } userErrors { code } }`)
      .join(' ')} }`;
    const { data } = await first.ask(three, { input: { productId } }, { token });
    expect([data.a, data.b, data.c].map(({ userErrors }) => userErrors[0]?.code)).toEqual([
      undefined,
      undefined,
      'LIMIT_PER_CUSTOMER',
    ]);
    const other = await first.product(1_000, 2);
    const answers = [await hold(first, other, 3), await hold(first, other, 2_147_483_647)];
    expect(codesOf(answers)).toEqual(['LIMIT_PER_CUSTOMER', 'LIMIT_PER_CUSTOMER']);
    expect(await unitsOf(other)).toBe(0);
  });

  test('by turning holds into carts and orders', async () => {
    const productId = await first.product(1_000, 2);
    const ids = idsOf([await hold(first, productId), await hold(second, productId)]);
    expect(codesOf([await hold(first, productId)])).toEqual(['LIMIT_PER_CUSTOMER']);
    const carts = await Promise.all(
      [first, second].map((server) => server.ask(ORDER, { input: { holdIds: ids } }, { token })),
    );
    expect(carts.filter(({ data }) => data.createOrder.order)).toHaveLength(1);
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => hold(i % 2 ? first : second, productId)));
    expect(idsOf(answers)).toEqual([]);
    expect(await unitsOf(productId)).toBe(2);
  });

  test('by cancelling orders while asking for more', async () => {
    const productId = await first.product(1_000, 2);
    for (let round = 0; round < 5; round++) {
      const held = await Promise.all(Array.from({ length: 6 }, (_, i) => hold(i % 2 ? first : second, productId)));
      expect(idsOf(held)).toHaveLength(2);
      const { data } = await first.ask(ORDER, { input: { holdIds: idsOf(held) } }, { token });
      const orderId = data.createOrder.order.id as string;
      const answers = await Promise.all([
        first.ask(CANCEL, { input: { orderId } }, { token }),
        second.ask(CANCEL, { input: { orderId } }, { token }),
        ...Array.from({ length: 10 }, (_, i) => hold(i % 2 ? first : second, productId)),
      ]);
      expect(await unitsOf(productId)).toBeLessThanOrEqual(2);
      for (const holdId of idsOf(answers.slice(2))) {
        await first.ask(
          'mutation R($id: ID!) { releaseHold(input: { holdId: $id }) { hold { id } } }',
          { id: holdId },
          { token },
        );
      }
    }
    await expectClean(first.db);
  });

  test('by anonymous requests', async () => {
    const productId = await first.product(10, 2);
    const answer = await expectNothingMoved(first.db, () => first.ask(HOLD, { input: { productId } }));
    expect(codesOf([answer])).toEqual(['CUSTOMER_REQUIRED']);
  });
});

describe('live holds over all products', () => {
  let target: Target;
  let token: string;
  beforeAll(async () => {
    target = await openApp({ MAX_ACTIVE_HOLDS: '5' });
    token = await target.token('alice');
  });
  afterAll(() => target.close());
  const hold = (productId: string, who = token, idempotencyKey?: string) =>
    target.ask(HOLD, { input: { productId, idempotencyKey } }, { token: who });

  test('are limited among simultaneous requests; the rest is RATE_LIMITED and takes nothing', async () => {
    const products = await Promise.all(Array.from({ length: 4 }, () => target.product(100)));
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => hold(products[i % 4]!)));
    expect(idsOf(answers)).toHaveLength(5);
    expect(answers.filter(({ status, code }) => status === 429 && code === 'RATE_LIMITED')).toHaveLength(35);
    const refused = await expectNothingMoved(target.db, () => hold(products[0]!));
    expect(refused.errors[0]!.extensions.retryAfterMs).toBeGreaterThan(0);
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);

    // Another customer and anonymous shoppers have requested none of them.
    expect(idsOf([await hold(products[0]!, await target.token('bob'))])).toHaveLength(1);
    expect(idsOf([await target.ask(HOLD, { input: { productId: products[0] } })])).toHaveLength(1);

    // Released, ordered, paid or expired by whomever: there is room again.
    const [released, ordered] = idsOf(answers);
    await target.ask(
      'mutation R($id: ID!) { releaseHold(input: { holdId: $id }) { hold { id } } }',
      { id: released },
      { token },
    );
    await target.ask(ORDER, { input: { holdIds: [ordered] } }, { token });
    expect(idsOf(await Promise.all(Array.from({ length: 6 }, () => hold(products[1]!))))).toHaveLength(2);
    await expectClean(target.db);
  });

  test('do not keep a replay from being answered', async () => {
    const carla = await target.token('carla');
    const productId = await target.product(100);
    const granted = await Promise.all(Array.from({ length: 5 }, (_, i) => hold(productId, carla, `key-${i}`)));
    expect((await hold(productId, carla, 'key-9')).code).toBe('RATE_LIMITED');
    expect(idsOf([await hold(productId, carla, 'key-2')])).toEqual([idsOf(granted)[2]]);
  });
});

test('a customer who lets holds expire repeatedly has to wait, one who orders them does not', async () => {
  const target = await openApp({ HOLD_TTL_SECONDS: '1', HOLD_COOLDOWN: '3/60' });
  try {
    const productId = await target.product(100);
    const [alice, bob] = [await target.token('alice'), await target.token('bob')];
    const hold = (token: string) => target.ask(HOLD, { input: { productId } }, { token });
    const three = async (token: string) => idsOf([await hold(token), await hold(token), await hold(token)]);
    await three(alice);
    await target.ask(ORDER, { input: { holdIds: await three(bob) } }, { token: bob });
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    const refused = await expectNothingMoved(target.db, () => hold(alice));
    expect(refused).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    expect(refused.errors[0]!.extensions.retryAfterMs).toBeGreaterThan(50_000);
    expect((await hold(alice)).code).toBe('RATE_LIMITED');
    expect(idsOf([await hold(bob)])).toHaveLength(1);
  } finally {
    await target.close();
  }
});

describe('behind a waiting room', () => {
  const ADMISSION_SECRET = 'q'.repeat(32);
  const nowSeconds = Math.floor(Date.now() / 1_000);
  const tokenFor = (sub: string, secondsLeft = 600, secret = ADMISSION_SECRET) =>
    signQueueToken(secret, { sub, endsAtSeconds: nowSeconds + secondsLeft });
  let target: Target;
  let productId: string;
  beforeAll(async () => {
    target = await openApp({ ...PRODUCTION, ADMISSION_SECRET }, { documents: [HOLD] });
    productId = await target.product(100);
  });
  afterAll(() => target.close());
  const hold = async (queueToken: string | undefined, sub?: string, query = HOLD) =>
    target.ask(
      query,
      { input: { productId, quantity: 1 } },
      {
        token: sub ? await target.token(sub) : null,
        headers: queueToken === undefined ? {} : { 'x-queue-token': queueToken },
      },
    );

  test('a queue token admits its customer, or its bearer when it names no customer', async () => {
    expect(idsOf([await hold(tokenFor('alice'), 'alice')])).toHaveLength(1);
    expect(idsOf([await hold(tokenFor('alice'), 'alice', `# not trusted\n${HOLD}`)])).toHaveLength(1);
    expect(idsOf([await hold(tokenFor(''), 'bob'), await hold(tokenFor(''))])).toHaveLength(2);
  });

  const [end, sub, mac] = tokenFor('alice').split('.') as [string, string, string];
  test.each<[string, string | undefined]>([
    ['no token', undefined],
    ['an empty one', ''],
    ['nonsense', 'abc'],
    ['another’s', tokenFor('bob')],
    ['one that has ended', tokenFor('alice', -1)],
    ['one with a later end', `${Number(end) + 1_000}.${sub}.${mac}`],
    ['one with another name', `${end}.${Buffer.from('').toString('base64url')}.${mac}`],
    ['one of another secret', tokenFor('alice', 600, 'x'.repeat(32))],
    [
      'an HMAC for another purpose',
      `${end}.${sub}.${createHmac('sha256', ADMISSION_SECRET).update(`${end}.${sub}`).digest('base64url')}`,
    ],
    ['one of 10 kB', `${end}.${'a'.repeat(10_000)}.${mac}`],
  ])('%s does not', async (_name, queueToken) => {
    for (const query of [HOLD, `# not trusted\n${HOLD}`]) {
      const answer = await expectNothingMoved(target.db, () => hold(queueToken, 'alice', query));
      expect(answer.code).toBe('FORBIDDEN');
      expect(answer.data ?? null).toBeNull();
      expect(answer.text).not.toContain(ADMISSION_SECRET);
    }
  });

  test('an alias or a fragment does not bypass it', async () => {
    const hidden =
      'mutation H($input: CreateHoldInput!) { ...F } fragment F on Mutation { releaseHold: createHold(input: $input) { hold { id } } }';
    expect((await hold(undefined, 'alice', hidden)).code).toBe('FORBIDDEN');
  });

  test('browsing and ordering need no queue token', async () => {
    expect((await target.ask('{ serverTime }')).status).toBe(200);
    const { data } = await target.ask(ORDER, { input: { holdIds: ['x'] } });
    expect(data.createOrder.userErrors).toEqual([{ code: 'HOLD_NOT_FOUND' }]);
  });
});

test('a custom admission hook sees each operation and may refuse it', async () => {
  const seen: unknown[] = [];
  const admissionHook = ({ fields, caller }: { fields: readonly string[]; caller: { customerId: string } }) => {
    seen.push([fields, caller.customerId]);
    if (caller.customerId === 'bot') throw new CallerError('FORBIDDEN', 'Solve the challenge first');
    if (caller.customerId === 'eager') throw new RateLimited(5_000);
  };
  const target = await openApp({}, { admissionHook, documents: [] });
  try {
    const ask = async (sub: string) => target.ask('{ serverTime }', undefined, { token: await target.token(sub) });
    expect(await ask('alice')).toMatchObject({ status: 200 });
    expect(await ask('bot')).toMatchObject({ status: 400, code: 'FORBIDDEN' });
    const eager = await ask('eager');
    expect(eager).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    expect(eager.headers.get('retry-after')).toBe('5');
    expect(seen).toEqual([
      [['serverTime'], 'alice'],
      [['serverTime'], 'bot'],
      [['serverTime'], 'eager'],
    ]);
  } finally {
    await target.close();
  }
});
