/** Who the shopper is: a token and the name it stands for, kept by the browser for all its tabs; null is anonymous. */
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

// A tab that was frozen has missed what the others did.
onKeptElsewhere((key) => (key === null || key === STORE) && followOtherTabs());
onWake(followOtherTabs);

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
  browserKept.set(STORE, next && JSON.stringify(next));
  tell(next, reason);
}

function tell(next: Session | null, reason?: string): void {
  session = next;
  for (const listener of listeners) listener(next, reason);
}

/** Signed in, out, or in as somebody else in another tab. */
function followOtherTabs(): void {
  const next = stored();
  if (next?.token !== session?.token) tell(next);
}

function stored(): Session | null {
  try {
    const value = JSON.parse(browserKept.get(STORE) ?? 'null') as Partial<Session> | null;
    return value?.customerId && value.token ? { customerId: value.customerId, token: value.token } : null;
  } catch {
    return null;
  }
}
