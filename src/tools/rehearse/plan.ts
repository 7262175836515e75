/** The parameters of a rehearsal: shoppers, stock, and the share of each behaviour. */

/**
 * What a shopper does after a granted hold, with its default share. Shares are weights that need not add up to 100, so that
 * one can be changed alone.
 */
export const stories = {
  onTime: { flag: 'on-time', share: 45, says: 'order, then pay' },
  early: { flag: 'early', share: 10, says: 'the payment comes before the order, or together with it' },
  late: { flag: 'late', share: 10, says: 'pay after the order was cancelled, or the hold released or expired' },
  duplicate: { flag: 'duplicate', share: 10, says: 'the payment is reported several times, or was made twice' },
  failed: { flag: 'failed', share: 10, says: 'a payment fails, before or after the order, and the next one succeeds' },
  refund: { flag: 'refund', share: 3, says: 'the money goes back, reported before or after its success' },
  mismatch: { flag: 'mismatch', share: 2, says: 'a wrong amount is paid' },
  release: { flag: 'release', share: 4, says: 'release the hold' },
  never: { flag: 'never', share: 6, says: 'leave without paying, with or without an order' },
} as const;
export type Story = keyof typeof stories;

export interface Plan {
  readonly shoppers: number;
  /** Units on sale, divided among the products. */
  readonly stock: number;
  readonly products: number;
  /** How long shoppers keep arriving. */
  readonly durationSeconds: number;
  readonly seed: number;
  /** Sockets to the server; waiting for a free one counts as latency. */
  readonly connections: number;
  readonly shares: Readonly<Record<Story, number>>;
}

/** The first products have one unit more when the stock cannot be divided evenly. */
export function stockOf({ stock, products }: Plan, index: number): number {
  return Math.floor(stock / products) + (index < stock % products ? 1 : 0);
}
