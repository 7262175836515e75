/** sweepOnce: the bookkeeping for overdue holds, unpaid orders and parked events. No promise depends on it. */
import { findOverdueProducts } from '../database/holds';
import { newId } from '../database/ids';
import { findLines, findUnpaid, lockFreeOrders, lockOrder } from '../database/orders';
import { findRipe, MAX_JUDGED_AT_ONCE, type EventKey } from '../database/payment-events';
import { readClock } from '../database/clock';
import { setLockTimeout } from '../postgres/statement';
import { Busy } from '../domain/errors';
import { groupBy } from '../domain/group-by';
import type { JudgedEvent, Order, OrderLine } from '../domain/records';
import type { Dependencies } from './dependencies';
import { logOrder, logSettled } from './outcomes';
import { cancelUnpaid } from './cancel-unpaid';
import type { SettlementPlan } from './order-settlement';
import { settleEvents } from './settle-payment';
import { ALL_UNITS, closeOverdue, lockFreeStocks, lockStock, lockStocks, MAX_CLOSED_AT_ONCE } from './stock-keeper';

/** A product whose stock row stays locked for longer is left to the next tick: the sale goes first. */
const LOCK_TIMEOUT_MS = 200;
/** Orders and events per query. */
const PAGE = 1_000;
/** Orders that one transaction cancels: a stock row is locked for some 20 ms. */
const MAX_CANCELLED_AT_ONCE = 200;
const MAX_IDS_LOGGED = 20;

export interface Swept {
  readonly expiredHolds: number;
  readonly cancelledOrders: number;
  readonly settledEvents: number;
  /** Products, orders and events that were busy, and are left to the next sweep. */
  readonly skipped: number;
}

/**
 * Closes every overdue hold, cancels every unpaid order whose payment window has passed, and settles parked events whose
 * hold has ended or has an order. All of it is read from the database, so any number of servers may sweep at the same time.
 *
 * A transaction covers at most 1,000 holds of one product, 200 orders, or 1,000 events of one reference. A busy product delays
 * only itself.
 */
export async function sweepOnce(deps: Dependencies): Promise<Swept> {
  const holds = await closeOverdueHolds(deps);
  const orders = await cancelUnpaidOrders(deps);
  const events = await settleRipeEvents(deps);
  const swept: Swept = {
    expiredHolds: holds.count,
    cancelledOrders: orders.count,
    settledEvents: events.count,
    skipped: holds.skipped + orders.skipped + events.skipped,
  };
  if (Object.values(swept).some((count) => count > 0)) deps.log.info({ event: 'sweep.done', ...swept }, 'sweep.done');
  return swept;
}

interface Tally {
  count: number;
  skipped: number;
}

async function closeOverdueHolds(deps: Dependencies): Promise<Tally> {
  const tally: Tally = { count: 0, skipped: 0 };
  for (const productId of await deps.database.read(findOverdueProducts)) {
    for (let closed = MAX_CLOSED_AT_ONCE; closed === MAX_CLOSED_AT_ONCE; tally.count += closed) {
      closed = await unlessBusy(tally, 0, () => closeSome(deps, productId));
    }
  }
  return tally;
}

async function closeSome({ database, log }: Dependencies, productId: string): Promise<number> {
  const { holdIds } = await database.inTransaction('sweep holds', async ({ em, rollBack }) => {
    await setLockTimeout(em, LOCK_TIMEOUT_MS);
    await lockStock(em, productId);
    const closed = await closeOverdue(em, productId, await readClock(em), ALL_UNITS);
    if (closed.holdIds.length === 0) rollBack();
    return closed;
  });
  if (holdIds.length > 0) {
    // One line a transaction: a sale that ends unsold expires thousands of holds at once.
    const some = holdIds.slice(0, MAX_IDS_LOGGED);
    log.info({ event: 'hold.expired', productId, count: holdIds.length, holdIds: some }, 'hold.expired');
  }
  return holdIds.length;
}

/** An unpaid order, with its lines and their products. */
interface Due {
  readonly id: string;
  readonly lines: readonly OrderLine[];
  readonly productIds: readonly string[];
}

/**
 * Orders whose stock rows are free are cancelled together first, which waits for no lock, so no product delays another. The
 * others then wait for their locks, grouped by products.
 */
async function cancelUnpaidOrders(deps: Dependencies): Promise<Tally> {
  const tally: Tally = { count: 0, skipped: 0 };
  const cancel = async (orders: readonly Due[], waits: boolean): Promise<readonly Due[]> => {
    const result = await unlessBusy(tally, { cancelled: [], left: [] }, () => cancelTogether(deps, orders, waits));
    for (const order of result.cancelled) logOrder(deps, 'CANCELLED', order);
    tally.count += result.cancelled.length;
    return result.left;
  };
  // On Citus orders are on different workers.
  const most = deps.database.isDistributed ? 1 : MAX_CANCELLED_AT_ONCE;
  for (let page = PAGE, after = ''; page === PAGE;) {
    const due = await findDue(deps, after);
    const left: Due[] = [];
    for (const some of slicesOf(due, most)) left.push(...(most === 1 ? some : await cancel(some, false)));
    for (const [, same] of groupBy(left, (order) => order.productIds.join())) {
      for (const some of slicesOf(same, most)) await cancel(some, true);
    }
    page = due.length;
    after = due.at(-1)?.id ?? '';
  }
  return tally;
}

async function findDue({ database }: Dependencies, after: string): Promise<Due[]> {
  const ids = await database.read((em) => findUnpaid(em, after, PAGE));
  const lines = groupBy(await database.read((em) => findLines(em, ids)), (line) => line.orderId);
  return ids.map((id) => {
    const own = lines.get(id) ?? [];
    return { id, lines: own, productIds: [...new Set(own.map((line) => line.productId))].sort() };
  });
}

/**
 * Cancels the orders that are still unpaid and overdue. Several orders do not wait for an order's lock, whose holder may be
 * paying it. `left`: the orders whose stock rows were locked; none if it `waits` for them.
 */
async function cancelTogether(
  { database }: Dependencies,
  orders: readonly Due[],
  waits: boolean,
): Promise<{ readonly cancelled: readonly Order[]; readonly left: readonly Due[] }> {
  return database.inTransaction('sweep orders', async ({ em, rollBack }) => {
    await setLockTimeout(em, LOCK_TIMEOUT_MS);
    const ids = orders.map((order) => order.id);
    const locked = ids.length === 1 ? [await lockOrder(em, ids[0]!)] : await lockFreeOrders(em, ids);
    const unpaid = new Map(locked.flatMap((order) => (order?.status === 'PENDING_PAYMENT' ? [[order.id, order]] : [])));
    const open = orders.filter((order) => unpaid.has(order.id));
    if (open.length === 0) {
      rollBack();
      return { cancelled: [], left: [] };
    }
    const productIds = [...new Set(open.flatMap((order) => order.productIds))];
    if (waits) await lockStocks(em, productIds);
    const free = waits ? new Set(productIds) : await lockFreeStocks(em, productIds);
    const at = await readClock(em);
    const due = open.filter((order) => unpaid.get(order.id)!.paymentDueAt <= at);
    const isFree = (order: Due) => order.productIds.every((id) => free.has(id));
    const [own, left] = [due.filter(isFree), due.filter((order) => !isFree(order))];
    if (own.length === 0) {
      rollBack();
      return { cancelled: [], left };
    }
    const cancelled = await cancelUnpaid(
      em,
      own.map((order) => unpaid.get(order.id)!),
      own.flatMap((order) => order.lines),
      'PAYMENT_WINDOW',
      at,
    );
    return { cancelled, left };
  });
}

async function settleRipeEvents(deps: Dependencies): Promise<Tally> {
  const tally: Tally = { count: 0, skipped: 0 };
  let after: EventKey | null = null;
  for (let page = PAGE; page === PAGE;) {
    const ripe: JudgedEvent[] = await deps.database.read((em) => findRipe(em, after, PAGE));
    for (const [, same] of groupBy(ripe, (event) => event.reference)) {
      for (const some of slicesOf(same, MAX_JUDGED_AT_ONCE)) {
        tally.count += await unlessBusy(tally, 0, () => settleRipe(deps, some));
      }
    }
    page = ripe.length;
    after = ripe.at(-1) ?? null;
  }
  return tally;
}

/** For events of one reference. */
async function settleRipe(deps: Dependencies, events: readonly JudgedEvent[]): Promise<number> {
  const plan: SettlementPlan = { movesUnits: false, newOrderId: newId() };
  const settled = await deps.database.inTransaction('sweep events', ({ em }) => settleEvents(em, events, false, plan));
  logSettled(deps, settled);
  return settled.events.filter((event) => event.outcome !== 'PARKED').length;
}

function slicesOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, n) => items.slice(n * size, (n + 1) * size));
}

async function unlessBusy<T>(tally: Tally, otherwise: T, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Busy)) throw error;
    tally.skipped += 1;
    return otherwise;
  }
}
