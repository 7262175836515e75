/** P5 and P6, with parallel connections: an event has one effect, whatever comes at the same moment. */
import { orderIdOf } from '../../src/database/ids';
import type { PaymentMessage } from '../../src/domain/payment-message';
import type { Hold, Order } from '../../src/domain/records';
import {
  ALICE,
  codesOf,
  eventOf,
  holdIds,
  message,
  newKey,
  openShop,
  untilTaken,
  valueOf,
  type Server,
  type Shop,
} from '../support/checkout';
import { expectClean, violations } from '../support/invariants';
import { collide, fairly, stampede } from '../support/races';
import { expire } from '../support/time';
import { naiveFailure, naiveOrder } from './controls/naive';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterEach(() => expectClean(shop));
afterAll(() => shop.close());

const receive = (event: PaymentMessage) => (server: Server) => server.receive(event);
const placeOrder =
  (...holds: Hold[]) =>
  (server: Server) =>
    server.createOrder({ holdIds: holdIds(holds), customerId: '' });
const statusOf = async ({ id }: Pick<Order, 'id'>) =>
  (await shop.sql<{ status: string }>('SELECT status FROM orders WHERE id = $1', [id]))[0]!.status;
const availableOf = async ({ productId }: Hold) =>
  (await shop.sql<{ available: number }>('SELECT available FROM stock WHERE product_id = $1', [productId]))[0]!
    .available;

async function heldOfTwo(): Promise<Hold> {
  return shop.hold(await shop.product(2));
}

describe('a webhook is processed once', () => {
  /** One event a hundred times at three servers: one is recorded, the others are duplicates with its outcome. */
  async function receiveHundredTimes(event: PaymentMessage): Promise<void> {
    const answers = await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all(Array.from({ length: 100 }, (_, n) => untilTaken(() => serverOf(n).receive(event)))),
      ),
    );
    expect(answers.filter((answer) => answer.kind === 'recorded')).toHaveLength(1);
    expect(answers.filter((answer) => answer.kind === 'duplicate')).toHaveLength(99);
    expect(new Set(answers.map((answer) => eventOf(answer).outcome))).toEqual(new Set(['APPLIED']));
  }

  test('a webhook is processed once', async () => {
    const hold = await heldOfTwo();
    const order = await shop.order(hold);
    await receiveHundredTimes(message('failed', order));
    expect(await statusOf(order)).toBe('CANCELLED');
    expect(await availableOf(hold)).toBe(2);
  });

  test('a payment that comes a hundred times at once pays once', async () => {
    const hold = await heldOfTwo();
    const order = await shop.order(hold);
    await receiveHundredTimes(message('succeeded', order));
    expect(await statusOf(order)).toBe('PAID');
    expect(await availableOf(hold)).toBe(1);
  });

  test('a payment of a hold that comes a hundred times at once places one order', async () => {
    const hold = await heldOfTwo();
    await receiveHundredTimes(message('succeeded', hold));
    const orders = await shop.sql('SELECT status FROM orders JOIN order_lines ON order_id = id WHERE hold_id = $1', [
      hold.id,
    ]);
    expect(orders).toEqual([{ status: 'PAID' }]);
  });

  test('a copy that waits for the first is a duplicate, and tells its outcome', async () => {
    const order = await shop.order(await heldOfTwo());
    const copy = receive(message('failed', order));
    const { first, others } = await fairly(shop, () => collide(shop, copy, [copy, copy]));
    expect(first.kind).toBe('recorded');
    expect(others).toEqual(others.map(() => ({ kind: 'duplicate', event: eventOf(first) })));
  });

  test('a copy with another content is a conflict, also while the first is on its way', async () => {
    const order = await shop.order(await heldOfTwo());
    const event = message('failed', order);
    const { others } = await fairly(shop, () => collide(shop, receive(event), [receive({ ...event, amountMinor: 1 })]));
    expect(others).toEqual([{ kind: 'conflict' }]);
  });

  test('control: an event that is looked up before it is written gives units back twice', async () => {
    const product = await shop.product(3);
    const [hold] = [await shop.hold(product), await shop.hold(product)];
    const order = await shop.order(hold!);
    const naive = naiveFailure(message('failed', order), order, hold!);
    await collide(shop, naive, [naive]);
    expect((await violations(shop)).map(({ promise }) => promise)).toContain('P1');
    await shop.sql('UPDATE stock SET available = 2 WHERE product_id = $1', [product.id]);
  });

  test('of two simultaneous payments of one order one is applied, and the other is REFUND_DUE', async () => {
    const order = await shop.order(await heldOfTwo());
    const pay = () => receive(message('succeeded', order));
    const { first, others } = await fairly(shop, () => collide(shop, pay(), [pay()]));
    expect([eventOf(first).outcome, eventOf(others[0]!).outcome]).toEqual(['APPLIED', 'REFUND_DUE']);
  });

  test('a payment and a failure of one order at once end alike in either order', async () => {
    for (const kinds of [['succeeded', 'failed'] as const, ['failed', 'succeeded'] as const]) {
      const order = await shop.order(await heldOfTwo());
      const [one, other] = kinds.map((kind) => receive(message(kind, order)));
      await fairly(shop, () => collide(shop, one!, [other!]));
      expect(await statusOf(order)).toBe('PAID');
    }
  });

  test('all events of many orders at once: each order is paid, and nothing deadlocks', async () => {
    const product = await shop.product(20);
    const orders = await Promise.all(Array.from({ length: 20 }, () => shop.orderOf(product)));
    const events = orders.flatMap((order) => [message('succeeded', order), message('failed', order)]);
    await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all([
          ...events.map((event, n) => untilTaken(() => serverOf(n).receive(event))),
          // Each at another server than its copy above.
          ...events.toReversed().map((event, n) => untilTaken(() => serverOf(n + 2).receive(event))),
        ]),
      ),
    );
    expect(await Promise.all(orders.map(statusOf))).toEqual(orders.map(() => 'PAID'));
  });
});

describe('a webhook before its order is applied', () => {
  test('a webhook before its order is applied', async () => {
    const hold = await heldOfTwo();
    const { first, others } = await fairly(shop, () =>
      collide(shop, receive(message('failed', hold)), [placeOrder(hold)]),
    );
    expect(eventOf(first).outcome).toBe('PARKED');
    expect(valueOf(others[0]!).status).toBe('CANCELLED');
    expect(await availableOf(hold)).toBe(2);
  });

  test('an order before its webhook is cancelled by it', async () => {
    const hold = await heldOfTwo();
    const { first, others } = await fairly(shop, () =>
      collide(shop, placeOrder(hold), [receive(message('failed', hold))]),
    );
    expect(eventOf(others[0]!)).toMatchObject({ outcome: 'APPLIED', orderId: valueOf(first).id });
    expect(await statusOf(valueOf(first))).toBe('CANCELLED');
  });

  /** An order whose id is known before it is placed, and its payment. */
  async function keyedOrder() {
    const hold = await heldOfTwo();
    const idempotencyKey = newKey();
    const id = orderIdOf(ALICE, idempotencyKey);
    const place = (server: Server) =>
      server.createOrder({ holdIds: holdIds([hold]), customerId: ALICE, idempotencyKey });
    return { id, place, pay: receive(message('succeeded', { ...hold, id })) };
  }

  test('a payment of an order that is being placed, by the id that its key makes, waits for it', async () => {
    const { id, place, pay } = await keyedOrder();
    const { first, others } = await fairly(shop, () => collide(shop, place, [pay]));
    expect(valueOf(first).id).toBe(id);
    expect(eventOf(others[0]!).outcome).toBe('APPLIED');
  });

  test('an order whose payment is being parked, by the id that its key makes, waits for it', async () => {
    const { place, pay } = await keyedOrder();
    const { first, others } = await fairly(shop, () => collide(shop, pay, [place]));
    expect(eventOf(first).outcome).toBe('PARKED');
    expect(valueOf(others[0]!).status).toBe('PAID');
  });

  test('control: an order that looks for parked events before its lock misses one for ever', async () => {
    const hold = await heldOfTwo();
    const event = message('failed', hold);
    const { others } = await collide<unknown, string>(shop, receive(event), [naiveOrder(hold)]);
    expect(await statusOf({ id: others[0]! })).toBe('PENDING_PAYMENT');
    const [row] = await shop.sql('SELECT outcome FROM payment_events WHERE event_id = $1', [event.eventId]);
    expect(row).toEqual({ outcome: 'PARKED' });
  });

  test('a payment of a hold and its order at once: the shopper gets the paid order', async () => {
    const hold = await heldOfTwo();
    const { first, others } = await fairly(shop, () =>
      collide(shop, receive(message('succeeded', hold)), [placeOrder(hold)]),
    );
    const order = valueOf(others[0]!);
    expect(order).toMatchObject({ id: eventOf(first).orderId, status: 'PAID' });
    expect(others[0]).toMatchObject({ replay: true });
  });

  test('an order and a payment of its hold at once: the order is paid', async () => {
    const hold = await heldOfTwo();
    const { first, others } = await fairly(shop, () =>
      collide(shop, placeOrder(hold), [receive(message('succeeded', hold))]),
    );
    expect(eventOf(others[0]!)).toMatchObject({ outcome: 'APPLIED', orderId: valueOf(first).id });
    expect(await statusOf(valueOf(first))).toBe('PAID');
  });

  test('a payment for two holds and their order at once: the order is paid', async () => {
    const holds = [await heldOfTwo(), await heldOfTwo()];
    const pay = receive(message('succeeded', holds[1]!, { amountMinor: 2_000 }));
    const { first, others } = await fairly(shop, () => collide(shop, pay, [placeOrder(...holds)]));
    expect(eventOf(first).outcome).toBe('PARKED');
    expect(valueOf(others[0]!).status).toBe('PAID');
  });

  test('a payment of one of two holds and their order at once: the order is refused for that hold', async () => {
    const holds = [await heldOfTwo(), await heldOfTwo()];
    const { others } = await fairly(shop, () =>
      collide(shop, receive(message('succeeded', holds[0]!)), [placeOrder(...holds)]),
    );
    expect(others.map(codesOf)).toEqual([['HOLD_ALREADY_USED']]);
  });
});

describe('a shopper against the provider', () => {
  test('a payment that waits for the cancellation is to be refunded', async () => {
    const order = await shop.order(await heldOfTwo());
    const cancel = (server: Server) => server.cancelOrder(order.id);
    const { others } = await fairly(shop, () => collide(shop, cancel, [receive(message('succeeded', order))]));
    expect(eventOf(others[0]!).outcome).toBe('REFUND_DUE');
    expect(await statusOf(order)).toBe('REFUND_DUE');
  });

  test('a cancellation that waits for the payment is refused', async () => {
    const order = await shop.order(await heldOfTwo());
    const cancel = (server: Server) => server.cancelOrder(order.id);
    const { others } = await fairly(shop, () => collide(shop, receive(message('succeeded', order)), [cancel]));
    expect(others.map(codesOf)).toEqual([['ORDER_NOT_CANCELLABLE']]);
  });
});

describe('events that are parked by the hundred', () => {
  /** Of the wrong amount, so that each waits for the hold's order, or its end. */
  async function park(hold: Hold, count: number): Promise<string[]> {
    const events = Array.from({ length: count }, () => message('succeeded', hold, { amountMinor: 1 }));
    for (const event of events) expect(eventOf(await shop.receive(event)).outcome).toBe('PARKED');
    return events.map((event) => event.eventId);
  }
  const outcomes = async (eventIds: readonly string[]) =>
    shop.sql<{ outcome: string; n: number }>(
      'SELECT outcome, count(*)::int AS n FROM payment_events WHERE event_id = ANY ($1) GROUP BY outcome',
      [eventIds],
    );

  test('parked events are settled once, by an order, four sweeps and operators’ replays at the same time', async () => {
    const holds = await Promise.all(Array.from({ length: 4 }, heldOfTwo));
    const eventIds = await Promise.all(holds.map((hold) => park(hold, 60)));
    await expire(shop.sql, holds[0]!.id, holds[1]!.id);
    await fairly(shop, () =>
      stampede(shop, (serverOf) =>
        Promise.all([
          ...Array.from({ length: 8 }, (_, n) => untilTaken(() => serverOf(n).sweep())),
          untilTaken(() => placeOrder(holds[2]!)(serverOf(1))),
          untilTaken(() => serverOf(2).releaseHold(holds[3]!.id)),
          ...eventIds
            .flat()
            .filter((_, n) => n % 10 === 0)
            .map((id, n) => untilTaken(() => serverOf(n).replay(id))),
        ]),
      ),
    );
    for (let left = 1; left > 0;) left = (await shop.sweep()).skipped;
    expect(await outcomes(eventIds.flat())).toEqual([{ outcome: 'AMOUNT_MISMATCH', n: 240 }]);
  });
});
