/** What only operators see: stock reports, timelines and a server's metrics. */
import { Field, Int } from 'type-graphql';
import type { MomentKind } from '../../domain/timeline';
import { MomentKindEnum } from '../enums';
import { Hold } from '../holds/types';
import { Order } from '../orders/types';
import { connectionOf } from '../pagination';
import { PaymentEvent } from '../payment-events/types';
import { PlainObject } from '../plain-object';
import { DateTime } from '../scalars';

@PlainObject({ description: 'Where every unit of a product is: total = available + held + awaitingPayment + sold.' })
export class StockReport {
  @Field(() => Int)
  total!: number;

  @Field(() => Int, { description: 'A new hold can take these.' })
  available!: number;

  @Field(() => Int, { description: 'In live holds.' })
  held!: number;

  @Field(() => Int, { description: 'In unpaid orders.' })
  awaitingPayment!: number;

  @Field(() => Int, { description: 'In paid orders.' })
  sold!: number;

  productId!: string;
}

export const StockReportConnection = connectionOf(StockReport, 'StockReport');

@PlainObject({ description: 'One event in the life of a hold or an order.' })
export class Moment {
  @Field(() => DateTime)
  at!: Date;

  @Field(() => MomentKindEnum)
  kind!: MomentKind;

  @Field(() => Int, {
    description: 'The change of available stock: negative when units were taken, positive when given back.',
  })
  units!: number;

  @Field(() => Hold, { nullable: true, description: 'Set when a hold was granted or released, or expired.' })
  hold!: Hold | null;

  @Field(() => PaymentEvent, {
    nullable: true,
    description: 'Set when a payment event was received or settled. It is shown as it is now.',
  })
  paymentEvent!: PaymentEvent | null;
}

@PlainObject({
  description: 'The stored history of a hold or an order, read in one snapshot.',
})
export class Timeline {
  @Field(() => Hold, { nullable: true, description: 'Set when the id names a hold.' })
  hold!: Hold | null;

  @Field(() => Order, { nullable: true, description: 'The order that the id names, or that the hold became.' })
  order!: Order | null;

  @Field(() => String, {
    nullable: true,
    description: 'The owner; null when it was made without a token, or is unknown.',
  })
  customerId!: string | null;

  moments!: Moment[];
}

@PlainObject({ description: 'What one server, with all its workers, has counted and measured since it started.' })
export class ServerMetrics {
  @Field(() => String, {
    description:
      'The server that answered, as host:port. Behind a load balancer the next answer may come from another.',
  })
  server!: string;

  @Field(() => String, { description: 'What GET /metrics returns, in the text format of Prometheus.' })
  text!: string;
}
