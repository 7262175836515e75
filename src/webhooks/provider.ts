/** What the webhook has to know of a payment provider: where it calls, how it signs, and how it says what. */
import type { IncomingHttpHeaders } from 'node:http';
import type { PaymentMessage } from '../domain/payment-message';
import type { Problem } from './json-body';

export interface Provider {
  /** As stored with each event: event ids are a provider's own. */
  readonly name: string;
  readonly path: string;
  readonly maxBodyBytes: number;
  /** What the operator has to do before messages of this provider can be believed; null: it is set up. */
  readonly missing: string | null;
  /** Whether these very bytes are the provider's. The reason is for the log: senders need no more than 401. */
  verify(headers: IncomingHttpHeaders, body: Buffer): 'ok' | { readonly reason: string };
  /** Called only with what was verified. */
  parse(body: Buffer): PaymentMessage | Problem;
  /** When the provider says that it happened, in ms since 1970; NaN when it does not say. */
  sentAt(message: PaymentMessage): number;
}
