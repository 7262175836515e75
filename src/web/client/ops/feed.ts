/** One question, asked again and again while somebody looks; its last answer stays when the next one does not come. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { RequestFailed } from '../api/ask';
import { onWake } from '../api/wake';

/** A question rests for so many times what its answer took: a busy database is not asked every second. */
const REST_FACTOR = 4;
const LONGEST_WAIT_MS = 10_000;

export interface Feed<T> {
  readonly answer: T | null;
  /** On this device's own clock (`performance.now`). null: never. */
  readonly answeredAt: number | null;
  /** Why the latest question was not answered; null when it was. */
  readonly problem: RequestFailed | null;
  /** Asks at once. */
  again(): void;
}

/**
 * Asks when it appears, whenever `about` changes, and from then on every `everyMs` or more rarely; not while the tab is hidden.
 * A changed `about` forgets the answer. null asks nothing.
 */
export function useFeed<T>(about: string | null, ask: () => Promise<T>, everyMs: number): Feed<T> {
  const [state, setState] = useState<Omit<Feed<T>, 'again'>>(NOTHING);
  const [turn, setTurn] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;

  useEffect(() => setState(NOTHING), [about]);
  useEffect(() => {
    if (about === null) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    let isAsking = false;
    const look = async () => {
      clearTimeout(timer);
      if (isOver || isAsking || document.visibilityState === 'hidden') return;
      isAsking = true;
      const askedAt = performance.now();
      const next = await latest.current().then(answered<T>, failed);
      isAsking = false;
      if (isOver) return;
      setState((known) => ({ ...known, ...next }));
      const restMs = REST_FACTOR * (performance.now() - askedAt);
      const waitMs = Math.max(everyMs, restMs, next.problem?.retryAfterMs ?? 0);
      timer = setTimeout(() => void look(), Math.min(waitMs, LONGEST_WAIT_MS));
    };
    void look();
    const stopWaking = onWake(() => void look());
    return () => {
      isOver = true;
      clearTimeout(timer);
      stopWaking();
    };
  }, [about, everyMs, turn]);

  return { ...state, again: useCallback(() => setTurn((count) => count + 1), []) };
}

const NOTHING = { answer: null, answeredAt: null, problem: null };

const answered = <T>(answer: T) => ({ answer, answeredAt: performance.now(), problem: null });

function failed(error: unknown): { problem: RequestFailed } {
  const isOurs = error instanceof RequestFailed;
  return { problem: isOurs ? error : new RequestFailed('INTERNAL_SERVER_ERROR', String(error), null) };
}
