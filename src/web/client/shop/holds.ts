/** The shopper's holds: granted, watched until they end and beyond, released. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { keyOf, settle } from '../api/intents';
import { request } from '../api/request';
import { persistently } from '../api/retry';
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
import { Follower } from './follow';
import { busyFor, failed, refused, type Outcome } from './outcome';
import { forget, onRememberedElsewhere, remember, remembered, takeAlong } from './remembered';

export type Hold = HoldStubFragment;
type Answer = NonNullable<HoldQuery['hold']>;

/** What is known: all of it, not yet, or not any more, for the shop does not answer. */
export type Knowledge = 'whole' | 'asking' | 'lost';

/** A payment may make an order of a hold at any time, and only the shop hears of it. */
const POLL_MS = 10_000;
/** At the end of its time what becomes of a hold is decided within a moment. */
const POLL_AT_END_MS = 1_000;
/** A payment is seldom later than this; after it a hold that has ended is asked for when the page wakes, and for a day. */
const WATCHED_AFTER_END_MS = 10 * 60_000;
const REMEMBERED_AFTER_END_MS = 24 * 3_600_000;

export interface Holds {
  /** Those to be shown: ACTIVE, also when their time is over and the shop has not said so yet, and EXPIRED until dismissed. */
  readonly holds: readonly Hold[];
  readonly knowledge: Knowledge;
  hold(productId: string, quantity: number): Promise<Outcome<Hold>>;
  release(hold: Hold): Promise<Outcome<Hold>>;
  /** Asks again, soon. */
  refresh(id: string): void;
  /** Shown no longer, but still watched: should a payment make an order of it, the order is shown. */
  dismiss(id: string): void;
  /** It has become part of this order. */
  becameOrder(id: string): void;
}

/** Of one shopper. `onOrder` hears of orders that a payment placed, without the shopper. */
export function useHolds(shopper: string, onOrder: (order: OrderCardFragment) => void): Holds {
  const [known, setKnown] = useState<ReadonlyMap<string, Hold>>(new Map());
  const [dismissed, setDismissed] = useState<ReadonlySet<string>>(new Set());
  const [knowledge, setKnowledge] = useState<Knowledge>('asking');
  const latest = useRef(onOrder);
  latest.current = onOrder;

  const [follower] = useState(
    () =>
      new Follower<Answer>({
        ask: async (id) => (await request(HoldDocument, { id })).hold,
        restMs: restOf,
        onAnswer: (id, hold) => {
          if (hold?.order) latest.current(hold.order);
          if (!hold || hold.order || hold.status === 'RELEASED' || isLongOver(hold)) end(id);
          else setKnown((all) => new Map([...all, [id, hold]]));
        },
        onChange: () => setKnowledge(follower.isFailing ? 'lost' : follower.isAnswered ? 'whole' : 'asking'),
      }),
  );

  const end = (id: string) => {
    forget('holds', shopper, id);
    forget('dismissed', shopper, id);
    follower.drop(id);
    setKnown((all) => new Map([...all].filter(([other]) => other !== id)));
  };

  useEffect(() => {
    const followRemembered = () => {
      const ids = [...remembered('holds', shopper), ...remembered('dismissed', shopper)];
      setDismissed(new Set(remembered('dismissed', shopper)));
      for (const id of ids) follower.follow(id);
      // Another tab has released, ordered or lost it.
      for (const id of follower.ids) if (!ids.includes(id)) follower.askSoon(id);
      if (ids.length === 0 && follower.ids.length === 0) setKnowledge('whole');
    };
    takeAlong(shopper);
    followRemembered();
    const stops = (['holds', 'dismissed'] as const).map((kind) =>
      onRememberedElsewhere(kind, shopper, followRemembered),
    );
    return () => {
      stops.forEach((stop) => stop());
      follower.close();
    };
  }, []);

  const hold = async (productId: string, quantity: number): Promise<Outcome<Hold>> => {
    try {
      const granted = await createHold(shopper, productId, quantity);
      if ('problem' in granted) return granted;
      const { id, product } = granted.done;
      remember('holds', shopper, [id]);
      follower.tell(id, { ...granted.done, order: null });
      announce(`${units(quantity)} of ${product.name} on hold. Order before the time runs out.`);
      return granted;
    } catch (error) {
      return failed(error);
    }
  };

  const release = async ({ id }: Hold): Promise<Outcome<Hold>> => {
    try {
      const { releaseHold } = await persistently(
        () => request(ReleaseHoldDocument, { input: { holdId: id } }),
        (answer) => busyFor(answer.releaseHold.userErrors),
      );
      if (!releaseHold.hold) {
        follower.askSoon(id);
        return refused(releaseHold.userErrors);
      }
      end(id);
      announce(`Released: ${units(releaseHold.hold.quantity)} of ${releaseHold.hold.product.name}.`);
      return { done: releaseHold.hold };
    } catch (error) {
      return failed(error);
    }
  };

  return {
    holds: [...known.values()]
      .filter(({ id, status }) => !dismissed.has(id) && (status === 'ACTIVE' || status === 'EXPIRED'))
      .sort((a, b) => b.createdAt.localeCompare(a.createdAt)),
    knowledge,
    hold,
    release,
    refresh: (id) => follower.askSoon(id),
    dismiss: (id) => {
      remember('dismissed', shopper, [id]);
      forget('holds', shopper, id);
      setDismissed(new Set(remembered('dismissed', shopper)));
    },
    becameOrder: end,
  };
}

/** Those that can be ordered, as far as the page can tell; the shop decides. */
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
 * One click, one hold, however often it has to be asked for. An answer that got lost is found by its key, even after a
 * reload; when the hold it names has ended meanwhile, the click is a new intent.
 */
async function createHold(shopper: string, productId: string, quantity: number): Promise<Outcome<Hold>> {
  const intent = `hold ${quantity} of ${productId} for ${shopper}`;
  const ask = () =>
    persistently(
      () => request(CreateHoldDocument, { input: { productId, quantity, idempotencyKey: keyOf(intent) } }),
      ({ createHold: { userErrors } }) => busyFor(userErrors),
    );
  let { createHold } = await ask();
  if (createHold.hold && createHold.hold.status !== 'ACTIVE') {
    settle(intent);
    ({ createHold } = await ask());
  }
  if (busyFor(createHold.userErrors) === null) settle(intent);
  return createHold.hold ? { done: createHold.hold } : refused(createHold.userErrors);
}
