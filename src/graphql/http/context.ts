/** What every resolver is given: who asks, what may happen, and one request's loaders. */
import type { GraphQLSchema } from 'graphql';
import { inRequest, type Caller, type Checkout } from '../../checkout/checkout';
import type { CreateHold } from '../../checkout/create-hold';
import type { CreateOrder } from '../../checkout/create-order';
import type { AuthConfig } from '../../config';
import { CallerError } from '../../domain/errors';
import type { Admission } from '../../admission/admission';
import type { Client, ClientOf } from '../../admission/clients';
import type { DocumentGuard } from '../documents/guard';
import type { Mask } from './errors';
import { Loaders } from '../loaders';
import type { SharedReads } from '../live/shared-reads';
import type { StockLevels } from '../live/level-reader';
import type { StockWatch } from '../live/stock-watch';
import type { TokenVerifier } from './tokens';
import type { TrustedDocuments } from '../documents/trusted';

/** What lives as long as the process. */
export interface Room {
  readonly schema: GraphQLSchema;
  readonly checkout: Checkout;
  readonly createHold: CreateHold;
  readonly createOrder: CreateOrder;
  readonly levels: StockLevels;
  readonly reads: SharedReads;
  readonly watch: StockWatch;
  readonly admission: Admission;
  readonly trusted: TrustedDocuments;
  readonly guard: DocumentGuard;
  /** One for HTTP and WebSocket: its memory, and the issuer's keys, are there once. */
  readonly verify: TokenVerifier;
  readonly clientOf: ClientOf;
  readonly mask: Mask;
  /** What this server has counted, its workers together, and its name. */
  serverMetrics(): Promise<{ readonly server: string; readonly text: string }>;
  /** Plays the payment provider. null in production. */
  readonly provider: PaymentSimulation | null;
  /** What signs tokens for whoever asks, where its secret is the well-known one. null in production. */
  readonly developmentAuth: AuthConfig | null;
}

export interface PaymentSimulation {
  /** The webhook's answers; none when the event is to be sent later. */
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

/**
 * For one operation, over HTTP and WebSocket alike: loaders remember, so they must not outlive it. Few own properties, for
 * Apollo copies them for every request.
 */
export class Context {
  readonly loaders: Loaders;

  constructor(
    readonly room: Room,
    readonly requestId: string,
    readonly caller: Caller,
    readonly client: Client,
    /** Asked and counted before Apollo was: not again. */
    readonly isAdmitted = false,
  ) {
    this.loaders = new Loaders(room.reads, caller);
  }

  /** For what serves one request: its log names it. The use cases that serve many at once are in the room. */
  get checkout(): Checkout {
    return inRequest(this.room.checkout, this.requestId);
  }
}

/** What the use cases that share transactions are told of the request, beside its input. */
export function by({ caller, requestId }: Context): { readonly customerId: string; readonly requestId: string } {
  return { customerId: caller.customerId, requestId };
}

export function requireAdmin({ caller }: Context): void {
  requireCustomer({ caller });
  if (!caller.isAdmin) throw new CallerError('FORBIDDEN', 'This needs a token with the role admin');
}

export function requireCustomer({ caller }: Pick<Context, 'caller'>): void {
  if (caller.customerId === '') throw new CallerError('UNAUTHENTICATED', 'Sign in: send Authorization: Bearer <token>');
}
