/** From records to what the GraphQL types show. Everything here is synchronous, so that a payload costs no promise a field. */
import { lineTotal, minorDigits } from '../domain/money';
import { statusOf, type Hold, type Order, type OrderLine, type PaymentEvent, type Product } from '../domain/records';
import type * as types from './types';

const money = (amountMinor: number, currency: string): types.Money => ({
  amountMinor,
  currency,
  digits: minorDigits(currency),
});

export function presentProduct(product: Product): types.Product {
  return { ...product, price: money(product.priceMinor, product.currency) };
}

/** `at`: the database's time when the hold was read. */
export function presentHold(hold: Hold, at: Date): types.Hold {
  return {
    id: hold.id,
    quantity: hold.quantity,
    unitPrice: money(hold.unitPriceMinor, hold.currency),
    total: money(lineTotal(hold.quantity, hold.unitPriceMinor), hold.currency),
    status: statusOf(hold, at),
    createdAt: hold.createdAt,
    expiresAt: hold.expiresAt,
    productId: hold.productId,
    orderId: hold.orderId,
  };
}

export function presentOrder(order: Order): types.Order {
  return { ...order, total: money(order.totalMinor, order.currency) };
}

export function presentLine(line: OrderLine, currency: string): types.OrderLine {
  return { ...line, unitPrice: money(line.unitPriceMinor, currency) };
}

export function presentEvent(event: Omit<PaymentEvent, 'payload'>): types.PaymentEvent {
  const { amountMinor, currency } = event;
  return { ...event, amount: amountMinor === null || currency === null ? null : money(amountMinor, currency) };
}
