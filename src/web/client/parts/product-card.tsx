/** One product: description, stock, sale window, and the button that holds it. */
import { useEffect, useId, useState } from 'preact/hooks';
import type { Hold } from '../shop/holds';
import type { Outcome, Problem } from '../shop/outcome';
import { useServerNow } from '../shop/clock';
import { saleStatusAt, type Product } from '../shop/products';
import { dateInWords, money, SALE_STATUS, units } from '../words';
import { Art } from './art';
import { Countdown } from './countdown';
import { Notice } from './notice';
import { Quantity } from './quantity';
import { StockMeter } from './stock-meter';

/** No ordinary shopper wants more. */
const MOST_AT_ONCE = 20;

interface Props {
  /** The shop's latest answer. */
  readonly product: Product;
  readonly isSignedIn: boolean;
  readonly onHold: (quantity: number) => Promise<Outcome<Hold>>;
}

export function ProductCard({ product: latest, isSignedIn, onHold }: Props) {
  const now = useServerNow(latest.saleStartsAt !== null || latest.saleEndsAt !== null);
  const product = { ...latest, saleStatus: saleStatusAt(latest, now) };
  const [quantity, setQuantity] = useState(1);
  const [isAsking, setIsAsking] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const titleId = useId();
  const isOnSale = product.saleStatus === 'ON_SALE';
  useEffect(() => setProblem(null), [product.saleStatus, isSignedIn]);

  const hold = async () => {
    if (isAsking) return;
    setIsAsking(true);
    setProblem(null);
    const outcome = await onHold(quantity);
    setIsAsking(false);
    if ('problem' in outcome) setProblem(outcome.problem);
    else setQuantity(1);
  };

  return (
    <article class={`card card-${product.saleStatus.toLowerCase().replace('_', '-')}`} aria-labelledby={titleId}>
      <div class="card-picture">
        <Art sku={product.sku} />
        <p class="tag">{SALE_STATUS[product.saleStatus]}</p>
      </div>
      <div class="card-body">
        <div class="card-head">
          <h3 id={titleId}>{product.name}</h3>
          <p class="price">{money(product.price)}</p>
        </div>
        {product.description && <p class="quiet">{product.description}</p>}
        <StockMeter product={product} />
        <SaleWindow product={product} />
        {product.maxPerCustomer !== null && (
          <p class="quiet small">
            At most {units(product.maxPerCustomer)} for each customer{isSignedIn ? '' : ': sign in to hold it'}.
          </p>
        )}
        <div class="card-act">
          <Quantity
            value={quantity}
            most={Math.min(product.maxPerCustomer ?? MOST_AT_ONCE, MOST_AT_ONCE)}
            about={product.name}
            onChange={setQuantity}
          />
          <button type="button" class={isOnSale ? 'button main' : 'button'} aria-disabled={isAsking} onClick={hold}>
            {isAsking ? 'Asking…' : isOnSale ? 'Hold it' : 'Try to hold it'}
            <span class="unseen">
              : {units(quantity)} of {product.name}
            </span>
          </button>
        </div>
        <Notice problem={problem} />
      </div>
    </article>
  );
}

function SaleWindow({ product: { saleStatus, saleStartsAt, saleEndsAt } }: { product: Product }) {
  if (saleStatus === 'UPCOMING' && saleStartsAt) {
    return (
      <p class="window">
        Opens in <Countdown until={saleStartsAt} label="The sale opens in" />
        <span class="quiet small"> {dateInWords(saleStartsAt)}</span>
      </p>
    );
  }
  if (saleStatus === 'ENDED' && saleEndsAt)
    return <p class="window quiet">The sale ended on {dateInWords(saleEndsAt)}.</p>;
  if (!saleEndsAt) return null;
  return (
    <p class="window">
      Ends in <Countdown until={saleEndsAt} label="The sale ends in" />
    </p>
  );
}
