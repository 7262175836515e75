/** Idempotency keys: one for each thing a shopper means to do, kept until the shop has said what became of it. */
import { tabKept } from './kept';

const STORE = 'intents';

/** The same intent has the same key, also after a reload, until it is settled: then a repeat is a new intent. */
export function keyOf(intent: string): string {
  const keys = stored();
  const key = (keys[intent] ??= newKey());
  store(keys);
  return key;
}

/** The shop has answered: granted, or refused for good. */
export function settle(intent: string): void {
  const keys = stored();
  delete keys[intent];
  store(keys);
}

/** A UUID. `crypto.randomUUID` is only there on HTTPS and localhost, and a phone tries a shop at an address of the house. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function stored(): Record<string, string> {
  try {
    return JSON.parse(tabKept.get(STORE) ?? '{}') as Record<string, string>;
  } catch {
    return {};
  }
}

function store(keys: Record<string, string>): void {
  tabKept.set(STORE, JSON.stringify(keys));
}
