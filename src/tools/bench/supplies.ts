/** What a slice needs before its clock starts: products, holds and unpaid orders, created by the use cases. */
import { randomUUID } from 'node:crypto';
import { openCheckout } from '../../checkout/checkout';
import { openDatabase } from '../../database/database';
import { createTables } from '../load/scratch-database';
import type { Hold, Order } from '../../domain/records';
import type { Answer } from '../../domain/refusals';
import { Metrics } from '../../telemetry/metrics';
import { createLogger } from '../../telemetry/logger';

/** More than any run can sell. */
export const PLENTY = 1_000_000_000;
/** As long as the measured server's, so that nothing is swept while other subjects are measured. */
export const HOLD_TTL_SECONDS = 6 * 3_600;
/** Concurrent requests: group commit makes batches of them, and none waits for 2 s. */
const AT_ONCE = 2_000;

export interface Supplies {
  product(units?: number): Promise<string>;
  holds(productId: string, count: number): Promise<Hold[]>;
  orders(holds: readonly Hold[]): Promise<Order[]>;
  close(): Promise<void>;
}

/** Also creates the tables. */
export async function openSupplies(url: string): Promise<Supplies> {
  const log = createLogger({ level: 'silent', file: null, environment: 'test' });
  await createTables(url, log);
  const database = await openDatabase({ url, poolSize: 8, log });
  const checkout = openCheckout({
    database,
    log,
    metrics: new Metrics(),
    holdTtlSeconds: HOLD_TTL_SECONDS,
    orderPaymentWindowSeconds: HOLD_TTL_SECONDS,
  });
  const shopper = { customerId: '', isAdmin: false };
  return {
    product: async (units = PLENTY) => {
      const name = `Bench ${randomUUID()}`;
      const input = { sku: name, name, priceMinor: 4_999, currency: 'USD', totalStock: units };
      return valueOf(await checkout.createProduct(input, { customerId: 'bench', isAdmin: true })).id;
    },
    holds: (productId, count) =>
      inPortions(Array.from({ length: count }), async () =>
        valueOf(await checkout.createHold({ productId, quantity: 1 }, shopper)),
      ),
    orders: (holds) =>
      inPortions(holds, async (hold) => valueOf(await checkout.createOrder({ holdIds: [hold.id] }, shopper))),
    close: () => database.close(),
  };
}

async function inPortions<From, To>(all: readonly From[], make: (one: From) => Promise<To>): Promise<To[]> {
  const made: To[] = [];
  for (let start = 0; start < all.length; start += AT_ONCE) {
    made.push(...(await Promise.all(all.slice(start, start + AT_ONCE).map(make))));
  }
  return made;
}

function valueOf<T>(answer: Answer<T>): T {
  if (!answer.granted) throw new Error(`a supply was refused: ${answer.refusals[0]?.message}`);
  return answer.value;
}
