/** Access (P9): shoppers see and change only their own objects, admins read all, other customers' objects read as not found. */
import { randomUUID } from 'node:crypto';
import { expectNothingMoved } from '../support/invariants';
import {
  EVENT,
  HOLD,
  MUTATIONS,
  mutationText,
  openServer,
  ORDER,
  paymentMessage,
  type TestServer,
} from '../support/server';

let server: TestServer;
let alice: string;
let bob: string;
let admin: string;
let productId: string;
beforeAll(async () => {
  server = await openServer();
  ({ alice, bob, admin } = server.tokens);
  productId = (await server.product(1_000)).id;
});
afterAll(() => server.close());

/** Answers for existing and missing objects must not differ. */
async function expectSameAsMissing(
  ask: (id: string) => Promise<{ status: number; body: unknown }>,
  id: string,
): Promise<void> {
  const existing = await expectNothingMoved(server.db, () => ask(id));
  for (const missing of [randomUUID(), 'x', '', '7', productId, `{${id}}`, id.replaceAll('-', ''), `${id} `]) {
    const other = await ask(missing);
    expect({ status: other.status, body: other.body }).toEqual({ status: existing.status, body: existing.body });
  }
}

const READS = {
  hold: `query ($id: ID!) { hold(id: $id) ${HOLD} }`,
  order: `query ($id: ID!) { order(id: $id) ${ORDER} }`,
};
const TOUCHES = {
  releaseHold: (id: string) => ({ holdId: id }),
  createOrder: (id: string) => ({ holdIds: [id] }),
  cancelOrder: (id: string) => ({ orderId: id }),
};

describe.each(['bob', 'nobody'] as const)('to %s', (who) => {
  const token = () => (who === 'bob' ? bob : null);

  test.each(Object.entries(READS))('the %s of alice reads as missing', async (name, query) => {
    const hold = await server.hold(productId, {}, alice);
    const order = await server.order((await server.hold(productId, {}, alice)).id, alice);
    const id = name === 'hold' ? hold.id : order.id;
    expect((await server.gql(query, { id }, alice)).body.data[name].id).toBe(id);
    expect((await server.gql(query, { id }, token())).body).toEqual({ data: { [name]: null } });
    await expectSameAsMissing((other) => server.gql(query, { id: other }, token()), id);
  });

  test.each(Object.entries(TOUCHES))('%s finds nothing of alice’s', async (name, inputOf) => {
    const hold = await server.hold(productId, {}, alice);
    const order = await server.order((await server.hold(productId, {}, alice)).id, alice);
    const id = name === 'cancelOrder' ? order.id : hold.id;
    const mutation = mutationText(name as keyof typeof TOUCHES);
    const ask = (other: string) => server.gql(mutation, { input: inputOf(other) }, token());
    const code = name === 'cancelOrder' ? 'ORDER_NOT_FOUND' : 'HOLD_NOT_FOUND';
    expect((await ask(id)).body.data[name].userErrors[0].code).toBe(code);
    await expectSameAsMissing(ask, id);
  });

  test('another customer’s used, released and paid holds read as not found', async () => {
    const [used, released, paid] = [
      await server.hold(productId, {}, alice),
      await server.hold(productId, {}, alice),
      await server.hold(productId, {}, alice),
    ];
    await server.order(used.id, alice);
    await server.mutate('releaseHold', { holdId: released.id }, alice);
    await server.webhook(paymentMessage('succeeded', paid));
    for (const { id } of [used, released, paid]) {
      const order = await expectNothingMoved(server.db, () => server.mutate('createOrder', { holdIds: id }, token()));
      expect(order.codes).toEqual(['HOLD_NOT_FOUND']);
      expect((await server.mutate('releaseHold', { holdId: id }, token())).codes).toEqual(['HOLD_NOT_FOUND']);
    }
  });

  test('another customer’s idempotency key reveals nothing', async () => {
    const idempotencyKey = randomUUID();
    const hold = await server.hold(productId, { idempotencyKey, quantity: 3 }, alice);
    const { object } = await server.mutate('createOrder', { holdIds: hold.id, idempotencyKey }, alice);
    const other = await server.mutate('createHold', { productId, idempotencyKey }, token());
    expect(other.object.id).not.toBe(hold.id);
    const order = await server.mutate('createOrder', { holdIds: other.object.id, idempotencyKey }, token());
    expect(order.object.id).not.toBe(object.id);
  });
});

describe('a hold made without a token', () => {
  test('can be seen and used by everyone who has its id', async () => {
    const hold = await server.hold(productId);
    for (const token of [null, alice, bob, admin]) {
      expect((await server.gql(READS.hold, { id: hold.id.toUpperCase() }, token)).body.data.hold.id).toBe(hold.id);
    }
    expect((await server.mutate('releaseHold', { holdId: hold.id }, bob)).object.status).toBe('RELEASED');
  });

  test('becomes an order that belongs to the caller alone', async () => {
    const hold = await server.hold(productId);
    const order = await server.order(hold.id, alice);
    expect((await server.gql(READS.order, { id: order.id }, alice)).body.data.order.lines[0].hold.id).toBe(hold.id);
    for (const token of [null, bob]) {
      expect((await server.gql(READS.order, { id: order.id }, token)).body.data.order).toBeNull();
      // The hold is anybody's as before, but not what became of it.
      const seen = (await server.gql(READS.hold, { id: hold.id }, token)).body.data.hold;
      expect(seen).toMatchObject({ status: 'CONSUMED', order: null });
    }
  });

  test('can be ordered together with the caller’s own hold', async () => {
    const [open, own] = [await server.hold(productId), await server.hold(productId, {}, alice)];
    const refused = await expectNothingMoved(server.db, () =>
      server.mutate('createOrder', { holdIds: [open.id, own.id] }, bob),
    );
    expect(refused.userErrors.map(({ code, field }) => [code, field])).toEqual([['HOLD_NOT_FOUND', ['holdIds', '1']]]);
    expect((await server.order([open.id, own.id], alice)).lines).toHaveLength(2);
  });
});

test('an anonymous order can be seen and cancelled by everyone who has its id', async () => {
  const order = await server.order((await server.hold(productId)).id);
  for (const token of [null, alice]) {
    expect((await server.gql(READS.order, { id: order.id }, token)).body.data.order.id).toBe(order.id);
  }
  expect((await server.mutate('cancelOrder', { orderId: order.id }, bob)).object.status).toBe('CANCELLED');
});

describe('an admin', () => {
  test('reads every field of every hold and order', async () => {
    const hold = await server.hold(productId, {}, alice);
    const order = await server.order(hold.id, alice);
    expect((await server.gql(READS.hold, { id: hold.id }, admin)).body.data.hold.order).toEqual({ id: order.id });
    expect((await server.gql(READS.order, { id: order.id }, admin)).body.data.order.lines[0].hold.id).toBe(hold.id);
  });

  test('changes only their own holds and orders', async () => {
    const hold = await server.hold(productId, {}, alice);
    const order = await server.order((await server.hold(productId, {}, alice)).id, alice);
    const codes = await expectNothingMoved(server.db, async () => [
      (await server.mutate('releaseHold', { holdId: hold.id }, admin)).codes,
      (await server.mutate('createOrder', { holdIds: [hold.id] }, admin)).codes,
      (await server.mutate('cancelOrder', { orderId: order.id }, admin)).codes,
    ]);
    expect(codes).toEqual([['HOLD_NOT_FOUND'], ['HOLD_NOT_FOUND'], ['ORDER_NOT_FOUND']]);
  });
});

describe('for admins only', () => {
  const INPUTS: Record<string, () => Record<string, unknown>> = {
    createProduct: () => ({ sku: randomUUID(), name: 'N', priceMinor: 1, currency: 'USD', totalStock: 1 }),
    updateProduct: () => ({ productId, name: 'Mine' }),
    adjustStock: () => ({ productId, delta: 1, reason: 'r' }),
    replayPaymentEvent: () => ({ provider: 'standard', eventId: 'e' }),
  };
  const documents: [string, () => { query: string; variables?: Record<string, unknown> }][] = [
    ['stockReport', () => ({ query: `{ stockReport(productId: "${productId}") { total } }` })],
    ['stockReport of nothing', () => ({ query: '{ stockReport(productId: "x") { total } }' })],
    ['stockReports', () => ({ query: '{ stockReports { edges { node { total } } } }' })],
    ['timeline', () => ({ query: '{ timeline(id: "x") { customerId } }' })],
    ['serverMetrics', () => ({ query: '{ serverMetrics { server text } }' })],
    ['paymentEvents', () => ({ query: `{ paymentEvents { edges { node ${EVENT} } } }` })],
    ...Object.entries(INPUTS).map(([name, input]): (typeof documents)[number] => [
      name,
      () => ({ query: mutationText(name as never), variables: { input: input() } }),
    ]),
  ];

  test.each(documents)('%s is closed to shoppers', async (_name, documentOf) => {
    const { query, variables } = documentOf();
    const expected: [string | null, string, number][] = [
      [null, 'UNAUTHENTICATED', 401],
      [alice, 'FORBIDDEN', 200],
      [await server.token('mallory', ['administrator', 'ADMIN']), 'FORBIDDEN', 200],
    ];
    for (const [token, code, status] of expected) {
      const reply = await expectNothingMoved(server.db, () => server.gql(query, variables, token));
      expect(reply.status).toBe(status);
      expect(reply.body.errors!.map((error) => error.extensions!.code)).toEqual([code]);
      expect(Object.values(reply.body.data ?? {}).every((value) => value === null)).toBe(true);
    }
    const allowed = await server.gql(query, variables, admin);
    expect(allowed.status).toBe(200);
    expect(allowed.body.errors).toBeUndefined();
  });

  test('every mutation of the schema is listed here or is open to shoppers', () => {
    const shoppers = ['createHold', 'releaseHold', 'createOrder', 'cancelOrder'];
    expect([...shoppers, ...Object.keys(INPUTS)].sort()).toEqual([...MUTATIONS].sort());
  });
});

test('orders needs a token and shows only the caller’s', async () => {
  const query = '{ orders(first: 100) { edges { node { id } } } }';
  const [hers, his] = [
    await server.order((await server.hold(productId, {}, alice)).id, alice),
    await server.order((await server.hold(productId, {}, bob)).id, bob),
  ];
  const nobody = await server.gql(query);
  expect(nobody.status).toBe(401);
  expect(nobody.body).toMatchObject({ data: null, errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] });
  const idsOf = async (token: string) =>
    (await server.gql(query, null, token)).body.data.orders.edges.map((edge: { node: { id: string } }) => edge.node.id);
  expect(await idsOf(alice)).toContain(hers.id);
  expect(await idsOf(alice)).not.toContain(his.id);
  expect(await idsOf(bob)).not.toContain(hers.id);
  expect(await idsOf(admin)).toEqual(expect.arrayContaining([hers.id, his.id]));
  expect(await idsOf(await server.token('nobody-yet'))).toEqual([]);
});

test('allowed fields are answered with 200 next to forbidden ones', async () => {
  const { status, body } = await server.gql(`{ serverTime stockReport(productId: "${productId}") { total } }`);
  expect(status).toBe(200);
  expect(body.data).toEqual({ serverTime: expect.any(String), stockReport: null });
  expect(body.errors).toHaveLength(1);
});

test('a token that does not verify never counts as anonymous', async () => {
  const hold = { query: mutationText('createHold'), variables: { input: { productId } } };
  for (const authorization of [
    'Bearer x.y.z',
    `Bearer ${alice}x`,
    `Bearer ${alice.split('.').slice(0, 2).join('.')}.`,
    'Bearer',
    '',
  ]) {
    const reply = await expectNothingMoved(server.db, () =>
      server.post(JSON.stringify(hold), { 'content-type': 'application/json', authorization }),
    );
    expect(reply.status).toBe(401);
    expect(reply.body).toMatchObject({ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] });
  }
});

test('the id of a hold finds no order, and the id of an order no hold', async () => {
  const hold = await server.hold(productId, {}, alice);
  const order = await server.order(hold.id, alice);
  for (const [field, id] of [
    ['hold', order.id],
    ['order', hold.id],
    ['order', productId],
    ['product', order.id],
  ]) {
    expect((await server.gql(`{ ${field}(id: "${id}") { id } }`, null, alice)).body).toEqual({
      data: { [field!]: null },
    });
  }
  expect((await server.gql('{ hold(id: 7) { id } }')).body).toEqual({ data: { hold: null } });
});

/** Values that GraphQL does not accept as an id. */
const NO_IDS: [string, unknown][] = [
  ['{}', {}],
  ['[]', []],
  ['{"$ne":null}', { $ne: null }],
  ['{"id":"…"}', { id: randomUUID() }],
  ['[[]]', [[]]],
  ['true', true],
  ['1.5', 1.5],
  ['null', null],
];

describe.each(NO_IDS)('%s where an id belongs', (_literal, value) => {
  const documents: [string, string, Record<string, unknown>][] = [
    ['product', 'query ($id: ID!) { product(id: $id) { id } }', { id: value }],
    ['hold', READS.hold, { id: value }],
    ['order', READS.order, { id: value }],
    ['createHold', mutationText('createHold'), { input: { productId: value } }],
    ['releaseHold', mutationText('releaseHold'), { input: { holdId: value } }],
    ['createOrder', mutationText('createOrder'), { input: { holdIds: [value] } }],
    ['cancelOrder', mutationText('cancelOrder'), { input: { orderId: value } }],
    ['updateProduct', mutationText('updateProduct'), { input: { productId: value, name: 'Mine' } }],
    ['adjustStock', mutationText('adjustStock'), { input: { productId: value, delta: 1, reason: 'r' } }],
    ['replayPaymentEvent', mutationText('replayPaymentEvent'), { input: { provider: 'standard', eventId: value } }],
  ];

  test('is refused, and nothing moves', async () => {
    await expectNothingMoved(server.db, async () => {
      for (const [name, query, variables] of documents) {
        const { status, body } = await server.gql(query, variables, admin);
        expect([name, status, body.errors?.map((error) => error.extensions!.code)]).toEqual([
          name,
          400,
          ['BAD_USER_INPUT'],
        ]);
        expect(body.data).toBeUndefined();
      }
    });
  });
});

test('a number in place of an id is read as its digits and finds nothing', async () => {
  for (const [name, input] of [
    ['createHold', { productId: 1 }],
    ['releaseHold', { holdId: 1 }],
    ['createOrder', { holdIds: 1 }],
    ['cancelOrder', { orderId: 1 }],
  ] as const) {
    const { codes } = await expectNothingMoved(server.db, () => server.mutate(name, input));
    expect(codes).toEqual([expect.stringMatching(/_NOT_FOUND$/)]);
  }
});
