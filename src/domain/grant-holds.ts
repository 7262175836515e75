/** First fit: which requests of a batch for one product get their units, in the order of arrival. */
import { CallerError } from './errors';
import { lineTotal } from './money';
import type { Hold, Product } from './records';
import { refusal, type Refusal } from './refusals';
import { saleWindow } from './sale-status';

export interface HoldRequest {
  /** Chosen before the first attempt, and kept in every re-run: a row with this id is this request's success. */
  readonly id: string;
  readonly productId: string;
  readonly quantity: number;
  /** '' is anonymous. */
  readonly customerId: string;
  readonly idempotencyKey: string | null;
}

/** What was read about one product, in one statement, after the lock (or in one snapshot without it). */
export interface ProductLevel {
  readonly product: Product;
  readonly at: Date;
  readonly available: number;
  /** Overdue holds exist, so a shortage is not final before they are closed. */
  readonly hasOverdue: boolean;
  /** The earliest `expiresAt` of a live hold. */
  readonly nextExpiryAt: Date | null;
  /** Holds already granted to one of the batch's keys or ids. */
  readonly earlier: readonly Hold[];
  /** Units that are not given back and not overdue, by customer. Read only when the product has a limit. */
  readonly unitsOf: ReadonlyMap<string, number>;
  /** Overdue holds of those customers. Some may be in an order that is about to commit. Read only when the product has a limit. */
  readonly overdueOf: readonly OwnHold[];
}

export type OwnHold = Pick<Hold, 'id' | 'customerId' | 'quantity'>;

export type HoldVerdict =
  /** New in this decision: to be written. */
  | { readonly kind: 'grant'; readonly hold: Hold; readonly product: Product }
  /** Written by an earlier attempt of this very request, whose answer was lost. */
  | { readonly kind: 'confirm'; readonly hold: Hold; readonly product: Product }
  | { readonly kind: 'replay'; readonly hold: Hold; readonly product: Product }
  | { readonly kind: 'refuse'; readonly refusal: Refusal }
  | { readonly kind: 'mistake'; readonly error: CallerError };

export interface HoldDecision {
  /** One for each request, in the same order. */
  readonly verdicts: readonly HoldVerdict[];
  /** Units that were wanted by requests which only a lack of stock refused. */
  readonly missing: number;
}

/**
 * Gives the same answers as the same requests one after another. Each is judged in this order: replay,
 * CUSTOMER_REQUIRED, SALE_NOT_STARTED, SALE_ENDED, LIMIT_PER_CUSTOMER, OUT_OF_STOCK. A refusal takes nothing, so a
 * smaller request behind it may still fit.
 */
export function grantHolds(
  level: ProductLevel,
  requests: readonly HoldRequest[],
  holdTtlSeconds: number,
): HoldDecision {
  return judge(level, requests, holdTtlSeconds, true);
}

/**
 * Those requests that one committed snapshot alone refuses for lack of stock: no key of theirs, no overdue hold, no
 * refusal that comes first (docs/design.md#rules-of-concurrency, rule 10). Each is judged alone.
 */
export function plainlyOutOfStock(
  snapshot: ProductLevel,
  requests: readonly HoldRequest[],
  holdTtlSeconds: number,
): ReadonlyMap<HoldRequest, Refusal> {
  const refusals = new Map<HoldRequest, Refusal>();
  if (snapshot.hasOverdue) return refusals;
  const { verdicts } = judge(snapshot, requests, holdTtlSeconds, false);
  verdicts.forEach((verdict, index) => {
    if (verdict.kind === 'refuse' && verdict.refusal.code === 'OUT_OF_STOCK') {
      refusals.set(requests[index]!, verdict.refusal);
    }
  });
  return refusals;
}

function judge(
  level: ProductLevel,
  requests: readonly HoldRequest[],
  holdTtlSeconds: number,
  grantsTake: boolean,
): HoldDecision {
  const { product, at } = level;
  const expiresAt = new Date(at.getTime() + holdTtlSeconds * 1_000);
  const byKey = new Map<string, Hold>();
  const byId = new Map<string, Hold>();
  for (const hold of level.earlier) {
    byId.set(hold.id, hold);
    if (hold.idempotencyKey !== null) byKey.set(keyOf(hold), hold);
  }
  const unitsOf = new Map(level.unitsOf);
  let available = level.available;
  let missing = 0;
  let nextExpiryAt = level.nextExpiryAt;

  const judgeOne = (request: HoldRequest): HoldVerdict => {
    const own = byId.get(request.id);
    if (own) return { kind: 'confirm', hold: own, product };
    const earlier = request.idempotencyKey === null ? undefined : byKey.get(keyOf(request));
    if (earlier) {
      return earlier.quantity === request.quantity
        ? { kind: 'replay', hold: earlier, product }
        : { kind: 'refuse', refusal: refusal('IDEMPOTENCY_KEY_REUSED', { field: ['idempotencyKey'] }) };
    }
    const denied = denyBeforeStock(product, at, request, unitsOf);
    if (denied) return { kind: 'refuse', refusal: denied };
    const mistake = tooLarge(request, product);
    if (mistake) return { kind: 'mistake', error: mistake };
    if (request.quantity > available) {
      missing += request.quantity;
      return { kind: 'refuse', refusal: refusal('OUT_OF_STOCK', { stockReturnsAt: nextExpiryAt }) };
    }
    const hold = newHold(request, product, at, expiresAt);
    if (!grantsTake) return { kind: 'grant', hold, product };
    available -= hold.quantity;
    unitsOf.set(hold.customerId, (unitsOf.get(hold.customerId) ?? 0) + hold.quantity);
    if (hold.idempotencyKey !== null) byKey.set(keyOf(hold), hold);
    nextExpiryAt ??= expiresAt;
    return { kind: 'grant', hold, product };
  };

  const verdicts = requests.map(judgeOne);
  return { verdicts, missing: Math.max(0, missing - available) };
}

function denyBeforeStock(
  product: Product,
  at: Date,
  request: HoldRequest,
  unitsOf: ReadonlyMap<string, number>,
): Refusal | null {
  if (product.maxPerCustomer !== null && request.customerId === '') return refusal('CUSTOMER_REQUIRED');
  const window = saleWindow(product, at);
  if (window === 'UPCOMING') return refusal('SALE_NOT_STARTED');
  if (window === 'ENDED') return refusal('SALE_ENDED');
  return exceedsLimit(product, request, unitsOf) ? refusal('LIMIT_PER_CUSTOMER', { field: ['quantity'] }) : null;
}

/** Whether `quantity` more units would pass the product's limit for this customer. Anonymous customers ('') have no limit. */
export function exceedsLimit(
  product: Pick<Product, 'maxPerCustomer'>,
  wanted: { readonly customerId: string; readonly quantity: number },
  unitsOf: ReadonlyMap<string, number>,
): boolean {
  if (product.maxPerCustomer === null || wanted.customerId === '') return false;
  return (unitsOf.get(wanted.customerId) ?? 0) + wanted.quantity > product.maxPerCustomer;
}

function tooLarge(request: HoldRequest, product: Product): CallerError | null {
  try {
    lineTotal(request.quantity, product.priceMinor);
    return null;
  } catch (error) {
    if (error instanceof CallerError) return error;
    throw error;
  }
}

function newHold(request: HoldRequest, product: Product, at: Date, expiresAt: Date): Hold {
  return {
    id: request.id,
    productId: product.id,
    quantity: request.quantity,
    unitPriceMinor: product.priceMinor,
    currency: product.currency,
    customerId: request.customerId,
    status: 'ACTIVE',
    idempotencyKey: request.idempotencyKey,
    orderId: null,
    expiresAt,
    createdAt: at,
    closedAt: null,
    givenBackAt: null,
  };
}

/** Keys belong to a customer: the same text of another customer is another key. */
function keyOf(of: { readonly customerId: string; readonly idempotencyKey: string | null }): string {
  return `${of.customerId}\u0000${of.idempotencyKey}`;
}
