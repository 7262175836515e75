/** What many requests look up at the same time by id is read once for all of them: while a query runs, the next one gathers. */
import { Batcher } from '../../checkout/batcher';
import { findHoldsNow } from '../../database/holds';
import type { Database } from '../../database/database';
import { findLines, findOrders } from '../../database/orders';
import { findProducts } from '../../database/products';
import { groupBy } from '../../domain/group-by';
import type { Hold, Order, OrderLine, Product } from '../../domain/records';

type Ids = readonly string[];

/**
 * Every answer was read after it was asked for, so nobody is shown an old state: nothing is kept. A burst of shoppers who
 * open the same page makes a few queries a table, not one each. Ids are UUIDs in lower case; what does not exist is left out.
 * Throws `Busy` and `Unavailable`.
 */
export interface SharedReads {
  products(ids: Ids): Promise<Product[]>;
  /** `at`: the database's time when they were so. */
  holds(ids: Ids): Promise<{ holds: Hold[]; at: Date }>;
  orders(ids: Ids): Promise<Order[]>;
  lines(orderIds: Ids): Promise<OrderLine[]>;
}

export function sharedReads(database: Database): SharedReads {
  const products = shared(
    (ids) => database.read((em) => findProducts(em, ids)),
    (product) => product.id,
  );
  const orders = shared(
    (ids) => database.read((em) => findOrders(em, ids)),
    (order) => order.id,
  );
  const lines = shared(
    (ids) => database.read((em) => findLines(em, ids)),
    (line) => line.orderId,
  );
  const holds = new Batcher<Ids, { holds: Hold[]; at: Date }>(async (requests) => {
    const found = await database.read((em) => findHoldsNow(em, union(requests)));
    const byId = groupBy(found.holds, (hold) => hold.id);
    return requests.map((ids) => ({ at: found.at, holds: pick(byId, ids) }));
  });
  return { products, orders, lines, holds: (ids) => holds.submit(ids) };
}

function shared<T>(find: (ids: Ids) => Promise<T[]>, idOf: (record: T) => string): (ids: Ids) => Promise<T[]> {
  const reads = new Batcher<Ids, T[]>(async (requests) => {
    const byId = groupBy(await find(union(requests)), idOf);
    return requests.map((ids) => pick(byId, ids));
  });
  return (ids) => reads.submit(ids);
}

const pick = <T>(byId: ReadonlyMap<string, readonly T[]>, ids: Ids): T[] => ids.flatMap((id) => byId.get(id) ?? []);
const union = (requests: readonly Ids[]): string[] => [...new Set(requests.flat())];
