/** The shopper's orders: placed from holds, watched while payments may move them, cancelled. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { keyOf, settle } from '../api/intents';
import { request } from '../api/request';
import { persistently, untilAnswered } from '../api/retry';
import { onWake } from '../api/wake';
import {
  CancelOrderDocument,
  CreateOrderDocument,
  OrderDocument,
  OrdersDocument,
  type OrderCardFragment,
} from '../generated/graphql';
import { ORDER_STATUS, orderStory } from '../words';
import { announce } from './announce';
import { serverNow } from './clock';
import { Follower } from './follow';
import type { Hold, Knowledge } from './holds';
import { busyFor, failed, refused, type Outcome } from './outcome';
import { forget, onRememberedElsewhere, remember, remembered, takeAlong } from './remembered';

export type Order = OrderCardFragment;

/** A payment is told by webhook to the shop, not to the page, so the page asks: often at first, then less. */
const POLL_MS = 1_500;
const OFTEN_FOR_MS = 60_000;
const LATER_POLL_MS = 5_000;
/** What is paid may be refunded, and what is cancelled paid: while an order is young this is seen without the page being left. */
const SLOW_POLL_MS = 15_000;
const YOUNG_MS = 3_600_000;
const PAGE = 20;

export interface Orders {
  readonly orders: readonly Order[];
  readonly knowledge: Knowledge;
  readonly hasMore: boolean;
  loadMore(): void;
  /** Holds of one currency. */
  place(holds: readonly Hold[]): Promise<Outcome<Order>>;
  cancel(order: Order): Promise<Outcome<Order>>;
  /** Asks again, soon. */
  refresh(id: string): void;
  /** An order that came about by itself. */
  arrived(order: Order): void;
  /** Something is about to happen to it: ask often until then. */
  expect(id: string, forMs: number): void;
}

/** Of one shopper. */
export function useOrders(shopper: string): Orders {
  const [known, setKnown] = useState<ReadonlyMap<string, Order>>(new Map());
  const [knowledge, setKnowledge] = useState<Knowledge>('asking');
  const [cursor, setCursor] = useState<string | null>(null);
  const list = useRef<Knowledge>(shopper === '' ? 'whole' : 'asking');
  const hasPage = useRef(false);
  const oftenUntil = useRef(new Map<string, number>());

  const [follower] = useState(
    () =>
      new Follower<Order>({
        ask: async (id) => (await request(OrderDocument, { id })).order,
        restMs: (order) => order && restOf(order, oftenUntil.current),
        onAnswer: (id, order) => (order ? show(order) : forget('orders', shopper, id)),
        onChange: () => sayWhatIsKnown(),
      }),
  );

  const sayWhatIsKnown = () => {
    const isLost = follower.isFailing || list.current === 'lost';
    setKnowledge(isLost ? 'lost' : follower.isAnswered && list.current === 'whole' ? 'whole' : 'asking');
  };

  const show = (order: Order) =>
    setKnown((all) => {
      const before = all.get(order.id);
      if (before && before.status !== order.status) announce(storyOf(order));
      return new Map([...all, [order.id, order]]);
    });

  const loadPage = (after: string | null) => {
    const askedAt = performance.now();
    return untilAnswered(
      () => request(OrdersDocument, { first: PAGE, after }),
      ({ orders: { edges, pageInfo } }) => {
        for (const { node } of edges) follower.tell(node.id, node, askedAt);
        // The first page, asked for again, does not take back those that followed it.
        if (after !== null || !hasPage.current) setCursor(pageInfo.hasNextPage ? pageInfo.endCursor : null);
        hasPage.current = true;
        list.current = 'whole';
        sayWhatIsKnown();
      },
      () => {
        list.current = 'lost';
        sayWhatIsKnown();
      },
    );
  };

  useEffect(() => {
    let stopLoading: () => void = () => undefined;
    const load = () => {
      if (shopper === '') return;
      stopLoading();
      stopLoading = loadPage(null);
    };
    const followRemembered = () => {
      for (const id of remembered('orders', shopper)) follower.follow(id);
      sayWhatIsKnown();
    };
    takeAlong(shopper);
    load();
    followRemembered();
    const stops = [onWake(load), onRememberedElsewhere('orders', shopper, followRemembered)];
    return () => {
      stopLoading();
      stops.forEach((stop) => stop());
      follower.close();
    };
  }, []);

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
      if (!cancelOrder.order) follower.askSoon(id);
      return cancelOrder;
    });

  const outcomeOf = async (ask: () => Promise<OrderPayload>): Promise<Outcome<Order>> => {
    try {
      const { order, userErrors } = await ask();
      if (!order) return refused(userErrors);
      remember('orders', shopper, [order.id]);
      follower.tell(order.id, order);
      return { done: order };
    } catch (error) {
      return failed(error);
    }
  };

  return {
    orders: [...known.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt)),
    knowledge,
    hasMore: cursor !== null,
    loadMore: () => void loadPage(cursor),
    place,
    cancel,
    refresh: (id) => follower.askSoon(id),
    arrived: (order) => {
      if (!known.has(order.id)) announce(storyOf(order));
      remember('orders', shopper, [order.id]);
      follower.tell(order.id, order);
    },
    expect: (id, forMs) => {
      oftenUntil.current.set(id, performance.now() + forMs);
      follower.askSoon(id);
    },
  };
}

interface OrderPayload {
  order: Order | null;
  userErrors: Parameters<typeof refused>[0];
}

/** null: nothing is expected to move it any more; it is asked for again when the page wakes. */
function restOf({ id, status, createdAt }: Order, oftenUntil: Map<string, number>): number | null {
  const now = performance.now();
  const isUnpaid = status === 'PENDING_PAYMENT';
  if (isUnpaid && !oftenUntil.has(id)) oftenUntil.set(id, now + OFTEN_FOR_MS);
  if (now < (oftenUntil.get(id) ?? 0)) return POLL_MS;
  if (isUnpaid) return LATER_POLL_MS;
  const shopNow = serverNow();
  return shopNow === null || shopNow - Date.parse(createdAt) < YOUNG_MS ? SLOW_POLL_MS : null;
}

const storyOf = (order: Order) => `Order: ${ORDER_STATUS[order.status]}. ${orderStory(order)}`;
