/** Operations chosen at random, so that they meet: few products, few customers, keys and ids that come again. */
import { randomUUID } from 'node:crypto';
import { orderIdOf } from '../../src/database/ids';
import type { Chance } from './chance';
import { PRICE_MINOR, type EventType, type Op, type State } from './spec';
import type { Server } from '../support/checkout';

export const CUSTOMERS = ['', 'alice', 'bob'];

/** The ids of everything that one run speaks of. */
export class Universe {
  /** Order keys and event ids are the customers' and the provider's own: no two universes of a database share them. */
  private readonly tag = randomUUID().slice(0, 8);
  readonly eventPrefix = `evt-${this.tag}-`;
  readonly products: string[] = [];
  /** Whose payment window has passed, and which no sweep has seen yet. */
  readonly overdueOrders = new Set<string>();

  /** Products with 0 to 3 units, some of them limited. */
  async stock(chance: Chance, server: Server, count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      const maxPerCustomer = chance.is(0.4) ? chance.int(1, 2) : null;
      const product = await server.product(chance.int(n === 0 ? 1 : 0, 3), { maxPerCustomer });
      this.products.push(product.id);
    }
  }

  /** Something that a client may ask for, whether it makes sense or not. */
  op(chance: Chance, state: State): Op {
    const customer = chance.of(CUSTOMERS);
    const holds = Object.keys(state.holds);
    const orders = Object.keys(state.orders);
    const roll = chance.next();
    if (roll < 0.3 || holds.length === 0) {
      const [product, quantity] = [chance.of(this.products), chance.is(0.75) ? 1 : 2];
      return { kind: 'hold', product, quantity, customer, key: chance.is(0.6) ? `k${chance.int(1, 4)}` : null };
    }
    const hold = this.recent(chance, holds);
    const owner = chance.is(0.85) ? state.holds[hold]!.customer : customer;
    if (roll < 0.38) return { kind: 'release', hold, customer: owner };
    if (roll < 0.6) {
      const key = chance.is(0.5) ? this.orderKey(chance) : null;
      const more = chance.is(0.25) ? [this.recent(chance, holds)] : [];
      const keyedId = key === null ? null : orderIdOf(owner, key);
      return { kind: 'order', holds: [...new Set([hold, ...more])], customer: owner, key, keyedId };
    }
    if (roll < 0.66 && orders.length > 0) {
      const order = this.recent(chance, orders);
      return { kind: 'cancel', order, customer: chance.is(0.9) ? state.orders[order]!.customer : customer };
    }
    if (roll < 0.7) {
      const delta = chance.of([-2, -1, 1, 2]);
      return { kind: 'adjust', product: chance.of(this.products), delta, key: `a${chance.int(1, 6)}` };
    }
    const events = Object.keys(state.events);
    if (roll < 0.73 && events.length > 0) return { kind: 'replay', event: chance.of(events) };
    if (roll < 0.79 && events.length > 0) return this.again(chance, state, chance.of(events));
    return this.event(chance, state);
  }

  /** A new event about a hold, an order, an order that is yet to come, or nothing. */
  private event(chance: Chance, state: State): Op {
    const references = [...Object.keys(state.holds), ...Object.keys(state.orders)];
    const type: EventType = chance.of(['succeeded', 'succeeded', 'succeeded', 'failed', 'refunded']);
    const reference = chance.is(0.9)
      ? this.recent(chance, references)
      : chance.is(0.5)
        ? orderIdOf(chance.of(CUSTOMERS), this.orderKey(chance))
        : 'nobody-knows';
    const holdIds = state.orders[reference]?.holds ?? [reference];
    const units = holdIds.reduce((sum, id) => sum + (state.holds[id]?.quantity ?? 1), 0);
    const amount = chance.is(0.88) ? units * PRICE_MINOR : chance.of([units * PRICE_MINOR + PRICE_MINOR, 1, null]);
    const payment = chance.is(0.85) ? `pay-${chance.int(1, 3)}-${reference.slice(-6)}` : null;
    return { kind: 'event', id: `${this.eventPrefix}${chance.id()}`, type, reference, amount, payment };
  }

  /** A copy of an event, or one of the same id that says something else. */
  private again(chance: Chance, state: State, id: string): Op {
    const { type, reference, amount, payment } = state.events[id]!;
    return { kind: 'event', id, type, reference, amount: chance.is(0.85) ? amount : 7, payment };
  }

  private orderKey(chance: Chance): string {
    return `o${chance.int(1, 4)}-${this.tag}`;
  }

  private recent(chance: Chance, ids: readonly string[]): string {
    return chance.of(ids.slice(-6));
  }
}
