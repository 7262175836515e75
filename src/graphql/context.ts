/** What every resolver is given: who asks, what may happen, and one request's loaders. */
import type { Caller, Checkout } from '../checkout/checkout';
import type { CreateHold } from '../checkout/create-hold';
import type { CreateOrder } from '../checkout/create-order';
import { CallerError } from '../domain/errors';
import type { Admission } from '../admission/admission';
import type { Client } from '../admission/clients';
import type { DocumentGuard } from './document-guard';
import type { Loaders } from './loaders';
import type { SharedReads } from './shared-reads';
import type { StockLevels } from './stock-levels';
import type { TrustedDocuments } from './trusted-documents';

/** What lives as long as the process. */
export interface Room {
  readonly checkout: Checkout;
  readonly createHold: CreateHold;
  readonly createOrder: CreateOrder;
  readonly levels: StockLevels;
  readonly reads: SharedReads;
  readonly admission: Admission;
  readonly trusted: TrustedDocuments;
  readonly guard: DocumentGuard;
}

export interface Context extends Room {
  readonly requestId: string;
  readonly caller: Caller;
  readonly client: Client;
  /** Asked and counted before Apollo was: not again. */
  readonly isAdmitted?: boolean | undefined;
  readonly loaders: Loaders;
}

export function requireAdmin({ caller }: Context): void {
  requireCustomer({ caller });
  if (!caller.isAdmin) throw new CallerError('FORBIDDEN', 'This needs a token with the role admin');
}

export function requireCustomer({ caller }: Pick<Context, 'caller'>): void {
  if (caller.customerId === '') throw new CallerError('UNAUTHENTICATED', 'Sign in: send Authorization: Bearer <token>');
}
