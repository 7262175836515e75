/** Time left, for the eye each second, for the ear when asked. */
import { useServerNow } from '../shop/clock';
import { clockTime, spokenTime } from '../words';

interface Props {
  /** In the shop's time. */
  readonly until: string;
  readonly label: string;
}

/** `role="timer"` is never read out by itself: a reader who wants to know moves there. */
export function Countdown({ until, label }: Props) {
  const now = useServerNow();
  const left = now === null ? null : Date.parse(until) - now;
  return (
    <span class="countdown" role="timer" aria-label={left === null ? `${label} …` : `${label} ${spokenTime(left)}`}>
      <span aria-hidden="true">{left === null ? '…' : clockTime(left)}</span>
    </span>
  );
}
