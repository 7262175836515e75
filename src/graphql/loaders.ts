/** One request's DataLoaders: whatever a document asks for, each table is read once a level of it. */
import DataLoader from 'dataloader';
import { maySee, type Caller } from '../checkout/checkout';
import { isId } from '../database/ids';
import { groupBy } from '../domain/group-by';
import { Budget } from './documents/budget';
import { presentHold, presentLine, presentOrder, presentProduct } from './present';
import type { SharedReads } from './live/shared-reads';
import type { Hold, Order, OrderLine, Product } from './types';

/** Each answers null for what does not exist, and for what is somebody else's: there is no difference. */
export interface Loaders {
  readonly product: DataLoader<string, Product | null>;
  readonly hold: DataLoader<string, Hold | null>;
  readonly order: DataLoader<string, Order | null>;
  /** By order id. The caller may see the order. */
  readonly lines: DataLoader<string, OrderLine[]>;
  /**
   * After a mutation, before its payload is shown: what an earlier mutation of the same document has read may have changed.
   * (Lines never change; a product is primed by the mutation that changes it.)
   */
  forgetWhatMayHaveChanged(): void;
  readonly budget: Budget;
}

/** Each is made when it is first asked for: most requests need one of them, or none. */
export function loadersFor(reads: SharedReads, caller: Caller): Loaders {
  return new RequestLoaders(reads, caller);
}

class RequestLoaders implements Loaders {
  readonly budget = new Budget();
  private products?: Loaders['product'];
  private holds?: Loaders['hold'];
  private orders?: Loaders['order'];
  private linesOf?: Loaders['lines'];

  constructor(
    private readonly reads: SharedReads,
    private readonly caller: Caller,
  ) {}

  get product(): Loaders['product'] {
    return (this.products ??= byId<Product>(async (ids) => (await this.reads.products(ids)).map(presentProduct)));
  }

  get hold(): Loaders['hold'] {
    return (this.holds ??= byId<Hold>(async (ids) => {
      const { holds, at } = await this.reads.holds(ids);
      return holds.filter((own) => maySee(this.caller, own)).map((own) => presentHold(own, at));
    }));
  }

  get order(): Loaders['order'] {
    return (this.orders ??= byId<Order>(async (ids) => {
      const orders = await this.reads.orders(ids);
      return orders.filter((own) => maySee(this.caller, own)).map(presentOrder);
    }));
  }

  get lines(): Loaders['lines'] {
    return (this.linesOf ??= new DataLoader(async (orderIds: readonly string[]) => {
      const lines = groupBy(await this.reads.lines(orderIds), (line) => line.orderId);
      const orders = await this.order.loadMany(orderIds);
      return orders.map((own, index) => {
        if (own instanceof Error) return own;
        return (lines.get(orderIds[index]!) ?? []).map((line) => presentLine(line, own!.total.currency));
      });
    }));
  }

  forgetWhatMayHaveChanged(): void {
    this.holds?.clearAll();
    this.orders?.clearAll();
  }
}

/** Ids come in any case, and whatever is no UUID is not found. */
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
