/** The types of `contract.graphql`, and what operators see beyond it. Their sources are plain values that the presenters make; no field here does any work. */
import { ArgsType, Field, ID, InputType, Int, ObjectType, registerEnumType, type ClassType } from 'type-graphql';
import type { StockLevel as StockReading } from '../database/read-models';
import { ERROR_CODES, type ErrorCode } from '../domain/refusals';
import {
  CANCELLERS,
  HOLD_STATUSES,
  ORDER_STATUSES,
  PAYMENT_OUTCOMES,
  SALE_STATUSES,
  type Canceller,
  type HoldStatus,
  type OrderStatus,
  type PaymentOutcome,
  type SaleStatus,
} from '../domain/statuses';
import { MOMENT_KINDS, type MomentKind } from '../domain/timeline';
import { DateTime, PositiveInt, SafeInt } from './scalars';

/** Sources are plain values: graphql's own resolver reads them, without type-graphql's call and closure for each field. */
const PLAIN = { simpleResolvers: true };

const enumOf = (values: readonly string[]) => Object.fromEntries(values.map((value) => [value, value]));

const HoldStatusEnum = enumOf(HOLD_STATUSES);
registerEnumType(HoldStatusEnum, { name: 'HoldStatus', description: 'A hold closes once: the last three are final.' });
const OrderStatusEnum = enumOf(ORDER_STATUSES);
registerEnumType(OrderStatusEnum, {
  name: 'OrderStatus',
  description: 'REFUND_DUE: money came, and no units could be had for it. An operator has to give it back.',
});
const CancellerEnum = enumOf([...CANCELLERS, 'OPERATOR']);
registerEnumType(CancellerEnum, {
  name: 'Canceller',
  description:
    'Who or what cancelled an order. PAYMENT_FAILED: the provider reported that the payment failed. PAYMENT_WINDOW: paymentDueAt passed without a payment.',
});
const SaleStatusEnum = enumOf(SALE_STATUSES);
registerEnumType(SaleStatusEnum, {
  name: 'SaleStatus',
  description: 'FULLY_HELD: nothing is available now, but held or unpaid units may come back.',
});
const ErrorCodeEnum = enumOf(ERROR_CODES);
registerEnumType(ErrorCodeEnum, { name: 'ErrorCode', description: 'Why a mutation was refused.' });
const PaymentOutcomeEnum = enumOf(PAYMENT_OUTCOMES);
registerEnumType(PaymentOutcomeEnum, {
  name: 'PaymentOutcome',
  description:
    'What became of a payment event. PARKED, AMOUNT_MISMATCH and an open REFUND_DUE wait for somebody to act.',
});

const MomentKindEnum = enumOf(MOMENT_KINDS);
registerEnumType(MomentKindEnum, {
  name: 'MomentKind',
  description:
    'HOLD_EXPIRED: at its expiresAt, from when on its units could be taken. PAYMENT_EVENT_SETTLED: of one that had waited.',
});

@ObjectType({
  ...PLAIN,
  description:
    'Exact money: an integer in the currency\'s minor unit. 49.99 USD is { amountMinor: 4999, currency: "USD" }.',
})
export class Money {
  @Field(() => SafeInt)
  amountMinor!: number;

  @Field(() => String, { description: 'A code of ISO 4217, such as USD.' })
  currency!: string;

  @Field(() => Int, {
    description:
      "Digits of the currency's minor unit by ISO 4217: the amount is amountMinor ÷ 10^digits. Do not take them from Intl or a browser, which differ for HUF, IDR, IQD and others. 2 for a code that ISO 4217 does not list.",
  })
  digits!: number;
}

@ObjectType(PLAIN)
export class Product {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  sku!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String, { nullable: true })
  description!: string | null;

  @Field(() => Money)
  price!: Money;

  @Field(() => DateTime, { nullable: true })
  saleStartsAt!: Date | null;

  @Field(() => DateTime, { nullable: true })
  saleEndsAt!: Date | null;

  @Field(() => Int, {
    nullable: true,
    description: 'Units that one customer may have at the same time; null: no limit.',
  })
  maxPerCustomer!: number | null;

  @Field(() => Boolean, {
    description: 'false: no list shows the product. It is found by id or SKU, and can be bought.',
  })
  listed!: boolean;

  /** Read after the request came, where a page has read its products' levels together. */
  level?: StockReading;
}

@ObjectType({
  ...PLAIN,
  description: 'A timed claim on units of one product, at a price fixed when it was granted.',
})
export class Hold {
  @Field(() => ID)
  id!: string;

  @Field(() => Int)
  quantity!: number;

  @Field(() => Money, { description: 'Fixed when the hold is granted.' })
  unitPrice!: Money;

  @Field(() => Money, { description: 'What a payment for this hold alone must amount to.' })
  total!: Money;

  @Field(() => HoldStatusEnum, {
    description:
      "EXPIRED as soon as expiresAt has passed on the database's clock, swept or not. (An order begun in time may still turn it CONSUMED.)",
  })
  status!: HoldStatus;

  @Field(() => DateTime)
  createdAt!: Date;

  @Field(() => DateTime)
  expiresAt!: Date;

  productId!: string;
  orderId!: string | null;
}

@ObjectType(PLAIN)
export class OrderLine {
  @Field(() => Int)
  quantity!: number;

  @Field(() => Money)
  unitPrice!: Money;

  productId!: string;
  holdId!: string;
}

@ObjectType({
  ...PLAIN,
  description: 'What 1..n holds of one shopper became.',
})
export class Order {
  @Field(() => ID)
  id!: string;

  @Field(() => OrderStatusEnum)
  status!: OrderStatus;

  @Field(() => Money)
  total!: Money;

  @Field(() => DateTime)
  createdAt!: Date;

  @Field(() => DateTime, {
    description: 'An unpaid order is cancelled, and its units given back, once this has passed.',
  })
  paymentDueAt!: Date;

  @Field(() => DateTime, { nullable: true, description: 'When it last happened.' })
  paidAt!: Date | null;

  @Field(() => DateTime, { nullable: true, description: 'When it last happened.' })
  cancelledAt!: Date | null;

  @Field(() => CancellerEnum, {
    nullable: true,
    description: 'Who or what cancelled it last; null exactly when cancelledAt is.',
  })
  cancelledBy!: Canceller | null;
}

@ObjectType({
  ...PLAIN,
  description:
    "An expected refusal: data, not an exception. The payload's object is null exactly when userErrors is not empty.",
})
export class UserError {
  @Field(() => ErrorCodeEnum)
  code!: ErrorCode;

  @Field(() => String, { description: 'For OUT_OF_STOCK always: No available stock left for the product' })
  message!: string;

  @Field(() => [String], { nullable: true })
  field?: readonly string[] | null;

  @Field(() => Int, {
    nullable: true,
    description: 'BUSY: how long to wait before the same request with the same idempotencyKey.',
  })
  retryAfterMs?: number | null;

  @Field(() => DateTime, {
    nullable: true,
    description: 'OUT_OF_STOCK: the earliest moment at which held units can come back; null when none is held.',
  })
  stockReturnsAt?: Date | null;
}

@ObjectType(PLAIN)
export class HoldPayload {
  @Field(() => Hold, { nullable: true })
  hold!: Hold | null;

  @Field(() => [UserError])
  userErrors!: readonly UserError[];
}

@ObjectType(PLAIN)
export class OrderPayload {
  @Field(() => Order, { nullable: true })
  order!: Order | null;

  @Field(() => [UserError])
  userErrors!: readonly UserError[];
}

@ObjectType(PLAIN)
export class ProductPayload {
  @Field(() => Product, { nullable: true })
  product!: Product | null;

  @Field(() => [UserError])
  userErrors!: readonly UserError[];
}

@ObjectType(PLAIN)
export class PaymentEvent {
  @Field(() => String)
  eventId!: string;

  @Field(() => String)
  provider!: string;

  @Field(() => String)
  type!: string;

  @Field(() => String)
  reference!: string;

  @Field(() => Money, { nullable: true, description: 'null: the message had no usable amount or currency.' })
  amount!: Money | null;

  @Field(() => PaymentOutcomeEnum)
  outcome!: PaymentOutcome;

  @Field(() => DateTime)
  receivedAt!: Date;

  @Field(() => DateTime, { nullable: true, description: 'Null while somebody still has to act.' })
  settledAt!: Date | null;

  @Field(() => String, { nullable: true, description: "The provider's own name of the payment: what to refund." })
  paymentId!: string | null;

  orderId!: string | null;
}

@ObjectType(PLAIN)
export class PaymentEventPayload {
  @Field(() => PaymentEvent, { nullable: true })
  paymentEvent!: PaymentEvent | null;

  @Field(() => [UserError])
  userErrors!: readonly UserError[];
}

@ObjectType({
  ...PLAIN,
  description: 'Where every unit of a product is: total = available + held + awaitingPayment + sold.',
})
export class StockReport {
  @Field(() => Int)
  total!: number;

  @Field(() => Int)
  available!: number;

  @Field(() => Int)
  held!: number;

  @Field(() => Int)
  awaitingPayment!: number;

  @Field(() => Int)
  sold!: number;

  productId!: string;
}

@ObjectType({ ...PLAIN, description: 'One step in the life of a hold or an order.' })
export class Moment {
  @Field(() => DateTime)
  at!: Date;

  @Field(() => MomentKindEnum)
  kind!: MomentKind;

  @Field(() => Int, { description: 'How far available stock moved: below 0 taken, above 0 given back.' })
  units!: number;

  @Field(() => Hold, { nullable: true, description: 'Set where a hold was granted, was released or expired.' })
  hold!: Hold | null;

  @Field(() => PaymentEvent, {
    nullable: true,
    description: 'As it stands now. Set where one was received or settled.',
  })
  paymentEvent!: PaymentEvent | null;
}

@ObjectType({ ...PLAIN, description: 'What happened to a hold or an order, as far as it is stored; of one moment.' })
export class Timeline {
  @Field(() => Hold, { nullable: true, description: 'Set when the id names a hold.' })
  hold!: Hold | null;

  @Field(() => Order, { nullable: true, description: 'The order that the id names, or that the hold became.' })
  order!: Order | null;

  @Field(() => String, { nullable: true, description: 'Whose it is; null: made without a token, or nobody knows.' })
  customerId!: string | null;

  moments!: Moment[];
}

@ObjectType({
  ...PLAIN,
  description: 'What one server has counted and measured since it was started, its workers together.',
})
export class ServerMetrics {
  @Field(() => String, {
    description: 'Which server has answered, as host:port. Behind a balancer the next may be another.',
  })
  server!: string;

  @Field(() => String, { description: "What GET /metrics says, in Prometheus' text format." })
  text!: string;
}

@ObjectType({
  ...PLAIN,
  description: 'What a new hold could take of a product, at one moment.',
})
export class StockLevel {
  @Field(() => Product)
  product!: Product;

  @Field(() => Int)
  availableStock!: number;

  @Field(() => SaleStatusEnum)
  saleStatus!: SaleStatus;

  @Field(() => DateTime, { description: "The database's time of this level." })
  at!: Date;

  totalStock!: number;
}

@ObjectType(PLAIN)
export class PageInfo {
  @Field(() => Boolean)
  hasNextPage!: boolean;

  @Field(() => Boolean)
  hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true })
  startCursor!: string | null;

  @Field(() => String, { nullable: true })
  endCursor!: string | null;
}

export interface Edge<Node> {
  node: Node;
  cursor: string;
}

export interface Connection<Node> {
  edges: Edge<Node>[];
  pageInfo: PageInfo;
}

function connectionOf<Node extends object>(NodeType: ClassType<Node>, name: string): ClassType<Connection<Node>> {
  @ObjectType(`${name}Edge`)
  class EdgeType implements Edge<Node> {
    @Field(() => NodeType)
    node!: Node;

    @Field(() => String)
    cursor!: string;
  }

  @ObjectType(`${name}Connection`)
  class ConnectionType implements Connection<Node> {
    @Field(() => [EdgeType])
    edges!: Edge<Node>[];

    @Field(() => PageInfo)
    pageInfo!: PageInfo;
  }
  return ConnectionType;
}

export const ProductConnection = connectionOf(Product, 'Product');
export const OrderConnection = connectionOf(Order, 'Order');
export const PaymentEventConnection = connectionOf(PaymentEvent, 'PaymentEvent');
export const StockReportConnection = connectionOf(StockReport, 'StockReport');

@ArgsType()
export class PageArgs {
  @Field(() => Int, { defaultValue: 20, description: 'From 1 to 100.' })
  first!: number;

  @Field(() => String, { nullable: true, description: "A page's endCursor; left out: from the beginning." })
  after?: string | null;
}

@ArgsType()
export class PaymentEventArgs extends PageArgs {
  @Field(() => PaymentOutcomeEnum, { nullable: true, description: 'Left out: all of them.' })
  outcome?: PaymentOutcome | null;

  @Field(() => Boolean, { defaultValue: false, description: 'Only those that somebody still has to act on.' })
  openOnly!: boolean;
}

const KEY_DESCRIPTION =
  'Your own name of this one intent, 1 to 255 characters; a UUID is best. Repeat a request with the same key, and it has one effect.';

@InputType()
export class CreateHoldInput {
  @Field(() => ID)
  productId!: string;

  @Field(() => PositiveInt, { defaultValue: 1 })
  quantity!: number;

  @Field(() => String, { nullable: true, description: KEY_DESCRIPTION })
  idempotencyKey?: string | null;
}

@InputType()
export class ReleaseHoldInput {
  @Field(() => ID)
  holdId!: string;
}

@InputType()
export class CreateOrderInput {
  @Field(() => [ID], { description: '1 to 50 holds, all or nothing. A single id is a list of one.' })
  holdIds!: string[];

  @Field(() => String, { nullable: true, description: KEY_DESCRIPTION })
  idempotencyKey?: string | null;
}

@InputType()
export class CancelOrderInput {
  @Field(() => ID)
  orderId!: string;
}

@InputType()
export class CreateProductInput {
  @Field(() => String)
  sku!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String, { nullable: true })
  description?: string | null;

  @Field(() => SafeInt)
  priceMinor!: number;

  @Field(() => String, {
    description:
      'A code of ISO 4217 with a minor unit, such as USD; metals, XTS and XXX have none. Any other is BAD_USER_INPUT.',
  })
  currency!: string;

  @Field(() => Int)
  totalStock!: number;

  @Field(() => PositiveInt, { nullable: true })
  maxPerCustomer?: number | null;

  @Field(() => DateTime, { nullable: true })
  saleStartsAt?: Date | null;

  @Field(() => DateTime, { nullable: true })
  saleEndsAt?: Date | null;

  @Field(() => Boolean, {
    defaultValue: true,
    description: 'false: no list shows the product until updateProduct says so.',
  })
  listed!: boolean;
}

@InputType({
  description: 'Left out: unchanged. null: no limit, no window, no description; for every other field a mistake.',
})
export class UpdateProductInput {
  @Field(() => ID)
  productId!: string;

  @Field(() => String, { nullable: true })
  name?: string | null;

  @Field(() => String, { nullable: true })
  description?: string | null;

  @Field(() => SafeInt, { nullable: true })
  priceMinor?: number | null;

  @Field(() => PositiveInt, { nullable: true })
  maxPerCustomer?: number | null;

  @Field(() => DateTime, { nullable: true })
  saleStartsAt?: Date | null;

  @Field(() => DateTime, { nullable: true })
  saleEndsAt?: Date | null;

  @Field(() => Boolean, { nullable: true })
  listed?: boolean | null;
}

@InputType()
export class AdjustStockInput {
  @Field(() => ID)
  productId!: string;

  @Field(() => Int, { description: 'Units to put on sale, or (negative) to take off it.' })
  delta!: number;

  @Field(() => String)
  reason!: string;

  @Field(() => String, { nullable: true, description: KEY_DESCRIPTION })
  idempotencyKey?: string | null;
}

@InputType()
export class ReplayPaymentEventInput {
  @Field(() => String)
  provider!: string;

  @Field(() => String)
  eventId!: string;
}

export { SaleStatusEnum };
