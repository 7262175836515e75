/** The shopper's orders: placed from holds, watched while payments may move them, cancelled. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Poll } from '../api/poll';
import { PollMany } from '../api/poll-many';
import { request } from '../api/request';
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
import type { Hold, Knowledge } from './holds';
import { outcomeOf, untilFinal, untilSettled, type Outcome } from './outcome';
import { forget, onRememberedElsewhere, remember, remembered, takeAlong } from './remembered';

export type Order = OrderCardFragment;

/** Payments reach the shop by webhook, not this page, so the page polls: often at first, then less. */
const POLL_MS = 1_500;
const OFTEN_FOR_MS = 60_000;
const LATER_POLL_MS = 5_000;
/** A paid order may be refunded and a cancelled one paid, so young orders are polled after they are settled, too. */
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
  /** Shows an order that a payment placed, without the shopper. */
  arrived(order: Order): void;
  /** Polls often for this long, because the order is about to change. */
  expect(id: string, forMs: number): void;
}

/** Orders of one shopper. */
export function useOrders(shopper: string): Orders {
  const [known, setKnown] = useState<ReadonlyMap<string, Order>>(new Map());
  const [knowledge, setKnowledge] = useState<Knowledge>('asking');
  const [cursor, setCursor] = useState<string | null>(null);
  const list = useRef<Knowledge>(shopper === '' ? 'whole' : 'asking');
  const hasPage = useRef(false);
  const oftenUntil = useRef(new Map<string, number>());

  const [polls] = useState(
    () =>
      new PollMany<Order>({
        ask: async (id) => (await request(OrderDocument, { id })).order,
        restMs: (order) => order && restOf(order, oftenUntil.current),
        onAnswer: (id, order) => (order ? show(order) : forget('orders', shopper, id)),
        onChange: () => updateKnowledge(),
      }),
  );

  const updateKnowledge = () => {
    const isLost = polls.isFailing || list.current === 'lost';
    setKnowledge(isLost ? 'lost' : polls.isAnswered && list.current === 'whole' ? 'whole' : 'asking');
  };

  const show = (order: Order) =>
    setKnown((all) => {
      const before = all.get(order.id);
      if (before && before.status !== order.status) announce(storyOf(order));
      return new Map([...all, [order.id, order]]);
    });

  const loadPage = (after: string | null) => {
    let askedAt = 0;
    return new Poll({
      ask: () => {
        askedAt = performance.now();
        return request(OrdersDocument, { first: PAGE, after });
      },
      onAnswer: ({ orders: { edges, pageInfo } }) => {
        for (const { node } of edges) polls.add(node.id).take(node, askedAt);
        // Reloading the first page does not hide the pages that were loaded after it.
        if (after !== null || !hasPage.current) setCursor(pageInfo.hasNextPage ? pageInfo.endCursor : null);
        hasPage.current = true;
        list.current = 'whole';
        updateKnowledge();
      },
      onFailure: () => {
        list.current = 'lost';
        updateKnowledge();
      },
    });
  };

  useEffect(() => {
    let loading: Poll<unknown> | undefined;
    const load = () => {
      if (shopper === '') return;
      loading?.stop();
      loading = loadPage(null);
    };
    const pollRemembered = () => {
      for (const id of remembered('orders', shopper)) polls.add(id);
      updateKnowledge();
    };
    takeAlong(shopper);
    load();
    pollRemembered();
    const stops = [onWake(load), onRememberedElsewhere(['orders'], shopper, pollRemembered)];
    return () => {
      loading?.stop();
      stops.forEach((stop) => stop());
      polls.close();
    };
  }, []);

  const place = async (holds: readonly Hold[]): Promise<Outcome<Order>> => {
    const holdIds = holds.map(({ id }) => id).sort();
    return take(() =>
      untilSettled(`order ${holdIds.join(' ')}`, async (idempotencyKey) => {
        const { createOrder } = await request(CreateOrderDocument, { input: { holdIds, idempotencyKey } });
        return { ...createOrder, object: createOrder.order };
      }),
    );
  };

  const cancel = ({ id }: Order): Promise<Outcome<Order>> =>
    take(async () => {
      const input = { orderId: id };
      const payload = await untilFinal(async () => (await request(CancelOrderDocument, { input })).cancelOrder);
      if (!payload.order) polls.add(id).askSoon();
      return { ...payload, object: payload.order };
    });

  const take = async (ask: Parameters<typeof outcomeOf<Order>>[0]): Promise<Outcome<Order>> => {
    const outcome = await outcomeOf(ask);
    if ('done' in outcome) takeOrder(outcome.done);
    return outcome;
  };

  const takeOrder = (order: Order) => {
    remember('orders', shopper, [order.id]);
    polls.add(order.id).take(order);
  };

  return {
    orders: [...known.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt)),
    knowledge,
    hasMore: cursor !== null,
    loadMore: () => void loadPage(cursor),
    place,
    cancel,
    arrived: (order) => {
      if (!known.has(order.id)) announce(storyOf(order));
      takeOrder(order);
    },
    expect: (id, forMs) => {
      oftenUntil.current.set(id, performance.now() + forMs);
      polls.add(id).askSoon();
    },
  };
}

/** null: no further change is expected; the list is loaded again when the page wakes. */
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
