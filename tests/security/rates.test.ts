/** How often one customer and one address may ask, whichever way the operation comes. */
import { createHash } from 'node:crypto';
import { expectNothingMoved } from '../support/invariants';
import { HOLD, openApp, PRODUCTION, type Target } from './open-app';

const TRUSTED = 'query Trusted { serverTime }';
const LIMITS = 'browse=5/8,hold=3/6,order=2/4,admin=2/4,document=4/6,webhook=-/3,loopback=on';
/** Lets a test play many clients, with the addresses that it names in X-Forwarded-For. */
const MANY = { TRUSTED_PROXIES: '1', RATE_LIMIT: LIMITS };

let target: Target;
let productId: string;
let lastByte = 0;
beforeAll(async () => {
  target = await openApp(MANY, { documents: [TRUSTED, HOLD] });
  productId = await target.product(1_000);
});
afterAll(() => target.close());

const from = (address: string) => ({ 'x-forwarded-for': address });
const newAddress = () => `192.0.2.${++lastByte}`;
const statuses = async (count: number, ask: (index: number) => Promise<{ status: number }>) => {
  const seen: number[] = [];
  for (let i = 0; i < count; i++) seen.push((await ask(i)).status);
  return seen;
};

describe('an address is limited', () => {
  test.each([
    ['a document by its text', () => TRUSTED],
    [
      'a document by its hash',
      () => ({
        extensions: { persistedQuery: { version: 1, sha256Hash: createHash('sha256').update(TRUSTED).digest('hex') } },
      }),
    ],
    ['any other document', () => '{ serverTime }'],
  ])('for %s', async (_name, query) => {
    const headers = from(newAddress());
    expect(await statuses(10, () => target.ask(query(), undefined, { headers }))).toEqual([
      ...Array(8).fill(200),
      429,
      429,
    ]);
    const refused = await target.ask(query(), undefined, { headers });
    expect(refused.errors).toEqual([
      expect.objectContaining({ extensions: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) } }),
    ]);
    expect(refused.data ?? null).toBeNull();
    const { retryAfterMs } = refused.errors[0]!.extensions;
    expect(retryAfterMs).toBeGreaterThan(0);
    expect(retryAfterMs).toBeLessThanOrEqual(10_000);
    expect(Number(refused.headers.get('retry-after'))).toBe(Math.ceil(retryAfterMs! / 1_000));
    expect((await target.ask(query(), undefined, { headers: from(newAddress()) })).status).toBe(200);
  });

  test.each([HOLD, `${HOLD} #`])('for holds that are refused because of their Idempotency-Key: %s', async (query) => {
    const headers = { ...from(newAddress()), 'idempotency-key': '"' };
    const hold = () => target.ask(query, { input: { productId } }, { headers });
    expect(await statuses(8, hold)).toEqual([...Array(6).fill(400), 429, 429]);
  });

  test('for holds separately: browsing continues, and refused requests take nothing', async () => {
    const headers = from(newAddress());
    const hold = () => target.ask(HOLD, { input: { productId } }, { headers });
    expect(await statuses(6, hold)).toEqual(Array(6).fill(200));
    await expectNothingMoved(target.db, async () => expect((await hold()).status).toBe(429));
    expect((await target.ask(TRUSTED, undefined, { headers })).status).toBe(200);
  });

  test('for each mutation of a document', async () => {
    const headers = from(newAddress());
    const three = `mutation { ${['a', 'b', 'c'].map((name) => `${name}: releaseHold(input: { holdId: "x" }) { hold { id } }`).join(' ')} }`;
    expect(await statuses(3, () => target.ask(three, undefined, { headers }))).toEqual([200, 200, 429]);
  });

  test('for unknown documents, before they are parsed', async () => {
    const headers = from(newAddress());
    const seen = await statuses(8, (i) => target.ask(`{ nobody${i} }`, undefined, { headers }));
    expect(seen).toEqual([...Array(6).fill(400), 429, 429]);
    expect((await target.ask(TRUSTED, undefined, { headers })).status).toBe(200);
  });

  test('for tokens that do not verify', async () => {
    const headers = from(newAddress());
    const seen = await statuses(8, (i) => target.ask(TRUSTED, undefined, { headers, token: `a.b.${i}` }));
    expect(seen).toEqual([...Array(6).fill(401), 429, 429]);
  });

  test('as a /64 network when it is IPv6', async () => {
    const seen = await statuses(10, (i) =>
      target.ask(TRUSTED, undefined, { headers: from(`2001:db8:0:1:${i}::${i + 1}`) }),
    );
    expect(seen).toEqual([...Array(8).fill(200), 429, 429]);
    expect((await target.ask(TRUSTED, undefined, { headers: from('2001:db8:0:2::1') })).status).toBe(200);
  });
});

test('a customer is limited across addresses, and other customers are not', async () => {
  const token = await target.token('carla');
  const ask = () => target.ask(TRUSTED, undefined, { token, headers: from(newAddress()) });
  expect(await statuses(7, ask)).toEqual([...Array(5).fill(200), 429, 429]);
  const dora = await target.token('dora');
  expect((await target.ask(TRUSTED, undefined, { token: dora, headers: from(newAddress()) })).status).toBe(200);
});

test('operations of admins have separate limits', async () => {
  const token = await target.token('operator', ['admin']);
  const query = `{ stockReport(productId: "${productId}") { total } }`;
  expect(await statuses(3, () => target.ask(query, undefined, { token, headers: from(newAddress()) }))).toEqual([
    200, 200, 429,
  ]);
});

test('two servers count separately, as documented', async () => {
  const other = await openApp(MANY, { documents: [TRUSTED] });
  try {
    const headers = from(newAddress());
    for (const server of [target, other]) {
      expect(await statuses(9, () => server.ask(TRUSTED, undefined, { headers }))).toEqual([
        ...Array(8).fill(200),
        429,
      ]);
    }
  } finally {
    await other.close();
  }
});

describe('by default, this machine is not limited', () => {
  test('in development, even for 500 holds at once', async () => {
    const own = await openApp({}, { documents: [] });
    try {
      const id = await own.product(600);
      const token = await own.token('alice');
      const answers = await Promise.all(
        Array.from({ length: 500 }, (_, i) => own.ask(HOLD, { input: { productId: id } }, i % 2 ? { token } : {})),
      );
      expect(answers.filter((answer) => answer.data?.createHold.hold)).toHaveLength(500);
    } finally {
      await own.close();
    }
  });

  test('in production by its address, although its customers are', async () => {
    const own = await openApp({ ...PRODUCTION, RATE_LIMIT: 'hold=50/60' }, { documents: [HOLD] });
    try {
      const id = await own.product(2_000);
      const hold = (token: string | null) => own.ask(HOLD, { input: { productId: id } }, { token });
      const anonymous = await Promise.all(Array.from({ length: 100 }, () => hold(null)));
      expect(anonymous.filter(({ status }) => status === 200)).toHaveLength(100);
      const token = await own.token('alice');
      const alice = await Promise.all(Array.from({ length: 80 }, () => hold(token)));
      expect(alice.filter(({ status }) => status === 200)).toHaveLength(50);
      expect(alice.filter(({ code }) => code === 'RATE_LIMITED')).toHaveLength(30);
    } finally {
      await own.close();
    }
  });
});

test('RATE_LIMIT=off counts nothing', async () => {
  const own = await openApp({ ...PRODUCTION, RATE_LIMIT: 'off' });
  try {
    const token = await own.token('alice');
    const cancel = 'mutation { cancelOrder(input: { orderId: "x" }) { userErrors { code } } }';
    expect(await statuses(40, () => own.ask(cancel, undefined, { token }))).toEqual(Array(40).fill(200));
  } finally {
    await own.close();
  }
});
