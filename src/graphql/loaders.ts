/** One request's DataLoaders: whatever a document asks for, each table is read once a level of it. */
import DataLoader from 'dataloader';
import { maySee, type Caller } from '../checkout/checkout';
import { findHoldsNow } from '../database/holds';
import { isId } from '../database/ids';
import type { Database } from '../database/orm';
import { findLines, findOrders } from '../database/orders';
import { findProducts } from '../database/products';
import { groupBy } from '../domain/group-by';
import { Budget } from './budget';
import { presentHold, presentLine, presentOrder, presentProduct } from './present';
import type { Hold, Order, OrderLine, Product } from './types';

/** Each answers null for what does not exist, and for what is somebody else's: there is no difference. */
export interface Loaders {
  readonly product: DataLoader<string, Product | null>;
  readonly hold: DataLoader<string, Hold | null>;
  readonly order: DataLoader<string, Order | null>;
  /** By order id. The caller may see the order. */
  readonly lines: DataLoader<string, OrderLine[]>;
  readonly budget: Budget;
}

export function loadersFor(database: Database, caller: Caller): Loaders {
  const order = byId<Order>(async (ids) => {
    const orders = await database.read((em) => findOrders(em, ids));
    return orders.filter((own) => maySee(caller, own)).map(presentOrder);
  });
  return {
    product: byId<Product>(async (ids) => (await database.read((em) => findProducts(em, ids))).map(presentProduct)),
    hold: byId<Hold>(async (ids) => {
      const { holds, at } = await database.read((em) => findHoldsNow(em, ids));
      return holds.filter((own) => maySee(caller, own)).map((own) => presentHold(own, at));
    }),
    order,
    lines: new DataLoader(async (orderIds) => {
      const lines = groupBy(await database.read((em) => findLines(em, orderIds)), (line) => line.orderId);
      const orders = await order.loadMany(orderIds);
      return orders.map((own, index) => {
        if (own instanceof Error) return own;
        return (lines.get(orderIds[index]!) ?? []).map((line) => presentLine(line, own!.total.currency));
      });
    }),
    budget: new Budget(),
  };
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
