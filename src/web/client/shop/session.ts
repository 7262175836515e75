/** Who the shopper is: a token and the name it stands for, kept by the browser; null is anonymous. */
import { useEffect, useState } from 'preact/hooks';

export interface Session {
  readonly customerId: string;
  readonly token: string;
}

const STORE = 'session';
const listeners = new Set<(session: Session | null, reason?: string) => void>();
let session: Session | null = stored();

export const currentSession = (): Session | null => session;

export function beginSession(next: Session): void {
  change(next);
}

export function endSession(reason?: string): void {
  change(null, reason);
}

/** The session as it stands; `onEnd` hears why it ended, when it was not the shopper who ended it. */
export function useSession(onEnd: (reason: string) => void): Session | null {
  const [current, setCurrent] = useState(session);
  useEffect(() => {
    const listener = (next: Session | null, reason?: string) => {
      setCurrent(next);
      if (reason) onEnd(reason);
    };
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return current;
}

function change(next: Session | null, reason?: string): void {
  session = next;
  if (next) localStorage.setItem(STORE, JSON.stringify(next));
  else localStorage.removeItem(STORE);
  for (const listener of listeners) listener(next, reason);
}

function stored(): Session | null {
  try {
    const value = JSON.parse(localStorage.getItem(STORE) ?? 'null') as Partial<Session> | null;
    return value?.customerId && value.token ? { customerId: value.customerId, token: value.token } : null;
  } catch {
    return null;
  }
}
