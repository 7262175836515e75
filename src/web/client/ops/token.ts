/** The operator's token, stored for this tab only. */
import { tabKept } from '../api/kept';

const STORE = 'operator token';

export function storedToken(): string | null {
  const token = tabKept.get(STORE);
  return typeof token === 'string' ? token : null;
}

export function storeToken(token: string | null): void {
  tabKept.set(STORE, token);
}

/** The token in a pasted text, which may include the header's name. null: no header could carry it, so it is not a token. */
export function tokenIn(pasted: string): string | null {
  const token = pasted.trim().replace(/^(authorization:\s*)?bearer\s+/i, '');
  return /^[\w.~+/=-]+$/.test(token) ? token : null;
}
