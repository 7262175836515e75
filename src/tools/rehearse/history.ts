/** The client's own history: what the server has acknowledged, and what a promise therefore says of it for ever. */

export interface Money {
  readonly amountMinor: number;
  readonly currency: string;
}

/** Units that are surely out of `available` in the meantime, in ms after the opening. */
export interface Claim {
  readonly fromMs: number;
  untilMs: number;
}

/** A hold that was granted. */
export interface KnownHold {
  readonly id: string;
  readonly productId: string;
  readonly quantity: number;
  readonly total: Money;
  readonly expiresAt: string;
  readonly claims: Claim[];
  releaseAsked: boolean;
  released: boolean;
  /** A createOrder that names it was sent: until then only a payment may consume it. */
  orderAsked: boolean;
  order: KnownOrder | null;
}

/** An order that was answered, by createOrder. */
export interface KnownOrder {
  readonly id: string;
  readonly holds: readonly KnownHold[];
  readonly total: Money;
  readonly paymentDueAt: string;
  cancelAsked: boolean;
  cancelled: boolean;
}

export type PaymentType = 'payment.succeeded' | 'payment.failed' | 'payment.refunded';

/** A payment event that was sent. */
export interface KnownEvent {
  readonly eventId: string;
  readonly type: PaymentType;
  readonly reference: string;
  readonly amount: Money;
  readonly paymentId: string;
  /** The holds that are paid for. */
  readonly holds: readonly KnownHold[];
  /** The amount is not what these holds cost. */
  readonly isWrongAmount: boolean;
  acknowledged: boolean;
}

/** What was granted is claimed from the answer on: the server has committed by then. */
export class History {
  readonly holds: KnownHold[] = [];
  readonly orders = new Map<string, KnownOrder>();
  readonly events = new Set<KnownEvent>();

  constructor(private readonly nowMs: () => number) {}

  /** The time-to-live is counted from before the request was sent, so the claim ends before the hold does. */
  hold(
    granted: Omit<KnownHold, 'claims' | 'releaseAsked' | 'released' | 'orderAsked' | 'order'>,
    until: number,
  ): KnownHold {
    const claims = [{ fromMs: this.nowMs(), untilMs: until }];
    const hold = { ...granted, claims, releaseAsked: false, released: false, orderAsked: false, order: null };
    this.holds.push(hold);
    return hold;
  }

  /** `until`: the end of the payment window, counted from before the request; Infinity for a paid order. */
  order(order: KnownOrder, until: number): KnownOrder {
    this.orders.set(order.id, order);
    for (const hold of order.holds) {
      hold.order = order;
      const claim = hold.claims.at(-1)!;
      // What may have been given back before the answer came stays so: only a claim still open is made longer.
      if (claim.untilMs > this.nowMs()) claim.untilMs = until;
    }
    return order;
  }

  /** About to ask for something that gives these holds' units back. */
  mayEnd(holds: readonly KnownHold[]): void {
    for (const hold of holds) {
      const claim = hold.claims.at(-1)!;
      claim.untilMs = Math.min(claim.untilMs, this.nowMs());
    }
  }

  /** A payment was applied: the units are sold, and never come back. */
  sold(holds: readonly KnownHold[]): void {
    for (const hold of holds) {
      const claim = hold.claims.at(-1)!;
      if (claim.untilMs > this.nowMs()) claim.untilMs = Infinity;
      else hold.claims.push({ fromMs: this.nowMs(), untilMs: Infinity });
    }
  }

  /** The most units of a product that were certainly claimed at one moment: never more than its total. */
  mostClaimed(productId: string): number {
    const changes = this.holds
      .filter((hold) => hold.productId === productId)
      .flatMap(({ quantity, claims }) =>
        claims
          .filter((claim) => claim.untilMs > claim.fromMs)
          .flatMap((claim) => [
            { atMs: claim.fromMs, units: quantity },
            { atMs: claim.untilMs, units: -quantity },
          ]),
      )
      // Who ends and who begins at the same moment never had the unit together.
      .sort((a, b) => a.atMs - b.atMs || a.units - b.units);
    let claimed = 0;
    let most = 0;
    for (const { units } of changes) most = Math.max(most, (claimed += units));
    return most;
  }
}
