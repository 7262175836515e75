/** One hold: its units, its remaining time, and buttons to release or dismiss it. */
import { useEffect, useId, useRef } from 'preact/hooks';
import { announce } from '../shop/announce';
import { useServerNow } from '../shop/clock';
import type { Hold } from '../shop/holds';
import { isDevelopment } from '../api/environment';
import { money, units } from '../words';
import { Countdown } from './countdown';
import { ProviderPanel } from './provider-panel';

/** Screen readers hear one warning this long before the end, in ms. */
const WARN_MS = 30_000;

interface Props {
  readonly hold: Hold;
  readonly isChosen: boolean;
  readonly onChoose: (isChosen: boolean) => void;
  readonly onRelease: () => void;
  /** To be called when the hold may have changed. */
  readonly onRefresh: () => void;
  readonly onDrop: () => void;
}

export function HoldStub({ hold, isChosen, onChoose, onRelease, onRefresh, onDrop }: Props) {
  const { product, quantity, total, expiresAt, createdAt, status } = hold;
  const now = useServerNow(status === 'ACTIVE');
  // Until the shop's time is known, only the hold's status counts.
  const leftMs = now === null ? Infinity : Date.parse(expiresAt) - now;
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
            <Countdown until={expiresAt} label={`${product.name}: on hold for another`} />
          </span>
        ) : (
          <span class="tag">{status === 'EXPIRED' ? 'Expired' : 'Time is up'}</span>
        )}
      </div>
      {isLive && (
        <div class="stub-act">
          <button type="button" class="button" aria-describedby={nameId} onClick={onRelease}>
            Release
          </button>
        </div>
      )}
      {!isLive && status === 'ACTIVE' && (
        <p class="small">Asking the shop what became of it. If you have paid, your order appears below.</p>
      )}
      {status === 'EXPIRED' && (
        <div class="stub-act">
          <p class="small">
            The time ran out, and the units went back on sale. If you have paid, your order appears below.
          </p>
          <button type="button" class="button" aria-describedby={nameId} onClick={onDrop}>
            Dismiss
          </button>
        </div>
      )}
      {isLive && isDevelopment() && <ProviderPanel about={{ kind: 'hold', hold, onSent: onRefresh }} />}
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
  const isOver = status === 'EXPIRED';
  useEffect(() => {
    if (isSoon) say('soon', `${product.name}: your hold ends in ${Math.ceil(leftMs / 1_000)} seconds.`);
    if (isOver) say('over', `${product.name}: your hold ran out, and the units went back on sale.`);
  }, [isSoon, isOver]);
}
