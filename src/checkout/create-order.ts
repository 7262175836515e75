/** createOrder: turns one or several holds of a shopper into an order, all or nothing. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { consumeHolds, findHolds, lockFreeHolds, lockHolds } from '../database/holds';
import { isId, newId, orderIdOf } from '../database/ids';
import { findLines, findOrders, insertOrders, lockFreeOrderIds, lockOrderIds } from '../database/orders';
import { findParkedReferences } from '../database/payment-events';
import { readClock } from '../database/clock';
import { Restart } from '../postgres/transaction';
import { CallerError } from '../domain/errors';
import { groupBy } from '../domain/group-by';
import { checkIdempotencyKey, MAX_HOLDS_PER_ORDER } from '../domain/input';
import { judgeOrder, linesOf, type OrderFacts, type OrderRequest, type OrderVerdict } from '../domain/place-orders';
import type { Hold, Order } from '../domain/records';
import { granted, refused, replayed, type Answer } from '../domain/refusals';
import type { Dependencies, UseCase } from './dependencies';
import { Batcher, ONE_READ_AT_A_TIME, type Concurrency } from './batcher';
import { GroupCommit } from './group-commit';
import { logOrder, logSettled } from './outcomes';
import type { Settled, SettlementPlan } from './order-settlement';
import { settleParkedFor } from './settle-payment';
import { lockStocks } from './stock-keeper';

export interface CreateOrderInput {
  readonly holdIds: readonly string[];
  readonly idempotencyKey?: string | null | undefined;
}

/** `peeked`: the holds as read without a lock, for the columns that never change: they say which products to lock. */
interface PeekedRequest extends OrderRequest {
  readonly peeked: readonly Hold[];
  /** Under its key, or by an earlier transaction whose COMMIT was lost. The id of any other request is new. */
  readonly mayExist: boolean;
}

type BatchVerdict =
  | OrderVerdict
  /** Parked events refer to it and may move units, so it needs a separate transaction. */
  | { readonly kind: 'alone' }
  /** Another transaction has its id or one of its holds. */
  | { readonly kind: 'locked'; readonly isRerun: boolean };

/** Locks what requests need, statement by statement in the order of all locks. A request whose locks are taken is left out. */
type Locking = (em: EntityManager, requests: readonly PeekedRequest[]) => Promise<Locked>;

interface Locked {
  readonly holds: readonly Hold[];
  readonly has: (request: PeekedRequest) => boolean;
}

/** One at a time: two would each have half of the orders, for a fifth more CPU and no more orders per second. */
const SHARED: Concurrency<PeekedRequest> = { batches: 1, sizeOf: ({ holdIds }) => holdIds.length };

/**
 * Places an order of live holds, or answers the order that the same key placed, or that a payment placed of this very hold.
 * Events that were parked for the holds apply at once, in the order of their arrival.
 *
 * Refusals: IDEMPOTENCY_KEY_REUSED; else one for each bad hold: HOLD_NOT_FOUND, HOLD_EXPIRED, HOLD_RELEASED,
 * HOLD_ALREADY_USED, CURRENCY_MISMATCH.
 * Locks: the order's id, if a key makes it → stock rows, if parked events may move units → holds in ascending (product, id).
 * A batch makes 3 round trips, a fourth when a key or a hold already has an order, and one read before the transaction.
 * Orders move no units, so all share transactions, which wait for no lock. An order whose holds or id are locked waits for
 * them in a second transaction, with orders of the same products, so that one product's lock does not delay another's orders.
 */
export function createOrders(shared: Dependencies): UseCase<CreateOrderInput, Answer<Order>> {
  const { database } = shared;
  const peeks = new Batcher<readonly string[], readonly Hold[]>(
    (requests) => peekHolds(shared, requests),
    ONE_READ_AT_A_TIME,
  );
  const commit = (requests: readonly PeekedRequest[], locking: Locking) =>
    database.inTransaction('createOrder', ({ em, attempt, rollBack }) =>
      commitTogether(em, requests, locking, shared.orderPaymentWindowSeconds, attempt > 1, rollBack),
    );
  const free = new Batcher<PeekedRequest, BatchVerdict>((requests) => commit(requests, lockFree), SHARED);
  const waiting = new GroupCommit<PeekedRequest, BatchVerdict>((_, requests) => commit(requests, lockAll));
  const wait = (request: PeekedRequest) => waiting.submit(productIdsOf(request).join(), request);
  return async (deps, input, { customerId }) => {
    const named = nameEachOnce(input.holdIds);
    const idempotencyKey = checkIdempotencyKey(input.idempotencyKey);
    const ids = named.map((hold) => hold.id).filter(isId);
    const request: PeekedRequest = {
      orderId: idempotencyKey === null ? newId() : orderIdOf(customerId, idempotencyKey),
      holdIds: named,
      customerId,
      idempotencyKey,
      peeked: ids.length > 0 ? await peeks.submit(ids) : [],
      mayExist: idempotencyKey !== null,
    };
    // On Citus orders are on different workers, and a shared transaction would write to many of them.
    let verdict = await (database.isDistributed ? waiting.submit(request.orderId, request) : free.submit(request));
    if (verdict.kind === 'locked') verdict = await wait({ ...request, mayExist: request.mayExist || verdict.isRerun });
    if (verdict.kind === 'locked') throw new Error('a transaction that waits for its locks leaves no order out');
    return verdict.kind === 'alone' ? placeAlone(deps, request) : answerTo(deps, request, verdict);
  };
}

function nameEachOnce(holdIds: readonly string[]) {
  const first = new Map<string, number>();
  holdIds.forEach((id, index) => {
    const canonical = id.toLowerCase();
    if (!first.has(canonical)) first.set(canonical, index);
  });
  if (first.size < 1 || first.size > MAX_HOLDS_PER_ORDER) {
    throw new CallerError('BAD_USER_INPUT', `holdIds must name 1 to ${MAX_HOLDS_PER_ORDER} holds`);
  }
  return [...first].map(([id, index]) => ({ id, index }));
}

/** One query for all requests that arrive together. Only columns that never change are used. */
async function peekHolds(deps: Dependencies, requests: readonly (readonly string[])[]): Promise<readonly Hold[][]> {
  const holds = await deps.database.read((em) => findHolds(em, requests.flat()));
  const byId = new Map(holds.map((hold) => [hold.id, hold]));
  return requests.map((ids) => ids.flatMap((id) => byId.get(id) ?? []));
}

const productIdsOf = ({ peeked }: PeekedRequest) => [...new Set(peeked.map((hold) => hold.productId))].sort();

async function commitTogether(
  em: EntityManager,
  requests: readonly PeekedRequest[],
  locking: Locking,
  paymentWindowSeconds: number,
  isRerun: boolean,
  rollBack: () => void,
): Promise<BatchVerdict[]> {
  const [locked, at, parked] = await Promise.all([
    locking(em, requests),
    readClock(em),
    findParkedReferences(
      em,
      requests.flatMap((request) => [request.orderId, ...request.peeked.map((hold) => hold.id)]),
    ),
  ]);
  const facts = await readFacts(em, requests.filter(locked.has), locked.holds, at, isRerun);
  const verdicts: BatchVerdict[] = [];
  const placed: (OrderVerdict & { kind: 'place' })[] = [];
  for (const request of requests) {
    if (!locked.has(request)) {
      verdicts.push({ kind: 'locked', isRerun });
      continue;
    }
    const verdict = judgeOrder(request, facts, paymentWindowSeconds);
    if (verdict.kind !== 'place') verdicts.push(verdict);
    else if (parked.has(request.orderId) || verdict.holds.some((hold) => parked.has(hold.id))) {
      verdicts.push({ kind: 'alone' });
    } else {
      addPlaced(facts, verdict);
      placed.push(verdict);
      verdicts.push(verdict);
    }
  }
  if (placed.length > 0) await write(em, placed, facts.at);
  else rollBack();
  return verdicts;
}

const keyedIdsOf = (requests: readonly PeekedRequest[]) =>
  requests.filter(({ idempotencyKey }) => idempotencyKey !== null).map(({ orderId }) => orderId);

const lockAll: Locking = async (em, requests) => {
  const [, holds] = await Promise.all([lockOrderIds(em, keyedIdsOf(requests)), lockPeeked(em, requests)]);
  return { holds, has: () => true };
};

/** The holds that the requests name, product by product. */
async function lockPeeked(em: EntityManager, requests: readonly PeekedRequest[]): Promise<Hold[]> {
  const peeked = new Map(requests.flatMap((request) => request.peeked).map((hold) => [hold.id, hold]));
  const byProduct = [...groupBy(peeked.values(), (hold) => hold.productId)];
  const locking = byProduct.map(([productId, own]) =>
    lockHolds(
      em,
      productId,
      own.map((hold) => hold.id),
    ),
  );
  return (await Promise.all(locking)).flat();
}

/** Waits for nothing. */
const lockFree: Locking = async (em, requests) => {
  const [ids, holds] = await Promise.all([
    lockFreeOrderIds(em, keyedIdsOf(requests)),
    lockFreeHolds(em, [...new Set(requests.flatMap((request) => request.peeked).map((hold) => hold.id))]),
  ]);
  const locked = new Set(holds.map((hold) => hold.id));
  return {
    holds,
    has: ({ orderId, idempotencyKey, peeked }) =>
      (idempotencyKey === null || ids.has(orderId)) && peeked.every((hold) => locked.has(hold.id)),
  };
};

/** A parked event may cancel the order at once, which moves units, so the stock rows are locked before the holds. */
async function placeAlone(deps: Dependencies, request: PeekedRequest): Promise<Answer<Order>> {
  const plan: SettlementPlan = { movesUnits: true, newOrderId: newId() };
  const { verdict, settled } = await deps.database.inTransaction('createOrder', async ({ em, attempt, rollBack }) => {
    await lockOrderIds(em, keyedIdsOf([request]));
    await lockStocks(em, productIdsOf(request));
    const [holds, at] = await Promise.all([lockPeeked(em, [request]), readClock(em)]);
    const facts = await readFacts(em, [request], holds, at, attempt > 1);
    const verdict = judgeOrder(request, facts, deps.orderPaymentWindowSeconds);
    if (verdict.kind !== 'place') {
      rollBack();
      return { verdict, settled: null };
    }
    await write(em, [verdict], facts.at);
    return { verdict, settled: await settleParkedFor(em, verdict.order, verdict.holds, facts.at, plan) };
  });
  return answerTo(deps, request, verdict, settled);
}

/** What the decisions need beside the locked holds. */
async function readFacts(
  em: EntityManager,
  requests: readonly PeekedRequest[],
  holds: readonly Hold[],
  at: Date,
  isRerun: boolean,
): Promise<OrderFacts & { holds: Map<string, Hold>; orders: Map<string, Order>; holdIdsOf: Map<string, string[]> }> {
  const askedIds = requests.filter((request) => isRerun || request.mayExist).map((request) => request.orderId);
  const knownIds = holds.flatMap((hold) => hold.orderId ?? []);
  const orders = await findOrders(em, [...new Set([...askedIds, ...knownIds])]);
  if (knownIds.some((id) => !orders.some((order) => order.id === id))) {
    throw new Restart('the order of a hold is not visible yet');
  }
  const lines = await findLines(
    em,
    orders.map((order) => order.id),
  );
  return {
    at,
    holds: new Map(holds.map((hold) => [hold.id, hold])),
    orders: new Map(orders.map((order) => [order.id, order])),
    holdIdsOf: new Map(
      [...groupBy(lines, (line) => line.orderId)].map(([id, own]) => [id, own.map((line) => line.holdId)]),
    ),
  };
}

/** So that later requests of the batch see that the holds are used and the key has its order. */
function addPlaced(
  facts: { holds: Map<string, Hold>; orders: Map<string, Order>; holdIdsOf: Map<string, string[]> },
  { order, holds }: { order: Order; holds: readonly Hold[] },
): void {
  facts.orders.set(order.id, order);
  facts.holdIdsOf.set(
    order.id,
    holds.map((hold) => hold.id),
  );
  for (const hold of holds) facts.holds.set(hold.id, { ...hold, status: 'CONSUMED', orderId: order.id });
}

async function write(
  em: EntityManager,
  placed: readonly { readonly order: Order; readonly holds: readonly Hold[] }[],
  at: Date,
): Promise<void> {
  const used = placed.flatMap(({ order, holds }) => holds.map((hold) => ({ ...hold, orderId: order.id })));
  const inserting = insertOrders(
    em,
    placed.map(({ order }) => order),
    placed.flatMap(({ order, holds }) => linesOf(order, holds)),
  );
  await Promise.all([inserting, consumeHolds(em, used, at)]);
}

function answerTo(
  deps: Dependencies,
  request: OrderRequest,
  verdict: OrderVerdict,
  settled: Settled | null = null,
): Answer<Order> {
  const { customerId } = request;
  switch (verdict.kind) {
    case 'place': {
      const order = settled?.order ?? verdict.order;
      logOrder(deps, verdict.order.status, order);
      if (settled) logSettled(deps, settled);
      return granted(order);
    }
    case 'replay':
      return replayed(verdict.order);
    case 'refuse':
      deps.log.info(
        { event: 'order.refused', codes: verdict.refusals.map((refusal) => refusal.code), customerId },
        'order.refused',
      );
      return refused(...verdict.refusals);
    case 'mistake':
      throw verdict.error;
  }
}
