/** The small rules: windows, money, input, statuses, when a hold is live, and when two messages say the same. */
import { CallerError } from '../../src/domain/errors';
import { groupBy } from '../../src/domain/group-by';
import {
  checkCurrency,
  checkIdempotencyKey,
  checkName,
  checkSaleWindow,
  checkText,
  checkWhole,
} from '../../src/domain/input';
import { lineTotal, sumOfLines } from '../../src/domain/money';
import { repeats, type PaymentMessage } from '../../src/domain/payment-message';
import { isLive, isOverdue, statusOf } from '../../src/domain/records';
import { ERROR_CODES, refusal } from '../../src/domain/refusals';
import { saleStatus } from '../../src/domain/sale-status';
import { HOLD_MOVES, HOLD_STATUSES, moveOrder, ORDER_STATUSES } from '../../src/domain/statuses';
import { orderIdOf } from '../../src/database/ids';

const AT = new Date('2026-11-22T10:00:00Z');
const later = new Date(AT.getTime() + 1);

describe('a product’s sale status', () => {
  const always = { saleStartsAt: null, saleEndsAt: null };
  test.each([
    ['UPCOMING', { ...always, saleStartsAt: later }, 5, false],
    ['ENDED', { ...always, saleEndsAt: AT }, 5, false],
    ['ENDED', { saleStartsAt: later, saleEndsAt: AT }, 0, true],
    ['ON_SALE', { saleStartsAt: AT, saleEndsAt: later }, 1, false],
    ['FULLY_HELD', always, 0, true],
    ['SOLD_OUT', always, 0, false],
    ['UPCOMING', { ...always, saleStartsAt: later }, 0, true],
  ])('is %s', (status, product, available, mayComeBack) => {
    expect(saleStatus(product, { available, mayComeBack, at: AT })).toBe(status);
  });
});

describe('money', () => {
  test('a line total is exact to 2^53 - 1, and a caller error beyond', () => {
    expect(lineTotal(1, Number.MAX_SAFE_INTEGER)).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => lineTotal(2, Number.MAX_SAFE_INTEGER)).toThrow(CallerError);
    expect(() => lineTotal(2_147_483_647, 4_194_305)).toThrow(CallerError);
  });

  test('the total of several lines is their sum, and a caller error beyond 2^53 - 1', () => {
    expect(sumOfLines([])).toBe(0);
    expect(
      sumOfLines([
        { quantity: 2, unitPriceMinor: 4_999 },
        { quantity: 1, unitPriceMinor: 1 },
      ]),
    ).toBe(9_999);
    const half = { quantity: 1, unitPriceMinor: 2 ** 52 };
    expect(() => sumOfLines([half, half])).toThrow(CallerError);
  });
});

describe('input', () => {
  test.each([
    ['NUL', () => checkText('text', 'a\u0000b')],
    ['a lone surrogate', () => checkText('text', '\ud800')],
    ['too long a text', () => checkText('text', 'x'.repeat(10_001))],
    ['an empty key', () => checkIdempotencyKey('')],
    ['a key of 256 characters', () => checkIdempotencyKey('x'.repeat(256))],
    ['a blank name', () => checkName('name', ' \t ')],
    ['a fraction', () => checkWhole('quantity', 1.5, 1)],
    ['zero', () => checkWhole('quantity', 0, 1)],
    ['more than an Int', () => checkWhole('quantity', 2_147_483_648, 1)],
    ['NaN', () => checkWhole('quantity', Number.NaN, 1)],
    ['a small currency', () => checkCurrency('usd')],
    ['a symbol for a currency', () => checkCurrency('$')],
    ['a currency and a newline', () => checkCurrency('USD\n')],
    ['a window without time', () => checkSaleWindow(AT, AT)],
  ])('%s is the caller’s mistake', (_, check) => {
    expect(check).toThrow(CallerError);
  });

  test('what is right passes as it is; a name is trimmed', () => {
    expect(checkIdempotencyKey('x'.repeat(255))).toHaveLength(255);
    expect(checkIdempotencyKey(undefined)).toBeNull();
    expect(checkName('name', ' Zoë 👟 ')).toBe('Zoë 👟');
    expect(checkWhole('quantity', 2_147_483_647, 1)).toBe(2_147_483_647);
    expect(() => checkSaleWindow(AT, later)).not.toThrow();
    expect(() => checkSaleWindow(null, AT)).not.toThrow();
  });
});

describe('statuses', () => {
  test('a hold is live before expiresAt, and overdue from that very moment', () => {
    const hold = { status: 'ACTIVE' as const, expiresAt: later };
    expect([isLive(hold, AT), isOverdue(hold, AT), statusOf(hold, AT)]).toEqual([true, false, 'ACTIVE']);
    expect([isLive(hold, later), isOverdue(hold, later), statusOf(hold, later)]).toEqual([false, true, 'EXPIRED']);
    const consumed = { status: 'CONSUMED' as const, expiresAt: AT };
    expect([isLive(consumed, later), isOverdue(consumed, later), statusOf(consumed, later)]).toEqual([
      false,
      false,
      'CONSUMED',
    ]);
  });

  test('an order moves only as the design draws it', () => {
    const moves = ORDER_STATUSES.flatMap((from) =>
      ORDER_STATUSES.filter((to) => {
        try {
          return moveOrder(from, to) === to;
        } catch {
          return false;
        }
      }).map((to) => `${from} > ${to}`),
    );
    expect(moves).toEqual([
      'PENDING_PAYMENT > PAID',
      'PENDING_PAYMENT > CANCELLED',
      'PAID > REFUNDED',
      'CANCELLED > PAID',
      'CANCELLED > REFUND_DUE',
      'REFUND_DUE > REFUNDED',
    ]);
  });

  test('a hold closes once', () => {
    expect(HOLD_STATUSES.filter((status) => HOLD_MOVES[status].length > 0)).toEqual(['ACTIVE']);
  });
});

describe('a repeated message', () => {
  const data = { reference: 'o', amount_minor: 1, currency: 'USD', payment_id: 'p' };
  const message: PaymentMessage = {
    eventId: 'e',
    type: 'payment.succeeded',
    reference: 'o',
    amountMinor: 1,
    currency: 'USD',
    paymentId: 'p',
    payload: { data },
  };
  test('messages are equal when they differ only in what does not count', () => {
    expect(repeats({ ...message, payload: { data: { ...data, note: 1 }, retry: 2 } }, message)).toBe(true);
  });
  test.each([
    { type: 'payment.failed' },
    { reference: 'x' },
    { amountMinor: 2 },
    { currency: 'EUR' },
    { paymentId: 'q' },
    { paymentId: null },
  ])('says something else with %j', (change) => {
    expect(repeats({ ...message, ...change }, message)).toBe(false);
  });
  test('compares amounts that are none as they came', () => {
    const wrong = (amount: unknown) => ({
      ...message,
      amountMinor: null,
      payload: { data: { ...data, amount_minor: amount } },
    });
    expect(repeats(wrong('100'), wrong('100'))).toBe(true);
    expect(repeats(wrong('100'), wrong(-1))).toBe(false);
  });
});

test('groups come in ascending key, and keep their own order', () => {
  const groups = groupBy(['b2', 'a2', 'b1', 'a1'], (item) => item[0]!);
  expect([...groups]).toEqual([
    ['a', ['a2', 'a1']],
    ['b', ['b2', 'b1']],
  ]);
});

test('every code has one message', () => {
  const messages = ERROR_CODES.map((code) => refusal(code).message);
  expect(messages.every((message) => message.length > 10)).toBe(true);
  expect(refusal('OUT_OF_STOCK').message).toBe('No available stock left for the product');
});

test('an order’s id is made of its customer and key, and of nothing else', () => {
  expect(orderIdOf('alice', 'k')).toBe(orderIdOf('alice', 'k'));
  expect(orderIdOf('alice', 'k')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const pairs = [
    ['alice', 'k'],
    ['', 'k'],
    ['a', 'licek'],
    ['alice","k', ''],
  ].map(([c, k]) => orderIdOf(c!, k!));
  expect(new Set(pairs).size).toBe(4);
});
