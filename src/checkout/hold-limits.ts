/** Against scalpers: how many live holds one customer has over all products, and who lets holds expire again and again. */
import { performance } from 'node:perf_hooks';
import { findHoldsNow } from '../database/holds';
import { RateLimited } from '../domain/errors';
import { statusOf, type Hold } from '../domain/records';
import type { Checkout } from './checkout';
import type { CreateHold, CreateHoldInput } from './create-hold';

/** Customers that are remembered; the one who came first is forgotten. */
const MAX_CUSTOMERS = 20_000;
/** What a hold is asked about again after, when its end is not known here. */
const RETRY_AFTER_MS = 1_000;

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
export function limitHoldsOf(createHold: CreateHold, checkout: Checkout, limits: HoldLimits): CreateHold {
  if (limits.maxActiveHolds === null && limits.holdCooldown === null) return createHold;
  const customers = new Map<string, Customer>();
  return async (input) => {
    if (input.customerId === '') return createHold(input);
    const customer = remember(customers, input.customerId);
    await reserve(checkout, limits, customer, input);
    try {
      const answer = await createHold(input);
      if (answer.granted && !answer.replay) note(customer, answer.value);
      return answer;
    } finally {
      customer.pending -= 1;
    }
  };
}

/** Returns with `pending` one more. Counted in the same moment as judged: parallel requests see each other. */
async function reserve(
  checkout: Checkout,
  { maxActiveHolds, holdCooldown }: HoldLimits,
  customer: Customer,
  input: CreateHoldInput,
): Promise<void> {
  const hasRoom = () => maxActiveHolds === null || customer.holds.size + customer.pending < maxActiveHolds;
  if (isReplay(customer, input)) return void (customer.pending += 1);
  const nowMs = performance.now();
  moveLapsed(customer, nowMs, holdCooldown?.seconds ?? 0);
  if (holdCooldown && customer.lapsed.size >= holdCooldown.holds) {
    await look(checkout, customer.lapsed, 'EXPIRED');
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
  await look(checkout, customer.holds, 'ACTIVE');
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

function note({ holds }: Customer, hold: Hold): void {
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

/** Looks under way: requests that come together share one. */
const looks = new WeakMap<Map<string, unknown>, Promise<void>>();

async function look(checkout: Checkout, known: Map<string, unknown>, status: Hold['status']): Promise<void> {
  let shared = looks.get(known);
  if (!shared) looks.set(known, (shared = keepOnly(checkout, known, status).finally(() => looks.delete(known))));
  await shared;
}

/** Forgets those that the database knows to be something else. Throws `Unavailable`. */
async function keepOnly({ database }: Checkout, known: Map<string, unknown>, status: Hold['status']): Promise<void> {
  const { holds, at } = await database.read((em) => findHoldsNow(em, [...known.keys()]));
  for (const hold of holds) if (statusOf(hold, at) !== status || hold.orderId !== null) known.delete(hold.id);
}

function remember(customers: Map<string, Customer>, id: string): Customer {
  let customer = customers.get(id);
  if (!customer) {
    customer = { pending: 0, holds: new Map(), lapsed: new Map(), pausedUntilMs: 0 };
    customers.set(id, customer);
    if (customers.size > MAX_CUSTOMERS) customers.delete(customers.keys().next().value!);
  }
  return customer;
}
