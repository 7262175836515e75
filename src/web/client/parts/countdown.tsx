/** Remaining time, updated each second; screen readers read it only on request. */
import { useServerNow } from '../shop/clock';
import { clockTime, spokenTime } from '../words';

interface Props {
  /** In the shop's time. */
  readonly until: string;
  readonly label: string;
}

/** Screen readers do not announce changes of `role="timer"`. */
export function Countdown({ until, label }: Props) {
  const now = useServerNow();
  const left = now === null ? null : Date.parse(until) - now;
  return (
    <span class="countdown" role="timer" aria-label={left === null ? `${label} …` : `${label} ${spokenTime(left)}`}>
      <span aria-hidden="true">{left === null ? '…' : clockTime(left)}</span>
    </span>
  );
}
