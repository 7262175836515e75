/** How often one customer and one address may ask, counted by this process in windows of 10 s. */
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import type { Config, RateClass, RateLimits } from '../config';
import { RateLimited } from '../domain/errors';
import type { Logger } from '../telemetry/logger';
import type { Client } from './clients';

const WINDOW_SECONDS = 10;

/** Whose requests are counted together: a signed-in customer's and, whoever they are, an address's. */
export interface Counted {
  readonly customerId: string;
  readonly client: Client;
}

export interface Rates {
  /**
   * Throws `RateLimited` when the limit of the customer or the address is passed; what is refused counts, too. `surplus`: points
   * for what costs more than usual. They never take more than a whole window's allowance, so that a limit that is set low
   * makes an expensive question rare, and not impossible.
   */
  count(name: RateClass, counted: Counted, points: number, surplus?: number): Promise<void>;
  /** The surplus turns out to be another: what is too much is given back, what is missing is taken. Refuses nothing. */
  correct(name: RateClass, counted: Counted, points: number, surplus: { from: number; to: number }): Promise<void>;
  /** Throws `RateLimited` when a limit is passed already; counts nothing. */
  check(name: RateClass, counted: Counted): Promise<void>;
}

const unlimited: Rates = {
  count: async () => undefined,
  correct: async () => undefined,
  check: async () => undefined,
};

interface Limit {
  readonly limiter: RateLimiterMemory;
  readonly keyOf: (counted: Counted) => string;
  readonly isExempt: (counted: Counted) => boolean;
}

/**
 * Each process counts for itself, so WORKERS=4 admits up to four times as much. About 1 µs and, until its window ends, 450
 * bytes for a key. The keys are bounded by what a process can serve in 10 s.
 */
export function ratesOf({ rateLimits, environment }: Pick<Config, 'rateLimits' | 'environment'>, log: Logger): Rates {
  if (!rateLimits) return unlimited;
  const limits = new Map<RateClass, readonly Limit[]>();
  const limitsOf = (name: RateClass) => {
    let own = limits.get(name);
    if (!own) limits.set(name, (own = limitsFor(name, rateLimits, environment === 'production')));
    return own;
  };
  const refuse = (name: RateClass, key: string, { msBeforeNext }: RateLimiterRes, isFirst: boolean): never => {
    // Once a window: a flood of refusals must not become a flood of log lines.
    if (isFirst) log.warn({ event: 'rate.limited', class: name, key }, 'rate.limited');
    throw new RateLimited(Math.max(1, msBeforeNext));
  };
  return {
    count: async (name, counted, points, surplus = 0) => {
      for (const { limiter, keyOf, isExempt } of limitsOf(name)) {
        if (isExempt(counted)) continue;
        const key = keyOf(counted);
        const taken = points + withinLimit(surplus, points, limiter);
        const state = await limiter.consume(key, taken).catch(ownRefusal);
        if (state.consumedPoints > limiter.points) {
          refuse(name, key, state, state.consumedPoints - taken <= limiter.points);
        }
      }
    },
    correct: async (name, counted, points, { from, to }) => {
      for (const { limiter, keyOf, isExempt } of limitsOf(name)) {
        if (isExempt(counted)) continue;
        const change = withinLimit(to, points, limiter) - withinLimit(from, points, limiter);
        if (change > 0) await limiter.penalty(keyOf(counted), change);
        if (change < 0) await limiter.reward(keyOf(counted), -change);
      }
    },
    check: async (name, counted) => {
      for (const { limiter, keyOf, isExempt } of limitsOf(name)) {
        if (isExempt(counted)) continue;
        const state = await limiter.get(keyOf(counted));
        if (state && state.consumedPoints > limiter.points) refuse(name, keyOf(counted), state, false);
      }
    },
  };
}

const withinLimit = (surplus: number, points: number, limiter: RateLimiterMemory) =>
  Math.max(0, Math.min(surplus, limiter.points - points));

/** The limiter rejects with the state when a limit is passed, and with an error when it is broken. */
function ownRefusal(refusal: unknown): RateLimiterRes {
  if (refusal instanceof Error) throw refusal;
  return refusal as RateLimiterRes;
}

/**
 * This very machine is a tool, a test, or a proxy that TRUSTED_PROXIES does not name: as an address it is not limited, as
 * that would stop all who come through it together. Its customers are, in production.
 */
function limitsFor(name: RateClass, rateLimits: RateLimits, isProduction: boolean): Limit[] {
  const { perCustomer, perAddress } = rateLimits[name];
  const limiterOf = (points: number) => new RateLimiterMemory({ points, duration: WINDOW_SECONDS });
  const isTool = ({ client }: Counted) => client.isLoopback && !rateLimits.loopback;
  const limits: Limit[] = [];
  if (perCustomer !== null) {
    limits.push({
      limiter: limiterOf(perCustomer),
      keyOf: ({ customerId }) => `customer ${customerId}`,
      isExempt: (counted) => counted.customerId === '' || (isTool(counted) && !isProduction),
    });
  }
  if (perAddress !== null) {
    limits.push({
      limiter: limiterOf(perAddress),
      keyOf: ({ client }) => `address ${client.address}`,
      isExempt: isTool,
    });
  }
  return limits;
}
