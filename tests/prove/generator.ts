/** Generates random operations that conflict: few products, few customers, repeated keys and ids. */
import { randomUUID } from 'node:crypto';
import { orderIdOf } from '../../src/database/ids';
import type { Random } from '../../src/tools/load/random';
import { PRICE_MINOR, type EventType, type Op, type State } from './spec';
import type { Server } from '../support/checkout';

export const CUSTOMERS = ['', 'alice', 'bob'];

/** The ids of all objects in one run. */
export class Generator {
  /** Order keys and event ids are unique to a generator, so generators of one database never share them. */
  private readonly tag = randomUUID().slice(0, 8);
  readonly eventPrefix = `evt-${this.tag}-`;
  readonly products: string[] = [];
  /** Orders whose payment window has passed and that no sweep has seen yet. */
  readonly overdueOrders = new Set<string>();

  /** Products with 0 to 3 units, some of them limited. */
  async stock(random: Random, server: Server, count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      const maxPerCustomer = random.isTrue(0.4) ? random.integer(1, 2) : null;
      const product = await server.product(random.integer(n === 0 ? 1 : 0, 3), { maxPerCustomer });
      this.products.push(product.id);
    }
  }

  /** Any request of a client, sensible or not. */
  op(random: Random, state: State): Op {
    const customer = random.oneOf(CUSTOMERS);
    const holds = Object.keys(state.holds);
    const orders = Object.keys(state.orders);
    const roll = random.next();
    if (roll < 0.3 || holds.length === 0) {
      const [product, quantity] = [random.oneOf(this.products), random.isTrue(0.75) ? 1 : 2];
      return { kind: 'hold', product, quantity, customer, key: random.isTrue(0.6) ? `k${random.integer(1, 4)}` : null };
    }
    const hold = this.recent(random, holds);
    const owner = random.isTrue(0.85) ? state.holds[hold]!.customer : customer;
    if (roll < 0.38) return { kind: 'release', hold, customer: owner };
    if (roll < 0.6) {
      const key = random.isTrue(0.5) ? this.orderKey(random) : null;
      const more = random.isTrue(0.25) ? [this.recent(random, holds)] : [];
      const keyedId = key === null ? null : orderIdOf(owner, key);
      return { kind: 'order', holds: [...new Set([hold, ...more])], customer: owner, key, keyedId };
    }
    if (roll < 0.66 && orders.length > 0) {
      const order = this.recent(random, orders);
      return { kind: 'cancel', order, customer: random.isTrue(0.9) ? state.orders[order]!.customer : customer };
    }
    if (roll < 0.7) {
      const delta = random.oneOf([-2, -1, 1, 2]);
      return { kind: 'adjust', product: random.oneOf(this.products), delta, key: `a${random.integer(1, 6)}` };
    }
    const events = Object.keys(state.events);
    if (roll < 0.73 && events.length > 0) return { kind: 'replay', event: random.oneOf(events) };
    if (roll < 0.79 && events.length > 0) return this.again(random, state, random.oneOf(events));
    return this.event(random, state);
  }

  /** A new event about a hold, an order, a future order, or nothing. */
  private event(random: Random, state: State): Op {
    const references = [...Object.keys(state.holds), ...Object.keys(state.orders)];
    const type: EventType = random.oneOf(['succeeded', 'succeeded', 'succeeded', 'failed', 'refunded']);
    const reference = random.isTrue(0.9)
      ? this.recent(random, references)
      : random.isTrue(0.5)
        ? orderIdOf(random.oneOf(CUSTOMERS), this.orderKey(random))
        : 'nobody-knows';
    const holdIds = state.orders[reference]?.holds ?? [reference];
    const units = holdIds.reduce((sum, id) => sum + (state.holds[id]?.quantity ?? 1), 0);
    const amount = random.isTrue(0.88)
      ? units * PRICE_MINOR
      : random.oneOf([units * PRICE_MINOR + PRICE_MINOR, 1, null]);
    const payment = random.isTrue(0.85) ? `pay-${random.integer(1, 3)}-${reference.slice(-6)}` : null;
    return { kind: 'event', id: `${this.eventPrefix}${random.id()}`, type, reference, amount, payment };
  }

  /** A copy of an event, or a contradicting one with the same id. */
  private again(random: Random, state: State, id: string): Op {
    const { type, reference, amount, payment } = state.events[id]!;
    return { kind: 'event', id, type, reference, amount: random.isTrue(0.85) ? amount : 7, payment };
  }

  private orderKey(random: Random): string {
    return `o${random.integer(1, 4)}-${this.tag}`;
  }

  private recent(random: Random, ids: readonly string[]): string {
    return random.oneOf(ids.slice(-6));
  }
}
