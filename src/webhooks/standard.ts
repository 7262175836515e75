/** The provider `standard`: Standard Webhooks signatures, and the messages that docs/webhooks.md describes. */
import { parsePaymentMessage } from './message';
import type { Provider } from './provider';
import { verifySignature } from './signature';

export function standardProvider(secrets: readonly string[]): Provider {
  return {
    name: 'standard',
    path: '/webhooks/payments',
    maxBodyBytes: 64 * 1024,
    missing: null,
    verify: (headers, body) => verifySignature({ headers, body, secrets, nowSeconds: Date.now() / 1_000 }),
    parse: parsePaymentMessage,
    sentAt: ({ payload: { timestamp } }) => (typeof timestamp === 'string' ? Date.parse(timestamp) : NaN),
  };
}
