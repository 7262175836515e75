/** The types of an order, and how a record becomes one. */
import { Field, ID, InputType, Int } from 'type-graphql';
import type { Order as OrderRecord, OrderLine as OrderLineRecord } from '../../domain/records';
import type { Canceller, OrderStatus } from '../../domain/statuses';
import { CancellerEnum, OrderStatusEnum } from '../enums';
import { Money, presentMoney } from '../money';
import { KEY_DESCRIPTION, UserError } from '../mutations';
import { connectionOf } from '../pagination';
import { PlainObject } from '../plain-object';
import { DateTime } from '../scalars';

@PlainObject({ description: 'One hold of the order.' })
export class OrderLine {
  @Field(() => Int)
  quantity!: number;

  @Field(() => Money)
  unitPrice!: Money;

  productId!: string;
  holdId!: string;
}

@PlainObject({ description: "One or more of a customer's holds, placed as an order, to be paid by paymentDueAt." })
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
    description: 'If the order is still unpaid at this time, it is cancelled and its units are given back.',
  })
  paymentDueAt!: Date;

  @Field(() => DateTime, { nullable: true, description: 'When it was last paid.' })
  paidAt!: Date | null;

  @Field(() => DateTime, { nullable: true, description: 'When it was last cancelled.' })
  cancelledAt!: Date | null;

  @Field(() => CancellerEnum, {
    nullable: true,
    description: 'Who or what cancelled it last; null exactly when cancelledAt is null.',
  })
  cancelledBy!: Canceller | null;
}

export function presentOrder(order: OrderRecord): Order {
  return { ...order, total: presentMoney(order.totalMinor, order.currency) };
}

export function presentLine(line: OrderLineRecord, currency: string): OrderLine {
  return { ...line, unitPrice: presentMoney(line.unitPriceMinor, currency) };
}

export const OrderConnection = connectionOf(Order, 'Order');

@PlainObject()
export class OrderPayload {
  @Field(() => Order, { nullable: true })
  order!: Order | null;

  @Field(() => [UserError])
  userErrors!: readonly UserError[];
}

@InputType()
export class CreateOrderInput {
  @Field(() => [ID], { description: '1 to 50 holds, all or nothing. A single id counts as a list of one.' })
  holdIds!: string[];

  @Field(() => String, { nullable: true, description: KEY_DESCRIPTION })
  idempotencyKey?: string | null;
}

@InputType()
export class CancelOrderInput {
  @Field(() => ID)
  orderId!: string;
}
