/** Says whether figures are live, and if not, how old they are and why. */
import { useEffect, useState } from 'preact/hooks';
import type { Feed } from './use-feed';
import { failureInWords, span } from './words';

interface Props {
  readonly feed: Feed<unknown>;
  /** Whether screen readers announce changes: when several feeds fail together, one announcement is enough. */
  readonly isSpoken?: boolean;
}

/** Older figures are not called live, whatever the reason. */
const OLD_MS = 5_000;

/** The age is outside the live region, because it ticks. */
export function Freshness({ feed: { answer, answeredAt, problem }, isSpoken = false }: Props) {
  const now = useNow();
  const ageMs = answeredAt === null ? null : Math.max(0, now - answeredAt);
  const isOld = ageMs !== null && ageMs > OLD_MS;
  const state = problem || isOld ? 'lost' : answer ? 'live' : 'connecting';
  const words = {
    lost: problem ? failureInWords(problem) : 'The server answers slowly.',
    live: 'Live',
    connecting: 'Loading…',
  };
  return (
    <p class={`connection connection-${state}`}>
      <span role={isSpoken ? 'status' : undefined}>{words[state]}</span>
      {state === 'lost' && ageMs !== null && <span class="age">Figures from {span(ageMs / 1_000)} ago</span>}
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
