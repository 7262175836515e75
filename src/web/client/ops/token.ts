/** The operator's token: kept for this tab alone, and gone with it. */

const STORE = 'operator token';

export function storedToken(): string | null {
  return sessionStorage.getItem(STORE);
}

export function storeToken(token: string | null): void {
  if (token === null) sessionStorage.removeItem(STORE);
  else sessionStorage.setItem(STORE, token);
}

/** What was pasted, without what is often copied along. null: no header could carry it, so it is no token. */
export function tokenIn(pasted: string): string | null {
  const token = pasted.trim().replace(/^(authorization:\s*)?bearer\s+/i, '');
  return /^[\w.~+/=-]+$/.test(token) ? token : null;
}
