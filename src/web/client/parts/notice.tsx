/** Why an action failed, next to its button; announced at once and scrolled into view. */
import { useEffect, useRef } from 'preact/hooks';
import { useServerNow } from '../shop/clock';
import type { Problem } from '../shop/outcome';
import { Countdown } from './countdown';

export function Notice({ problem }: { problem: Problem | null }) {
  const place = useRef<HTMLDivElement>(null);
  const returnsAt = problem?.refusals.find(({ stockReturnsAt }) => stockReturnsAt)?.stockReturnsAt;
  useEffect(() => {
    if (problem) place.current?.scrollIntoView({ block: 'nearest' });
  }, [problem]);
  return (
    <div ref={place} role="alert" class="notice-place">
      {problem && (
        <p class="notice">
          {problem.words}
          {returnsAt && <MayComeBack at={returnsAt} />}
        </p>
      )}
    </div>
  );
}

function MayComeBack({ at }: { at: string }) {
  const now = useServerNow();
  if (now !== null && Date.parse(at) <= now) return <> Held units may be back by now: try again.</>;
  return (
    <>
      {' '}
      Held units may come back in <Countdown until={at} label="Held units may come back in" />.
    </>
  );
}
