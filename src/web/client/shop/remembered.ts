/** Ids of a shopper's holds and orders, kept by the browser: whoever is anonymous has nothing else to find them by. */

const MOST = 50;

/** `shopper` '' is anonymous. The newest first. */
export function remembered(kind: 'holds' | 'orders', shopper: string): string[] {
  try {
    const ids: unknown = JSON.parse(localStorage.getItem(placeOf(kind, shopper)) ?? '[]');
    return Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [];
  } catch {
    return [];
  }
}

export function remember(kind: 'holds' | 'orders', shopper: string, ids: readonly string[]): void {
  const known = remembered(kind, shopper).filter((id) => !ids.includes(id));
  localStorage.setItem(placeOf(kind, shopper), JSON.stringify([...ids, ...known].slice(0, MOST)));
}

export function forget(kind: 'holds' | 'orders', shopper: string, id: string): void {
  const others = remembered(kind, shopper).filter((known) => known !== id);
  localStorage.setItem(placeOf(kind, shopper), JSON.stringify(others));
}

const placeOf = (kind: string, shopper: string) => `${kind} of ${shopper}`;
