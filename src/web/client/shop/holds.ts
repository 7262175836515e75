/** The shopper's holds: granted, watched until they end and beyond, released. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { PollMany } from '../api/poll-many';
import { request } from '../api/request';
import {
  CreateHoldDocument,
  HoldDocument,
  ReleaseHoldDocument,
  type HoldQuery,
  type HoldStubFragment,
  type OrderCardFragment,
} from '../generated/graphql';
import { units } from '../words';
import { announce } from './announce';
import { serverNow, useServerNow } from './clock';
import { outcomeOf, untilFinal, untilSettled, type Outcome } from './outcome';
import { forget, onRememberedElsewhere, remember, remembered, takeAlong } from './remembered';

export type Hold = HoldStubFragment;
type Answer = NonNullable<HoldQuery['hold']>;

/** How much of a list is known: all of it, not yet, or only what the shop answered before it stopped answering. */
export type Knowledge = 'whole' | 'asking' | 'lost';

/** A payment may turn a hold into an order at any time, and only the shop receives it. */
const POLL_MS = 10_000;
/** At the end of a hold its outcome is decided within a moment. */
const POLL_AT_END_MS = 1_000;
/** Payments are seldom later than this. After it, and for a day, a hold that has ended is asked for only when the page wakes. */
const WATCHED_AFTER_END_MS = 10 * 60_000;
const REMEMBERED_AFTER_END_MS = 24 * 3_600_000;

export interface Holds {
  /** Those to show: ACTIVE, even past `expiresAt` until the shop has answered, and EXPIRED until dismissed. */
  readonly holds: readonly Hold[];
  readonly knowledge: Knowledge;
  hold(productId: string, quantity: number): Promise<Outcome<Hold>>;
  release(hold: Hold): Promise<Outcome<Hold>>;
  refresh(id: string): void;
  /** Hides a hold. It is still polled: if a late payment makes an order of it, the order is shown. */
  dismiss(id: string): void;
  /** To be called when an order contains this hold. */
  becameOrder(id: string): void;
}

/** Holds of one shopper. `onOrder` gets the orders that a payment placed, without the shopper. */
export function useHolds(shopper: string, onOrder: (order: OrderCardFragment) => void): Holds {
  const [known, setKnown] = useState<ReadonlyMap<string, Hold>>(new Map());
  const [dismissed, setDismissed] = useState<ReadonlySet<string>>(new Set());
  const [knowledge, setKnowledge] = useState<Knowledge>('asking');
  const latestOnOrder = useRef(onOrder);
  latestOnOrder.current = onOrder;

  const [polls] = useState(
    () =>
      new PollMany<Answer>({
        ask: async (id) => (await request(HoldDocument, { id })).hold,
        restMs: restOf,
        onAnswer: (id, hold) => {
          if (hold?.order) latestOnOrder.current(hold.order);
          if (!hold || hold.order || hold.status === 'RELEASED' || isLongOver(hold)) end(id);
          else setKnown((all) => new Map([...all, [id, hold]]));
        },
        onChange: () => setKnowledge(polls.isFailing ? 'lost' : polls.isAnswered ? 'whole' : 'asking'),
      }),
  );

  const end = (id: string) => {
    forget('holds', shopper, id);
    forget('dismissed', shopper, id);
    polls.drop(id);
    setKnown((all) => new Map([...all].filter(([other]) => other !== id)));
  };

  useEffect(() => {
    const pollRemembered = () => {
      const ids = [...remembered('holds', shopper), ...remembered('dismissed', shopper)];
      setDismissed(new Set(remembered('dismissed', shopper)));
      for (const id of ids) polls.add(id);
      // Another tab has released, ordered or lost these.
      for (const id of polls.ids) if (!ids.includes(id)) polls.add(id).askSoon();
      if (ids.length === 0 && polls.ids.length === 0) setKnowledge('whole');
    };
    takeAlong(shopper);
    pollRemembered();
    const stop = onRememberedElsewhere(['holds', 'dismissed'], shopper, pollRemembered);
    return () => {
      stop();
      polls.close();
    };
  }, []);

  const hold = async (productId: string, quantity: number): Promise<Outcome<Hold>> => {
    const outcome = await outcomeOf(() => createHold(shopper, productId, quantity));
    if ('problem' in outcome) return outcome;
    const { id, product } = outcome.done;
    remember('holds', shopper, [id]);
    polls.add(id).take({ ...outcome.done, order: null });
    announce(`${units(quantity)} of ${product.name} on hold. Order before the time runs out.`);
    return outcome;
  };

  const release = async ({ id }: Hold): Promise<Outcome<Hold>> => {
    const outcome = await outcomeOf(async () => {
      const input = { holdId: id };
      const payload = await untilFinal(async () => (await request(ReleaseHoldDocument, { input })).releaseHold);
      if (!payload.hold) polls.add(id).askSoon();
      return { ...payload, object: payload.hold };
    });
    if ('problem' in outcome) return outcome;
    end(id);
    announce(`Released: ${units(outcome.done.quantity)} of ${outcome.done.product.name}.`);
    return outcome;
  };

  return {
    holds: [...known.values()]
      .filter(({ id, status }) => !dismissed.has(id) && (status === 'ACTIVE' || status === 'EXPIRED'))
      .sort((a, b) => b.createdAt.localeCompare(a.createdAt)),
    knowledge,
    hold,
    release,
    refresh: (id) => polls.add(id).askSoon(),
    dismiss: (id) => {
      remember('dismissed', shopper, [id]);
      forget('holds', shopper, id);
      setDismissed(new Set(remembered('dismissed', shopper)));
    },
    becameOrder: end,
  };
}

/** Holds that can still be ordered, as far as the page can tell; the shop decides. */
export function useLive(holds: readonly Hold[]): readonly Hold[] {
  const active = holds.filter(({ status }) => status === 'ACTIVE');
  const now = useServerNow(active.length > 0);
  return active.filter(({ expiresAt }) => now === null || Date.parse(expiresAt) > now);
}

function restOf(hold: Answer | null): number | null {
  if (!hold) return null;
  const now = serverNow();
  if (now === null) return POLL_AT_END_MS;
  const leftMs = Date.parse(hold.expiresAt) - now;
  if (hold.status === 'ACTIVE') return leftMs > 0 ? Math.min(POLL_MS, leftMs + 1) : POLL_AT_END_MS;
  return leftMs > -WATCHED_AFTER_END_MS ? POLL_MS : null;
}

function isLongOver({ status, expiresAt }: Hold): boolean {
  const now = serverNow();
  return status !== 'ACTIVE' && now !== null && now - Date.parse(expiresAt) > REMEMBERED_AFTER_END_MS;
}

/**
 * One click makes one hold, however often it has to be sent. The key finds a hold whose answer was lost, even after a reload;
 * if that hold has ended by then, the click is a new intent.
 */
async function createHold(shopper: string, productId: string, quantity: number) {
  const intent = `hold ${quantity} of ${productId} for ${shopper}`;
  const create = () =>
    untilSettled(intent, async (idempotencyKey) => {
      const { createHold } = await request(CreateHoldDocument, { input: { productId, quantity, idempotencyKey } });
      return { ...createHold, object: createHold.hold };
    });
  const payload = await create();
  return payload.hold && payload.hold.status !== 'ACTIVE' ? create() : payload;
}
