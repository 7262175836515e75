/** Announces events to screen readers, one polite sentence at a time; never countdowns. */
import { useEffect, useState } from 'preact/hooks';

let show: (text: string) => void = () => undefined;

export function announce(text: string): void {
  show(text);
}

export function Announcer() {
  const [text, setText] = useState('');
  useEffect(() => {
    let turn = false;
    show = (next) => {
      // A no-break space makes a repeated sentence a different text, so that it is announced again.
      turn = !turn;
      setText(turn ? next : `${next}\u00a0`);
    };
  }, []);
  return (
    <p class="unseen" role="status" aria-live="polite">
      {text}
    </p>
  );
}
