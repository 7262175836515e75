/** One hold: what it claims, for how long still, and the ways it can end. */
import { useEffect, useId, useRef } from 'preact/hooks';
import { announce } from '../shop/announce';
import { useServerNow } from '../shop/clock';
import type { Hold } from '../shop/holds';
import { isDevelopment } from '../api/environment';
import { money, units } from '../words';
import { Countdown } from './countdown';
import { ProviderPanel } from './provider-panel';

/** When a screen reader is told, in ms before the end: once, and with time enough to act. */
const WARN_MS = 30_000;

interface Props {
  readonly hold: Hold;
  readonly isChosen: boolean;
  readonly onChoose: (isChosen: boolean) => void;
  readonly onRelease: () => void;
  readonly onOver: () => void;
  readonly onDrop: () => void;
}

export function HoldStub({ hold, isChosen, onChoose, onRelease, onOver, onDrop }: Props) {
  const { product, quantity, total, expiresAt, createdAt, status } = hold;
  const now = useServerNow(status === 'ACTIVE');
  const leftMs = Date.parse(expiresAt) - now;
  const isLive = status === 'ACTIVE' && leftMs > 0;
  const wholeMs = Date.parse(expiresAt) - Date.parse(createdAt);
  const nameId = useId();
  useSpokenWarning(hold, leftMs);

  return (
    <li class={`stub${isLive ? '' : ' stub-over'}${isLive && leftMs < WARN_MS ? ' stub-soon' : ''}`}>
      <div class="stub-what">
        {isLive && (
          <input
            type="checkbox"
            checked={isChosen}
            aria-label={`Order ${product.name}`}
            onChange={(event) => onChoose(event.currentTarget.checked)}
          />
        )}
        <p id={nameId}>
          <strong>{product.name}</strong>
          <span class="quiet small">
            {units(quantity)} · {money(total)}
          </span>
        </p>
        {isLive ? (
          <span class="dial" style={{ '--left': `${Math.min(1, leftMs / wholeMs)}turn` }}>
            <Countdown until={expiresAt} label={`${product.name}: on hold for another`} onOver={onOver} />
          </span>
        ) : (
          <span class="tag">{status === 'CONSUMED' ? 'Ordered' : 'Expired'}</span>
        )}
      </div>
      {isLive ? (
        <div class="stub-act">
          <button type="button" class="button" aria-describedby={nameId} onClick={onRelease}>
            Release
          </button>
        </div>
      ) : (
        <div class="stub-act">
          <p class="small">The time ran out, and the units went back on sale.</p>
          <button type="button" class="button" aria-describedby={nameId} onClick={onDrop}>
            Dismiss
          </button>
        </div>
      )}
      {isLive && isDevelopment() && <ProviderPanel about={{ kind: 'hold', hold, onSent: onOver }} />}
    </li>
  );
}

function useSpokenWarning({ product, status }: Hold, leftMs: number): void {
  const said = useRef(new Set<string>());
  const say = (what: 'soon' | 'over', words: string) => {
    if (said.current.has(what)) return;
    said.current.add(what);
    announce(words);
  };
  const isSoon = status === 'ACTIVE' && leftMs > 0 && leftMs < WARN_MS;
  const isOver = status === 'EXPIRED' || (status === 'ACTIVE' && leftMs <= 0);
  useEffect(() => {
    if (isSoon) say('soon', `${product.name}: your hold ends in ${Math.ceil(leftMs / 1_000)} seconds.`);
    if (isOver) say('over', `${product.name}: your hold ran out, and the units went back on sale.`);
  }, [isSoon, isOver]);
}
