/** The payment provider that a development server plays, and its sign-in. A production server knows neither. */
import { request } from '../api/request';
import { SignInAsDocument, SimulatePaymentDocument, type SimulatePaymentInput } from '../generated/development/graphql';
import { beginSession } from './session';

/** What the webhook answered, in a few words; for an event that is sent later, that it will be. */
export async function simulatePayment(input: SimulatePaymentInput): Promise<string> {
  const { simulatePayment } = await request(SimulatePaymentDocument, { input });
  if (simulatePayment.deliveries.length === 0)
    return `On its way: the webhook comes in ${Math.round((input.delayMs ?? 0) / 1_000)} s.`;
  return `The webhook answered: ${simulatePayment.deliveries.map(deliveryInWords).join(', then ')}.`;
}

export async function signInAs(customerId: string): Promise<void> {
  const { signInAs: token } = await request(SignInAsDocument, { customerId });
  beginSession({ customerId, token });
}

function deliveryInWords({ status, body }: { status: number; body: string }): string {
  try {
    const { outcome, duplicate, error } = JSON.parse(body) as Record<string, unknown>;
    if (typeof outcome === 'string') return `${outcome}${duplicate ? ' (a duplicate)' : ''}`;
    return `${status} ${String(error ?? '')}`;
  } catch {
    return String(status);
  }
}
