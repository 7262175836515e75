/** A polled answer for a component; the last answer stays when the next one fails. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { RequestFailed } from '../api/ask';
import { Poll } from '../api/poll';

/** A pause lasts at least this many times as long as the answer took, so that a busy database is asked less often. */
const REST_FACTOR = 4;
const MAX_REST_MS = 10_000;

export interface Feed<T> {
  readonly answer: T | null;
  /** On this device's monotonic clock (`performance.now`). null: never. */
  readonly answeredAt: number | null;
  /** Why the latest question was not answered; null when it was. */
  readonly problem: RequestFailed | null;
  askAgain(): void;
}

const NOTHING = { answer: null, answeredAt: null, problem: null };

/** Asks when `about` changes, which drops the last answer, then every `everyMs` or less often. `about` null asks nothing. */
export function useFeed<T>(about: string | null, ask: () => Promise<T>, everyMs: number): Feed<T> {
  const [state, setState] = useState<Omit<Feed<T>, 'askAgain'>>(NOTHING);
  const latestAsk = useRef(ask);
  latestAsk.current = ask;
  const poll = useRef<Poll<T> | null>(null);

  useEffect(() => {
    setState(NOTHING);
    if (about === null) return;
    poll.current = new Poll<T>({
      ask: () => latestAsk.current(),
      restMs: (_answer, tookMs) => Math.min(MAX_REST_MS, Math.max(everyMs, REST_FACTOR * tookMs)),
      onAnswer: (answer) => setState({ answer, answeredAt: performance.now(), problem: null }),
      onFailure: (error) => setState((known) => ({ ...known, problem: requestFailed(error) })),
    });
    return () => poll.current!.stop();
  }, [about, everyMs]);

  return { ...state, askAgain: useCallback(() => poll.current?.askSoon(), []) };
}

function requestFailed(error: unknown): RequestFailed {
  return error instanceof RequestFailed ? error : new RequestFailed('INTERNAL_SERVER_ERROR', String(error), null);
}
