/** A provider's message in the checkout's terms, and when two messages are equal. */
import { isDeepStrictEqual } from 'node:util';
import type { PaymentEvent } from './records';

export interface PaymentMessage {
  readonly eventId: string;
  readonly type: string;
  /** '' when a message of an unknown type has none. */
  readonly reference: string;
  /** null: missing, or no whole number from 0 to 2^53−1. It is money all the same, and must not be lost. */
  readonly amountMinor: number | null;
  /** null: missing, or not three capital letters. */
  readonly currency: string | null;
  /** null: missing. */
  readonly paymentId: string | null;
  /** The whole message, as it is stored. */
  readonly payload: Record<string, unknown>;
}

/** A message, or the row that remembers one. */
type Compared = Pick<PaymentEvent, 'type' | 'reference' | 'amountMinor' | 'currency' | 'paymentId' | 'payload'>;

/**
 * Whether a message under a known event id says what the first one said: type, reference, amount, currency and payment id.
 * Bytes, order of keys and anything else may differ. Values that are not what they should be are compared as they came:
 * "100" is not -1.
 */
export function repeats(message: Compared, earlier: Compared): boolean {
  return isDeepStrictEqual(whatCounts(message), whatCounts(earlier));
}

function whatCounts({ type, reference, amountMinor, currency, paymentId, payload }: Compared): unknown[] {
  const { data } = payload;
  const raw = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>;
  return [
    type,
    reference,
    amountMinor ?? { asSent: raw.amount_minor ?? null },
    currency ?? { asSent: raw.currency ?? null },
    // Versions before took a number for none, and stored it only as it was sent.
    paymentId ?? (Number.isSafeInteger(raw.payment_id) ? String(raw.payment_id) : { asSent: raw.payment_id ?? null }),
  ];
}
