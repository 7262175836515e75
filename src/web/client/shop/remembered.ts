/** Ids of a shopper's holds and orders, stored for all tabs: an anonymous shopper has no other way to find them again. */
import { browserKept, onKeptElsewhere } from '../api/kept';
import { onWake } from '../api/wake';

/** `dismissed`: holds that have ended and are hidden. They are still polled, because a late payment makes orders of them. */
export type Kind = 'holds' | 'dismissed' | 'orders';

const MAX_IDS = 50;

/** Newest first. `shopper` '' is anonymous. */
export function remembered(kind: Kind, shopper: string): string[] {
  const ids = browserKept.get(placeOf(kind, shopper));
  return Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [];
}

export function remember(kind: Kind, shopper: string, ids: readonly string[]): void {
  const known = remembered(kind, shopper);
  if (ids.every((id) => known.includes(id))) return;
  const others = known.filter((id) => !ids.includes(id));
  browserKept.set(placeOf(kind, shopper), [...ids, ...others].slice(0, MAX_IDS));
}

export function forget(kind: Kind, shopper: string, id: string): void {
  const known = remembered(kind, shopper);
  if (!known.includes(id)) return;
  browserKept.set(
    placeOf(kind, shopper),
    known.filter((other) => other !== id),
  );
}

/** Calls `listener` when another tab may have remembered or forgotten an id. Returns a function that stops it. */
export function onRememberedElsewhere(kinds: readonly Kind[], shopper: string, listener: () => void): () => void {
  const stops = [...kinds.map((kind) => onKeptElsewhere(placeOf(kind, shopper), listener)), onWake(listener)];
  return () => stops.forEach((stop) => stop());
}

/** Hands anonymous holds and orders to the shopper who signs in: what was made without a token is open to its id. */
export function takeAlong(shopper: string): void {
  if (shopper === '') return;
  for (const kind of ['holds', 'dismissed', 'orders'] as const) {
    const anonymous = remembered(kind, '');
    if (anonymous.length === 0) continue;
    remember(kind, shopper, anonymous);
    browserKept.set(placeOf(kind, ''), null);
  }
}

const placeOf = (kind: Kind, shopper: string) => `${kind} of ${shopper}`;
