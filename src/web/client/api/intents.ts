/** Idempotency keys: one for each thing a shopper means to do, stored until the shop has answered. */
import { tabKept } from './kept';

const STORE = 'intents';

/** The same intent gets the same key, even after a reload, until it is settled. Repeating it after that is a new intent. */
export function keyOf(intent: string): string {
  const keys = stored();
  const key = (keys[intent] ??= newKey());
  tabKept.set(STORE, keys);
  return key;
}

/** To be called when the shop has answered: granted, or refused for good. */
export function settle(intent: string): void {
  const { [intent]: _settled, ...others } = stored();
  tabKept.set(STORE, others);
}

/** A UUID. `crypto.randomUUID` exists only on HTTPS and localhost, and a phone may open the shop at a LAN address. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

const stored = () => (tabKept.get(STORE) ?? {}) as Record<string, string>;
