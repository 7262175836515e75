/** What every resolver gets: the services of the process, the caller, and the loaders of one operation. */
import type { GraphQLSchema } from 'graphql';
import type { Checkout } from '../../checkout/checkout';
import type { Caller } from '../../checkout/dependencies';
import type { AuthConfig } from '../../config';
import type { Database } from '../../database/database';
import { CallerError } from '../../domain/errors';
import type { Logger } from '../../telemetry/logger';
import type { Metrics } from '../../telemetry/metrics';
import type { Admission } from '../../admission/admission';
import type { Client, ClientOf } from '../../admission/clients';
import type { Work } from '../../admission/operation';
import type { DocumentGuard } from '../documents/guard';
import type { KnownDocuments } from '../documents/known';
import type { Mask } from './errors';
import { Loaders } from '../loaders';
import type { SharedReads } from '../live/shared-reads';
import type { StockLevels } from '../live/level-reader';
import type { StockWatch } from '../live/stock-watch';
import type { TokenVerifier } from './tokens';

/** The services, which live as long as the process. */
export interface Services {
  readonly schema: GraphQLSchema;
  readonly checkout: Checkout;
  readonly database: Database;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly levels: StockLevels;
  readonly reads: SharedReads;
  readonly watch: StockWatch;
  readonly admission: Admission;
  readonly documents: KnownDocuments;
  readonly guard: DocumentGuard;
  readonly verify: TokenVerifier;
  readonly clientOf: ClientOf;
  readonly mask: Mask;
  /** The metrics of this server, all workers together. `server`: its name. */
  serverMetrics(): Promise<{ readonly server: string; readonly text: string }>;
  /** Simulates the payment provider. null in production. */
  readonly provider: PaymentSimulation | null;
  /** Signs tokens on request while its secret is the public development secret. null in production. */
  readonly developmentAuth: AuthConfig | null;
}

export interface PaymentSimulation {
  /** Returns the webhook's answers; none when `delayMs` is not 0. */
  send(
    event: {
      readonly eventId: string;
      readonly type: string;
      readonly reference: string;
      readonly amountMinor: number | undefined;
      readonly currency: string | undefined;
      readonly paymentId: string;
    },
    when: { delayMs: number; times: number },
  ): Promise<readonly { readonly status: number; readonly body: string }[]>;
}

/** An operation that was counted against its sender's limits, and the price that was taken for it. */
export interface Admitted {
  readonly work: Work;
  readonly asked: number;
}

/** One operation's context, over HTTP and WebSocket alike. It has few own properties because Apollo copies them per request. */
export class Context {
  /** Loaders cache, so they must not outlive the operation. */
  readonly loaders: Loaders;
  /** Set by `admit`. */
  admitted: Admitted | null = null;
  /** Of the header Idempotency-Key, whose raw value it is until `admit` has read it. null: there is none. */
  idempotencyKey: string | null = null;

  constructor(
    readonly services: Services,
    readonly requestId: string,
    readonly caller: Caller,
    readonly client: Client,
  ) {
    this.loaders = new Loaders(services.reads, caller);
  }

  get checkout(): Checkout {
    return this.services.checkout;
  }

  /** A read that decides nothing. Throws `Busy` and `Unavailable`. */
  get read(): Database['read'] {
    return this.services.database.read;
  }
}

export function requireAdmin({ caller }: Context): void {
  requireCustomer({ caller });
  if (!caller.isAdmin) throw new CallerError('FORBIDDEN', 'This needs a token with the role admin');
}

export function requireCustomer({ caller }: Pick<Context, 'caller'>): void {
  if (caller.customerId === '') throw new CallerError('UNAUTHENTICATED', 'Sign in: send Authorization: Bearer <token>');
}
