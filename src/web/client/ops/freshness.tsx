/** Whether figures are of now, and if not, how old they are and why. */
import { useEffect, useState } from 'preact/hooks';
import type { Feed } from './feed';
import { failureInWords, span } from './words';

interface Props {
  readonly feed: Feed<unknown>;
  /** Whether it is read out when it changes: of several that fail together, one is enough. */
  readonly isSpoken?: boolean;
}

/** Figures older than this are not of now, whatever the reason. */
const OLD_MS = 5_000;

/** The age beside the reason is for the eye: it ticks. */
export function Freshness({ feed: { answer, answeredAt, problem }, isSpoken = false }: Props) {
  const now = useNow();
  const ageMs = answeredAt === null ? null : Math.max(0, now - answeredAt);
  const isOld = ageMs !== null && ageMs > OLD_MS;
  const state = problem || isOld ? 'lost' : answer ? 'live' : 'connecting';
  const words = { lost: problem ? failureInWords(problem) : 'Answers take long.', live: 'Live', connecting: 'Asking…' };
  return (
    <p class={`connection connection-${state}`}>
      <span role={isSpoken ? 'status' : undefined}>{words[state]}</span>
      {state === 'lost' && ageMs !== null && <span class="age">Figures of {span(ageMs / 1_000)} ago</span>}
    </p>
  );
}

function useNow(): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
