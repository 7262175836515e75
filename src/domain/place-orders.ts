/** Decides requests to turn holds into orders, under the holds' locks, in the order of arrival. */
import { CallerError } from './errors';
import { lineTotal, sumOfLines } from './money';
import { isOverdue, type Hold, type Order, type OrderLine } from './records';
import { refusal, type Refusal } from './refusals';

export interface OrderRequest {
  /** Made from customer and key, or chosen before the first attempt. */
  readonly orderId: string;
  /** As the client named them, each once. */
  readonly holdIds: readonly NamedHold[];
  readonly customerId: string;
  readonly idempotencyKey: string | null;
}

export interface NamedHold {
  readonly id: string;
  /** Where the client named it first. */
  readonly index: number;
}

/** What was read after the locks. */
export interface OrderFacts {
  readonly at: Date;
  /** The requests' holds, locked. A hold that is absent does not exist. */
  readonly holds: ReadonlyMap<string, Hold>;
  /** Orders with the requests' ids, and those that the holds already belong to. */
  readonly orders: ReadonlyMap<string, Order>;
  /** The holds of those orders. */
  readonly holdIdsOf: ReadonlyMap<string, readonly string[]>;
}

export type OrderVerdict =
  | { readonly kind: 'place'; readonly order: Order; readonly holds: readonly Hold[] }
  | { readonly kind: 'replay'; readonly order: Order }
  | { readonly kind: 'refuse'; readonly refusals: readonly Refusal[] }
  | { readonly kind: 'mistake'; readonly error: CallerError };

/** Judges one request. `place` changes no facts: a caller with several requests adds each placed order before the next. */
export function judgeOrder(request: OrderRequest, facts: OrderFacts, paymentWindowSeconds: number): OrderVerdict {
  const earlier = facts.orders.get(request.orderId);
  if (earlier) {
    return sameHolds(request, facts.holdIdsOf.get(earlier.id) ?? [])
      ? { kind: 'replay', order: earlier }
      : { kind: 'refuse', refusals: [refusal('IDEMPOTENCY_KEY_REUSED', { field: ['idempotencyKey'] })] };
  }
  const paid = placedByPayment(request, facts);
  if (paid) return { kind: 'replay', order: paid };

  const holds: Hold[] = [];
  const refusals: Refusal[] = [];
  for (const { id, index } of request.holdIds) {
    const hold = facts.holds.get(id);
    const code =
      whyNot(request, hold, facts.at) ??
      (holds[0] && holds[0].currency !== hold!.currency ? 'CURRENCY_MISMATCH' : null);
    if (code) refusals.push(refusal(code, { field: ['holdIds', String(index)] }));
    else holds.push(hold!);
  }
  if (refusals.length > 0) return { kind: 'refuse', refusals };
  try {
    return { kind: 'place', order: newOrder(request, holds, facts.at, paymentWindowSeconds), holds };
  } catch (error) {
    if (error instanceof CallerError) return { kind: 'mistake', error };
    throw error;
  }
}

function whyNot(request: OrderRequest, hold: Hold | undefined, at: Date) {
  if (!hold || (hold.customerId !== '' && hold.customerId !== request.customerId)) return 'HOLD_NOT_FOUND';
  switch (hold.status) {
    case 'CONSUMED':
      return 'HOLD_ALREADY_USED';
    case 'RELEASED':
      return hold.orderId ? 'HOLD_ALREADY_USED' : 'HOLD_RELEASED';
    case 'EXPIRED':
      return hold.orderId ? 'HOLD_ALREADY_USED' : 'HOLD_EXPIRED';
    case 'ACTIVE':
      return isOverdue(hold, at) ? 'HOLD_EXPIRED' : null;
  }
}

/** A payment came first and placed an order of exactly this hold: the shopper gets that one, whatever the key. */
function placedByPayment(request: OrderRequest, facts: OrderFacts): Order | null {
  const [only, ...others] = request.holdIds;
  const hold = only && facts.holds.get(only.id);
  if (!hold || others.length > 0 || !hold.orderId) return null;
  if (hold.customerId !== '' && hold.customerId !== request.customerId) return null;
  const order = facts.orders.get(hold.orderId);
  return order?.placedBy === 'PAYMENT' ? order : null;
}

function sameHolds(request: OrderRequest, holdIds: readonly string[]): boolean {
  const asked = new Set(request.holdIds.map((hold) => hold.id));
  return asked.size === holdIds.length && holdIds.every((id) => asked.has(id));
}

function newOrder(request: OrderRequest, holds: readonly Hold[], at: Date, paymentWindowSeconds: number): Order {
  return {
    id: request.orderId,
    customerId: request.customerId,
    status: 'PENDING_PAYMENT',
    totalMinor: sumOfLines(holds),
    currency: holds[0]!.currency,
    idempotencyKey: request.idempotencyKey,
    placedBy: 'CUSTOMER',
    paymentDueAt: new Date(at.getTime() + paymentWindowSeconds * 1_000),
    createdAt: at,
    paidAt: null,
    cancelledAt: null,
    cancelledBy: null,
    paymentProvider: null,
    paymentEventId: null,
    paymentId: null,
  };
}

/** An order's lines, as its holds fixed them. */
export function linesOf(order: Order, holds: readonly Hold[]): OrderLine[] {
  return holds.map((hold) => ({
    orderId: order.id,
    holdId: hold.id,
    productId: hold.productId,
    quantity: hold.quantity,
    unitPriceMinor: hold.unitPriceMinor,
  }));
}

/** What pays a hold exactly, and the total of an order of this hold alone. */
export function totalOf(hold: Hold): Pick<Order, 'totalMinor' | 'currency'> {
  return { totalMinor: lineTotal(hold.quantity, hold.unitPriceMinor), currency: hold.currency };
}
