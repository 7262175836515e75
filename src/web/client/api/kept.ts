/** What the browser keeps for a page; where it keeps nothing (forbidden, or full), this tab keeps it as long as it is open. */

export interface Kept {
  get(key: string): string | null;
  /** null removes it. Never throws: what is not kept must not stop a purchase. */
  set(key: string, value: string | null): void;
}

/** `open` may throw: reading `localStorage` does where a browser blocks it. */
function keptIn(open: () => Storage): Kept {
  // What could not be stored; it is newer than what the storage has.
  const unstored = new Map<string, string | null>();
  return {
    get: (key) => {
      if (unstored.has(key)) return unstored.get(key)!;
      try {
        return open().getItem(key);
      } catch {
        return null;
      }
    },
    set: (key, value) => {
      try {
        if (value === null) open().removeItem(key);
        else open().setItem(key, value);
        unstored.delete(key);
      } catch {
        unstored.set(key, value);
      }
    },
  };
}

/** Shared by all tabs of the shop, and there after the browser is closed. */
export const browserKept = keptIn(() => localStorage);

/** This tab's own, and there after a reload. */
export const tabKept = keptIn(() => sessionStorage);

/** Another tab has changed what the browser keeps under `key`; null: all of it. Answers how to stop. */
export function onKeptElsewhere(listener: (key: string | null) => void): () => void {
  const onStorage = ({ key, storageArea }: StorageEvent) => {
    if (storageArea === null || storageArea !== sessionStorageOrNull()) listener(key);
  };
  addEventListener('storage', onStorage);
  return () => removeEventListener('storage', onStorage);
}

function sessionStorageOrNull(): Storage | null {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}
