/** The shopper's orders: placed from holds, watched until they are paid, cancelled. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { keyOf, settle } from '../api/intents';
import { request } from '../api/request';
import { persistently } from '../api/retry';
import {
  CancelOrderDocument,
  CreateOrderDocument,
  OrderDocument,
  OrdersDocument,
  type OrderCardFragment,
} from '../generated/graphql';
import { ORDER_STATUS, ORDER_STORY } from '../words';
import { announce } from './announce';
import type { Hold } from './holds';
import { busyFor, failed, refused, type Outcome } from './outcome';
import { remember, remembered } from './remembered';

export type Order = OrderCardFragment;

/** A payment is told by webhook to the shop, not to the page, so the page asks. */
const POLL_MS = 1_500;

export interface Orders {
  readonly orders: readonly Order[];
  place(holds: readonly Hold[]): Promise<Outcome<Order>>;
  cancel(order: Order): Promise<Outcome<Order>>;
  refresh(id: string): Promise<void>;
  /** An order that came about by itself. */
  show(order: Order): void;
  /** Something may happen to it although it is not waiting for payment: ask until then. */
  expect(id: string, forMs: number): void;
}

export function useOrders(shopper: string): Orders {
  const [orders, setOrders] = useState<readonly Order[]>([]);
  const expected = useRef(new Map<string, number>());

  const show = useCallback(
    (order: Order) => {
      remember('orders', shopper, [order.id]);
      setOrders((all) => {
        const known = all.find(({ id }) => id === order.id);
        if (known && known.status !== order.status) announce(storyOf(order));
        return known ? all.map((old) => (old.id === order.id ? order : old)) : sorted([order, ...all]);
      });
    },
    [shopper],
  );

  const refresh = useCallback(
    async (id: string) => {
      const { order } = await persistently(() => request(OrderDocument, { id }));
      if (order) show(order);
    },
    [show],
  );

  useEffect(() => {
    setOrders([]);
    void loadOrders(shopper).then(
      (loaded) => setOrders(sorted(loaded)),
      () => undefined,
    );
  }, [shopper]);

  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState !== 'visible') return;
      for (const { id, status } of orders) {
        const isExpected = (expected.current.get(id) ?? 0) > performance.now();
        if (status === 'PENDING_PAYMENT' || isExpected) void refresh(id).catch(() => undefined);
      }
    }, POLL_MS);
    return () => clearInterval(timer);
  }, [orders, refresh]);

  const place = async (holds: readonly Hold[]): Promise<Outcome<Order>> => {
    const holdIds = holds.map(({ id }) => id).sort();
    const intent = `order ${holdIds.join(' ')}`;
    return outcomeOf(async () => {
      const { createOrder } = await persistently(
        () => request(CreateOrderDocument, { input: { holdIds, idempotencyKey: keyOf(intent) } }),
        (answer) => busyFor(answer.createOrder.userErrors),
      );
      if (busyFor(createOrder.userErrors) === null) settle(intent);
      return createOrder;
    });
  };

  const cancel = ({ id }: Order): Promise<Outcome<Order>> =>
    outcomeOf(async () => {
      const { cancelOrder } = await persistently(
        () => request(CancelOrderDocument, { input: { orderId: id } }),
        (answer) => busyFor(answer.cancelOrder.userErrors),
      );
      if (!cancelOrder.order) await refresh(id);
      return cancelOrder;
    });

  const outcomeOf = async (ask: () => Promise<OrderPayload>): Promise<Outcome<Order>> => {
    try {
      const { order, userErrors } = await ask();
      if (!order) return refused(userErrors);
      show(order);
      return { done: order };
    } catch (error) {
      return failed(error);
    }
  };

  return {
    orders,
    place,
    cancel,
    refresh,
    show,
    expect: (id, forMs) => void expected.current.set(id, performance.now() + forMs),
  };
}

interface OrderPayload {
  order: Order | null;
  userErrors: Parameters<typeof refused>[0];
}

/** Those of the token; for whoever has none, those that the browser remembers. */
async function loadOrders(shopper: string): Promise<Order[]> {
  if (shopper !== '') {
    const { orders } = await persistently(() => request(OrdersDocument, { first: 20 }));
    return orders.edges.map(({ node }) => node);
  }
  const answers = await Promise.all(
    remembered('orders', '').map((id) => persistently(() => request(OrderDocument, { id }))),
  );
  return answers.flatMap(({ order }) => order ?? []);
}

const sorted = (orders: readonly Order[]) => [...orders].sort((a, b) => b.createdAt.localeCompare(a.createdAt));

const storyOf = ({ status }: Order) => `Order: ${ORDER_STATUS[status]}. ${ORDER_STORY[status]}`;
