/** Whether figures are of now, and if not, how old they are and why. */
import { useEffect, useState } from 'preact/hooks';
import type { Feed } from './feed';
import { failureInWords, span } from './words';

interface Props {
  readonly feed: Feed<unknown>;
  /** Whether it is read out when it changes: of several that fail together, one is enough. */
  readonly isSpoken?: boolean;
}

/** The age beside the reason is for the eye: it ticks. */
export function Freshness({ feed: { answer, answeredAt, problem }, isSpoken = false }: Props) {
  const now = useNow(problem !== null);
  return (
    <p class={`connection connection-${problem ? 'lost' : answer ? 'live' : 'connecting'}`}>
      <span role={isSpoken ? 'status' : undefined}>
        {problem ? failureInWords(problem) : answer ? 'Live' : 'Asking…'}
      </span>
      {problem && answeredAt !== null && <span class="age">Figures of {span((now - answeredAt) / 1_000)} ago</span>}
    </p>
  );
}

function useNow(isRunning: boolean): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    if (!isRunning) return;
    setNow(performance.now());
    const timer = setInterval(() => setNow(performance.now()), 1_000);
    return () => clearInterval(timer);
  }, [isRunning]);
  return now;
}
