/** Time left, for the eye each second, for the ear when asked. */
import { useEffect, useRef } from 'preact/hooks';
import { serverNow, useServerNow } from '../shop/clock';
import { clockTime, spokenTime } from '../words';

interface Props {
  /** In the shop's time. */
  readonly until: string;
  readonly label: string;
  /** Once, as soon as the time is over. */
  readonly onOver?: () => void;
}

/** `role="timer"` is never read out by itself: whoever wants to know moves there. */
export function Countdown({ until, label, onOver }: Props) {
  const end = Date.parse(until);
  const now = useServerNow();
  const left = end - now;
  useOnce(left <= 0 && serverNow() >= end, onOver, until);
  return (
    <span class="countdown" role="timer" aria-label={`${label} ${spokenTime(left)}`}>
      <span aria-hidden="true">{clockTime(left)}</span>
    </span>
  );
}

function useOnce(isTime: boolean, act: (() => void) | undefined, about: string): void {
  const doneFor = useRef<string | null>(null);
  useEffect(() => {
    if (!isTime || doneFor.current === about) return;
    doneFor.current = about;
    act?.();
  }, [isTime, about]);
}
