/**
 * Deterministic races: one side stops before its COMMIT until PostgreSQL reports that the other waits for it. Each race
 * distinguishes one mistake from correct code, so that the mistake is caught every time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { armFailpoints } from '../../src/postgres/failpoints';
import { ALICE, codesOf, eventOf, message, newKey, serverOn, type Shop } from '../support/checkout';
import { deadlocks } from '../support/invariants';
import { collide, collideWithLock, NoRace, stampede } from '../support/races';
import { expireIn } from '../support/time';
import { ensure, Violation, type Installation } from './fixture';
import { refused } from '../../src/domain/refusals';
import type { Tally } from './tally';

/** Long enough to be judged as live, short enough for the time limit of a race. */
const LEFT_MS = 700;

/** Returned instead of an answer, so that the race says what was expected. */
const thrown = (error: unknown) => ({ ...refused(), error: String(error) });

const RACES = {
  'the last unit, wanted by two': async (shop) => {
    const product = await shop.product(1);
    const { first, others } = await collide(
      shop,
      (server) => server.createHold({ productId: product.id, quantity: 1, customerId: '' }),
      [(server) => server.createHold({ productId: product.id, quantity: 1, customerId: '' }).catch(thrown)],
    );
    ensure(first.granted && codesOf(others[0]!).join() === 'OUT_OF_STOCK', 'one of two gets the last unit', { others });
  },

  'a failed payment is parked while the order is placed': async (shop) => {
    const hold = await shop.hold(await shop.product(1));
    const { others } = await collide(shop, (server) => server.receive(message('failed', hold)), [
      (server) => server.createOrder({ holdIds: [hold.id], customerId: '' }),
    ]);
    const [order] = others;
    ensure(
      order !== undefined && order.granted && order.value.status === 'CANCELLED',
      'the order is cancelled at once',
      { others },
    );
  },

  'an order is cancelled while it is paid': async (shop) => {
    const order = await shop.orderOf(await shop.product(1));
    const { others } = await collide(shop, (server) => server.receive(message('succeeded', order)), [
      (server) => server.cancelOrder(order.id),
    ]);
    ensure(codesOf(others[0]!).join() === 'ORDER_NOT_CANCELLABLE', 'a paid order is not cancelled', { others });
  },

  'a hold is released while it is ordered': async (shop) => {
    const hold = await shop.hold(await shop.product(1));
    const { others } = await collide(shop, (server) => server.createOrder({ holdIds: [hold.id], customerId: '' }), [
      (server) => server.releaseHold(hold.id),
    ]);
    ensure(codesOf(others[0]!).join() === 'HOLD_ALREADY_USED', 'an ordered hold is not released', { others });
  },

  'a hold becomes overdue while its order waits for the lock': async (shop) => {
    const hold = await shop.hold(await shop.product(1));
    await expireIn(shop.sql, hold.id, LEFT_MS);
    const [answer] = await collideWithLock(
      shop,
      { text: 'SELECT FROM holds WHERE id = $1 FOR UPDATE', values: [hold.id] },
      [(server) => server.createOrder({ holdIds: [hold.id], customerId: '' })],
      () => sleep(LEFT_MS + 50),
    );
    ensure(codesOf(answer!).join() === 'HOLD_EXPIRED', 'an overdue hold is not ordered as if it were live', { answer });
  },

  'a deadlock ends a transaction in its last statement': async (shop) => {
    const hold = await shop.hold(await shop.product(1));
    await shop.sql('CREATE SEQUENCE deadlock_once');
    await shop.sql(`CREATE FUNCTION deadlock_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('deadlock_once') = 1 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
      RETURN NEW; END $$`);
    await shop.sql(
      'CREATE TRIGGER deadlock_once BEFORE INSERT ON order_lines FOR EACH ROW EXECUTE FUNCTION deadlock_once()',
    );
    try {
      const answer = await shop.createOrder({ holdIds: [hold.id], customerId: '' }).catch(thrown);
      ensure(answer.granted, 'the whole transaction runs again', { answer });
    } finally {
      await shop.sql('DROP TRIGGER deadlock_once ON order_lines');
      await shop.sql('DROP FUNCTION deadlock_once');
      await shop.sql('DROP SEQUENCE deadlock_once');
    }
  },

  'the webhook fails after its row was written, and the event comes again': async (shop) => {
    const order = await shop.orderOf(await shop.product(1));
    const failed = message('failed', order);
    armFailpoints((point) => {
      if (point === 'webhook-after-insert') throw new Error('the handler fails');
    });
    try {
      const first = await shop.receive(failed).catch(String);
      ensure(first === 'Error: the handler fails', 'the provider is not told that a failed handler succeeded', {
        first,
      });
    } finally {
      armFailpoints(null);
    }
    const rows = await shop.sql('SELECT outcome FROM payment_events WHERE event_id = $1', [failed.eventId]);
    ensure(rows.length === 0, 'an event whose handler failed leaves no row', { rows });
    const event = eventOf(await shop.receive(failed));
    ensure(event.outcome === 'APPLIED', 'an event whose handler failed has its effect when it comes again', { event });
  },

  'two orders of the same products, taken in turn, are cancelled': async (shop) => {
    const [a, b] = [await shop.product(2), await shop.product(2)];
    const inTurn = async (products: (typeof a)[]) => {
      const holds = [];
      for (const product of products) holds.push(await shop.hold(product));
      return shop.order(...holds);
    };
    const orders = [await inTurn([a, b]), await inTurn([b, a])];
    const before = await deadlocks(shop.sql);
    const locked = new Set<string>();
    armFailpoints(async (point, where) => {
      if (point !== 'after-lock' || locked.size === 2) return;
      locked.add(where);
      // Each side holds one lock; without a lock order, each now waits for the other's.
      for (let n = 0; n < 60 && locked.size < 2; n += 1) await sleep(10);
    });
    try {
      await stampede(shop, (serverOf) => Promise.all(orders.map((order, n) => serverOf(n).cancelOrder(order.id))));
    } finally {
      armFailpoints(null);
    }
    ensure((await deadlocks(shop.sql)) === before, 'nobody waits in a circle');
  },

  'the sweep comes while an overdue hold is ordered in time': async (shop) => {
    for (let tries = 0; tries < 5; tries += 1) {
      const hold = await shop.hold(await shop.product(1));
      await expireIn(shop.sql, hold.id, LEFT_MS);
      const { others } = await collide(shop, (server) => server.createOrder({ holdIds: [hold.id], customerId: '' }), [
        async (server) => {
          await sleep(LEFT_MS + 50);
          return server.sweep();
        },
      ]);
      // A sweep waits at most 200 ms. On a busy machine the order may take longer, and then the two have not met.
      if (others[0]!.skipped > 0) continue;
      const [row] = await shop.sql<{ status: string }>('SELECT status FROM holds WHERE id = $1', [hold.id]);
      return ensure(row!.status === 'CONSUMED', 'a hold closes once', { row });
    }
    throw new NoRace('each sweep left the hold to the next one: the race did not take place');
  },

  'one event at two servers': async (shop) => {
    const order = await shop.orderOf(await shop.product(1));
    const paid = message('succeeded', order);
    const other = serverOn(shop.database, shop.log);
    const answers = [await shop.receive(paid), await other.receive(paid), await shop.receive(paid)];
    const [row] = await shop.sql<{ n: number }>('SELECT count(*)::int AS n FROM payment_events WHERE reference = $1', [
      order.id,
    ]);
    const kinds = answers.map((answer) => answer.kind).join();
    ensure(row!.n === 1 && kinds === 'recorded,duplicate,duplicate', 'one event, one effect', { answers, row });
  },

  'one customer’s two requests for a limited product': async (shop) => {
    const product = await shop.product(5, { maxPerCustomer: 1 });
    const input = { productId: product.id, quantity: 1, customerId: ALICE };
    const { first, others } = await collide(shop, (server) => server.createHold(input), [
      (server) => server.createHold(input),
    ]);
    const code = codesOf(others[0]!).join();
    ensure(first.granted && code === 'LIMIT_PER_CUSTOMER', 'nobody passes the limit', { others });
  },

  'one key for two orders at once': async (shop) => {
    const product = await shop.product(2);
    const [one, two] = [await shop.hold(product), await shop.hold(product)];
    const idempotencyKey = newKey();
    const { others } = await collide(
      shop,
      (server) => server.createOrder({ holdIds: [one.id], customerId: '', idempotencyKey }),
      [(server) => server.createOrder({ holdIds: [two.id], customerId: '', idempotencyKey })],
    );
    ensure(codesOf(others[0]!).join() === 'IDEMPOTENCY_KEY_REUSED', 'one key, one order', { others });
  },
} satisfies Record<string, (shop: Shop) => Promise<void>>;

export type Race = keyof typeof RACES;
export const RACE_NAMES = Object.keys(RACES) as Race[];

/** A failed race, in the line that reports it: `✘` a promise is broken, `?` the race did not happen, which proves nothing. */
export interface Failed {
  readonly mark: '✘' | '?';
  readonly race: Race;
  readonly reason: string;
}

const lineOf = ({ mark, race, reason }: Failed) => `${mark} ${race}: ${reason}`;

/** Parses these lines from the output of a run. Only the first line of a reason is kept. */
export function failedIn(output: string): Failed[] {
  return output.split('\n').flatMap((line) => {
    const mark = line.startsWith('✘') ? '✘' : '?';
    const race = RACE_NAMES.find((name) => line.startsWith(lineOf({ mark, race: name, reason: '' })));
    return race ? [{ mark, race, reason: line.slice(lineOf({ mark, race, reason: '' }).length) }] : [];
  });
}

/** Runs all races, whatever fails; a broken promise in any of them is a violation. */
export async function proveRaces(installation: Installation, tally: Tally): Promise<void> {
  const failed: Failed[] = [];
  let shop = await shopIn(installation);
  for (const race of RACE_NAMES) {
    try {
      await RACES[race](shop);
      await installation.ensureClean();
      tally.add('races');
    } catch (error) {
      // Any other error here happens because a caller got a wrong answer.
      const mark = error instanceof NoRace ? '?' : '✘';
      failed.push({ mark, race, reason: error instanceof Error ? error.message : String(error) });
      // Uses another database, so that the next race does not find again what this one broke.
      installation = await installation.fixture.installation();
      shop = await shopIn(installation);
    }
  }
  const lines = failed.map(lineOf).join('\n');
  if (failed.some(({ mark }) => mark === '✘')) throw new Violation(lines);
  if (failed.length > 0) throw new Error(`nothing is proven by races that did not take place:\n${lines}`);
}

async function shopIn(installation: Installation): Promise<Shop> {
  const database = await installation.database();
  const { log } = installation.fixture;
  const openAnother = () => installation.database();
  const close = async () => undefined; // with the installation
  return {
    url: installation.url,
    log,
    sql: installation.sql,
    openAnother,
    close,
    ...serverOn(database, log),
  };
}
