/** The resilience matrix: what each door of a server says while the database is away, slow, or has no connection left. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client as PgClient } from 'pg';
import { serverOn } from '../support/checkout';
import { Wire } from '../support/wire';
import { ensure, type Arena } from './arena';
import type { Chance, Tally } from './chance';
import type { HttpClient } from './client';
import { PRICE_MINOR, type Reply } from './spec';

interface Cell {
  readonly said: string;
  readonly ms: number;
}
type Door = 'browse' | 'hold' | 'webhook' | 'livez' | 'readyz';
type Row = Record<Door, Cell>;

/** What a door may say, and within which time, in ms. This machine may be busy with other things: the bounds are wide. */
type Allowed = Record<Door, { readonly said: readonly string[]; readonly withinMs: number }>;

const AWAY: Allowed = {
  browse: { said: ['503'], withinMs: 3_000 },
  hold: { said: ['UNAVAILABLE'], withinMs: 3_000 },
  webhook: { said: ['UNAVAILABLE'], withinMs: 3_000 },
  livez: { said: ['200'], withinMs: 2_000 },
  readyz: { said: ['503'], withinMs: 3_000 },
};
const SLOW: Allowed = {
  browse: { said: ['200'], withinMs: 12_000 },
  hold: { said: ['ok', 'BUSY'], withinMs: 20_000 },
  webhook: { said: ['ok', 'UNAVAILABLE'], withinMs: 30_000 },
  livez: { said: ['200'], withinMs: 2_000 },
  readyz: { said: ['200'], withinMs: 12_000 },
};
const FULL: Allowed = {
  browse: { said: ['200', '503'], withinMs: 5_000 },
  // Those who wait for a lock give up after 2 s, and so does who waits for a connection: either may be first.
  hold: { said: ['ok', 'BUSY'], withinMs: 5_000 },
  webhook: { said: ['ok', 'UNAVAILABLE'], withinMs: 5_000 },
  livez: { said: ['200'], withinMs: 2_000 },
  readyz: { said: ['200', '503'], withinMs: 5_000 },
};

export async function proveMatrix(
  arena: Arena,
  chance: Chance,
  tally: Tally,
  say: (line: string) => void,
): Promise<void> {
  const room = await arena.room();
  const own = serverOn(await room.database(), arena.log);
  const products = await Promise.all(Array.from({ length: 6 }, () => own.product(10_000)));
  const wire = await Wire.to(room.url);
  const { client } = await room.server({ DATABASE_POOL_SIZE: '2' }, wire.url);
  const look = async (name: string, allowed: Allowed) => {
    const row = await knock(client, products[5]!.id, own, chance);
    const cells = Object.entries(row).map(([door, { said, ms }]) => `${door} ${said} in ${Math.round(ms)} ms`);
    say(`${name.padEnd(24)} ${cells.join(' · ')}`);
    for (const [door, { said, ms }] of Object.entries(row) as [Door, Cell][]) {
      const { said: words, withinMs } = allowed[door];
      ensure(words.includes(said) && ms < withinMs, `${name}: ${door} says ${said} after ${Math.round(ms)} ms`);
      tally.add('cells');
    }
  };
  try {
    wire.down();
    await look('PostgreSQL is away', AWAY);
    wire.up();
    await look('and is back', {
      ...SLOW,
      hold: { said: ['ok'], withinMs: 5_000 },
      webhook: { said: ['ok'], withinMs: 5_000 },
    });
    wire.slow(500); // four round trips make 2 s
    await look('PostgreSQL is slow', SLOW);
    wire.slow(0);

    const hog = new PgClient({ connectionString: room.url });
    await hog.connect();
    await hog.query('BEGIN');
    for (const { id } of products.slice(0, 4))
      await hog.query('SELECT FROM stock WHERE product_id = $1 FOR UPDATE', [id]);
    const waiting = products
      .slice(0, 4)
      .flatMap(({ id }, n) => [
        client.ask({ kind: 'hold', product: id, quantity: 1, customer: '', key: null }),
        client.ask({ kind: 'adjust', product: id, delta: 1, key: `hog-${n}` }),
      ]);
    await sleep(150);
    await look('every connection waits', FULL);
    for (const reply of await Promise.all(waiting))
      ensure(reply.code === 'BUSY', 'who waits for a lock is BUSY', { reply });
    await hog.end();

    await flood(client, products[4]!.id, chance, tally, say);
    await room.ensureClean();
  } finally {
    await room.close();
    await wire.close();
  }
}

async function knock(
  client: HttpClient,
  product: string,
  own: ReturnType<typeof serverOn>,
  chance: Chance,
): Promise<Row> {
  const order = await own.orderOf({ id: product } as never);
  const timed = async (work: () => Promise<string>): Promise<Cell> => {
    const from = performance.now();
    return { said: await work(), ms: performance.now() - from };
  };
  const code = (reply: Promise<Reply>) => reply.then((told) => told.code);
  const [browse, hold, webhook, livez, readyz] = await Promise.all([
    timed(async () =>
      String((await client.query('{ products(first: 20) { edges { node { name availableStock } } } }')).status),
    ),
    timed(() => code(client.ask({ kind: 'hold', product, quantity: 1, customer: '', key: chance.id() }))),
    timed(() =>
      code(
        client.ask({
          kind: 'event',
          id: `e-${chance.id()}`,
          type: 'succeeded',
          reference: order.id,
          amount: PRICE_MINOR,
          payment: null,
        }),
      ),
    ),
    timed(async () => String(await client.status('/livez'))),
    timed(async () => String(await client.status('/readyz'))),
  ]);
  return { browse: browse!, hold: hold!, webhook: webhook!, livez: livez!, readyz: readyz! };
}

/** 500 clients and a pool of 2; then each event comes ten times at once. Nobody is left in the dark, and nothing is lost. */
async function flood(
  client: HttpClient,
  product: string,
  chance: Chance,
  tally: Tally,
  say: (line: string) => void,
): Promise<void> {
  const count = (replies: readonly Reply[]) => {
    const counts = new Map<string, number>();
    for (const { code } of replies) counts.set(code, (counts.get(code) ?? 0) + 1);
    return [...counts].map(([code, times]) => `${times} ${code}`).join(', ');
  };
  const holds = await Promise.all(
    Array.from({ length: 500 }, () =>
      client.ask({ kind: 'hold', product, quantity: 1, customer: '', key: chance.id() }),
    ),
  );
  say(`500 clients, a pool of 2  holds: ${count(holds)}`);
  ensure(
    holds.every(({ code }) => code === 'ok' || code === 'BUSY'),
    'a flood is answered',
    { said: count(holds) },
  );
  const held = holds.filter(({ code }) => code === 'ok').slice(0, 50);
  const events = held.flatMap(({ id }) =>
    Array.from({ length: 10 }, () => ({
      kind: 'event' as const,
      id: `flood-${id}`,
      type: 'succeeded' as const,
      reference: id!,
      amount: PRICE_MINOR,
      payment: null,
    })),
  );
  const told = await Promise.all(events.map((event) => client.ask(event)));
  say(`ten times the webhooks    ${count(told)}`);
  ensure(
    told.every(({ code }) => code === 'ok' || code === 'UNAVAILABLE'),
    'webhooks are stored, or come again',
    { said: count(told) },
  );
  for (const event of events.filter((_, n) => n % 10 === 0)) {
    const again = await client.ask(event);
    ensure(again.code === 'ok' && again.status === 'APPLIED', 'no payment is lost', { event, again });
  }
  tally.add('floods');
}
