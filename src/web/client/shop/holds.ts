/** The shopper's holds: granted, watched until they end, released. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import { keyOf, settle } from '../api/intents';
import { request } from '../api/request';
import { persistently } from '../api/retry';
import {
  CreateHoldDocument,
  HoldDocument,
  ReleaseHoldDocument,
  type HoldStubFragment,
  type OrderCardFragment,
} from '../generated/graphql';
import { units } from '../words';
import { announce } from './announce';
import { busyFor, failed, refused, type Outcome } from './outcome';
import { forget, remember, remembered } from './remembered';

export type Hold = HoldStubFragment;

export interface Holds {
  readonly holds: readonly Hold[];
  hold(productId: string, quantity: number): Promise<Outcome<Hold>>;
  release(hold: Hold): Promise<Outcome<Hold>>;
  /** Looks again: at its end a hold may have become an order. */
  refresh(id: string): Promise<void>;
  /** No longer shown. */
  drop(id: string): void;
}

/** `onOrder` hears of orders that a payment placed, without the shopper. */
export function useHolds(shopper: string, onOrder: (order: OrderCardFragment) => void): Holds {
  const [holds, setHolds] = useState<readonly Hold[]>([]);

  const show = useCallback((hold: Hold) => {
    setHolds((all) =>
      all.some(({ id }) => id === hold.id) ? all.map((old) => (old.id === hold.id ? hold : old)) : [hold, ...all],
    );
  }, []);

  const drop = useCallback(
    (id: string) => {
      forget('holds', shopper, id);
      setHolds((all) => all.filter((hold) => hold.id !== id));
    },
    [shopper],
  );

  const refresh = useCallback(
    async (id: string) => {
      const { hold } = await persistently(() => request(HoldDocument, { id }));
      if (hold?.order) onOrder(hold.order);
      if (!hold || hold.order || hold.status === 'RELEASED') drop(id);
      else show(hold);
    },
    [drop, show, onOrder],
  );

  useEffect(() => {
    setHolds([]);
    if (shopper !== '') takeAlong(shopper);
    for (const id of remembered('holds', shopper)) void refresh(id).catch(() => undefined);
  }, [shopper]);

  const hold = async (productId: string, quantity: number): Promise<Outcome<Hold>> => {
    try {
      const granted = await createHold(shopper, productId, quantity);
      if ('problem' in granted) return granted;
      remember('holds', shopper, [granted.done.id]);
      show(granted.done);
      announce(`${units(quantity)} of ${granted.done.product.name} on hold. Order before the time runs out.`);
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
        await refresh(id);
        return refused(releaseHold.userErrors);
      }
      drop(id);
      announce(`Released: ${units(releaseHold.hold.quantity)} of ${releaseHold.hold.product.name}.`);
      return { done: releaseHold.hold };
    } catch (error) {
      return failed(error);
    }
  };

  return { holds, hold, release, refresh, drop };
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

/** Whoever signs in brings along what they held before: a hold made without a token is open to whoever has its id. */
function takeAlong(shopper: string): void {
  const anonymous = remembered('holds', '');
  remember('holds', shopper, anonymous);
  for (const id of anonymous) forget('holds', '', id);
}
