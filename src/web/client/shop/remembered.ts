/** Ids of a shopper's holds and orders, kept by the browser for all its tabs: an anonymous shopper has nothing else to find them by. */
import { browserKept, onKeptElsewhere } from '../api/kept';
import { onWake } from '../api/wake';

/** `dismissed`: holds that have ended and are not shown any more. They are still asked for: a late payment makes orders of them. */
export type Kind = 'holds' | 'dismissed' | 'orders';

const MOST = 50;

/** `shopper` '' is anonymous. The newest first. */
export function remembered(kind: Kind, shopper: string): string[] {
  try {
    const ids: unknown = JSON.parse(browserKept.get(placeOf(kind, shopper)) ?? '[]');
    return Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [];
  } catch {
    return [];
  }
}

export function remember(kind: Kind, shopper: string, ids: readonly string[]): void {
  const known = remembered(kind, shopper);
  if (ids.every((id) => known.includes(id))) return;
  const others = known.filter((id) => !ids.includes(id));
  browserKept.set(placeOf(kind, shopper), JSON.stringify([...ids, ...others].slice(0, MOST)));
}

export function forget(kind: Kind, shopper: string, id: string): void {
  const known = remembered(kind, shopper);
  if (!known.includes(id)) return;
  browserKept.set(placeOf(kind, shopper), JSON.stringify(known.filter((other) => other !== id)));
}

/** Another tab of this shopper may have remembered or forgotten something. Answers how to stop. */
export function onRememberedElsewhere(kind: Kind, shopper: string, listener: () => void): () => void {
  const stops = [
    onKeptElsewhere((key) => (key === null || key === placeOf(kind, shopper)) && listener()),
    onWake(listener),
  ];
  return () => stops.forEach((stop) => stop());
}

/** A shopper who signs in brings along what they held and ordered before: what was made without a token is open to its id. */
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
