/** The shopper's session: a token and the customer id it stands for, stored for all tabs. null is anonymous. */
import { useEffect, useState } from 'preact/hooks';
import { browserKept, onKeptElsewhere } from '../api/kept';
import { onWake } from '../api/wake';

export interface Session {
  readonly customerId: string;
  readonly token: string;
}

const STORE = 'session';
const listeners = new Set<(session: Session | null, reason?: string) => void>();
let session: Session | null = stored();

// A frozen tab gets no storage events, so it looks again when it wakes.
onKeptElsewhere(STORE, followOtherTabs);
onWake(followOtherTabs);

export const currentSession = (): Session | null => session;

export function beginSession(next: Session): void {
  browserKept.set(STORE, next);
  publish(next);
}

export function endSession(reason?: string): void {
  browserKept.set(STORE, null);
  publish(null, reason);
}

/** The current session. `onEnd` gets the reason when the session ended without the shopper signing out. */
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

function publish(next: Session | null, reason?: string): void {
  session = next;
  for (const listener of listeners) listener(next, reason);
}

/** Another tab may have signed in, signed out, or signed in as another customer. */
function followOtherTabs(): void {
  const next = stored();
  if (next?.token !== session?.token) publish(next);
}

function stored(): Session | null {
  const { customerId, token } = (browserKept.get(STORE) ?? {}) as Partial<Session>;
  return customerId && token ? { customerId, token } : null;
}
