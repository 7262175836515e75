/** The shopper's orders: what they are waiting for, and how they ended. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Order, Orders } from '../shop/orders';
import type { Problem } from '../shop/outcome';
import { isDevelopment } from '../api/environment';
import { dateInWords, money, ORDER_STATUS, ORDER_STORY } from '../words';
import { Countdown } from './countdown';
import { Notice } from './notice';
import { ProviderPanel } from './provider-panel';

interface Props {
  readonly orders: Orders;
  /** The order that was placed just now: the reader's place moves there. */
  readonly newId: string | null;
}

export function OrderList({ orders, newId }: Props) {
  return (
    <section id="orders" class="panel" aria-labelledby="orders-title">
      <h2 id="orders-title">Your orders</h2>
      {orders.orders.length === 0 && <p class="quiet">No orders yet.</p>}
      <ol class="orders">
        {orders.orders.map((order) => (
          <OrderCard key={order.id} order={order} orders={orders} isNew={order.id === newId} />
        ))}
      </ol>
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
      <p class="small">{ORDER_STORY[order.status]}</p>
      {isUnpaid && (
        <p class="window">
          Pay within{' '}
          <Countdown
            until={order.paymentDueAt}
            label="Pay within"
            onOver={() => void orders.refresh(order.id).catch(() => undefined)}
          />
        </p>
      )}
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
