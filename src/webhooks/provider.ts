/** What the webhook has to know about a payment provider: its route, its signatures and its messages. */
import type { IncomingHttpHeaders } from 'node:http';
import type { PaymentMessage } from '../domain/payment-message';
import type { Problem } from './json-body';

export interface Provider {
  /** Stored with each event, because event ids are unique only within a provider. */
  readonly name: string;
  readonly path: string;
  readonly maxBodyBytes: number;
  /** What the operator has to do before this provider's messages can be verified; null: it is set up. */
  readonly missing: string | null;
  /** Whether the provider signed these bytes. The reason is for the log; the sender only gets 401. */
  verify(headers: IncomingHttpHeaders, body: Buffer): 'ok' | { readonly reason: string };
  /** Called only with a verified body. */
  parse(body: Buffer): PaymentMessage | Problem;
  /** The provider's time of the event, in ms since 1970; NaN when the message has none. */
  sentAt(message: PaymentMessage): number;
}
