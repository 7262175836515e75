/** Against scalpers: how many live holds one customer has over all products, and who lets holds expire again and again. */
import { performance } from 'node:perf_hooks';
import { findHoldsNow } from '../database/holds';
import { RateLimited } from '../domain/errors';
import { statusOf, type Hold } from '../domain/records';
import type { CreateHoldInput, HoldAnswer } from './create-hold';
import type { Dependencies, UseCase } from './dependencies';

/** Customers that are remembered; the one who came first is forgotten. */
const MAX_CUSTOMERS = 20_000;
/** What a hold is asked about again after, when its end is not known here. */
const RETRY_AFTER_MS = 1_000;

type CreateHold = UseCase<CreateHoldInput, HoldAnswer>;

export interface HoldLimits {
  readonly maxActiveHolds: number | null;
  readonly holdCooldown: { readonly holds: number; readonly seconds: number } | null;
}

interface Granted {
  readonly endsAtMs: number;
  readonly key: string | null;
}

interface Customer {
  /** Let through, and not answered yet. */
  pending: number;
  /** By id: granted by this process, and perhaps still live. */
  readonly holds: Map<string, Granted>;
  /** By id: not known to have become anything else before its time was up. */
  readonly lapsed: Map<string, number>;
  /** No new hold before. */
  pausedUntilMs: number;
}

/**
 * `createHold` with two more refusals, both `RateLimited`: as many live holds as a customer may have, and a pause for whoever
 * let too many expire. A replay of a live hold is answered all the same.
 *
 * Best effort: each process knows the holds that it granted itself, and the guarantee is `maxPerCustomer`. But nobody is
 * refused by mistake: before a refusal the database is asked, by id, what has become of those holds (one statement, and only
 * at the limit). Anonymous shoppers have no limit of their own here.
 */
export function limitHolds(createHold: CreateHold, limits: HoldLimits): CreateHold {
  if (limits.maxActiveHolds === null && limits.holdCooldown === null) return createHold;
  const customers = new Map<string, Customer>();
  return async (deps, input, caller) => {
    if (caller.customerId === '') return createHold(deps, input, caller);
    const customer = customerOf(customers, caller.customerId);
    await reserve(deps, limits, customer, input);
    try {
      const answer = await createHold(deps, input, caller);
      if (answer.granted && !answer.replay) recordGrant(customer, answer.value);
      return answer;
    } finally {
      customer.pending -= 1;
    }
  };
}

/** Returns with `pending` one more. Counted in the same moment as judged: parallel requests see each other. */
async function reserve(
  deps: Dependencies,
  { maxActiveHolds, holdCooldown }: HoldLimits,
  customer: Customer,
  input: CreateHoldInput,
): Promise<void> {
  const hasRoom = () => maxActiveHolds === null || customer.holds.size + customer.pending < maxActiveHolds;
  if (isReplay(customer, input)) return void (customer.pending += 1);
  const nowMs = performance.now();
  moveLapsed(customer, nowMs, holdCooldown?.seconds ?? 0);
  if (holdCooldown && customer.lapsed.size >= holdCooldown.holds) {
    await refreshFromDatabase(deps, customer.lapsed, 'EXPIRED');
    if (customer.lapsed.size >= holdCooldown.holds) {
      customer.pausedUntilMs = nowMs + holdCooldown.seconds * 1_000;
      customer.lapsed.clear();
    }
  }
  if (customer.pausedUntilMs > nowMs) {
    throw new RateLimited(
      Math.ceil(customer.pausedUntilMs - nowMs),
      'Too many holds have expired unused: wait a little',
    );
  }
  if (hasRoom()) return void (customer.pending += 1);
  await refreshFromDatabase(deps, customer.holds, 'ACTIVE');
  if (hasRoom()) return void (customer.pending += 1);
  const [first] = customer.holds.values();
  const retryAfterMs = first ? Math.max(RETRY_AFTER_MS, Math.ceil(first.endsAtMs - nowMs)) : RETRY_AFTER_MS;
  throw new RateLimited(retryAfterMs, `One customer may have ${maxActiveHolds} holds at a time: order or release some`);
}

function isReplay({ holds }: Customer, { idempotencyKey, productId }: CreateHoldInput): boolean {
  if (idempotencyKey === null || idempotencyKey === undefined) return false;
  const key = keyOf(productId, idempotencyKey);
  for (const hold of holds.values()) if (hold.key === key) return true;
  return false;
}

function recordGrant({ holds }: Customer, hold: Hold): void {
  const lifeMs = hold.expiresAt.getTime() - hold.createdAt.getTime();
  const key = hold.idempotencyKey === null ? null : keyOf(hold.productId, hold.idempotencyKey);
  holds.set(hold.id, { endsAtMs: performance.now() + lifeMs, key });
}

const keyOf = (productId: string, key: string) => `${productId.toLowerCase()} ${key}`;

/** Holds have one lifetime, so the oldest ends first. */
function moveLapsed({ holds, lapsed }: Customer, nowMs: number, seconds: number): void {
  for (const [id, { endsAtMs }] of holds) {
    if (endsAtMs > nowMs) break;
    holds.delete(id);
    lapsed.set(id, endsAtMs);
  }
  for (const [id, endedAtMs] of lapsed) {
    if (endedAtMs > nowMs - seconds * 1_000) break;
    lapsed.delete(id);
  }
}

/** Queries in flight: requests that come together share one. */
const refreshes = new WeakMap<Map<string, unknown>, Promise<void>>();

async function refreshFromDatabase(
  deps: Dependencies,
  known: Map<string, unknown>,
  status: Hold['status'],
): Promise<void> {
  let shared = refreshes.get(known);
  if (!shared) {
    shared = keepOnly(deps, known, status).finally(() => refreshes.delete(known));
    refreshes.set(known, shared);
  }
  await shared;
}

/** Forgets those that the database knows to be something else. Throws `Unavailable`. */
async function keepOnly(
  { database }: Dependencies,
  known: Map<string, unknown>,
  status: Hold['status'],
): Promise<void> {
  const { holds, at } = await database.read((em) => findHoldsNow(em, [...known.keys()]));
  for (const hold of holds) if (statusOf(hold, at) !== status || hold.orderId !== null) known.delete(hold.id);
}

function customerOf(customers: Map<string, Customer>, id: string): Customer {
  let customer = customers.get(id);
  if (!customer) {
    customer = { pending: 0, holds: new Map(), lapsed: new Map(), pausedUntilMs: 0 };
    customers.set(id, customer);
    if (customers.size > MAX_CUSTOMERS) customers.delete(customers.keys().next().value!);
  }
  return customer;
}
