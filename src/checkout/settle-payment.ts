/** Finds what payment events refer to, and applies them: for the webhook, createOrder, releaseHold, replay and the sweep. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { readClock } from '../database/clock';
import { findHolds, lockHolds } from '../database/holds';
import { isId } from '../database/ids';
import { lockOrder, lockOrderIds } from '../database/orders';
import { findParked, findPaymentsOf, keyOf, lockOpen, lockParked, updateEvents } from '../database/payment-events';
import { judgePayment } from '../domain/judge-payment';
import { totalOf } from '../domain/place-orders';
import { isLive, type Hold, type JudgedEvent, type Order } from '../domain/records';
import { Restart } from '../postgres/transaction';
import { lockStocksOf } from './cancel-unpaid';
import { judgedAs, NO_ORDER, OrderSettlement, type Settled, type SettlementPlan } from './order-settlement';
import { placePaidOrder } from './place-paid-order';
import { lockStocks } from './stock-keeper';

/**
 * Judges events of one reference by what it refers to now, applies them, and then the parked events that waited for them, at
 * most 1,000. `isNew`: this transaction inserted the row of the only event. Otherwise the rows are locked here, last of all,
 * and events that another transaction has settled are left alone.
 *
 * Locks: order (its id, when there is none yet) → stock (if units move) → holds → parked events. Throws `Restart` when an
 * earlier lock turns out to be needed.
 */
export async function settleEvents(
  em: EntityManager,
  events: readonly JudgedEvent[],
  isNew: boolean,
  plan: SettlementPlan,
): Promise<Settled> {
  const { reference } = events[0]!;
  if (!isId(reference)) return settleUnknown(em, events, isNew);
  let order = await lockOrder(em, reference);
  if (!order) {
    await lockOrderIds(em, [reference]);
    order = await lockOrder(em, reference);
  }
  const hold = order ? undefined : (await findHolds(em, [reference]))[0];
  if (hold?.orderId) order = await lockOrder(em, hold.orderId);
  if (order) {
    const settlement = await settlementOf(em, order, plan);
    return settlement.settle(isNew ? events : await lockOpen(em, events));
  }
  if (!hold) return settleUnknown(em, events, isNew);
  // The hold names an order that is not visible yet: on Citus one commit becomes visible shard by shard.
  if (hold.orderId) throw new Restart('the order of a hold is not visible yet');
  return settleForHold(em, hold, events, isNew, plan);
}

/** What they refer to may still come, so they stay parked, except for events without a usable amount. */
async function settleUnknown(em: EntityManager, events: readonly JudgedEvent[], isNew: boolean): Promise<Settled> {
  if (!isNew) return { ...NO_ORDER, events };
  const judged = events.map((event) => {
    const verdict = judgePayment(event, { kind: 'unknown' });
    if (verdict.move !== 'none' || verdict.outcome === 'PARKED') return event;
    return judgedAs(event, verdict.outcome, null, event.receivedAt);
  });
  await updateEvents(
    em,
    judged.filter((event, n) => event !== events[n]),
  );
  return { ...NO_ORDER, events: judged };
}

async function settleForHold(
  em: EntityManager,
  peeked: Hold,
  events: readonly JudgedEvent[],
  isNew: boolean,
  plan: SettlementPlan,
): Promise<Settled> {
  if (plan.movesUnits) await lockStocks(em, [peeked.productId]);
  const [hold] = await lockHolds(em, peeked.productId, [peeked.id]);
  if (hold!.orderId) throw new Restart('the hold became an order');
  const at = await readClock(em);
  const live = isLive(hold!, at);
  const judged: JudgedEvent[] = [];
  for (const event of isNew ? events : await lockOpen(em, events)) {
    const verdict = judgePayment(event, { kind: 'hold', live, ...totalOf(hold!) });
    if (verdict.move === 'none') {
      judged.push(judgedAs(event, verdict.outcome, null, at));
      continue;
    }
    if (!live && !plan.movesUnits) {
      plan.movesUnits = true;
      throw new Restart('a late payment takes units again');
    }
    await updateEvents(em, judged);
    const settled = await placePaidOrder(em, hold!, event, live, at, plan);
    // The order settles what has stayed parked so far, too.
    const isKnown = new Set(settled.events.map(keyOf));
    return { ...settled, events: [...judged.filter((other) => !isKnown.has(keyOf(other))), ...settled.events] };
  }
  await updateEvents(em, judged);
  return { ...NO_ORDER, events: judged };
}

/**
 * Applies what was parked for an order that this transaction has just placed. Throws `Restart` when units have to move and
 * the stock rows are not locked.
 */
export async function settleParkedFor(
  em: EntityManager,
  order: Order,
  holds: readonly Hold[],
  at: Date,
  plan: SettlementPlan,
): Promise<Settled> {
  return new OrderSettlement(em, at, order, holds, plan).settle([]);
}

/** Judges the events parked for a hold that has ended without an order, at most 1,000. The caller has locked the hold. */
export async function settleParkedForEnded(em: EntityManager, hold: Hold, at: Date): Promise<readonly JudgedEvent[]> {
  const judged = (await lockParked(em, await findParked(em, [hold.id]))).flatMap((event) => {
    const verdict = judgePayment(event, { kind: 'hold', live: false, ...totalOf(hold) });
    if (verdict.move !== 'none' || verdict.outcome === 'PARKED') return [];
    return [judgedAs(event, verdict.outcome, null, at)];
  });
  await updateEvents(em, judged);
  return judged;
}

async function settlementOf(em: EntityManager, order: Order, plan: SettlementPlan): Promise<OrderSettlement> {
  if (plan.movesUnits) await lockStocksOf(em, order.id);
  const at = await readClock(em);
  return new OrderSettlement(em, at, order, null, plan, [], await findPaymentsOf(em, order.id));
}
