/** A checkout on a database of its own: the use cases as one server runs them, and short words for what tests do most. */
import { randomUUID } from 'node:crypto';
import { adjustStock, type AdjustStockInput } from '../../src/checkout/adjust-stock';
import { cancelOrder } from '../../src/checkout/cancel-order';
import type { Caller, Checkout } from '../../src/checkout/checkout';
import { createHoldOf, type CreateHold, type CreateHoldInput } from '../../src/checkout/create-hold';
import { createOrderOf, type CreateOrder } from '../../src/checkout/create-order';
import { createProduct, type CreateProductInput } from '../../src/checkout/create-product';
import { recordPaymentEventOf, type Recorded } from '../../src/checkout/record-payment-event';
import { releaseHold } from '../../src/checkout/release-hold';
import { replayPaymentEvent } from '../../src/checkout/replay-payment-event';
import { sweepOnce, type Swept } from '../../src/checkout/sweep';
import { updateProduct, type UpdateProductInput } from '../../src/checkout/update-product';
import type { Database } from '../../src/database/database';
import { Busy, Unavailable } from '../../src/domain/errors';
import type { PaymentType } from '../../src/domain/judge-payment';
import type { PaymentMessage } from '../../src/domain/payment-message';
import type { Hold, Order, PaymentEvent, Product } from '../../src/domain/records';
import type { Answer, ErrorCode, Refusal } from '../../src/domain/refusals';
import type { Logger } from '../../src/telemetry/logger';
import { Metrics } from '../../src/telemetry/metrics';
import { freshDatabase, type FreshDatabase } from './database';

export const ALICE = 'alice';
export const BOB = 'bob';

type Settings = Partial<Pick<Checkout, 'holdTtlSeconds' | 'orderPaymentWindowSeconds' | 'metrics'>>;

/** The use cases of one process. Two of them on one database are two servers: they share nothing but PostgreSQL. */
export interface Server {
  readonly checkout: Checkout;
  readonly createHold: CreateHold;
  readonly createOrder: CreateOrder;
  releaseHold(holdId: string, customerId?: string): Promise<Answer<Hold>>;
  cancelOrder(orderId: string, customerId?: string): Promise<Answer<Order>>;
  createProduct(input: CreateProductInput): Promise<Answer<Product>>;
  updateProduct(input: UpdateProductInput): Promise<Answer<Product>>;
  adjustStock(input: Omit<AdjustStockInput, 'actor' | 'reason'>): Promise<Answer<Product>>;
  receive(message: PaymentMessage, provider?: string): Promise<Recorded>;
  replay(eventId: string, provider?: string): Promise<Answer<PaymentEvent>>;
  sweep(): Promise<Swept>;

  /** A product with stock; what is not said is sold at 10.00 USD without limit or window. */
  product(totalStock: number, more?: Partial<CreateProductInput>): Promise<Product>;
  /** A hold that has to be granted. */
  hold(product: Product, more?: Partial<CreateHoldInput>): Promise<Hold>;
  /** An order that has to be placed, of these holds, for the first one's customer. */
  order(...holds: readonly Hold[]): Promise<Order>;
  /** An order of one new hold. */
  orderOf(product: Product, more?: Partial<CreateHoldInput>): Promise<Order>;
}

export interface Shop extends FreshDatabase, Server {}

/** Call it in `beforeAll`, and `close` in `afterAll`. */
export async function openShop(
  settings: Settings = {},
  database: Parameters<typeof freshDatabase>[0] = {},
): Promise<Shop> {
  const fresh = await freshDatabase(database);
  return { ...fresh, ...serverOn(fresh.database, fresh.log, settings) };
}

export function serverOn(database: Database, log: Logger, settings: Settings = {}): Server {
  const checkout: Checkout = {
    database,
    log,
    metrics: new Metrics(),
    holdTtlSeconds: 120,
    orderPaymentWindowSeconds: 900,
    ...settings,
  };
  const createHold = createHoldOf(checkout);
  const createOrder = createOrderOf(checkout);
  const recordPaymentEvent = recordPaymentEventOf(checkout);
  const server: Server = {
    checkout,
    createHold,
    createOrder,
    releaseHold: (holdId, customerId = '') => releaseHold(checkout, callerOf(customerId), holdId),
    cancelOrder: (orderId, customerId = '') => cancelOrder(checkout, callerOf(customerId), orderId),
    createProduct: (input) => createProduct(checkout, input),
    updateProduct: (input) => updateProduct(checkout, input),
    adjustStock: (input) => adjustStock(checkout, { actor: 'operator', reason: 'test', ...input }),
    receive: (message, provider = 'standard') => recordPaymentEvent(provider, message),
    replay: (eventId, provider = 'standard') => replayPaymentEvent(checkout, { provider, eventId }),
    sweep: () => sweepOnce(checkout),

    product: async (totalStock, more) => valueOf(await server.createProduct({ ...newProduct(totalStock), ...more })),
    hold: async (product, more) =>
      valueOf(await createHold({ productId: product.id, quantity: 1, customerId: '', ...more })),
    order: async (...holds) =>
      valueOf(await createOrder({ holdIds: holdIds(holds), customerId: holds[0]?.customerId ?? '' })),
    orderOf: async (product, more) => server.order(await server.hold(product, more)),
  };
  return server;
}

export const callerOf = (customerId: string): Caller => ({ customerId, isAdmin: false });

export const holdIds = (holds: readonly Pick<Hold, 'id'>[]): string[] => holds.map((hold) => hold.id);

export const newKey = (): string => randomUUID();

function newProduct(totalStock: number): CreateProductInput {
  const sku = `SKU-${randomUUID()}`;
  return { sku, name: `Product ${sku}`, priceMinor: 1_000, currency: 'USD', totalStock, actor: 'test' };
}

/** What pays a hold or an order exactly. */
export function amountOf(due: Hold | Order): { amountMinor: number; currency: string } {
  const amountMinor = 'totalMinor' in due ? due.totalMinor : due.quantity * due.unitPriceMinor;
  return { amountMinor, currency: due.currency };
}

/** A message that speaks of a hold or an order, with its exact amount and a payment of its own unless `more` says else. */
export function message(
  kind: 'succeeded' | 'failed' | 'refunded',
  about: Hold | Order,
  more: Partial<Omit<PaymentMessage, 'payload'>> = {},
): PaymentMessage {
  return rawMessage({ type: `payment.${kind}`, reference: about.id, ...amountOf(about), ...more });
}

export function rawMessage(
  more: Partial<Omit<PaymentMessage, 'payload' | 'type'>> & { type: PaymentType | (string & {}) },
): PaymentMessage {
  const eventId = more.eventId ?? `evt_${randomUUID()}`;
  const fields = { eventId, reference: '', amountMinor: null, currency: null, paymentId: `pay_${eventId}`, ...more };
  const data = {
    reference: fields.reference,
    amount_minor: fields.amountMinor,
    currency: fields.currency,
    payment_id: fields.paymentId,
  };
  return { ...fields, payload: { event_id: eventId, type: fields.type, data } };
}

/** The granted object. Fails with the refusals' codes. */
export function valueOf<T>(answer: Answer<T>): T {
  if (!answer.granted) throw new Error(`refused: ${codesOf(answer).join()}`);
  return answer.value;
}

export function refusalsOf(answer: Answer<unknown>): readonly Refusal[] {
  return answer.granted ? [] : answer.refusals;
}

export function codesOf(answer: Answer<unknown>): ErrorCode[] {
  return refusalsOf(answer).map((refusal) => refusal.code);
}

/**
 * What whoever is told to come again does: asks again. On a busy machine a full pool is no failure, and a race of many must
 * not depend on the machine. For what may be asked twice: events, sweeps, cancellations, and requests that were BUSY.
 */
export async function untilTaken<T>(send: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof Busy || error instanceof Unavailable) || attempt === 20) throw error;
    }
  }
}

/** The event as it was stored. Fails on a conflict. */
export function eventOf(recorded: Recorded): PaymentEvent {
  if (recorded.kind === 'conflict') throw new Error('conflict: the event id is known with another content');
  return recorded.event;
}
