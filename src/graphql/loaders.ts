/** One request's DataLoaders: each table is read at most once for each level of a document. */
import DataLoader from 'dataloader';
import { maySee, type Caller } from '../checkout/dependencies';
import { isId } from '../database/ids';
import { groupBy } from '../domain/group-by';
import { Budget } from './documents/budget';
import { presentHold, type Hold } from './holds/types';
import type { SharedReads } from './live/shared-reads';
import { presentLine, presentOrder, type Order, type OrderLine } from './orders/types';
import { presentProduct, type Product } from './products/types';

/**
 * A record that belongs to another customer is null, like one that does not exist. Each loader is made on first use: most
 * requests need one of them, or none.
 */
export class Loaders {
  readonly budget = new Budget();
  private products?: DataLoader<string, Product | null>;
  private holds?: DataLoader<string, Hold | null>;
  private orders?: DataLoader<string, Order | null>;
  private linesOf?: DataLoader<string, OrderLine[]>;

  constructor(
    private readonly reads: SharedReads,
    private readonly caller: Caller,
  ) {}

  get product(): DataLoader<string, Product | null> {
    return (this.products ??= byId<Product>(async (ids) => (await this.reads.products(ids)).map(presentProduct)));
  }

  get hold(): DataLoader<string, Hold | null> {
    return (this.holds ??= byId<Hold>(async (ids) => {
      const { holds, at } = await this.reads.holds(ids);
      return holds.filter((own) => maySee(this.caller, own)).map((own) => presentHold(own, at));
    }));
  }

  get order(): DataLoader<string, Order | null> {
    return (this.orders ??= byId<Order>(async (ids) => {
      const orders = await this.reads.orders(ids);
      return orders.filter((own) => maySee(this.caller, own)).map(presentOrder);
    }));
  }

  /** By order id; the caller must be allowed to see the order. */
  get lines(): DataLoader<string, OrderLine[]> {
    return (this.linesOf ??= new DataLoader(async (orderIds: readonly string[]) => {
      const lines = groupBy(await this.reads.lines(orderIds), (line) => line.orderId);
      const orders = await this.order.loadMany(orderIds);
      return orders.map((own, index) => {
        if (own instanceof Error) return own;
        return (lines.get(orderIds[index]!) ?? []).map((line) => presentLine(line, own!.total.currency));
      });
    }));
  }

  /**
   * Call after a mutation, before its payload is resolved: it may have changed what an earlier mutation of the same document
   * has loaded. Lines never change, and a mutation of a product primes it.
   */
  clearHoldsAndOrders(): void {
    this.holds?.clearAll();
    this.orders?.clearAll();
  }
}

/** Ids are UUIDs in any case; any other id is not found. */
function byId<T extends { id: string }>(find: (ids: readonly string[]) => Promise<T[]>): DataLoader<string, T | null> {
  return new DataLoader<string, T | null, string>(
    async (ids) => {
      const known = ids.map((id) => id.toLowerCase()).filter(isId);
      const found = new Map((known.length > 0 ? await find(known) : []).map((record) => [record.id, record]));
      return ids.map((id) => found.get(id.toLowerCase()) ?? null);
    },
    { cacheKeyFn: (id) => id.toLowerCase() },
  );
}
