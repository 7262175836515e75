/** The client's own history: what the server has acknowledged, and what its promises therefore guarantee. */

export interface Money {
  readonly amountMinor: number;
  readonly currency: string;
}

/** Units that are certainly not in `available` during this time, in ms after the opening. */
export interface Claim {
  readonly fromMs: number;
  untilMs: number;
}

/** A granted hold. */
export interface KnownHold {
  readonly id: string;
  readonly productId: string;
  readonly quantity: number;
  readonly total: Money;
  readonly expiresAt: string;
  readonly claims: Claim[];
  releaseAsked: boolean;
  released: boolean;
  /** Whether a createOrder for it was sent; until then only a payment may consume it. */
  orderAsked: boolean;
  order: KnownOrder | null;
}

/** An order answered by createOrder. */
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
  /** The holds that it pays for. */
  readonly holds: readonly KnownHold[];
  /** Whether the amount differs from the total of these holds. */
  readonly isWrongAmount: boolean;
  acknowledged: boolean;
}

/** A granted hold is claimed from its answer on, because the server has committed by then. */
export class History {
  readonly holds: KnownHold[] = [];
  readonly orders = new Map<string, KnownOrder>();
  readonly events = new Set<KnownEvent>();

  constructor(private readonly nowMs: () => number) {}

  /** The time-to-live counts from before the request was sent, so the claim ends before the hold does. */
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
      // Only open claims are extended: units may have been given back before the answer arrived.
      if (claim.untilMs > this.nowMs()) claim.untilMs = until;
    }
    return order;
  }

  /** To be called before a request that gives these holds' units back. */
  mayEnd(holds: readonly KnownHold[]): void {
    for (const hold of holds) {
      const claim = hold.claims.at(-1)!;
      claim.untilMs = Math.min(claim.untilMs, this.nowMs());
    }
  }

  /** A payment was applied: the units are sold and never return. */
  sold(holds: readonly KnownHold[]): void {
    for (const hold of holds) {
      const claim = hold.claims.at(-1)!;
      if (claim.untilMs > this.nowMs()) claim.untilMs = Infinity;
      else hold.claims.push({ fromMs: this.nowMs(), untilMs: Infinity });
    }
  }

  /** The most units of a product that were certainly claimed at one moment; never more than its total. */
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
      // Claims that end and begin at the same moment do not overlap.
      .sort((a, b) => a.atMs - b.atMs || a.units - b.units);
    let claimed = 0;
    let most = 0;
    for (const { units } of changes) most = Math.max(most, (claimed += units));
    return most;
  }
}
