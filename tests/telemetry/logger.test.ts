/** The log names the request of a line, hides secrets, and costs the process little. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closeLogger, createLogger } from '../../src/telemetry/logger';
import { freshDatabase, type FreshDatabase } from '../support/database';
import { linesIn } from '../support/log';
import { HOLD, serve } from '../support/server';

const folder = mkdtempSync(join(tmpdir(), 'flash-sale-log-'));
const file = join(folder, 'app.log');
const log = createLogger({ level: 'info', file, environment: 'test' });
const lines = () => linesIn(file);
const linesOf = (event: string) => lines().filter((line) => line.event === event);

let db: FreshDatabase;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(async () => {
  await db.close();
  await closeLogger(log);
  rmSync(folder, { recursive: true });
});

test('secrets are hidden at the top level, one level below and in errors, without changing the logged object', () => {
  const secrets = { authorization: 'Bearer x', token: 'x', idempotencyKey: 'x' };
  const fields = { event: 'secrets', ...secrets, headers: { ...secrets, accept: '*/*' }, ids: ['x'] };
  log.info(fields, 'secrets');
  log.warn({ event: 'failed', err: Object.assign(new Error('no'), { password: 'x', code: '28P01' }) }, 'failed');
  const hidden = { authorization: '[redacted]', token: '[redacted]', idempotencyKey: '[redacted]' };
  expect(linesOf('secrets')).toEqual([
    expect.objectContaining({ ...hidden, headers: { ...hidden, accept: '*/*' }, ids: ['x'] }),
  ]);
  expect(linesOf('failed')[0]!.err).toMatchObject({ message: 'no', code: '28P01', password: '[redacted]' });
  expect(fields.headers.token).toBe('x');
});

test('every log line of a request has its request id, also in a shared transaction', async () => {
  const server = await serve({ url: db.url, log });
  try {
    const { id: productId } = await server.product(10);
    const query = `mutation ($productId: ID!) { createHold(input: { productId: $productId }) { hold ${HOLD} } }`;
    const replies = await Promise.all([1, 2, 3].map(() => server.gql(query, { productId })));
    const requestIdOf = new Map(
      replies.map(({ body, headers }) => [body.data.createHold.hold.id, headers.get('x-request-id')]),
    );
    const created = linesOf('hold.created');
    expect(created).toHaveLength(3);
    for (const line of created) expect(line.requestId).toBe(requestIdOf.get(line.holdId));
    for (const line of linesOf('batch.committed')) expect(line).not.toHaveProperty('requestId');

    const order = await server.order(created[0]!.holdId);
    const data = { reference: order.id, amount_minor: 1_000, currency: 'USD', payment_id: 'p' };
    const paid = await server.webhook({ event_id: 'e', type: 'payment.succeeded', data });
    expect(paid.body.outcome).toBe('APPLIED');
    for (const event of ['payment.received', 'payment.settled', 'order.paid']) {
      expect(linesOf(event)).toEqual([expect.objectContaining({ requestId: paid.headers.get('x-request-id') })]);
    }
    await server.mutate('releaseHold', { holdId: created[1]!.holdId });
    expect(linesOf('hold.released')[0]!.requestId).toMatch(/^[\da-f-]{36}$/);
  } finally {
    await server.close();
  }
});
