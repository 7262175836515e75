/** Development only: sends payment events, in each of the ways a provider can behave. */
import { useState } from 'preact/hooks';
import { serverNow } from '../shop/clock';
import type { Hold } from '../shop/holds';
import type { Order, Orders } from '../shop/orders';
import { simulatePayment } from '../shop/provider';
import { failureInWords } from '../words';

/** By this long after the deadline the sweep has cancelled the order. */
const LATE_MS = 3_000;

type About =
  | { readonly kind: 'hold'; readonly hold: Hold; readonly onSent: () => void }
  | { readonly kind: 'order'; readonly order: Order; readonly orders: Orders };

interface Move {
  readonly words: string;
  readonly type?: string;
  readonly times?: number;
  readonly delayMs?: number;
  readonly amountMinor?: number;
}

export function ProviderPanel({ about }: { about: About }) {
  const [answer, setAnswer] = useState('');
  const isUnpaid = about.kind === 'order' && about.order.status === 'PENDING_PAYMENT';
  const [isOpen, setIsOpen] = useState(isUnpaid);
  const reference = about.kind === 'hold' ? about.hold.id : about.order.id;

  const play = async ({ words: _words, ...move }: Move) => {
    setAnswer('Sending…');
    try {
      setAnswer(await simulatePayment({ reference, ...move }));
    } catch (error) {
      setAnswer(failureInWords(error));
    }
    if (about.kind === 'hold') return about.onSent();
    about.orders.expect(reference, (move.delayMs ?? 0) + 2 * LATE_MS);
  };

  const moves = about.kind === 'hold' ? movesForHold(about.hold) : movesForOrder(about.order);
  return (
    <details class="provider" open={isOpen} onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary>Development: play the payment provider</summary>
      <div class="moves">
        {moves.map((move) => (
          <button key={move.words} type="button" class="button tiny" onClick={() => play(move)}>
            {move.words}
          </button>
        ))}
      </div>
      {isUnpaid && <p class="quiet small">Without a payment the order is cancelled when its time is over.</p>}
      <p class="small" role="status">
        {answer}
      </p>
    </details>
  );
}

function movesForHold({ total }: Hold): Move[] {
  return [
    { words: 'Pay before the order' },
    { words: 'Fail before the order', type: 'payment.failed' },
    { words: 'Pay the wrong amount', amountMinor: total.amountMinor + 1 },
  ];
}

function movesForOrder({ status, paymentDueAt, total }: Order): Move[] {
  const late = Math.max(0, Math.ceil(Date.parse(paymentDueAt) - (serverNow() ?? Date.now()))) + LATE_MS;
  switch (status) {
    case 'PENDING_PAYMENT':
      return [
        { words: 'Pay' },
        { words: 'Pay twice', times: 2 },
        { words: 'Pay late', delayMs: late },
        { words: 'Fail', type: 'payment.failed' },
        { words: 'Pay the wrong amount', amountMinor: total.amountMinor + 1 },
      ];
    case 'PAID':
      return [{ words: 'Pay again' }, { words: 'Refund', type: 'payment.refunded' }];
    case 'CANCELLED':
      return [{ words: 'Pay anyway' }];
    default:
      return [{ words: 'Refund', type: 'payment.refunded' }];
  }
}
