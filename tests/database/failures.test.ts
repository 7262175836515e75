/** What PostgreSQL, the pool and the network can say, and what becomes of it. */
import { classify, type FailureKind } from '../../src/postgres/pg-errors';

const withCode = (code: string, more: object = {}) =>
  Object.assign(new Error('as PostgreSQL says it'), { code, ...more });

/** Only the message passes its coordinator, and MikroORM sets words around it. */
const asCitus = (code: string, constraint: string) =>
  Object.assign(new Error(`insert into … - violates … constraint "${constraint}"\n - detail: Key (id)=(1)`), { code });

test.each<[FailureKind, string, Error]>([
  ['retry', 'serialization failure', withCode('40001')],
  ['retry', 'deadlock', withCode('40P01')],
  ['retry', 'a raced primary key', withCode('23505', { constraint: 'orders_pkey' })],
  ['retry', 'a raced event', withCode('23505', { constraint: 'payment_events_pkey' })],
  ['retry', 'a raced key', withCode('23505', { constraint: 'holds_idempotency_key_unique' })],
  ['retry', 'a hold that is ordered twice', withCode('23505', { constraint: 'order_lines_hold_unique' })],
  ['retry', 'a raced primary key of a shard', withCode('23505', { constraint: 'orders_pkey_102024' })],
  ['retry', 'a raced primary key, as a worker of Citus says it', asCitus('23505', 'holds_pkey_102011')],
  ['bug', 'a broken check, as a worker of Citus says it', asCitus('23514', 'stock_available_in_range_102009')],
  ['bug', 'another unique constraint', withCode('23505', { constraint: 'products_sku_unique' })],
  ['bug', 'a broken check', withCode('23514', { constraint: 'stock_available_in_range' })],
  ['bug', 'a mistake in SQL', withCode('42601')],
  ['bug', 'NUL in a text', withCode('22021')],
  ['busy', 'lock timeout', withCode('55P03')],
  ['busy', 'statement timeout', withCode('57014')],
  ['busy', 'pool exhausted', new Error('Knex: Timeout acquiring a connection. The pool is probably full.')],
  ['lost', 'terminated by an administrator', withCode('57P01')],
  ['lost', 'another backend crashed', withCode('57P02')],
  ['lost', 'idle in a transaction', withCode('25P03')],
  ['lost', 'connection failure', withCode('08006')],
  ['lost', 'reset', withCode('ECONNRESET')],
  ['lost', 'broken pipe', withCode('EPIPE')],
  ['lost', 'terminated, told by the driver', new Error('Connection terminated unexpectedly')],
  ['lost', 'a dead client', new Error('Client has encountered a connection error and is not queryable')],
  ['unavailable', 'starting up', withCode('57P03')],
  ['unavailable', 'too many connections', withCode('53300')],
  ['unavailable', 'disk full', withCode('53100')],
  ['lost', 'a standby', withCode('25006')],
  ['unavailable', 'I/O error', withCode('58030')],
  ['unavailable', 'data corrupted', withCode('XX001')],
  ['unavailable', 'nobody listens', withCode('ECONNREFUSED')],
  ['unavailable', 'no such host', withCode('ENOTFOUND')],
  ['unavailable', 'slow to connect', new Error('timeout exceeded when trying to connect')],
  ['busy', 'aborted by a lock timeout', withCode('25P02', { cause: withCode('55P03') })],
  ['retry', 'aborted by a deadlock', withCode('25P02', { cause: withCode('40P01') })],
  ['bug', 'aborted, and nobody knows by what', withCode('25P02')],
  ['bug', 'anything else', new Error('x is not a function')],
  ['bug', 'a code that is none', withCode('ERR_INVALID_ARG_TYPE')],
])('%s: %s', (kind, _, error) => {
  expect(classify(error).kind).toBe(kind);
});

test('an error inside another one is found, and a circle ends', () => {
  expect(classify(new Error('DriverException', { cause: withCode('55P03') }))).toEqual({
    kind: 'busy',
    reason: '55P03',
  });
  const circle = new Error('around');
  circle.cause = circle;
  expect(classify(circle).kind).toBe('bug');
});

test('a violated constraint is named', () => {
  expect(classify(withCode('23505', { constraint: 'products_sku_unique' }))).toEqual({
    kind: 'bug',
    reason: '23505',
    constraint: 'products_sku_unique',
  });
});

test('a violated constraint of a shard is named as its table’s', () => {
  expect(classify(asCitus('23505', 'products_sku_unique_102008')).constraint).toBe('products_sku_unique');
});

test.each([undefined, null, 'text', 42, {}])('what is no error at all (%p) is a bug', (thrown) => {
  expect(classify(thrown).kind).toBe('bug');
});
