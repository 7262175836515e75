/** The operator's token: kept for this tab alone, and gone with it. */
import { tabKept } from '../api/kept';

const STORE = 'operator token';

export function storedToken(): string | null {
  return tabKept.get(STORE);
}

export function storeToken(token: string | null): void {
  tabKept.set(STORE, token);
}

/** What was pasted, without what is often copied along. null: no header could carry it, so it is no token. */
export function tokenIn(pasted: string): string | null {
  const token = pasted.trim().replace(/^(authorization:\s*)?bearer\s+/i, '');
  return /^[\w.~+/=-]+$/.test(token) ? token : null;
}
