/** The storefront: products on one side, the shopper's holds and orders on the other. */
import { useRef, useState } from 'preact/hooks';
import { Header } from './parts/header';
import { HoldList } from './parts/hold-list';
import { OrderList } from './parts/order-list';
import { ProductCard } from './parts/product-card';
import { Countdown } from './parts/countdown';
import { announce, Announcer } from './shop/announce';
import { useClockSync } from './shop/clock';
import { useHolds, useLive, type Hold } from './shop/holds';
import { useOrders } from './shop/orders';
import { useProducts, type Products } from './shop/products';
import { useSession } from './shop/session';
import { units } from './words';

export function Shop() {
  const [goodbye, setGoodbye] = useState('');
  const session = useSession((reason) => {
    setGoodbye(reason);
    announce(reason);
  });
  useClockSync();
  const stock = useProducts();
  return (
    <>
      <a class="skip" href="#holds">
        Skip to your holds
      </a>
      <Header connection={stock.connection} session={session} />
      {goodbye && !session && <p class="strip">{goodbye}</p>}
      <Shopping key={session?.customerId ?? ''} shopper={session?.customerId ?? ''} stock={stock} />
      <footer>
        <p>Stock is shown live. What you hold is yours until its time is over.</p>
      </footer>
      <Announcer />
    </>
  );
}

/** The page of one shopper ('' is anonymous). It is keyed by shopper, so no state is left when another one signs in. */
function Shopping({ shopper, stock }: { shopper: string; stock: Products }) {
  const [newOrderId, setNewOrderId] = useState<string | null>(null);
  const holdsHeading = useRef<HTMLHeadingElement>(null);
  const orders = useOrders(shopper);
  const holds = useHolds(shopper, orders.arrived);
  return (
    <>
      <main>
        <div class="hero">
          <h1>
            Hold it first. <em>Then decide.</em>
          </h1>
          <p>
            A hold takes a unit off the shelf for you alone. Order it before the clock runs out, or let it go back to
            the crowd.
          </p>
        </div>
        <section id="products" aria-labelledby="products-title">
          <h2 id="products-title">On the shelf</h2>
          <Shelf stock={stock}>
            {stock.products.map((product) => (
              <ProductCard
                key={product.id}
                product={product}
                isSignedIn={shopper !== ''}
                onHold={(quantity) => holds.hold(product.id, quantity)}
              />
            ))}
          </Shelf>
        </section>
        <aside aria-label="Your holds and orders">
          <HoldList holds={holds} orders={orders} headingRef={holdsHeading} onPlaced={setNewOrderId} />
          <OrderList orders={orders} newId={newOrderId} />
        </aside>
      </main>
      <HoldBar holds={holds.holds} />
    </>
  );
}

function Shelf({ stock, children }: { stock: Products; children: preact.ComponentChildren }) {
  if (stock.phase === 'loading' && stock.products.length === 0) return <p class="quiet">Looking at the shelf…</p>;
  if (stock.phase === 'failed' && stock.products.length === 0) {
    return (
      <div role="alert" class="notice">
        <p>The shop cannot be reached.</p>
        <button type="button" class="button" onClick={stock.reload}>
          Try again
        </button>
      </div>
    );
  }
  return (
    <>
      {stock.products.length === 0 && <p class="quiet">Nothing is on sale here yet.</p>}
      <div class="shelf">{children}</div>
      {stock.hasMore && (
        <button type="button" class="button" onClick={stock.loadMore}>
          Show more
        </button>
      )}
    </>
  );
}

/** Keeps the remaining time in view on a phone, where the holds are far below. */
function HoldBar({ holds }: { holds: readonly Hold[] }) {
  const live = useLive(holds);
  const next = live.map(({ expiresAt }) => expiresAt).sort()[0];
  if (next === undefined) return null;
  const count = live.reduce((sum, { quantity }) => sum + quantity, 0);
  return (
    <a class="hold-bar" href="#holds">
      <span>{units(count)} on hold</span>
      <Countdown until={next} label="The first hold ends in" />
      <span aria-hidden="true">↓</span>
    </a>
  );
}
