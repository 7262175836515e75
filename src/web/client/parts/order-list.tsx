/** The shopper's orders and their statuses. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { useServerNow } from '../shop/clock';
import type { Order, Orders } from '../shop/orders';
import type { Problem } from '../shop/outcome';
import { isDevelopment } from '../api/environment';
import { dateInWords, money, ORDER_STATUS, orderStory } from '../words';
import { Countdown } from './countdown';
import { Notice } from './notice';
import { ProviderPanel } from './provider-panel';
import { StateOfKnowledge } from './state-of-knowledge';

interface Props {
  readonly orders: Orders;
  /** The order that was just placed; it gets the focus. */
  readonly newId: string | null;
}

export function OrderList({ orders, newId }: Props) {
  return (
    <section id="orders" class="panel" aria-labelledby="orders-title">
      <h2 id="orders-title">Your orders</h2>
      <StateOfKnowledge knowledge={orders.knowledge} isEmpty={orders.orders.length === 0} what="orders">
        No orders yet.
      </StateOfKnowledge>
      <ol class="orders">
        {orders.orders.map((order) => (
          <OrderCard key={order.id} order={order} orders={orders} isNew={order.id === newId} />
        ))}
      </ol>
      {orders.hasMore && (
        <button type="button" class="button" onClick={orders.loadMore}>
          Show older orders
        </button>
      )}
    </section>
  );
}

function OrderCard({ order, orders, isNew }: { order: Order; orders: Orders; isNew: boolean }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const isUnpaid = order.status === 'PENDING_PAYMENT';
  useEffect(() => {
    if (isNew) heading.current?.focus();
  }, [isNew]);

  const cancel = async () => {
    setProblem(null);
    const outcome = await orders.cancel(order);
    if ('problem' in outcome) setProblem(outcome.problem);
    else heading.current?.focus();
  };

  return (
    <li class={`order order-${order.status.toLowerCase().replace('_', '-')}`}>
      <div class="order-head">
        <h3 ref={heading} tabIndex={-1}>
          {ORDER_STATUS[order.status]}
        </h3>
        <p class="price">{money(order.total)}</p>
      </div>
      <ul class="lines">
        {order.lines.map(({ product, quantity, unitPrice }, index) => (
          <li key={index}>
            {quantity} × {product.name} <span class="quiet">{money(unitPrice)}</span>
          </li>
        ))}
      </ul>
      <p class="small">{orderStory(order)}</p>
      {isUnpaid && <PaymentWindow until={order.paymentDueAt} />}
      <p class="quiet small">
        {dateInWords(order.createdAt)} · <code>{order.id}</code>
      </p>
      {isUnpaid && (
        <button type="button" class="button" onClick={cancel}>
          Cancel the order
        </button>
      )}
      <Notice problem={problem} />
      {isDevelopment() && <ProviderPanel about={{ kind: 'order', order, orders }} />}
    </li>
  );
}

function PaymentWindow({ until }: { until: string }) {
  const now = useServerNow();
  if (now !== null && Date.parse(until) <= now) {
    return <p class="window">The time to pay is over. Asking the shop for the outcome.</p>;
  }
  return (
    <p class="window">
      Pay within <Countdown until={until} label="Pay within" />
    </p>
  );
}
