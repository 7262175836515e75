/** Against scalpers: a limit on one customer's live holds over all products, and a pause after too many expired holds. */
import { performance } from 'node:perf_hooks';
import { findHoldsNow } from '../database/holds';
import { RateLimited } from '../domain/errors';
import { statusOf, type Hold } from '../domain/records';
import type { CreateHoldInput, HoldAnswer } from './create-hold';
import type { Dependencies, UseCase } from './dependencies';

/** Customers in memory; the oldest is dropped first. */
const MAX_CUSTOMERS = 20_000;
/** The answer's `retryAfterMs` when this process does not know when a hold of the customer ends. */
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
  /** Requests let through and not answered yet. */
  pending: number;
  /** By id: granted by this process, possibly still live. */
  readonly holds: Map<string, Granted>;
  /** By id, with the time of the end: not known to have been released or ordered before. */
  readonly lapsed: Map<string, number>;
  /** No new hold before this time. */
  pausedUntilMs: number;
}

/**
 * `createHold` that throws `RateLimited` for a customer who has the maximum of live holds, or who let too many expire. A
 * replay of a live hold is answered all the same.
 *
 * Best effort: a process knows only the holds that it granted; the guarantee is `maxPerCustomer`. A refusal is never wrong,
 * because the database is asked first what became of those holds (one statement by id, only at the limit). Anonymous shoppers
 * are not limited here.
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

/** Returns with `pending` incremented, synchronously with the check, so that parallel requests count. Throws `RateLimited`. */
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

/** Drops the holds that have another status in the database. Throws `Unavailable`. */
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
