/**
 * The resilience matrix: what each door of a server says while PostgreSQL is away or slow, while every connection is in use,
 * and while payments are reported ten times; and that afterwards everything works again without help, and no payment is lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type Client as Socket } from 'graphql-ws';
import { WebSocket } from 'ws';
import { run, sql } from '../../src/postgres/statement';
import type { InTransaction } from '../../src/postgres/transaction';
import type { Product } from '../../src/domain/records';
import { openShop, type Shop } from '../support/checkout';
import { expectClean } from '../support/invariants';
import { insist, mutationText, paymentMessage, serve } from '../support/server';
import { Wire } from '../support/wire';

const POOL_SIZE = 2;
/** How many times its bound an answer may take, as the machine does other things, too. */
const SLACK = 2;

let shop: Shop;
let wire: Wire;
let server: Awaited<ReturnType<typeof serve>>;
let socket: Socket;
let product: { id: string };
/** Placed before anything is broken. */
const unpaid: { id: string; total: { amountMinor: number; currency: string } }[] = [];
/** The payment messages that were sent for each order. */
const reported = new Map<string, ReturnType<typeof paymentMessage>>();

/** Live stock, of a product that is sold past this server: by another one, whose PostgreSQL is well. */
const live = { id: '', left: 1_000, shown: NaN, hasEnded: false };

beforeAll(async () => {
  shop = await openShop();
  wire = await Wire.to(shop.url);
  server = await serve({ ...shop, url: wire.url }, { DATABASE_POOL_SIZE: String(POOL_SIZE), RATE_LIMIT: 'off' });
  product = await server.product(10_000);
  const placeOrder = async () => {
    const { object: hold } = await insist(() => server.mutate('createHold', { productId: product.id }));
    return (await insist(() => server.mutate('createOrder', { holdIds: [hold.id] }))).object;
  };
  unpaid.push(...(await Promise.all(Array.from({ length: 40 }, placeOrder))));
  live.id = (await server.product(live.left)).id;
  socket = createClient({
    url: `${server.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    on: { closed: () => (live.hasEnded = true) },
  });
  socket.subscribe<{ stockChanged: { availableStock: number } }>(
    {
      query: 'subscription ($ids: [ID!]!) { stockChanged(productIds: $ids) { availableStock } }',
      variables: { ids: [live.id] },
    },
    {
      next: ({ data }) => (live.shown = data!.stockChanged.availableStock),
      error: () => (live.hasEnded = true),
      complete: () => (live.hasEnded = true),
    },
  );
}, 60_000);

afterAll(async () => {
  await socket.dispose();
  await server.close();
  await wire.close();
  await expectClean(shop);
  await shop.close();
});

type Door = 'browse' | 'hold' | 'webhook' | 'live stock' | 'livez' | 'readyz';
type Words = 'works' | 'SERVICE_UNAVAILABLE' | 'BUSY' | '503 and Retry-After' | 'stays open' | '200' | '503';

/** The answer of each endpoint in short; unexpected answers in full. */
const DOORS: Record<Door, (withinMs: number) => Promise<string>> = {
  browse: async () => {
    const { status, text, body } = await server.gql('{ products(first: 20) { edges { node { availableStock } } } }');
    if (status === 503 && body.errors) return body.errors[0]!.extensions!.code!;
    return body.data?.products.edges.length === 2 ? 'works' : text;
  },
  hold: async () => {
    const { text, body } = await server.gql(mutationText('createHold'), { input: { productId: product.id } });
    if (body.errors) return body.errors[0]!.extensions!.code!;
    const { hold, userErrors } = body.data.createHold;
    return hold?.status === 'ACTIVE' ? 'works' : (userErrors[0]?.code ?? text);
  },
  webhook: () => report(unpaid.pop()!),
  'live stock': async (withinMs) => {
    await shop.hold({ id: live.id } as Product);
    live.left -= 1;
    const patience = AbortSignal.timeout(withinMs);
    while (live.shown !== live.left && !patience.aborted) await sleep(10);
    if (live.hasEnded) return 'has ended';
    return live.shown === live.left ? 'works' : 'stays open';
  },
  livez: async () => String((await server.fetch('/livez')).status),
  readyz: async () => String((await server.fetch('/readyz')).status),
};

async function report(order: (typeof unpaid)[number]): Promise<string> {
  const message = reported.get(order.id) ?? paymentMessage('succeeded', order);
  reported.set(order.id, message);
  const { status, headers, text, body } = await server.webhook(message);
  if (status === 503 && Number(headers.get('retry-after')) > 0) return '503 and Retry-After';
  return status === 200 && body.outcome === 'APPLIED' ? 'works' : `${status} ${text}`;
}

interface Row {
  /** Answers how to end it. */
  begin(): Promise<() => Promise<void>>;
  /** One of the words, within so many ms. */
  readonly says: Record<Door, [words: readonly Words[], withinMs: number]>;
}

const MATRIX: Record<string, Row> = {
  'PostgreSQL is down': {
    begin: async () => {
      wire.down();
      return async () => wire.up();
    },
    says: {
      browse: [['SERVICE_UNAVAILABLE'], 1_000],
      hold: [['SERVICE_UNAVAILABLE'], 1_000],
      webhook: [['503 and Retry-After'], 1_000],
      'live stock': [['stays open'], 1_000],
      livez: [['200'], 1_000],
      readyz: [['503'], 1_000],
    },
  },
  'every answer of PostgreSQL comes 2 s late': {
    begin: async () => {
      wire.slow(2_000);
      return async () => wire.slow(0);
    },
    says: {
      browse: [['works'], 5_000],
      // Three round trips; who comes second is BUSY after 2 s.
      hold: [['works', 'BUSY'], 7_000],
      webhook: [['works', '503 and Retry-After'], 9_000],
      'live stock': [['works'], 5_000],
      livez: [['200'], 1_000],
      readyz: [['200'], 5_000],
    },
  },
  'every connection of the pools is in use': {
    begin: async () => {
      const { inTransaction, inBatch } = server.app.database;
      const ends = await Promise.all([useAll(inTransaction), useAll(inBatch)]);
      return async () => void (await Promise.all(ends.map((end) => end())));
    },
    says: {
      browse: [['SERVICE_UNAVAILABLE'], 2_500],
      hold: [['BUSY'], 2_500],
      webhook: [['503 and Retry-After'], 2_500],
      'live stock': [['works'], 1_000],
      livez: [['200'], 1_000],
      readyz: [['200'], 1_000],
    },
  },
  'each payment is reported ten times, again and again': {
    begin: async () => {
      let isOver = false;
      const orders = unpaid.splice(0, 10);
      const senders = Array.from({ length: 100 }, async (_, n) => {
        while (!isOver) expect(['works', '503 and Retry-After']).toContain(await report(orders[n % orders.length]!));
      });
      const all = Promise.all(senders);
      await sleep(100);
      return async () => {
        isOver = true;
        await all;
      };
    },
    says: {
      browse: [['works'], 2_000],
      hold: [['works'], 2_000],
      webhook: [['works', '503 and Retry-After'], 2_500],
      'live stock': [['works'], 2_000],
      livez: [['200'], 1_000],
      readyz: [['200'], 1_000],
    },
  },
};

/** All connections of a pool; answers how to give them back. */
async function useAll(inTransaction: InTransaction): Promise<() => Promise<void>> {
  let end!: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const using: Promise<void>[] = [];
  for (let n = 0; n < POOL_SIZE; n += 1) {
    await new Promise<void>((begun, fail) => {
      const transaction = inTransaction('in use', async ({ em, rollBack }) => {
        rollBack();
        await run(em, sql`SET LOCAL idle_in_transaction_session_timeout = 0`);
        begun();
        await ended;
      });
      transaction.catch(fail);
      using.push(transaction);
    });
  }
  return async () => {
    end();
    await Promise.all(using);
  };
}

describe.each(Object.entries(MATRIX))('while %s', (_condition, { begin, says }) => {
  let end: () => Promise<void>;
  beforeAll(async () => {
    await untilAllWell();
    end = await begin();
  }, 60_000);

  test.each(Object.entries(says) as [Door, Row['says'][Door]][])('%s: %j', async (door, [words, withinMs]) => {
    const askedAt = performance.now();
    // Of what merely stays open the wait is over when the time is.
    const patienceMs = words.includes('stays open') ? withinMs : withinMs * SLACK;
    expect(words).toContain(await DOORS[door](patienceMs));
    expect(performance.now() - askedAt).toBeLessThan(withinMs * SLACK + 100);
  });

  test('afterwards every endpoint works again and no payment is lost', async () => {
    await end();
    await untilAllWell();
    for (const id of reported.keys()) {
      while ((await report({ id } as never)) !== 'works') await sleep(100);
      const { body } = await server.gql(`{ order(id: "${id}") { status } }`);
      expect(body.data.order.status).toBe('PAID');
    }
    const [row] = await shop.sql<{ n: number }>('SELECT count(*)::int AS n FROM payment_events');
    expect(row!.n).toBe(reported.size);
  }, 60_000);
});

/** Every endpoint works within 30 s and without help; clients repeat when asked to. */
async function untilAllWell(): Promise<void> {
  const patience = AbortSignal.timeout(30_000);
  for (const [door, knock] of Object.entries(DOORS)) {
    const well = door.endsWith('z') ? '200' : 'works';
    let said = await knock(5_000);
    while (said !== well && !patience.aborted) {
      await sleep(100);
      said = await knock(5_000);
    }
    expect([door, said]).toEqual([door, well]);
  }
}

test('500 clients and a pool of two: each is granted or BUSY, and a repeat is granted', async () => {
  const asked = Array.from({ length: 500 }, (_, n) => ({
    productId: product.id,
    idempotencyKey: `crowd-${n}-${product.id}`,
  }));
  const answers = await Promise.all(asked.map((input) => server.mutate('createHold', input)));
  for (const { object, codes } of answers) expect(object?.status ?? codes[0]).toMatch(/^(ACTIVE|BUSY)$/);
  const again = await Promise.all(asked.map((input) => insist(() => server.mutate('createHold', input))));
  expect(new Set(again.map(({ object }) => object.id)).size).toBe(500);
  answers.forEach(({ object }, n) => object && expect(again[n]!.object.id).toBe(object.id));
});

test('1,000 events at once, more than can be stored in time, are answered 200 or 503, and a repeat stores each once', async () => {
  const sold = await shop.product(50);
  const holds = await Promise.all(Array.from({ length: 50 }, () => shop.hold(sold)));
  const orders = await Promise.all(holds.map((hold) => shop.order(hold)));
  const total = { amountMinor: 1_000, currency: 'USD' };
  const payments = orders.map(({ id }) => paymentMessage('succeeded', { id, total }));
  const unknown = Array.from({ length: 950 }, (_, n) => paymentMessage('succeeded', { id: `unknown-${n}`, total }));
  const messages = payments.flatMap((payment, n) => [payment, ...unknown.slice(n * 19, (n + 1) * 19)]);
  const isNew = new Map<string, number>();
  const send = async (message: (typeof messages)[number]): Promise<boolean> => {
    const { status, headers, body } = await server.webhook(message);
    if (status !== 200) {
      expect([status, Number(headers.get('retry-after')) > 0]).toEqual([503, true]);
      return false;
    }
    if (!body.duplicate) isNew.set(message.event_id, (isNew.get(message.event_id) ?? 0) + 1);
    return true;
  };

  // Some ten transactions a second: most wait for a connection until it is too late. Half of them are enough to see it.
  wire.slow(50);
  let refused = 0;
  await Promise.all(
    messages.map(async (message) => {
      if (!(await send(message)) && ++refused === messages.length / 2) wire.slow(0);
    }),
  );
  wire.slow(0);
  expect(refused).toBeGreaterThanOrEqual(messages.length / 2);
  await Promise.all(
    messages.map(async (message) => {
      while (!(await send(message))) await sleep(100 + 400 * Math.random());
    }),
  );

  const ids = messages.map(({ event_id }) => event_id);
  const rows = await shop.sql(
    'SELECT outcome, count(*)::int AS n FROM payment_events WHERE event_id = ANY ($1) GROUP BY 1',
    [ids],
  );
  expect(new Map(rows.map(({ outcome, n }) => [outcome, n]))).toEqual(
    new Map([
      ['APPLIED', 50],
      ['PARKED', 950],
    ]),
  );
  expect([...isNew.values()].every((times) => times === 1)).toBe(true);
  const states = await shop.sql('SELECT DISTINCT status FROM orders WHERE id = ANY ($1)', [orders.map(({ id }) => id)]);
  expect(states).toEqual([{ status: 'PAID' }]);
});
