/** sweepOnce: the bookkeeping for overdue holds, unpaid orders and parked events. No promise waits for it. */
import { findOverdueProducts } from '../database/holds';
import { newId } from '../database/ids';
import { findUnpaid, lockOrder } from '../database/orders';
import { findEvent, findRipe, type EventKey } from '../database/payment-events';
import { readClock, setLockTimeout } from '../database/statement';
import { Busy } from '../domain/errors';
import type { Checkout } from './checkout';
import { logOrder, logSettled } from './payment-log';
import { cancelUnpaid, lockStocksOf, settleEvent, type Settling } from './settle-payment';
import { ALL_UNITS, closeOverdue, lockStock, MAX_CLOSED_AT_ONCE } from './stock-keeper';

/** A product whose stock row is not to be had within this time is left to the next tick: the sale goes first. */
const LOCK_TIMEOUT_MS = 200;
/** Orders and events that are read at once. */
const PAGE = 1_000;
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
 * hold has ended or has an order. Driven by what is stored, so any number of nodes may sweep at the same time.
 *
 * Goes product by product and order by order, each in a transaction of its own with at most 1,000 holds.
 */
export async function sweepOnce(checkout: Checkout): Promise<Swept> {
  const holds = await closeOverdueHolds(checkout);
  const orders = await cancelUnpaidOrders(checkout);
  const events = await settleRipeEvents(checkout);
  const swept: Swept = {
    expiredHolds: holds.count,
    cancelledOrders: orders.count,
    settledEvents: events.count,
    skipped: holds.skipped + orders.skipped + events.skipped,
  };
  if (Object.values(swept).some((count) => count > 0))
    checkout.log.info({ event: 'sweep.done', ...swept }, 'sweep.done');
  return swept;
}

interface Tally {
  count: number;
  skipped: number;
}

async function closeOverdueHolds(checkout: Checkout): Promise<Tally> {
  const tally: Tally = { count: 0, skipped: 0 };
  for (const productId of await checkout.database.read(findOverdueProducts)) {
    for (let closed = MAX_CLOSED_AT_ONCE; closed === MAX_CLOSED_AT_ONCE; tally.count += closed) {
      closed = await unlessBusy(tally, 0, () => closeSome(checkout, productId));
    }
  }
  return tally;
}

async function closeSome({ database, log }: Checkout, productId: string): Promise<number> {
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

async function cancelUnpaidOrders(checkout: Checkout): Promise<Tally> {
  const tally: Tally = { count: 0, skipped: 0 };
  for (let page = PAGE, after = ''; page === PAGE;) {
    const ids = await checkout.database.read((em) => findUnpaid(em, after, PAGE));
    for (const id of ids)
      tally.count += (await unlessBusy(tally, false, () => cancelOverdueOrder(checkout, id))) ? 1 : 0;
    page = ids.length;
    after = ids.at(-1) ?? '';
  }
  return tally;
}

async function cancelOverdueOrder(checkout: Checkout, id: string): Promise<boolean> {
  const cancelled = await checkout.database.inTransaction('sweep order', async ({ em, rollBack }) => {
    await setLockTimeout(em, LOCK_TIMEOUT_MS);
    const order = await lockOrder(em, id);
    const isUnpaid = order?.status === 'PENDING_PAYMENT';
    if (isUnpaid) await lockStocksOf(em, id);
    const at = await readClock(em);
    if (!isUnpaid || order.paymentDueAt > at) {
      rollBack();
      return null;
    }
    return cancelUnpaid(em, order, 'PAYMENT_WINDOW', at);
  });
  if (cancelled) logOrder(checkout, 'CANCELLED', cancelled);
  return cancelled !== null;
}

async function settleRipeEvents(checkout: Checkout): Promise<Tally> {
  const tally: Tally = { count: 0, skipped: 0 };
  let after: EventKey | null = null;
  for (let page = PAGE; page === PAGE;) {
    const keys: EventKey[] = await checkout.database.read((em) => findRipe(em, after, PAGE));
    for (const key of keys) tally.count += await unlessBusy(tally, 0, () => settleRipe(checkout, key));
    page = keys.length;
    after = keys.at(-1) ?? null;
  }
  return tally;
}

async function settleRipe(checkout: Checkout, key: EventKey): Promise<number> {
  const settling: Settling = { movesUnits: false, newOrderId: newId() };
  const settled = await checkout.database.inTransaction('sweep event', async ({ em }) => {
    const event = await findEvent(em, key);
    return event?.outcome === 'PARKED' ? settleEvent(em, event, false, settling) : null;
  });
  if (!settled) return 0;
  logSettled(checkout, settled);
  return settled.events.filter((event) => event.outcome !== 'PARKED').length;
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
