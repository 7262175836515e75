/** What every use case is given. */
import type { Database } from '../database/database';
import type { Logger } from '../telemetry/logger';
import type { Metrics } from '../telemetry/metrics';

export interface Checkout {
  readonly database: Database;
  readonly log: Logger;
  /** Counted once it is committed, beside the log's line. */
  readonly metrics: Metrics;
  readonly holdTtlSeconds: number;
  readonly orderPaymentWindowSeconds: number;
}

/** The same for one request: its log's lines carry the id. */
export function inRequest(shared: Checkout, requestId: string | undefined): Checkout {
  return requestId === undefined ? shared : { ...shared, log: shared.log.child({ requestId }) };
}

/** Who asks. */
export interface Caller {
  /** '' is anonymous. */
  readonly customerId: string;
  readonly isAdmin: boolean;
}

/** A hold or an order without a customer is open to whoever has its id; one with a customer is theirs alone. */
export function isOwn(caller: Caller, record: { readonly customerId: string }): boolean {
  return record.customerId === '' || record.customerId === caller.customerId;
}

/** An admin may read what a customer may touch. */
export function maySee(caller: Caller, record: { readonly customerId: string }): boolean {
  return caller.isAdmin || isOwn(caller, record);
}
