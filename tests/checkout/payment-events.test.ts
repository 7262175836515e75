/** recordPaymentEvent and replayPaymentEvent: each way in which money can come, and where it ends (docs/design.md#payment-events). */
import type { Hold, Order, Product } from '../../src/domain/records';
import type { PaymentOutcome } from '../../src/domain/statuses';
import {
  ALICE,
  codesOf,
  eventOf,
  holdIds,
  message,
  openShop,
  rawMessage,
  untilTaken,
  valueOf,
  type Shop,
} from '../support/checkout';
import { onOneServer } from '../support/citus';
import { expectClean, expectNothingMoved, expectRefused, snapshot } from '../support/invariants';
import { expire, makeOrderOverdue } from '../support/time';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

type Kind = 'succeeded' | 'failed' | 'refunded';

/** Sends an event about a hold or an order, and answers its outcome. */
async function send(kind: Kind, about: Hold | Order, more = {}): Promise<PaymentOutcome> {
  return eventOf(await shop.receive(message(kind, about, more))).outcome;
}

const orderRow = async ({ id }: { id: string }) => (await shop.sql('SELECT * FROM orders WHERE id = $1', [id]))[0]!;
const orderOfHold = async ({ id }: Hold) =>
  (await shop.sql('SELECT * FROM orders WHERE id IN (SELECT order_id FROM holds WHERE id = $1 OFFSET 0)', [id]))[0];
const holdStatus = async ({ id }: Hold) => (await shop.sql('SELECT status FROM holds WHERE id = $1', [id]))[0]!.status;
const available = async ({ id }: Product) =>
  (await shop.sql('SELECT available FROM stock WHERE product_id = $1', [id]))[0]!.available;
const stored = async (eventId: string) =>
  (await shop.sql('SELECT outcome, order_id, settled_at FROM payment_events WHERE event_id = $1', [eventId]))[0]!;

/** A product with one unit, ordered, and cancelled by its payment window. */
async function lateOrder(units = 1, more = {}): Promise<{ product: Product; order: Order }> {
  const product = await shop.product(units, more);
  const order = await shop.orderOf(product, { customerId: ALICE });
  await makeOrderOverdue(shop.sql, order.id);
  await shop.sweep();
  return { product, order };
}

describe('an unpaid order', () => {
  test('an unpaid order is paid by a success of its amount', async () => {
    const order = await shop.orderOf(await shop.product(1));
    const recorded = await shop.receive(message('succeeded', order, { paymentId: 'p' }));
    expect(recorded).toMatchObject({ kind: 'recorded', event: { outcome: 'APPLIED', orderId: order.id } });
    expect(await orderRow(order)).toMatchObject({ status: 'PAID', payment_id: 'p', paid_at: expect.any(Date) });
  });

  test('an unpaid order is paid by a success that names one of its holds', async () => {
    const holds = [await shop.hold(await shop.product(1)), await shop.hold(await shop.product(1))];
    const order = await shop.order(...holds);
    expect(await send('succeeded', order, { reference: holds[1]!.id.toUpperCase() })).toBe('APPLIED');
    expect(await orderRow(order)).toMatchObject({ status: 'PAID' });
  });

  test('an unpaid order is cancelled by a failure of any amount, and its units go back', async () => {
    const product = await shop.product(1);
    const order = await shop.orderOf(product);
    expect(await send('failed', order, { amountMinor: null, currency: null })).toBe('APPLIED');
    expect(await orderRow(order)).toMatchObject({ status: 'CANCELLED', cancelled_by: 'PAYMENT_FAILED' });
    expect(await available(product)).toBe(1);
  });

  test.each([{ amountMinor: 999 }, { amountMinor: 1_001 }, { currency: 'EUR' }, { amountMinor: null }])(
    'is never paid by %j: AMOUNT_MISMATCH, open before the operators',
    async (more) => {
      const order = await shop.orderOf(await shop.product(1));
      const event = message('succeeded', order, more);
      expect(eventOf(await shop.receive(event)).outcome).toBe('AMOUNT_MISMATCH');
      expect(await orderRow(order)).toMatchObject({ status: 'PENDING_PAYMENT' });
      expect(await stored(event.eventId)).toMatchObject({ order_id: order.id, settled_at: null });
    },
  );
});

describe('a live hold', () => {
  test('becomes a paid order of its customer by a success of its amount', async () => {
    const product = await shop.product(3);
    const hold = await shop.hold(product, { quantity: 2, customerId: ALICE });
    expect(await send('succeeded', hold)).toBe('APPLIED');
    expect(await orderOfHold(hold)).toMatchObject({ status: 'PAID', customer_id: ALICE, placed_by: 'PAYMENT' });
    expect(await holdStatus(hold)).toBe('CONSUMED');
    expect(await available(product)).toBe(1);
  });

  test('a failure before the order cancels it once it is there', async () => {
    const product = await shop.product(1);
    const hold = await shop.hold(product);
    expect(await send('failed', hold)).toBe('PARKED');
    expect(await shop.order(hold)).toMatchObject({ status: 'CANCELLED', cancelledBy: 'PAYMENT_FAILED' });
    expect(await available(product)).toBe(1);
  });

  test('a failure and then a success place a paid order: the failure has nothing to say any more', async () => {
    const hold = await shop.hold(await shop.product(1));
    const failure = message('failed', hold);
    await shop.receive(failure);
    expect(await send('succeeded', hold)).toBe('APPLIED');
    expect(await orderOfHold(hold)).toMatchObject({ status: 'PAID' });
    expect(await stored(failure.eventId)).toMatchObject({ outcome: 'IGNORED' });
  });

  test('a refund before the success follows it', async () => {
    const hold = await shop.hold(await shop.product(1));
    const refund = message('refunded', hold, { paymentId: 'p' });
    expect(eventOf(await shop.receive(refund)).outcome).toBe('PARKED');
    expect(await send('succeeded', hold, { paymentId: 'p' })).toBe('APPLIED');
    expect(await orderOfHold(hold)).toMatchObject({ status: 'REFUNDED' });
    expect(await stored(refund.eventId)).toMatchObject({ outcome: 'APPLIED' });
  });

  test('another amount is parked: it may pay an order of several holds, and is a mismatch when none comes', async () => {
    const hold = await shop.hold(await shop.product(1));
    const event = message('succeeded', hold, { amountMinor: 5 });
    expect(eventOf(await shop.receive(event)).outcome).toBe('PARKED');
    await expire(shop.sql, hold.id);
    expect(await shop.sweep()).toMatchObject({ expiredHolds: 1, settledEvents: 1 });
    expect(await stored(event.eventId)).toMatchObject({ outcome: 'AMOUNT_MISMATCH', settled_at: null });
  });

  test('events parked for several holds of an order apply in the order of their arrival', async () => {
    const holds = [await shop.hold(await shop.product(1)), await shop.hold(await shop.product(1))];
    const total = { amountMinor: 2_000 };
    const events = [
      message('failed', holds[0]!),
      message('succeeded', holds[1]!, { ...total, paymentId: 'p1' }),
      message('succeeded', holds[0]!, { ...total, paymentId: 'p2' }),
    ];
    for (const event of events) expect(eventOf(await shop.receive(event)).outcome).toBe('PARKED');
    const order = valueOf(await shop.createOrder({ holdIds: holdIds(holds), customerId: '' }));
    expect(order).toMatchObject({ status: 'PAID', paymentId: 'p1', cancelledBy: 'PAYMENT_FAILED' });
    const outcomes = await Promise.all(events.map(async ({ eventId }) => (await stored(eventId)).outcome));
    expect(outcomes).toEqual(['APPLIED', 'APPLIED', 'REFUND_DUE']);
  });
});

describe('a hold that is over', () => {
  test('expired and not swept: the unit is taken again, the hold stays expired', async () => {
    const product = await shop.product(1);
    const hold = await shop.hold(product);
    await expire(shop.sql, hold.id);
    expect(await send('succeeded', hold)).toBe('APPLIED');
    expect(await holdStatus(hold)).toBe('EXPIRED');
    expect(await orderOfHold(hold)).toMatchObject({ status: 'PAID' });
    expect(await available(product)).toBe(0);
  });

  test('released: the unit is taken again, the hold stays released', async () => {
    const product = await shop.product(1);
    const hold = await shop.hold(product);
    await shop.releaseHold(hold.id);
    expect(await send('succeeded', hold)).toBe('APPLIED');
    expect(await holdStatus(hold)).toBe('RELEASED');
    expect(await available(product)).toBe(0);
  });

  test('the order of a hold whose unit is gone is REFUND_DUE and holds no units', async () => {
    const product = await shop.product(1);
    const hold = await shop.hold(product);
    await expire(shop.sql, hold.id);
    await shop.hold(product);
    const event = message('succeeded', hold);
    expect(eventOf(await shop.receive(event)).outcome).toBe('REFUND_DUE');
    expect(await orderOfHold(hold)).toMatchObject({ status: 'REFUND_DUE' });
    expect(await stored(event.eventId)).toMatchObject({ settled_at: null });
    expect(await available(product)).toBe(0);
    expect(await send('refunded', hold, { paymentId: event.paymentId })).toBe('APPLIED');
    expect(await orderOfHold(hold)).toMatchObject({ status: 'REFUNDED' });
    expect(await stored(event.eventId)).toMatchObject({ outcome: 'REFUND_DUE', settled_at: expect.any(Date) });
  });

  test('another amount is a mismatch at once, and a failure is ignored', async () => {
    const hold = await shop.hold(await shop.product(1));
    await shop.releaseHold(hold.id);
    await expectNothingExcept(['payment_events'], async () => {
      expect(await send('succeeded', hold, { amountMinor: 1 })).toBe('AMOUNT_MISMATCH');
      expect(await send('failed', hold)).toBe('IGNORED');
    });
  });
});

describe('a late success for a cancelled order', () => {
  test('a late payment takes its units again when there are some, whatever the sale window', async () => {
    const { product, order } = await lateOrder();
    await shop.updateProduct({ productId: product.id, saleEndsAt: new Date(0) });
    expect(await send('succeeded', order)).toBe('APPLIED');
    expect(await orderRow(order)).toMatchObject({ status: 'PAID' });
    expect(await available(product)).toBe(0);
  });

  test('also after a failure', async () => {
    const order = await shop.orderOf(await shop.product(1));
    await send('failed', order);
    expect(await send('succeeded', order)).toBe('APPLIED');
    expect(await orderRow(order)).toMatchObject({ status: 'PAID' });
  });

  test('a late payment is REFUND_DUE when its units are gone', async () => {
    const { product, order } = await lateOrder();
    await shop.orderOf(product);
    expect(await send('succeeded', order)).toBe('REFUND_DUE');
    expect(await orderRow(order)).toMatchObject({ status: 'REFUND_DUE', paid_at: null });
  });

  test('a late payment takes the units of an overdue hold', async () => {
    const { product, order } = await lateOrder();
    await expire(shop.sql, (await shop.hold(product)).id);
    expect(await send('succeeded', order)).toBe('APPLIED');
    expect(await available(product)).toBe(0);
  });

  test('a late payment takes all of its units or none', async () => {
    const [a, b] = [await shop.product(1), await shop.product(1)];
    const order = await shop.order(await shop.hold(a), await shop.hold(b));
    await send('failed', order);
    await shop.hold(b);
    expect(await send('succeeded', order)).toBe('REFUND_DUE');
    expect([await available(a), await available(b)]).toEqual([1, 0]);
  });

  test('stays within the limit per customer', async () => {
    const { product, order } = await lateOrder(5, { maxPerCustomer: 1 });
    await shop.hold(product, { customerId: ALICE });
    expect(await send('succeeded', order)).toBe('REFUND_DUE');
    expect(await available(product)).toBe(4);
  });

  test('never revives what its shopper cancelled', async () => {
    const product = await shop.product(1);
    const order = await shop.orderOf(product);
    await shop.cancelOrder(order.id);
    expect(await send('succeeded', order)).toBe('REFUND_DUE');
    expect(await orderRow(order)).toMatchObject({ status: 'REFUND_DUE' });
    expect(await available(product)).toBe(1);
  });
});

describe('a second payment', () => {
  test('a second payment is REFUND_DUE, and its refund settles it and nothing else', async () => {
    const order = await shop.orderOf(await shop.product(1));
    await send('succeeded', order, { paymentId: 'p1' });
    const second = message('succeeded', order, { paymentId: 'p2' });
    expect(eventOf(await shop.receive(second)).outcome).toBe('REFUND_DUE');
    expect(await send('refunded', order, { paymentId: 'p2' })).toBe('APPLIED');
    expect(await stored(second.eventId)).toMatchObject({ outcome: 'REFUND_DUE', settled_at: expect.any(Date) });
    expect(await orderRow(order)).toMatchObject({ status: 'PAID', payment_id: 'p1' });
  });

  test('under the same payment id is ignored', async () => {
    const order = await shop.orderOf(await shop.product(1));
    await send('succeeded', order, { paymentId: 'p1' });
    expect(await send('succeeded', order, { paymentId: 'p1' })).toBe('IGNORED');
  });

  test('whose refund comes first waits for it, and does not touch the order', async () => {
    const order = await shop.orderOf(await shop.product(1));
    const refund = message('refunded', order, { paymentId: 'p2' });
    await send('succeeded', order, { paymentId: 'p1' });
    expect(eventOf(await shop.receive(refund)).outcome).toBe('PARKED');
    expect(await send('succeeded', order, { paymentId: 'p2' })).toBe('REFUND_DUE');
    expect(await stored(refund.eventId)).toMatchObject({ outcome: 'APPLIED' });
    expect(await orderRow(order)).toMatchObject({ status: 'PAID' });
  });
});

// On Citus each has a transaction of its own, and which of two comes first is open.
onOneServer('events that share a transaction see what their neighbours did', async () => {
  const orders = await Promise.all(Array.from({ length: 6 }, async () => shop.orderOf(await shop.product(1))));
  const [twice, copied, ...others] = orders;
  const copy = message('succeeded', copied!);
  // Opens the connections of both transactions that may be under way, so that neither is overtaken while it connects.
  await Promise.all(others.splice(2).map((order) => shop.receive(message('succeeded', order))));
  // The first two go at once, a transaction each, and the others wait for them together.
  const [, , ...recorded] = await Promise.all(
    [
      ...others.map((order) => message('succeeded', order)),
      message('succeeded', twice!, { paymentId: 'p1' }),
      message('succeeded', twice!, { paymentId: 'p2' }),
      copy,
      copy,
    ].map((event) => shop.receive(event)),
  );
  expect(recorded.map((answer) => [answer.kind, eventOf(answer).outcome])).toEqual([
    ['recorded', 'APPLIED'],
    ['recorded', 'REFUND_DUE'],
    ['recorded', 'APPLIED'],
    ['duplicate', 'APPLIED'],
  ]);
});

describe('a refund', () => {
  test('the refund of a paid order moves no units', async () => {
    const product = await shop.product(1);
    const order = await shop.orderOf(product);
    await send('succeeded', order, { paymentId: 'p' });
    expect(await send('refunded', order, { paymentId: 'p' })).toBe('APPLIED');
    expect(await orderRow(order)).toMatchObject({ status: 'REFUNDED' });
    expect(await available(product)).toBe(0);
  });

  test('before its success is parked, and then follows it', async () => {
    const order = await shop.orderOf(await shop.product(1));
    expect(await send('refunded', order, { paymentId: 'p' })).toBe('PARKED');
    expect(await send('succeeded', order, { paymentId: 'p' })).toBe('APPLIED');
    expect(await orderRow(order)).toMatchObject({ status: 'REFUNDED' });
  });

  test('a refund of another amount is AMOUNT_MISMATCH', async () => {
    const order = await shop.orderOf(await shop.product(1));
    await send('succeeded', order, { paymentId: 'p' });
    expect(await send('refunded', order, { paymentId: 'p', amountMinor: 1 })).toBe('AMOUNT_MISMATCH');
    expect(await orderRow(order)).toMatchObject({ status: 'PAID' });
  });
});

describe('the same events end alike in whatever order they come', () => {
  /** Two payments, a refund of each, a failure, and a third payment whose amount is wrong. */
  const EVENTS = {
    success1: { kind: 'succeeded', paymentId: 'p1' },
    refund1: { kind: 'refunded', paymentId: 'p1' },
    success2: { kind: 'succeeded', paymentId: 'p2' },
    refund2: { kind: 'refunded', paymentId: 'p2' },
    failure: { kind: 'failed', paymentId: 'p0' },
    mismatch: { kind: 'succeeded', paymentId: 'p3', amountMinor: 999 },
  } as const;
  type Name = keyof typeof EVENTS;
  /** No more than there are connections: none shall be BUSY. */
  const LANES = 8;

  /** Every order of every set of so many of them, or fewer. */
  const sequences = (names: readonly Name[], most: number): Name[][] =>
    names.flatMap((name) => {
      const others = names.filter((other) => other !== name);
      return [[name], ...(most > 1 ? sequences(others, most - 1) : []).map((rest) => [name, ...rest])];
    });
  /** One to four; a wrong amount is judged alone, so three with it are enough. */
  const CASES = sequences(Object.keys(EVENTS) as Name[], 4)
    .filter((names) => names.length < 4 || !names.includes('mismatch'))
    // The two payments differ in name only: the one that is named first may be called the first.
    .filter((names) => !names.find((name) => /\d/.test(name))?.endsWith('2'));

  /** What became of the order, of its unit, and of each event; an event that is settled leaves nothing to do. */
  interface End {
    order: string | null;
    available: number;
    events: Partial<Record<Name, string>>;
  }

  /**
   * The set alone decides, but for two things: of two payments the one that came first is the order's, and a failure is
   * worth something as long as no payment has come.
   */
  function expectedEnd(about: 'order' | 'hold', sequence: readonly Name[]): End {
    const has = (name: Name) => sequence.includes(name);
    const [winner, second] = sequence.filter((name) => name === 'success1' || name === 'success2');
    const refundOf = (name: Name) => (name === 'success1' ? 'refund1' : 'refund2');
    const failed = winner ? 'IGNORED, settled' : about === 'hold' ? 'PARKED' : 'APPLIED, settled';
    const end: End = { order: about === 'hold' ? null : 'PENDING_PAYMENT', available: 0, events: {} };
    for (const name of sequence) end.events[name] = 'PARKED';
    if (has('mismatch')) end.events.mismatch = about === 'hold' && !winner ? 'PARKED' : 'AMOUNT_MISMATCH';
    if (has('failure')) end.events.failure = failed;
    if (!winner) return about === 'order' && has('failure') ? { ...end, order: 'CANCELLED', available: 1 } : end;
    const failedBefore = about === 'order' && sequence.indexOf('failure') < sequence.indexOf(winner);
    if (has('failure') && failedBefore) end.events.failure = 'APPLIED, settled';
    // The unit is sold once, also when it was given back by a failure and the payment came after it; a refund leaves it so.
    end.order = has(refundOf(winner)) ? 'REFUNDED' : 'PAID';
    end.events[winner] = 'APPLIED, settled';
    if (has(refundOf(winner))) end.events[refundOf(winner)] = 'APPLIED, settled';
    if (second) {
      end.events[second] = has(refundOf(second)) ? 'REFUND_DUE, settled' : 'REFUND_DUE';
      if (has(refundOf(second))) end.events[refundOf(second)] = 'APPLIED, settled';
    }
    return end;
  }

  test.each(['order', 'hold'] as const)('events of an unpaid %s end alike in every order of arrival', async (about) => {
    expect(CASES).toHaveLength(140);
    const found: Record<string, End> = {};
    /** One product for all of a lane, so that its holds and orders are made together; the events come one after the other. */
    const play = async (cases: readonly Name[][]) => {
      const product = await shop.product(cases.length);
      const holds = await Promise.all(cases.map(() => shop.hold(product)));
      const dues = about === 'hold' ? holds : await Promise.all(holds.map((hold) => shop.order(hold)));
      let free = 0;
      for (const [n, sequence] of cases.entries()) {
        const sent = sequence.map((name) => {
          const { kind, ...more } = EVENTS[name];
          return message(kind, dues[n]!, more);
        });
        for (const event of sent) await untilTaken(() => shop.receive(event));
        const rows = await Promise.all(sent.map(({ eventId }) => stored(eventId)));
        const left = (await available(product)) as number;
        found[sequence.join()] = {
          order: ((await orderOfHold(holds[n]!))?.status ?? null) as string | null,
          available: left - free,
          events: Object.fromEntries(
            rows.map(({ outcome, settled_at }, at) => [sequence[at], settled_at ? `${outcome}, settled` : outcome]),
          ),
        };
        free = left;
      }
    };
    const lanes = Array.from({ length: LANES }, (_, lane) => CASES.filter((_sequence, n) => n % LANES === lane));
    await Promise.all(lanes.map(play));
    expect(found).toEqual(Object.fromEntries(CASES.map((sequence) => [sequence.join(), expectedEnd(about, sequence)])));
  });
});

describe('an event is remembered', () => {
  test('a duplicate answers the outcome as it stands now, and moves nothing', async () => {
    const hold = await shop.hold(await shop.product(1));
    const event = message('failed', hold);
    await shop.receive(event);
    expect(await expectNothingMoved(shop, () => shop.receive(event))).toMatchObject({
      kind: 'duplicate',
      event: { outcome: 'PARKED' },
    });
    await shop.order(hold);
    expect(await shop.receive(event)).toMatchObject({ kind: 'duplicate', event: { outcome: 'APPLIED' } });
  });

  test.each([
    { type: 'payment.failed' },
    { amountMinor: 1 },
    { currency: 'EUR' },
    { paymentId: 'x' },
    { reference: 'x' },
  ])('another content under its id (%j) is a conflict that moves nothing', async (change) => {
    const event = message('succeeded', await shop.orderOf(await shop.product(1)));
    await shop.receive(event);
    expect(await expectNothingMoved(shop, () => shop.receive({ ...event, ...change }))).toEqual({ kind: 'conflict' });
  });

  test('the same id of another provider is another event', async () => {
    const order = await shop.orderOf(await shop.product(1));
    const event = message('succeeded', order);
    await shop.receive(event);
    expect(eventOf(await shop.receive(event, 'stripe')).outcome).toBe('REFUND_DUE');
  });

  test('an unknown type is recorded and ignored', async () => {
    const recorded = await shop.receive(rawMessage({ type: 'payment.disputed' }));
    expect(recorded).toMatchObject({ kind: 'recorded', event: { outcome: 'IGNORED', settledAt: expect.any(Date) } });
  });

  test.each(['not a uuid', '01a20368-0000-7000-8000-000000000000', "'; DROP TABLE orders; --"])(
    'a reference that nobody knows (%s) stays parked',
    async (reference) => {
      const event = rawMessage({ type: 'payment.succeeded', reference, amountMinor: 1, currency: 'USD' });
      expect(eventOf(await shop.receive(event)).outcome).toBe('PARKED');
      await shop.sweep();
      expect(await stored(event.eventId)).toMatchObject({ outcome: 'PARKED', settled_at: null });
    },
  );

  test('money without a usable amount is a mismatch, also when nobody knows its reference', async () => {
    const event = rawMessage({ type: 'payment.succeeded', reference: 'nobody', amountMinor: null, currency: 'USD' });
    expect(eventOf(await shop.receive(event)).outcome).toBe('AMOUNT_MISMATCH');
  });
});

describe('replayPaymentEvent', () => {
  test('judges a parked event by how things stand now', async () => {
    const hold = await shop.hold(await shop.product(1));
    const event = message('succeeded', hold, { amountMinor: 5 });
    await shop.receive(event);
    await expire(shop.sql, hold.id);
    expect(await shop.replay(event.eventId)).toMatchObject({ replay: false, value: { outcome: 'AMOUNT_MISMATCH' } });
  });

  test('judges a mismatch again, and leaves it when it still is one', async () => {
    const order = await shop.orderOf(await shop.product(1));
    const event = message('succeeded', order, { amountMinor: 5 });
    await shop.receive(event);
    expect(valueOf(await shop.replay(event.eventId))).toMatchObject({ outcome: 'AMOUNT_MISMATCH', settledAt: null });
  });

  test('answers every other event as it stands, and moves nothing', async () => {
    const event = message('succeeded', await shop.orderOf(await shop.product(1)));
    await shop.receive(event);
    expect(await expectNothingMoved(shop, () => shop.replay(event.eventId))).toMatchObject({
      replay: true,
      value: { outcome: 'APPLIED' },
    });
  });

  test('replayPaymentEvent refuses an unknown event, also one of another provider', async () => {
    const event = message('succeeded', await shop.orderOf(await shop.product(1)));
    await shop.receive(event);
    await expectRefused(shop, () => shop.replay('unknown'), 'PAYMENT_EVENT_NOT_FOUND');
    expect(codesOf(await shop.replay(event.eventId, 'stripe'))).toEqual(['PAYMENT_EVENT_NOT_FOUND']);
  });
});

/** Expects that the work changes rows of these tables only. */
async function expectNothingExcept(tables: readonly string[], work: () => Promise<unknown>): Promise<void> {
  const without = async () =>
    Object.fromEntries(Object.entries(await snapshot(shop.sql)).filter(([table]) => !tables.includes(table)));
  const before = await without();
  await work();
  expect(await without()).toEqual(before);
}
