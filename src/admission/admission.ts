/** Decides before execution whether an operation is admitted: rate limits, and an optional hook. */
import type { Config } from '../config';
import type { Logger } from '../telemetry/logger';
import type { Client } from './clients';
import { surplusOf, type Work } from './operation';
import { queueHook } from './queue-tokens';
import { ratesOf, type Rates } from './rates';

/** For documents that have to be parsed. The storefront's have 100 to 1,300 characters. */
export const CHARACTERS_PER_POINT = 500;

export interface Asking {
  /** '' is anonymous. */
  readonly caller: { readonly customerId: string; readonly isAdmin: boolean };
  readonly client: Client;
}

/**
 * For a challenge, a waiting room or a list of known bots: called for each operation, after the limits and before execution.
 * It refuses by throwing `RateLimited` (try again later) or `CallerError` FORBIDDEN, and admits by returning.
 */
export type AdmissionHook = (request: Asking & Pick<Work, 'fields'>) => void | Promise<void>;

export interface Admission {
  /**
   * Call before parsing a text of `length` characters that is new or was refused before: it costs a hundred times as much as a
   * known one.
   */
  mayRead(asking: Asking, length?: number): Promise<void>;
  /** Call before executing an operation that may cost `price`. Throws `RateLimited`, or what the hook throws. */
  admit(asking: Asking, work: Work, price: number): Promise<void>;
  /** Call afterwards: corrects what was counted for the asked price to the real one. */
  settle(asking: Asking, work: Work, price: { asked: number; real: number }): Promise<void>;
  readonly rates: Rates;
}

export function admissionOf(config: Config, options: { log: Logger; hook?: AdmissionHook | undefined }): Admission {
  const rates = ratesOf(config, options.log);
  const hook = options.hook ?? (config.admissionSecret === null ? undefined : queueHook(config.admissionSecret));
  const countedOf = ({ caller, client }: Asking) => ({ customerId: caller.customerId, client });
  const admit = async (asking: Asking, work: Work, price: number) => {
    const { fields, points, readAs } = work;
    const surplus = surplusOf(work, price);
    for (const [name, count] of points) {
      await rates.count(name, countedOf(asking), count, name === readAs ? surplus : 0);
    }
    // A mutation counts in its own class; an unusually large payload counts as browsing.
    if (surplus > 0 && !points.has(readAs)) await rates.count(readAs, countedOf(asking), 0, surplus);
    await hook?.({ ...asking, fields });
  };
  return {
    mayRead: (asking, length = 0) =>
      rates.count('document', countedOf(asking), 1, Math.floor(length / CHARACTERS_PER_POINT)),
    admit,
    settle: async (asking, work, { asked, real }) => {
      const { points, readAs } = work;
      const surplus = { from: surplusOf(work, asked), to: surplusOf(work, real) };
      if (surplus.from !== surplus.to) {
        await rates.correct(readAs, countedOf(asking), points.get(readAs) ?? 0, surplus);
      }
    },
    rates,
  };
}
