/** Why something was not done, beside the button that was pressed; read out at once. */
import type { Problem } from '../shop/outcome';
import { Countdown } from './countdown';

export function Notice({ problem }: { problem: Problem | null }) {
  const returnsAt = problem?.refusals.find(({ stockReturnsAt }) => stockReturnsAt)?.stockReturnsAt;
  return (
    <div role="alert" class="notice-place">
      {problem && (
        <p class="notice">
          {problem.words}
          {returnsAt && (
            <>
              {' '}
              Held units may come back in <Countdown until={returnsAt} label="Held units may come back in" />.
            </>
          )}
        </p>
      )}
    </div>
  );
}
