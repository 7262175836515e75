/** Whether a product can be bought now, as shoppers see it. */
import type { Product } from './records';
import type { SaleStatus } from './statuses';

/** The window of a sale: [saleStartsAt, saleEndsAt). An open end has no limit. */
export function saleWindow(
  product: Pick<Product, 'saleStartsAt' | 'saleEndsAt'>,
  at: Date,
): 'UPCOMING' | 'OPEN' | 'ENDED' {
  if (product.saleEndsAt && at >= product.saleEndsAt) return 'ENDED';
  if (product.saleStartsAt && at < product.saleStartsAt) return 'UPCOMING';
  return 'OPEN';
}

/**
 * UPCOMING and ENDED by the window first; else ON_SALE while units are available; else FULLY_HELD while a live hold or
 * an unpaid order could bring units back; else SOLD_OUT.
 */
export function saleStatus(
  product: Pick<Product, 'saleStartsAt' | 'saleEndsAt'>,
  level: { available: number; mayComeBack: boolean; at: Date },
): SaleStatus {
  const window = saleWindow(product, level.at);
  if (window !== 'OPEN') return window;
  if (level.available > 0) return 'ON_SALE';
  return level.mayComeBack ? 'FULLY_HELD' : 'SOLD_OUT';
}
