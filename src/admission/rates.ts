/** Rate limits per customer and per address, counted by this process in windows of 10 s. */
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import type { Config, RateClass, RateLimits } from '../config';
import { RateLimited } from '../domain/errors';
import type { Logger } from '../telemetry/logger';
import type { Client } from './clients';

const WINDOW_SECONDS = 10;
/**
 * Surplus points of an address are also limited per second, to a tenth of its allowance. Spent all at once, the allowance of a
 * window would take the process away from a sale. (Reading documents costs too little to need this.)
 */
const BURST_SECONDS = 1;

/** Requests are counted per signed-in customer, and per address, signed in or not. */
export interface Counted {
  readonly customerId: string;
  readonly client: Client;
}

export interface Rates {
  /**
   * Throws `RateLimited` when the limit of the customer or the address is exceeded. Refused requests count, too. `surplus`: extra
   * points of an expensive operation. They never take more than a whole window's allowance, so a low limit makes an expensive
   * operation rare, and not impossible.
   */
  count(name: RateClass, counted: Counted, points: number, surplus?: number): Promise<void>;
  /** Replaces a counted surplus by the real one. Never refuses. */
  correct(name: RateClass, counted: Counted, points: number, surplus: { from: number; to: number }): Promise<void>;
  /** Throws `RateLimited` when a limit is already exceeded. Counts nothing. */
  check(name: RateClass, counted: Counted): Promise<void>;
}

const unlimited: Rates = {
  count: async () => undefined,
  correct: async () => undefined,
  check: async () => undefined,
};

interface Limit {
  readonly limiter: RateLimiterMemory;
  /** Limits the surplus per second; null: only the window limits it. */
  readonly burst: RateLimiterMemory | null;
  readonly keyOf: (counted: Counted) => string;
  readonly isExempt: (counted: Counted) => boolean;
}

/**
 * Each process counts separately, so WORKERS=4 admits up to four times as much. Counting takes about 1 µs, and 450 bytes per key
 * until its window ends. The requests that a process can serve in 10 s bound the number of keys.
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
    // One line per key and window: a flood of refusals must not become a flood of log lines.
    if (isFirst) log.warn({ event: 'rate.limited', class: name, key }, 'rate.limited');
    // The library subtracts wall-clock times, so a clock that is set back yields hours. Its timer still ends the window on time.
    throw new RateLimited(Math.min(Math.max(1, msBeforeNext), WINDOW_SECONDS * 1_000));
  };
  return {
    count: async (name, counted, points, surplus = 0) => {
      for (const { limiter, burst, keyOf, isExempt } of limitsOf(name)) {
        if (isExempt(counted)) continue;
        const key = keyOf(counted);
        if (burst && surplus > 0) {
          const state = await burst.consume(key, withinLimit(surplus, 0, burst)).catch(ownRefusal);
          if (state.consumedPoints > burst.points) refuse(name, key, state, false);
        }
        const taken = points + withinLimit(surplus, points, limiter);
        const state = await limiter.consume(key, taken).catch(ownRefusal);
        if (state.consumedPoints > limiter.points) {
          refuse(name, key, state, state.consumedPoints - taken <= limiter.points);
        }
      }
    },
    correct: async (name, counted, points, { from, to }) => {
      const move = async (limiter: RateLimiterMemory, key: string, own: number) => {
        const change = withinLimit(to, own, limiter) - withinLimit(from, own, limiter);
        if (change > 0) await limiter.penalty(key, change);
        if (change < 0) await limiter.reward(key, -change);
      };
      for (const { limiter, burst, keyOf, isExempt } of limitsOf(name)) {
        if (isExempt(counted)) continue;
        await move(limiter, keyOf(counted), points);
        if (burst) await move(burst, keyOf(counted), 0);
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

/** The limiter rejects with its state when the limit is exceeded, and with an Error when it fails. */
function ownRefusal(refusal: unknown): RateLimiterRes {
  if (refusal instanceof Error) throw refusal;
  return refusal as RateLimiterRes;
}

const burstOf = (points: number) =>
  new RateLimiterMemory({ points: Math.ceil((points * BURST_SECONDS) / WINDOW_SECONDS), duration: BURST_SECONDS });

/**
 * Loopback is exempt from per-address limits: it is a tool, a test, or a proxy that is not in TRUSTED_PROXIES, all of whose
 * clients would share one limit. In production the customers behind it are still limited.
 */
function limitsFor(name: RateClass, rateLimits: RateLimits, isProduction: boolean): Limit[] {
  const { perCustomer, perAddress } = rateLimits[name];
  const limiterOf = (points: number) => new RateLimiterMemory({ points, duration: WINDOW_SECONDS });
  const isTool = ({ client }: Counted) => client.isLoopback && !rateLimits.loopback;
  const limits: Limit[] = [];
  if (perCustomer !== null) {
    limits.push({
      limiter: limiterOf(perCustomer),
      burst: null,
      keyOf: ({ customerId }) => `customer ${customerId}`,
      isExempt: (counted) => counted.customerId === '' || (isTool(counted) && !isProduction),
    });
  }
  if (perAddress !== null) {
    limits.push({
      limiter: limiterOf(perAddress),
      burst: name === 'document' ? null : burstOf(perAddress),
      keyOf: ({ client }) => `address ${client.address}`,
      isExempt: isTool,
    });
  }
  return limits;
}
