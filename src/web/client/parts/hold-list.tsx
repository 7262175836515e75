/** The shopper's holds, and the order that is made of the chosen ones. */
import type { RefObject } from 'preact';
import { useState } from 'preact/hooks';
import { useServerNow } from '../shop/clock';
import type { Hold, Holds } from '../shop/holds';
import type { Orders } from '../shop/orders';
import type { Problem } from '../shop/outcome';
import { money, units } from '../words';
import { HoldStub } from './hold-stub';
import { Notice } from './notice';

interface Props {
  readonly holds: Holds;
  readonly orders: Orders;
  readonly headingRef: RefObject<HTMLHeadingElement | null>;
  readonly onPlaced: (orderId: string) => void;
}

export function HoldList({ holds, orders, headingRef, onPlaced }: Props) {
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const [isAsking, setIsAsking] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const live = useLive(holds.holds);
  const chosen = live.filter(({ id }) => !left.has(id));

  const place = async () => {
    if (isAsking || chosen.length === 0) return;
    setIsAsking(true);
    setProblem(null);
    const outcome = await orders.place(chosen);
    setIsAsking(false);
    if ('problem' in outcome) {
      setProblem(outcome.problem);
      for (const { id } of chosen) void holds.refresh(id).catch(() => undefined);
      return;
    }
    for (const { id } of chosen) holds.drop(id);
    onPlaced(outcome.done.id);
  };

  const release = async (hold: Hold) => {
    setProblem(null);
    const outcome = await holds.release(hold);
    if ('problem' in outcome) setProblem(outcome.problem);
    else headingRef.current?.focus();
  };

  return (
    <section id="holds" class="panel" aria-labelledby="holds-title">
      <h2 id="holds-title" ref={headingRef} tabIndex={-1}>
        Your holds
      </h2>
      {holds.holds.length === 0 && (
        <p class="quiet">Nothing on hold. What you hold is yours alone until its time runs out.</p>
      )}
      <ul class="stubs">
        {holds.holds.map((hold) => (
          <HoldStub
            key={hold.id}
            hold={hold}
            isChosen={!left.has(hold.id)}
            onChoose={(isChosen) => setLeft(isChosen ? without(left, hold.id) : new Set([...left, hold.id]))}
            onRelease={() => release(hold)}
            onOver={() => void holds.refresh(hold.id).catch(() => undefined)}
            onDrop={() => {
              holds.drop(hold.id);
              headingRef.current?.focus();
            }}
          />
        ))}
      </ul>
      {live.length > 0 && (
        <button type="button" class="button main wide" aria-disabled={isAsking || chosen.length === 0} onClick={place}>
          {isAsking ? 'Placing your order…' : orderWords(chosen)}
        </button>
      )}
      <Notice problem={problem} />
    </section>
  );
}

/** Those that can be ordered, as far as the page can tell; the shop decides. */
function useLive(holds: readonly Hold[]): readonly Hold[] {
  const active = holds.filter(({ status }) => status === 'ACTIVE');
  const now = useServerNow(active.length > 0, 1_000);
  return active.filter(({ expiresAt }) => Date.parse(expiresAt) > now);
}

function orderWords(holds: readonly Hold[]): string {
  if (holds.length === 0) return 'Choose what to order';
  const count = holds.reduce((sum, { quantity }) => sum + quantity, 0);
  return `Order ${units(count)} · ${totalsOf(holds).join(' + ')}`;
}

function totalsOf(holds: readonly Hold[]): string[] {
  const totals = new Map<string, Hold['total']>();
  for (const { total } of holds) {
    const amountMinor = (totals.get(total.currency)?.amountMinor ?? 0) + total.amountMinor;
    totals.set(total.currency, { ...total, amountMinor });
  }
  return [...totals.values()].map(money);
}

function without(ids: ReadonlySet<string>, id: string): ReadonlySet<string> {
  return new Set([...ids].filter((other) => other !== id));
}
