/** A checkout on a database of its own: the use cases as one server runs them, and short words for what tests do most. */
import { randomUUID } from 'node:crypto';
import type { AdjustStockInput } from '../../src/checkout/adjust-stock';
import { openCheckout, type Checkout } from '../../src/checkout/checkout';
import type { CreateHoldInput, HoldAnswer } from '../../src/checkout/create-hold';
import type { CreateOrderInput } from '../../src/checkout/create-order';
import type { Caller, Dependencies } from '../../src/checkout/dependencies';
import type { NewProductInput } from '../../src/checkout/product-fields';
import type { Recorded } from '../../src/checkout/record-payment-event';
import type { Swept } from '../../src/checkout/sweep';
import type { UpdateProductInput } from '../../src/checkout/update-product';
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

type Settings = Partial<Pick<Dependencies, 'holdTtlSeconds' | 'orderPaymentWindowSeconds' | 'metrics'>>;

interface FromCustomer {
  readonly customerId: string;
  readonly requestId?: string;
}

type HoldInput = CreateHoldInput & FromCustomer;
type ProductInput = NewProductInput & { readonly actor: string };

/** The use cases of one process. Two of them on one database are two servers: they share nothing but PostgreSQL. */
export interface Server {
  readonly checkout: Checkout;
  readonly database: Database;
  createHold(input: HoldInput): Promise<HoldAnswer>;
  createOrder(input: CreateOrderInput & FromCustomer): Promise<Answer<Order>>;
  releaseHold(holdId: string, customerId?: string): Promise<Answer<Hold>>;
  cancelOrder(orderId: string, customerId?: string): Promise<Answer<Order>>;
  createProduct(input: ProductInput): Promise<Answer<Product>>;
  updateProduct(input: UpdateProductInput): Promise<Answer<Product>>;
  adjustStock(input: Omit<AdjustStockInput, 'reason'>): Promise<Answer<Product>>;
  receive(message: PaymentMessage, provider?: string): Promise<Recorded>;
  replay(eventId: string, provider?: string): Promise<Answer<PaymentEvent>>;
  sweep(): Promise<Swept>;

  /** A product with stock; what is not said is sold at 10.00 USD without limit or window. */
  product(totalStock: number, more?: Partial<ProductInput>): Promise<Product>;
  /** A hold that has to be granted. */
  hold(product: Product, more?: Partial<HoldInput>): Promise<Hold>;
  /** An order that has to be placed, of these holds, for the first one's customer. */
  order(...holds: readonly Hold[]): Promise<Order>;
  /** An order of one new hold. */
  orderOf(product: Product, more?: Partial<HoldInput>): Promise<Order>;
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
  const checkout = openCheckout({
    database,
    log,
    metrics: new Metrics(),
    holdTtlSeconds: 120,
    orderPaymentWindowSeconds: 900,
    ...settings,
  });
  const operator = { customerId: 'operator', isAdmin: true };
  const server: Server = {
    checkout,
    database,
    createHold: ({ customerId, requestId, ...input }) => checkout.createHold(input, callerOf(customerId), requestId),
    createOrder: ({ customerId, requestId, ...input }) => checkout.createOrder(input, callerOf(customerId), requestId),
    releaseHold: (holdId, customerId = '') => checkout.releaseHold({ holdId }, callerOf(customerId)),
    cancelOrder: (orderId, customerId = '') => checkout.cancelOrder({ orderId }, callerOf(customerId)),
    createProduct: ({ actor, ...input }) => checkout.createProduct(input, { customerId: actor, isAdmin: true }),
    updateProduct: (input) => checkout.updateProduct(input, operator),
    adjustStock: (input) => checkout.adjustStock({ reason: 'test', ...input }, operator),
    receive: (message, provider = 'standard') => checkout.recordPaymentEvent(provider, message),
    replay: (eventId, provider = 'standard') => checkout.replayPaymentEvent({ provider, eventId }, operator),
    sweep: checkout.sweep,

    product: async (totalStock, more) => valueOf(await server.createProduct({ ...newProduct(totalStock), ...more })),
    hold: async (product, more) =>
      valueOf(await server.createHold({ productId: product.id, quantity: 1, customerId: '', ...more })),
    order: async (...holds) =>
      valueOf(await server.createOrder({ holdIds: holdIds(holds), customerId: holds[0]?.customerId ?? '' })),
    orderOf: async (product, more) => server.order(await server.hold(product, more)),
  };
  return server;
}

export const callerOf = (customerId: string): Caller => ({ customerId, isAdmin: false });

export const holdIds = (holds: readonly Pick<Hold, 'id'>[]): string[] => holds.map((hold) => hold.id);

export const newKey = (): string => randomUUID();

function newProduct(totalStock: number): ProductInput {
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

/** The granted object. Throws `Busy` for BUSY, and otherwise fails with the refusals' codes. */
export function valueOf<T>(answer: Answer<T>): T {
  if (answer.granted) return answer.value;
  if (isBusy(answer)) throw new Busy(answer.refusals[0]!.retryAfterMs!);
  throw new Error(`refused: ${codesOf(answer).join()}`);
}

export function refusalsOf(answer: Answer<unknown>): readonly Refusal[] {
  return answer.granted ? [] : answer.refusals;
}

export function codesOf(answer: Answer<unknown>): ErrorCode[] {
  return refusalsOf(answer).map((refusal) => refusal.code);
}

/**
 * Repeats a request that was BUSY or met an unavailable database, as its sender would. On a slow machine a full pool is no
 * failure, and a race of many must not depend on the machine. For requests that may be repeated.
 */
export async function untilTaken<T>(send: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await send();
      if (!isBusy(answer) || attempt === 20) return answer;
    } catch (error) {
      if (!(error instanceof Busy || error instanceof Unavailable) || attempt === 20) throw error;
    }
  }
}

function isBusy(answer: unknown): boolean {
  const { refusals = [] } = (answer ?? {}) as Partial<Answer<unknown>>;
  return refusals.some(({ code }) => code === 'BUSY');
}

/** The event as it was stored. Fails on a conflict. */
export function eventOf(recorded: Recorded): PaymentEvent {
  if (recorded.kind === 'conflict') throw new Error('conflict: the event id is known with another content');
  return recorded.event;
}
