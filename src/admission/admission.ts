/** Who may ask at all, and how often: asked before anything is executed, over HTTP and WebSocket alike. */
import type { DocumentNode, OperationDefinitionNode } from 'graphql';
import type { Config } from '../config';
import type { Logger } from '../telemetry/logger';
import type { Client } from './clients';
import { workOf, type Work } from './operation';
import { queueHook } from './queue-tokens';
import { ratesOf, type Rates } from './rates';

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
  /** Before a text is parsed that is new, or was refused before: reading costs a hundred times what a known one costs. */
  mayRead(asking: Asking): Promise<void>;
  /** Before an operation is executed. Throws `RateLimited`, or what the hook throws. */
  admit(asking: Asking, document: DocumentNode, operation: OperationDefinitionNode): Promise<void>;
  /** As above, for work that is known already. */
  admitWork(asking: Asking, work: Work): Promise<void>;
  readonly rates: Rates;
}

export function admissionOf(config: Config, options: { log: Logger; hook?: AdmissionHook | undefined }): Admission {
  const rates = ratesOf(config, options.log);
  const hook = options.hook ?? (config.admissionSecret === null ? undefined : queueHook(config.admissionSecret));
  const countedOf = ({ caller, client }: Asking) => ({ customerId: caller.customerId, client });
  const admitWork = async (asking: Asking, { fields, points }: Work) => {
    for (const [name, count] of points) await rates.count(name, countedOf(asking), count);
    await hook?.({ ...asking, fields });
  };
  return {
    mayRead: (asking) => rates.count('document', countedOf(asking), 1),
    admit: (asking, document, operation) => admitWork(asking, workOf(document, operation)),
    admitWork,
    rates,
  };
}
