/** First fit of a batch: every request is judged as if it had come alone, after those before it. */
import * as fc from 'fast-check';
import { CallerError } from '../../src/domain/errors';
import { grantHolds, plainlyOutOfStock, type HoldRequest, type ProductLevel } from '../../src/domain/grant-holds';
import type { Hold, Product } from '../../src/domain/records';

const AT = new Date('2026-11-22T10:00:00Z');
const TTL_SECONDS = 120;
const PRODUCT: Product = {
  id: 'p',
  sku: 'SKU',
  name: 'Product',
  description: null,
  priceMinor: 1_000,
  currency: 'USD',
  maxPerCustomer: null,
  saleStartsAt: null,
  saleEndsAt: null,
  listed: true,
};

let ids = 0;
const request = (more: Partial<HoldRequest> = {}): HoldRequest => ({
  id: `h${(ids += 1)}`,
  productId: 'p',
  quantity: 1,
  customerId: 'alice',
  idempotencyKey: null,
  ...more,
});
const level = (more: Partial<ProductLevel> = {}): ProductLevel => ({
  product: PRODUCT,
  at: AT,
  available: 10,
  hasOverdue: false,
  nextExpiryAt: null,
  earlier: [],
  unitsOf: new Map(),
  overdueOf: [],
  ...more,
});
const decide = (start: ProductLevel, ...requests: HoldRequest[]) => grantHolds(start, requests, TTL_SECONDS);
const kinds = (start: ProductLevel, ...requests: HoldRequest[]) =>
  decide(start, ...requests).verdicts.map((verdict) =>
    verdict.kind === 'refuse' ? verdict.refusal.code : verdict.kind,
  );
const granted = (start: ProductLevel, one: HoldRequest): Hold => {
  const [verdict] = decide(start, one).verdicts;
  if (verdict?.kind !== 'grant') throw new Error('not granted');
  return verdict.hold;
};
const limited = { ...PRODUCT, maxPerCustomer: 2 };

test('a grant fixes price, currency and the time of expiry', () => {
  expect(granted(level(), request({ id: 'h', quantity: 3 }))).toEqual({
    id: 'h',
    productId: 'p',
    quantity: 3,
    unitPriceMinor: 1_000,
    currency: 'USD',
    customerId: 'alice',
    status: 'ACTIVE',
    idempotencyKey: null,
    orderId: null,
    expiresAt: new Date('2026-11-22T10:02:00Z'),
    createdAt: AT,
    closedAt: null,
    givenBackAt: null,
  });
});

test('units go in the order of arrival, and a smaller request behind a refused one may fit', () => {
  const [a, b, c] = [request({ quantity: 7 }), request({ quantity: 5 }), request({ quantity: 3 })];
  expect(kinds(level(), a, b, c)).toEqual(['grant', 'OUT_OF_STOCK', 'grant']);
  expect(decide(level(), a, b, c)).toMatchObject({ missing: 5 });
});

test('what is missing is what a lack of stock alone refused, less what is left', () => {
  expect(decide(level({ available: 2 }), request({ quantity: 5 }))).toMatchObject({ missing: 3 });
  const over = { ...PRODUCT, saleEndsAt: AT };
  expect(decide(level({ available: 0, product: over }), request())).toMatchObject({ missing: 0 });
});

test('out of stock says when the first held unit can come back, also one of the same batch', () => {
  const returnsAt = (start: ProductLevel, ...requests: HoldRequest[]) =>
    decide(start, ...requests).verdicts.map((v) => (v.kind === 'refuse' ? v.refusal.stockReturnsAt : undefined));
  const soon = new Date('2026-11-22T10:00:30Z');
  expect(returnsAt(level({ available: 0, nextExpiryAt: soon }), request())).toEqual([soon]);
  expect(returnsAt(level({ available: 0 }), request())).toEqual([null]);
  expect(returnsAt(level({ available: 1 }), request(), request())).toEqual([
    undefined,
    new Date('2026-11-22T10:02:00Z'),
  ]);
});

describe('refusals come in their order', () => {
  const closed = { ...limited, saleStartsAt: new Date(AT.getTime() + 1), saleEndsAt: new Date(AT.getTime() + 2) };
  const one = request({ idempotencyKey: 'k' });
  const earlier = { ...granted(level(), one), quantity: 2 };
  test.each([
    [
      'a key that names another quantity',
      level({ product: closed, earlier: [earlier] }),
      one,
      'IDEMPOTENCY_KEY_REUSED',
    ],
    ['a limit without a customer', level({ product: closed }), request({ customerId: '' }), 'CUSTOMER_REQUIRED'],
    ['before the sale', level({ product: closed, available: 0 }), request({ quantity: 3 }), 'SALE_NOT_STARTED'],
    ['after the sale', level({ product: { ...limited, saleEndsAt: AT } }), request({ quantity: 3 }), 'SALE_ENDED'],
    ['over the limit', level({ product: limited, available: 0 }), request({ quantity: 3 }), 'LIMIT_PER_CUSTOMER'],
    ['no units', level({ product: limited, available: 0 }), request({ quantity: 2 }), 'OUT_OF_STOCK'],
  ])('%s', (_, start, asked, code) => {
    expect(kinds(start, { ...asked, id: 'new' })).toEqual([code]);
  });
});

test('the window is [saleStartsAt, saleEndsAt)', () => {
  const open = { ...PRODUCT, saleStartsAt: AT, saleEndsAt: new Date(AT.getTime() + 1) };
  expect(kinds(level({ product: open }), request())).toEqual(['grant']);
  expect(kinds(level({ product: open, at: open.saleEndsAt }), request())).toEqual(['SALE_ENDED']);
  expect(kinds(level({ product: open, at: new Date(AT.getTime() - 1) }), request())).toEqual(['SALE_NOT_STARTED']);
});

test('a used key is a replay whatever has become of sale, limit and stock', () => {
  const one = request({ idempotencyKey: 'k' });
  const hold: Hold = { ...granted(level(), one), status: 'EXPIRED' };
  const over = level({ product: { ...limited, saleEndsAt: AT }, available: 0, earlier: [hold] });
  expect(decide(over, { ...one, id: 'new' }).verdicts).toEqual([{ kind: 'replay', hold, product: over.product }]);
});

test('the same key of another customer is another key', () => {
  const hold = granted(level(), request({ idempotencyKey: 'k' }));
  expect(kinds(level({ earlier: [hold] }), request({ idempotencyKey: 'k', customerId: 'bob' }))).toEqual(['grant']);
});

test('a row with the request’s own id is its success: an earlier attempt was committed', () => {
  const one = request();
  const hold = granted(level(), one);
  expect(decide(level({ available: 0, earlier: [hold] }), one).verdicts).toEqual([
    { kind: 'confirm', hold, product: PRODUCT },
  ]);
});

test('a price that leaves the exact integers is one caller’s mistake, and no neighbour’s', () => {
  const dear = level({ product: { ...PRODUCT, priceMinor: Number.MAX_SAFE_INTEGER } });
  const { verdicts } = decide(dear, request({ quantity: 2 }), request({ quantity: 1 }));
  expect(verdicts.map(({ kind }) => kind)).toEqual(['mistake', 'grant']);
  expect(verdicts[0]).toMatchObject({ error: expect.any(CallerError) });
});

const anyRequest = fc.record({
  quantity: fc.integer({ min: 1, max: 4 }),
  customerId: fc.constantFrom('', 'alice', 'bob'),
  idempotencyKey: fc.constantFrom(null, 'k1', 'k2'),
});

test('any batch gives what the same requests give one after another', () => {
  const start = fc.record({
    available: fc.integer({ min: 0, max: 12 }),
    maxPerCustomer: fc.constantFrom(null, 1, 3, 5),
    owned: fc.integer({ min: 0, max: 4 }),
  });
  fc.assert(
    fc.property(start, fc.array(anyRequest, { maxLength: 14 }), ({ available, maxPerCustomer, owned }, some) => {
      const requests = some.map((one) => request(one));
      const product = { ...PRODUCT, maxPerCustomer };
      const first = level({ product, available, unitsOf: new Map([['alice', owned]]) });
      const together = decide(first, ...requests);

      let now = first;
      const alone = requests.map((one) => {
        const { verdicts } = decide(now, one);
        const [verdict] = verdicts;
        if (verdict!.kind === 'grant') {
          const { hold } = verdict!;
          const units = new Map(now.unitsOf);
          units.set(hold.customerId, (units.get(hold.customerId) ?? 0) + hold.quantity);
          const nextExpiryAt = now.nextExpiryAt ?? hold.expiresAt;
          now = {
            ...now,
            available: now.available - hold.quantity,
            unitsOf: units,
            earlier: [...now.earlier, hold],
            nextExpiryAt,
          };
        }
        return verdict;
      });

      expect(together.verdicts).toEqual(alone);
      expect(now.available).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 500 },
  );
});

describe('refusing without a lock', () => {
  const plain = (snapshot: ProductLevel, ...requests: HoldRequest[]) =>
    requests.map((one) => plainlyOutOfStock(snapshot, requests, TTL_SECONDS).get(one)?.code ?? null);

  test('only what one snapshot alone refuses for lack of stock is refused', () => {
    const hold = granted(level(), request({ idempotencyKey: 'k' }));
    const snapshot = level({ available: 1, earlier: [hold] });
    const [fits, large, replay] = [request(), request({ quantity: 2 }), request({ idempotencyKey: 'k' })];
    expect(plain(snapshot, fits, fits, large, replay)).toEqual([null, null, 'OUT_OF_STOCK', null]);
  });

  test('an overdue hold sends everybody to the lock', () => {
    expect(plain(level({ available: 0, hasOverdue: true }), request())).toEqual([null]);
  });

  test('whatever it refuses, the lock refuses too', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5 }), fc.array(anyRequest, { maxLength: 6 }), (available, some) => {
        const requests = some.map((one) => request(one));
        const snapshot = level({ available, product: { ...PRODUCT, maxPerCustomer: 3 } });
        for (const [one, refusal] of plainlyOutOfStock(snapshot, requests, TTL_SECONDS)) {
          expect(decide(snapshot, one).verdicts).toEqual([{ kind: 'refuse', refusal }]);
        }
      }),
    );
  });
});
