/** Batches look-ups by id across requests: while a query runs, further look-ups gather for the next one. */
import { Batcher, ONE_READ_AT_A_TIME } from '../../checkout/batcher';
import type { Database } from '../../database/database';
import { findHoldsNow } from '../../database/holds';
import { findLines, findOrders } from '../../database/orders';
import { findProducts } from '../../database/products';
import { groupBy } from '../../domain/group-by';
import type { Hold, Order, OrderLine, Product } from '../../domain/records';

type Ids = readonly string[];

/**
 * Promises read-your-writes: every record is read after it was requested, and nothing is cached. A burst of shoppers who open the
 * same page takes a few queries per table, not one each. Ids are UUIDs in lower case; unknown ones are absent from the result.
 * Throws `Busy` and `Unavailable`.
 */
export interface SharedReads {
  products(ids: Ids): Promise<Product[]>;
  /** `at`: the database's time of the read. */
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
  }, ONE_READ_AT_A_TIME);
  return { products, orders, lines, holds: (ids) => holds.submit(ids) };
}

function shared<T>(find: (ids: Ids) => Promise<T[]>, idOf: (record: T) => string): (ids: Ids) => Promise<T[]> {
  const reads = new Batcher<Ids, T[]>(async (requests) => {
    const byId = groupBy(await find(union(requests)), idOf);
    return requests.map((ids) => pick(byId, ids));
  }, ONE_READ_AT_A_TIME);
  return (ids) => reads.submit(ids);
}

const pick = <T>(byId: ReadonlyMap<string, readonly T[]>, ids: Ids): T[] => ids.flatMap((id) => byId.get(id) ?? []);
const union = (requests: readonly Ids[]): string[] => [...new Set(requests.flat())];
