/** Who may ask at all, and how often: asked before anything is executed, over HTTP and WebSocket alike. */
import type { Config } from '../config';
import type { Logger } from '../telemetry/logger';
import type { Client } from './clients';
import { surplusOf, type Work } from './operation';
import { queueHook } from './queue-tokens';
import { ratesOf, type Rates } from './rates';

/** Of a document that has to be read. The storefront's have 100 to 1,300. */
export const CHARACTERS_PER_POINT = 500;

export interface Asking {
  /** '' is anonymous. */
  readonly caller: { readonly customerId: string; readonly isAdmin: boolean };
  readonly client: Client;
}

/**
 * The place for a challenge, a waiting room, a list of known bots: asked for each operation, after the limits and before it
 * is executed. Refuses by throwing `RateLimited` (come again later) or `CallerError` FORBIDDEN; returning admits.
 */
export type AdmissionHook = (request: Asking & Pick<Work, 'fields'>) => void | Promise<void>;

export interface Admission {
  /**
   * Before a text of so many characters is parsed that is new, or was refused before: reading costs a hundred times what a
   * known one costs.
   */
  mayRead(asking: Asking, length?: number): Promise<void>;
  /** Before an operation is executed that may cost `price`. Throws `RateLimited`, or what the hook throws. */
  admit(asking: Asking, work: Work, price: number): Promise<void>;
  /** Afterwards: what was taken for the price that was asked is corrected by what it really was. */
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
    // A mutation is counted as what it is; that its payload shows more than usual is browsing.
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
