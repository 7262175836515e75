/** The shopper's holds, and a button for each currency that orders the chosen ones. */
import type { RefObject } from 'preact';
import { useState } from 'preact/hooks';
import { useLive, type Hold, type Holds } from '../shop/holds';
import type { Orders } from '../shop/orders';
import type { Problem } from '../shop/outcome';
import { money, units } from '../words';
import { HoldStub } from './hold-stub';
import { Notice } from './notice';
import { StateOfKnowledge } from './state-of-knowledge';

interface Props {
  readonly holds: Holds;
  readonly orders: Orders;
  readonly headingRef: RefObject<HTMLHeadingElement | null>;
  readonly onPlaced: (orderId: string) => void;
}

export function HoldList({ holds, orders, headingRef, onPlaced }: Props) {
  const [excluded, setExcluded] = useState<ReadonlySet<string>>(new Set());
  const [isAsking, setIsAsking] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const live = useLive(holds.holds);
  const chosen = live.filter(({ id }) => !excluded.has(id));
  const payable = byCurrency(chosen);

  const place = async (chosen: readonly Hold[]) => {
    if (isAsking) return;
    setIsAsking(true);
    setProblem(null);
    const outcome = await orders.place(chosen);
    setIsAsking(false);
    if ('problem' in outcome) {
      setProblem(outcome.problem);
      for (const { id } of chosen) holds.refresh(id);
      return;
    }
    for (const { id } of chosen) holds.becameOrder(id);
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
      <StateOfKnowledge knowledge={holds.knowledge} isEmpty={holds.holds.length === 0} what="holds">
        Nothing on hold. What you hold is yours alone until its time runs out.
      </StateOfKnowledge>
      <ul class="stubs">
        {holds.holds.map((hold) => (
          <HoldStub
            key={hold.id}
            hold={hold}
            isChosen={!excluded.has(hold.id)}
            onChoose={(isChosen) =>
              setExcluded(isChosen ? without(excluded, hold.id) : new Set([...excluded, hold.id]))
            }
            onRelease={() => release(hold)}
            onRefresh={() => holds.refresh(hold.id)}
            onDrop={() => {
              holds.dismiss(hold.id);
              headingRef.current?.focus();
            }}
          />
        ))}
      </ul>
      {payable.length > 1 && <p class="quiet small">One order has one currency: order these one after the other.</p>}
      {live.length > 0 && payable.length === 0 && (
        <button type="button" class="button main wide" aria-disabled>
          Choose what to order
        </button>
      )}
      {payable.map((together) => (
        <button
          key={together[0]!.total.currency}
          type="button"
          class="button main wide"
          aria-disabled={isAsking}
          onClick={() => place(together)}
        >
          {isAsking ? 'Placing your order…' : orderWords(together)}
        </button>
      ))}
      <Notice problem={problem} />
    </section>
  );
}

/** `holds` have one currency. */
function orderWords(holds: readonly Hold[]): string {
  const count = holds.reduce((sum, { quantity }) => sum + quantity, 0);
  const amountMinor = holds.reduce((sum, { total }) => sum + total.amountMinor, 0);
  return `Order ${units(count)} · ${money({ ...holds[0]!.total, amountMinor })}`;
}

/** An order has one currency, so each currency needs an order of its own. */
function byCurrency(holds: readonly Hold[]): Hold[][] {
  const currencies = new Set(holds.map(({ total }) => total.currency));
  return [...currencies].map((currency) => holds.filter(({ total }) => total.currency === currency));
}

function without(ids: ReadonlySet<string>, id: string): ReadonlySet<string> {
  return new Set([...ids].filter((other) => other !== id));
}
