/**
 * The tables (docs/design.md#what-is-stored) as MikroORM sees them. Migrations create them; a test compares the two.
 *
 * No entity leaves its transaction: rows are read as plain records (`domain/records.ts`), and holds and lines are written by
 * statements, because the unit of work writes by primary key alone and would not name the shard.
 */
import { BigIntType, Check, Entity, Index, JsonType, ManyToOne, PrimaryKey, Property, Unique } from '@mikro-orm/core';
import type { Hold, Order, OrderLine, PaymentEvent, Product } from '../domain/records';
import {
  CANCELLERS,
  HOLD_STATUSES,
  ORDER_STATUSES,
  PAYMENT_OUTCOMES,
  PLACERS,
  type Canceller,
  type HoldStatus,
  type OrderStatus,
  type PaymentOutcome,
  type Placer,
} from '../domain/statuses';

const MINOR_UNITS = new BigIntType('number');
const TIME = { type: 'datetime', columnType: 'timestamptz(3)' } as const;
const oneOf = (column: string, values: readonly string[]) =>
  `${column} IN (${values.map((value) => `'${value}'`).join(', ')})`;
const currencyCode = (column: string) => `${column} ~ '^[A-Z]{3}$'`;

@Entity({ tableName: 'products' })
@Check({ name: 'products_price_in_range', expression: 'price_minor BETWEEN 0 AND 9007199254740991' })
@Check({ name: 'products_currency', expression: currencyCode('currency') })
@Check({ name: 'products_limit_positive', expression: 'max_per_customer >= 1' })
@Check({ name: 'products_window', expression: 'sale_starts_at < sale_ends_at' })
@Index({ name: 'products_by_name', properties: ['name', 'id'] })
@Index({
  name: 'products_listed_by_name',
  expression: 'CREATE INDEX products_listed_by_name ON products (name, id) WHERE listed',
})
export class ProductRow implements Product {
  @PrimaryKey({ type: 'uuid' })
  id!: string;

  @Property({ type: 'text' })
  @Unique({ name: 'products_sku_unique' })
  sku!: string;

  @Property({ type: 'text' })
  name!: string;

  @Property({ type: 'text', nullable: true })
  description!: string | null;

  @Property({ type: MINOR_UNITS, columnType: 'bigint' })
  priceMinor!: number;

  @Property({ type: 'text' })
  currency!: string;

  @Property({ type: 'integer', nullable: true })
  maxPerCustomer!: number | null;

  @Property({ ...TIME, nullable: true })
  saleStartsAt!: Date | null;

  @Property({ ...TIME, nullable: true })
  saleEndsAt!: Date | null;

  @Property({ type: 'boolean', default: true })
  listed!: boolean;

  @Property({ ...TIME, defaultRaw: 'now()' })
  createdAt?: Date;
}

/** The hot row: narrow, low fillfactor, no further index, apart from `products`. Written by `stock-keeper.ts` alone. */
@Entity({ tableName: 'stock' })
@Check({ name: 'stock_available_in_range', expression: 'available BETWEEN 0 AND total' })
export class StockRow {
  @ManyToOne({
    entity: () => ProductRow,
    mapToPk: true,
    primary: true,
    fieldName: 'product_id',
    deleteRule: 'restrict',
  })
  productId!: string;

  @Property({ type: 'integer' })
  total!: number;

  @Property({ type: 'integer' })
  available!: number;
}

@Entity({ tableName: 'holds' })
@Check({ name: 'holds_quantity_in_range', expression: 'quantity >= 1' })
@Check({ name: 'holds_price_in_range', expression: 'unit_price_minor BETWEEN 0 AND 9007199254740991' })
@Check({ name: 'holds_currency', expression: currencyCode('currency') })
@Check({ name: 'holds_status', expression: oneOf('status', HOLD_STATUSES) })
@Check({
  name: 'holds_status_and_times_agree',
  expression:
    "CASE status WHEN 'ACTIVE' THEN closed_at IS NULL AND given_back_at IS NULL AND order_id IS NULL" +
    " WHEN 'CONSUMED' THEN closed_at IS NOT NULL AND order_id IS NOT NULL" +
    ' ELSE closed_at IS NOT NULL AND (given_back_at IS NOT NULL OR order_id IS NOT NULL) END',
})
@Index({
  name: 'holds_idempotency_key_unique',
  expression:
    'CREATE UNIQUE INDEX holds_idempotency_key_unique ON holds (customer_id, idempotency_key, product_id)' +
    ' WHERE idempotency_key IS NOT NULL',
})
@Index({
  name: 'holds_active_by_expiry',
  expression: "CREATE INDEX holds_active_by_expiry ON holds (product_id, expires_at) WHERE status = 'ACTIVE'",
})
@Index({
  name: 'holds_not_given_back_by_customer',
  expression:
    'CREATE INDEX holds_not_given_back_by_customer ON holds (product_id, customer_id) WHERE given_back_at IS NULL',
})
export class HoldRow implements Hold {
  @PrimaryKey({ type: 'uuid' })
  id!: string;

  @ManyToOne({ entity: () => ProductRow, mapToPk: true, fieldName: 'product_id', deleteRule: 'restrict', index: false })
  productId!: string;

  @Property({ type: 'integer' })
  quantity!: number;

  @Property({ type: MINOR_UNITS, columnType: 'bigint' })
  unitPriceMinor!: number;

  @Property({ type: 'text' })
  currency!: string;

  @Property({ type: 'text' })
  customerId!: string;

  @Property({ type: 'text' })
  status!: HoldStatus;

  @Property({ type: 'text', nullable: true })
  idempotencyKey!: string | null;

  @Property({ type: 'uuid', nullable: true })
  orderId!: string | null;

  @Property({ ...TIME })
  expiresAt!: Date;

  @Property({ ...TIME })
  createdAt!: Date;

  @Property({ ...TIME, nullable: true })
  closedAt!: Date | null;

  @Property({ ...TIME, nullable: true })
  givenBackAt!: Date | null;
}

@Entity({ tableName: 'orders' })
@Check({ name: 'orders_total_in_range', expression: 'total_minor BETWEEN 0 AND 9007199254740991' })
@Check({ name: 'orders_currency', expression: currencyCode('currency') })
@Check({ name: 'orders_status', expression: oneOf('status', ORDER_STATUSES) })
@Check({ name: 'orders_placed_by', expression: oneOf('placed_by', PLACERS) })
@Check({ name: 'orders_cancelled_by', expression: oneOf('cancelled_by', CANCELLERS) })
@Check({
  name: 'orders_status_and_times_agree',
  expression:
    "CASE status WHEN 'PENDING_PAYMENT' THEN paid_at IS NULL AND cancelled_at IS NULL" +
    " WHEN 'PAID' THEN paid_at IS NOT NULL" +
    " WHEN 'CANCELLED' THEN paid_at IS NULL AND cancelled_at IS NOT NULL" +
    " WHEN 'REFUND_DUE' THEN paid_at IS NULL AND payment_event_id IS NOT NULL" +
    ' ELSE payment_event_id IS NOT NULL END',
})
@Check({
  name: 'orders_cancellation_has_a_canceller',
  expression: '(cancelled_at IS NULL) = (cancelled_by IS NULL)',
})
@Index({
  name: 'orders_unpaid_by_due_time',
  expression: "CREATE INDEX orders_unpaid_by_due_time ON orders (payment_due_at) WHERE status = 'PENDING_PAYMENT'",
})
@Index({ name: 'orders_by_customer', properties: ['customerId', 'createdAt', 'id'] })
@Index({ name: 'orders_by_time', properties: ['createdAt', 'id'] })
export class OrderRow implements Order {
  @PrimaryKey({ type: 'uuid' })
  id!: string;

  @Property({ type: 'text' })
  customerId!: string;

  @Property({ type: 'text' })
  status!: OrderStatus;

  @Property({ type: MINOR_UNITS, columnType: 'bigint' })
  totalMinor!: number;

  @Property({ type: 'text' })
  currency!: string;

  @Property({ type: 'text', nullable: true })
  idempotencyKey!: string | null;

  @Property({ type: 'text' })
  placedBy!: Placer;

  @Property({ ...TIME })
  paymentDueAt!: Date;

  @Property({ ...TIME })
  createdAt!: Date;

  @Property({ ...TIME, nullable: true })
  paidAt!: Date | null;

  @Property({ ...TIME, nullable: true })
  cancelledAt!: Date | null;

  @Property({ type: 'text', nullable: true })
  cancelledBy!: Canceller | null;

  @Property({ type: 'text', nullable: true })
  paymentProvider!: string | null;

  @Property({ type: 'text', nullable: true })
  paymentEventId!: string | null;

  @Property({ type: 'text', nullable: true })
  paymentId!: string | null;
}

@Entity({ tableName: 'order_lines' })
@Check({ name: 'order_lines_quantity_in_range', expression: 'quantity >= 1' })
@Check({ name: 'order_lines_price_in_range', expression: 'unit_price_minor BETWEEN 0 AND 9007199254740991' })
export class OrderLineRow implements OrderLine {
  @PrimaryKey({ type: 'uuid' })
  orderId!: string;

  @PrimaryKey({ type: 'uuid' })
  @Unique({ name: 'order_lines_hold_unique' })
  holdId!: string;

  @ManyToOne({ entity: () => ProductRow, mapToPk: true, fieldName: 'product_id', deleteRule: 'restrict', index: false })
  productId!: string;

  @Property({ type: 'integer' })
  quantity!: number;

  @Property({ type: MINOR_UNITS, columnType: 'bigint' })
  unitPriceMinor!: number;
}

@Entity({ tableName: 'payment_events' })
@Check({ name: 'payment_events_outcome', expression: oneOf('outcome', PAYMENT_OUTCOMES) })
@Check({
  name: 'payment_events_outcome_and_settlement_agree',
  expression:
    "CASE WHEN outcome IN ('APPLIED', 'IGNORED') THEN settled_at IS NOT NULL" +
    " WHEN outcome IN ('PARKED', 'AMOUNT_MISMATCH') THEN settled_at IS NULL ELSE true END",
})
@Check({ name: 'payment_events_amount_in_range', expression: 'amount_minor BETWEEN 0 AND 9007199254740991' })
@Index({
  name: 'payment_events_parked_by_reference',
  expression: "CREATE INDEX payment_events_parked_by_reference ON payment_events (reference) WHERE outcome = 'PARKED'",
})
@Index({
  name: 'payment_events_by_order',
  expression: 'CREATE INDEX payment_events_by_order ON payment_events (order_id) WHERE order_id IS NOT NULL',
})
@Index({
  name: 'payment_events_open_by_time',
  expression: 'CREATE INDEX payment_events_open_by_time ON payment_events (received_at) WHERE settled_at IS NULL',
})
@Index({ name: 'payment_events_by_time', properties: ['receivedAt', 'provider', 'eventId'] })
export class PaymentEventRow implements PaymentEvent {
  @PrimaryKey({ type: 'text' })
  provider!: string;

  @PrimaryKey({ type: 'text' })
  eventId!: string;

  @Property({ type: 'text' })
  type!: string;

  @Property({ type: 'text' })
  reference!: string;

  @Property({ type: MINOR_UNITS, columnType: 'bigint', nullable: true })
  amountMinor!: number | null;

  @Property({ type: 'text', nullable: true })
  currency!: string | null;

  @Property({ type: 'text', nullable: true })
  paymentId!: string | null;

  @Property({ type: JsonType, columnType: 'jsonb' })
  payload!: Record<string, unknown>;

  @Property({ type: 'text' })
  outcome!: PaymentOutcome;

  @Property({ type: 'uuid', nullable: true })
  orderId!: string | null;

  @Property({ ...TIME })
  receivedAt!: Date;

  @Property({ ...TIME, nullable: true })
  settledAt!: Date | null;
}

@Entity({ tableName: 'stock_adjustments' })
@Unique({ name: 'stock_adjustments_idempotency_key_unique', properties: ['productId', 'idempotencyKey'] })
export class StockAdjustmentRow {
  @PrimaryKey({ type: 'uuid' })
  id!: string;

  @ManyToOne({ entity: () => ProductRow, mapToPk: true, fieldName: 'product_id', deleteRule: 'restrict', index: false })
  productId!: string;

  @Property({ type: 'integer' })
  delta!: number;

  @Property({ type: 'text' })
  reason!: string;

  @Property({ type: 'text' })
  actor!: string;

  @Property({ type: 'text', nullable: true })
  idempotencyKey!: string | null;

  @Property({ ...TIME })
  createdAt!: Date;
}

export const ENTITIES = [ProductRow, StockRow, HoldRow, OrderRow, OrderLineRow, PaymentEventRow, StockAdjustmentRow];
