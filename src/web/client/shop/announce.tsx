/** What a screen reader is told: one polite sentence at a time, for what happened, never for what ticks. */
import { useEffect, useState } from 'preact/hooks';

let tell: (text: string) => void = () => undefined;

export function announce(text: string): void {
  tell(text);
}

export function Announcer() {
  const [text, setText] = useState('');
  useEffect(() => {
    let turn = false;
    tell = (next) => {
      // The same words twice are news twice: a no-break space makes them another text.
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
