/** For every field and mutation that takes an id, another customer's object reads as not found. */
import { randomUUID } from 'node:crypto';
import { isInputObjectType, isNonNullType, type GraphQLField, type GraphQLInputType } from 'graphql';
import { checkoutSchema } from '../../src/graphql/schema';
import { expectNothingMoved } from '../support/invariants';
import { HOLD, openApp, type Target } from './open-app';

let target: Target;
let alice: string;
let bob: string;
let productId: string;
let holdId: string;
let orderId: string;
let orderedHoldId: string;

beforeAll(async () => {
  target = await openApp();
  [alice, bob] = await Promise.all([target.token('alice'), target.token('bob')]);
  productId = await target.product(100, 5);
  const hold = async () =>
    (await target.ask(HOLD, { input: { productId, idempotencyKey: `key-${randomUUID()}` } }, { token: alice })).data
      .createHold.hold.id as string;
  [holdId, orderedHoldId] = [await hold(), await hold()];
  const { data } = await target.ask(
    'mutation O($ids: [ID!]!) { createOrder(input: { holdIds: $ids, idempotencyKey: "alices" }) { order { id } } }',
    { ids: [orderedHoldId] },
    { token: alice },
  );
  orderId = data.createOrder.order.id;
});
afterAll(() => target.close());

/** Every way to name an id, with `$id` in its place; and whether it needs the role admin. */
const WAYS: Record<string, { query: string; of: 'hold' | 'order' | 'product' | 'event'; isAdmins?: true }> = {
  'Query.hold': { query: 'query($id: ID!) { hold(id: $id) { id status quantity order { id } } }', of: 'hold' },
  'Query.order': { query: 'query($id: ID!) { order(id: $id) { id status lines { hold { id } } } }', of: 'order' },
  'Query.product': { query: 'query($id: ID!) { product(id: $id) { id } }', of: 'product' },
  'Query.stockReport': {
    query: 'query($id: ID!) { stockReport(productId: $id) { total } }',
    of: 'product',
    isAdmins: true,
  },
  'Query.timeline': {
    query: 'query($id: ID!) { timeline(id: $id) { customerId moments { at } } }',
    of: 'order',
    isAdmins: true,
  },
  'Mutation.createHold': {
    query:
      'mutation($id: ID!) { createHold(input: { productId: $id }) { hold { id } userErrors { code message field } } }',
    of: 'product',
  },
  'Mutation.releaseHold': {
    query:
      'mutation($id: ID!) { releaseHold(input: { holdId: $id }) { hold { id } userErrors { code message field } } }',
    of: 'hold',
  },
  'Mutation.createOrder': {
    query:
      'mutation($id: ID!) { createOrder(input: { holdIds: [$id] }) { order { id } userErrors { code message field } } }',
    of: 'hold',
  },
  'Mutation.cancelOrder': {
    query:
      'mutation($id: ID!) { cancelOrder(input: { orderId: $id }) { order { id } userErrors { code message field } } }',
    of: 'order',
  },
  'Mutation.updateProduct': {
    query: 'mutation($id: ID!) { updateProduct(input: { productId: $id, name: "x" }) { product { id } } }',
    of: 'product',
    isAdmins: true,
  },
  'Mutation.adjustStock': {
    query: 'mutation($id: ID!) { adjustStock(input: { productId: $id, delta: 1, reason: "x" }) { product { id } } }',
    of: 'product',
    isAdmins: true,
  },
  'Mutation.replayPaymentEvent': {
    query:
      'mutation($id: ID!) { replayPaymentEvent(input: { provider: "standard", eventId: "x" }) { paymentEvent { eventId } } product: createHold(input: { productId: $id, quantity: 1 }) { hold { id } } }',
    of: 'event',
    isAdmins: true,
  },
};

test('every field and mutation that takes an id is tested here', () => {
  const takesId = (type: GraphQLInputType): boolean => {
    const inner = isNonNullType(type) ? type.ofType : type;
    if (isInputObjectType(inner)) return Object.values(inner.getFields()).some((field) => takesId(field.type));
    return /\bID\b/.test(String(inner));
  };
  const schema = checkoutSchema();
  const fields = [schema.getQueryType()!, schema.getMutationType()!].flatMap((type) =>
    Object.values(type.getFields())
      .filter((field: GraphQLField<unknown, unknown>) => field.args.some((arg) => takesId(arg.type)))
      .map((field) => `${type.name}.${field.name}`),
  );
  expect(fields.filter((name) => !(name in WAYS))).toEqual([]);
});

const own = Object.entries(WAYS).filter(([, { of, isAdmins }]) => !isAdmins && (of === 'hold' || of === 'order'));

describe.each(own)('%s', (_name, { query, of }) => {
  test.each([
    ['another customer', () => bob],
    ['nobody', () => null],
  ])('asked by %s, answers the same for another customer’s object as for a random id', async (_who, who) => {
    const ids = { hold: [holdId, orderedHoldId], order: [orderId] }[of as 'hold' | 'order'];
    const wrong = [randomUUID(), productId, ids[0]!.toUpperCase(), 'x', '', `${ids[0]} `];
    const ask = async (id: string) => {
      const { data, errors, status } = await target.ask(query, { id }, { token: who() });
      return { data, errors, status };
    };
    await expectNothingMoved(target.db, async () => {
      const missing = await ask(randomUUID());
      expect(missing.errors).toEqual([]);
      for (const id of [...ids, orderId, holdId, ...wrong]) {
        expect(await ask(id)).toEqual(missing);
      }
    });
  });
});

const admins = Object.entries(WAYS).filter(([, { isAdmins }]) => isAdmins);

test.each(admins)(
  '%s needs the role admin, for an id that exists as for one that does not',
  async (_name, { query }) => {
    await expectNothingMoved(target.db, async () => {
      for (const id of [productId, holdId, orderId, randomUUID(), 'x']) {
        expect((await target.ask(query, { id }, { token: alice })).code).toBe('FORBIDDEN');
        expect((await target.ask(query, { id })).code).toBe('UNAUTHENTICATED');
      }
    });
  },
);

test('orders shows only the caller’s, whatever the cursor', async () => {
  const page = 'query($after: String) { orders(first: 10, after: $after) { edges { cursor node { id } } } }';
  const mine = await target.ask(page, {}, { token: alice });
  expect(mine.data.orders.edges).toHaveLength(1);
  const { cursor } = mine.data.orders.edges[0];
  const future = Buffer.from(JSON.stringify(['orders', 4e12, randomUUID()])).toString('base64url');
  for (const after of [null, cursor, future]) {
    expect((await target.ask(page, { after }, { token: bob })).data.orders.edges).toEqual([]);
  }
  expect((await target.ask(page, {})).code).toBe('UNAUTHENTICATED');
});

test('the same idempotency key of two customers names two holds', async () => {
  const input = { productId, idempotencyKey: 'shared' };
  const [a, b] = [
    await target.ask(HOLD, { input }, { token: alice }),
    await target.ask(HOLD, { input }, { token: bob }),
  ];
  expect(a.data.createHold.hold.id).not.toBe(b.data.createHold.hold.id);
});

test('the idempotency key of an order reveals nothing to another customer', async () => {
  const order =
    'mutation($id: ID!) { createOrder(input: { holdIds: [$id], idempotencyKey: "alices" }) { order { id } userErrors { code } } }';
  const { data } = await expectNothingMoved(target.db, () => target.ask(order, { id: orderedHoldId }, { token: bob }));
  expect(data.createOrder).toEqual({ order: null, userErrors: [{ code: 'HOLD_NOT_FOUND' }] });
});
