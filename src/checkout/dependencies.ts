/** What every use case gets, and how each is called. */
import type { Database } from '../database/database';
import type { Logger } from '../telemetry/logger';
import type { Metrics } from '../telemetry/metrics';

export interface Dependencies {
  readonly database: Database;
  /** In a use case its lines carry the request's id. Lines and counts are written once the transaction is committed. */
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly holdTtlSeconds: number;
  readonly orderPaymentWindowSeconds: number;
}

export interface Caller {
  /** '' is anonymous. */
  readonly customerId: string;
  readonly isAdmin: boolean;
}

/** Throws `CallerError`, `Busy` (nothing happened), `Unavailable`. */
export type UseCase<Input, Result> = (deps: Dependencies, input: Input, caller: Caller) => Promise<Result>;

/** A hold or an order without a customer is open to everyone who has its id; any other belongs to its customer alone. */
export function isOwn(caller: Caller, record: { readonly customerId: string }): boolean {
  return record.customerId === '' || record.customerId === caller.customerId;
}

/** Admins may read what customers may touch. */
export function maySee(caller: Caller, record: { readonly customerId: string }): boolean {
  return caller.isAdmin || isOwn(caller, record);
}
