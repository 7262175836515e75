/** Stores a page's values in the browser as JSON. Where storage is forbidden or full, the open tab keeps them in memory. */

export interface Kept {
  /** null: nothing is stored, or not as JSON. */
  get(key: string): unknown;
  /** null removes it. Never throws, because a purchase must not fail over storage. */
  set(key: string, value: unknown): void;
}

/** `open` may throw: reading `localStorage` does where a browser blocks it. */
function keptIn(open: () => Storage): Kept {
  /** JSON that could not be stored; newer than what the storage has. */
  const unstored = new Map<string, string>();
  return {
    get: (key) => {
      try {
        return JSON.parse(unstored.get(key) ?? open().getItem(key) ?? 'null');
      } catch {
        return null;
      }
    },
    set: (key, value) => {
      const json = JSON.stringify(value);
      try {
        if (value === null) open().removeItem(key);
        else open().setItem(key, json);
        unstored.delete(key);
      } catch {
        unstored.set(key, json);
      }
    },
  };
}

/** Shared by all tabs of the shop; survives closing the browser. */
export const browserKept = keptIn(() => localStorage);

/** Private to this tab; survives a reload. */
export const tabKept = keptIn(() => sessionStorage);

/** Calls `listener` when another tab changes what is stored under `key`. Returns a function that stops it. */
export function onKeptElsewhere(key: string, listener: () => void): () => void {
  // The event's key is null when a tab clears the whole storage.
  const onStorage = (event: StorageEvent) => (event.key === null || event.key === key) && listener();
  addEventListener('storage', onStorage);
  return () => removeEventListener('storage', onStorage);
}
