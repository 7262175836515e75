/** The simulated payment provider and the sign-in of development servers. */
import { request } from '../api/request';
import { SignInAsDocument, SimulatePaymentDocument, type SimulatePaymentInput } from '../generated/development/graphql';
import { beginSession } from './session';

/** The webhook's answer in words, or when a delayed event will be sent. */
export async function simulatePayment(input: SimulatePaymentInput): Promise<string> {
  const { simulatePayment } = await request(SimulatePaymentDocument, { input });
  if (simulatePayment.deliveries.length === 0)
    return `The webhook will be sent in ${Math.round((input.delayMs ?? 0) / 1_000)} s.`;
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
