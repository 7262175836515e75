/** Fields for operators beyond the contract: correct, exact, and for admins only. */
import { randomUUID } from 'node:crypto';
import { codegenDocuments } from '../../src/graphql/documents/known';
import { EVENT, openServer, paymentMessage, statementsOf, type TestServer } from '../support/server';
import { expire, makeOrderOverdue } from '../support/time';

let server: TestServer;
let admin: string;
beforeAll(async () => {
  server = await openServer();
  ({ admin } = server.tokens);
});
afterAll(() => server.close());

const as = async (query: string, variables?: Record<string, unknown>) => {
  const { status, body } = await server.gql(query, variables, admin);
  expect([status, body.errors]).toEqual([200, undefined]);
  return body.data;
};

describe('stockReports', () => {
  const REPORT = 'product { name sku } total available held awaitingPayment sold';
  const page = (first: number, after: string | null = null) =>
    as(
      `query ($first: Int!, $after: String) { stockReports(first: $first, after: $after) {
        edges { node { ${REPORT} } cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } }`,
      { first, after },
    ).then((data) => data.stockReports);

  test('stockReports equal the stockReport of each product, by name and page by page', async () => {
    const busy = await server.product(20, { name: 'A busy one' });
    await server.product(7, { name: 'B untouched' });
    await server.product(0, { name: 'C with nothing' });
    await server.hold(busy.id, { quantity: 2 });
    await expire(server.sql, (await server.hold(busy.id, { quantity: 3 })).id);
    await server.order((await server.hold(busy.id, { quantity: 4 })).id);
    const paid = await server.order((await server.hold(busy.id, { quantity: 5 })).id);
    await server.webhook(paymentMessage('succeeded', paid));
    const first = await page(2);
    expect(first.edges.map((edge: any) => edge.node)).toEqual([
      {
        product: { name: 'A busy one', sku: busy.sku },
        ...{ total: 20, available: 9, held: 2, awaitingPayment: 4, sold: 5 },
      },
      expect.objectContaining({ total: 7, available: 7, held: 0, awaitingPayment: 0, sold: 0 }),
    ]);
    expect(first.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: false });
    const second = await page(2, first.pageInfo.endCursor);
    expect(second.edges.map((edge: any) => edge.node.product.name)).toEqual(['C with nothing']);
    expect(second.pageInfo).toMatchObject({ hasNextPage: false, hasPreviousPage: true });
    const one = await as(`{ stockReport(productId: "${busy.id}") { ${REPORT} } }`);
    expect(one.stockReport).toEqual(first.edges[0].node);
  });

  test('stockReports take one statement a page and are not cached', async () => {
    const statements = await statementsOf(server, () => page(100));
    expect(statements.map(({ sql }) => sql)).toEqual([expect.stringContaining('/* stockReports */')]);
    const product = await server.product(3, { name: 'Z' });
    const before = (await page(100)).edges.at(-1).node.held;
    await server.hold(product.id);
    expect([before, (await page(100)).edges.at(-1).node.held]).toEqual([0, 1]);
  });

  test.each([0, 101, -1])('stockReports refuse a page of %s', async (first) => {
    const { body } = await server.gql(`{ stockReports(first: ${first}) { edges { cursor } } }`, null, admin);
    expect(body.errors![0]!.extensions!.code).toBe('BAD_USER_INPUT');
  });
});

describe('timeline', () => {
  const tell = async (id: string) => {
    const { timeline } = await as(
      `query ($id: ID!) { timeline(id: $id) { customerId hold { id status } order { id status }
        moments { at kind units hold { id product { name } } paymentEvent { eventId outcome amount { amountMinor } } } } }`,
      { id },
    );
    return timeline && { ...timeline, told: timeline.moments.map((own: any) => `${own.kind} ${own.units}`) };
  };

  test('a timeline shows an order from its hold to its refund, by the id of either', async () => {
    const product = await server.product(9, { name: 'Told' });
    const hold = await server.hold(product.id, { quantity: 3 }, server.tokens.alice);
    const order = await server.order(hold.id, server.tokens.alice);
    const paid = paymentMessage('succeeded', order);
    await server.webhook(paid);
    await server.webhook(paymentMessage('refunded', order, { payment_id: (paid.data as any).payment_id }));
    const byOrder = await tell(order.id);
    expect(byOrder.told).toEqual([
      'HOLD_GRANTED -3',
      'ORDER_PLACED 0',
      'PAYMENT_EVENT_RECEIVED 0',
      'ORDER_PAID 0',
      'PAYMENT_EVENT_RECEIVED 0',
      'ORDER_REFUNDED 0',
    ]);
    expect(byOrder).toMatchObject({ customerId: 'alice', hold: null, order: { id: order.id, status: 'REFUNDED' } });
    expect(byOrder.moments[0].hold).toEqual({ id: hold.id, product: { name: 'Told' } });
    expect(byOrder.moments[2].paymentEvent).toEqual({
      eventId: paid.event_id,
      outcome: 'APPLIED',
      amount: { amountMinor: 3_000 },
    });
    const byHold = await tell(hold.id.toUpperCase());
    expect(byHold).toMatchObject({ hold: { id: hold.id, status: 'CONSUMED' }, order: { id: order.id } });
    expect(byHold.moments).toEqual(byOrder.moments);
  });

  test('a timeline shows all holds of an order, an early payment and a late one', async () => {
    const product = await server.product(9);
    const [one, two] = [await server.hold(product.id), await server.hold(product.id, { quantity: 2 })];
    const early = paymentMessage('succeeded', one, { amount_minor: 1 });
    await server.webhook(early);
    const order = await server.order([one.id, two.id]);
    await makeOrderOverdue(server.sql, order.id);
    await server.mutate('cancelOrder', { orderId: order.id });
    await server.webhook(paymentMessage('succeeded', order));
    const { told, moments } = await tell(two.id);
    expect(told).toEqual([
      ...['ORDER_PLACED 0', 'HOLD_GRANTED -1', 'HOLD_GRANTED -2', 'PAYMENT_EVENT_RECEIVED 0'],
      ...['ORDER_CANCELLED 3', 'PAYMENT_EVENT_RECEIVED 0'],
    ]);
    expect(moments.flatMap((own: any) => own.paymentEvent?.outcome ?? [])).toEqual(['AMOUNT_MISMATCH', 'REFUND_DUE']);
  });

  test('a timeline shows a hold without an order and its ignored events', async () => {
    const product = await server.product(9);
    const hold = await server.hold(product.id);
    await server.mutate('releaseHold', { holdId: hold.id });
    await server.webhook(paymentMessage('failed', hold));
    const timeline = await tell(hold.id);
    expect(timeline.told).toEqual(['HOLD_GRANTED -1', 'HOLD_RELEASED 1', 'PAYMENT_EVENT_RECEIVED 0']);
    expect(timeline).toMatchObject({ customerId: null, hold: { status: 'RELEASED' }, order: null });
  });

  test('a timeline shows the events parked under an unknown reference, and null for an unused one', async () => {
    const nobodys = { id: 'cart 7?', total: { amountMinor: 5, currency: 'USD' } };
    const event = paymentMessage('succeeded', nobodys);
    await server.webhook(event);
    expect(await tell('cart 7?')).toMatchObject({ hold: null, order: null, told: ['PAYMENT_EVENT_RECEIVED 0'] });
    for (const id of [randomUUID(), 'x', '', `${randomUUID()} `]) expect(await tell(id)).toBeNull();
    const { body } = await server.gql('query ($id: ID!) { timeline(id: $id) { customerId } }', { id: 'a\0' }, admin);
    expect(body.errors![0]!.extensions!.code).toBe('BAD_USER_INPUT');
  });

  test('a timeline takes one statement and counts against the operation’s budget', async () => {
    const hold = await server.hold((await server.product(9)).id);
    const statements = await statementsOf(server, () =>
      as('query ($id: ID!) { timeline(id: $id) { moments { kind hold { id } } } }', { id: hold.id }),
    );
    expect(statements.map(({ sql }) => sql)).toEqual([expect.stringContaining('/* timeline */')]);
    await server.sql(
      `INSERT INTO payment_events (provider, event_id, type, reference, payload, outcome, received_at)
       SELECT 'standard', 'many ' || n, 'payment.failed', $1, '{}', 'PARKED', now() FROM generate_series(1, 300) n`,
      [hold.id],
    );
    expect((await tell(hold.id)).moments).toHaveLength(201);
    const often = Array.from({ length: 25 }, (_, n) => `a${n}: timeline(id: "${hold.id}") { moments { at } }`);
    const { body } = await server.gql(`{ ${often.join(' ')} }`, null, admin);
    expect([body.data, body.errors!.map((error) => error.extensions!.code)]).toEqual([null, ['BAD_USER_INPUT']]);
  });
});

describe('payment events', () => {
  test('payment events can be limited to open ones, with the expected amount', async () => {
    const product = await server.product(9);
    const hold = await server.hold(product.id);
    const order = await server.order((await server.hold(product.id)).id);
    await server.webhook(paymentMessage('succeeded', order));
    const [twice, wrong] = [paymentMessage('succeeded', order), paymentMessage('succeeded', hold, { amount_minor: 7 })];
    await server.webhook(twice);
    await server.webhook(wrong);
    const open = async () => {
      const { paymentEvents } = await as(
        `{ paymentEvents(openOnly: true, first: 100) { edges { node { eventId outcome paymentId hold { total { amountMinor } } } } } }`,
      );
      return new Map<string, any>(paymentEvents.edges.map(({ node }: any) => [node.eventId, node]));
    };
    const before = await open();
    expect(before.get(twice.event_id as string)).toMatchObject({
      outcome: 'REFUND_DUE',
      paymentId: `pay_${twice.event_id}`,
      hold: null,
    });
    expect(before.get(wrong.event_id as string)).toMatchObject({
      outcome: 'PARKED',
      hold: { total: { amountMinor: 1_000 } },
    });
    await server.webhook(paymentMessage('refunded', order, { payment_id: `pay_${twice.event_id}` }));
    expect((await open()).has(twice.event_id as string)).toBe(false);
    const all = await as(`{ paymentEvents(outcome: REFUND_DUE, first: 100) { edges { node ${EVENT} } } }`);
    expect(all.paymentEvents.edges.map(({ node }: any) => node.eventId)).toContain(twice.event_id);
  });
});

test('the operations of the operators’ page are trusted like those of the storefront', () => {
  const names = codegenDocuments().map((text) => /\b(query|mutation|subscription) (\w+)/.exec(text)![2]);
  const operators = ['StockReports', 'WhatIsOpen', 'ReplayPaymentEvent', 'Timeline', 'ServerMetrics'];
  expect(names).toEqual(expect.arrayContaining([...operators, 'CreateHold', 'StockChanged']));
  expect(new Set(names).size).toBe(names.length);
});

describe('serverMetrics', () => {
  test('serverMetrics equal /metrics and name the server', async () => {
    await server.hold((await server.product(1)).id);
    const { serverMetrics } = await as('{ serverMetrics { server text } }');
    expect(serverMetrics.server).toMatch(new RegExp(`^.+:${new URL(server.url).port}$`));
    expect(serverMetrics.text).toMatch(/^flashsale_holds_total\{result="GRANTED"\} [1-9]/m);
    const names = (text: string) => new Set(text.match(/^flashsale_\w+/gm));
    expect(names(serverMetrics.text)).toEqual(names((await server.fetch('/metrics')).text));
  });
});
