/** The types of a hold, and how a record becomes one. */
import { Field, ID, InputType, Int } from 'type-graphql';
import { lineTotal } from '../../domain/money';
import { statusOf, type Hold as HoldRecord } from '../../domain/records';
import type { HoldStatus } from '../../domain/statuses';
import { HoldStatusEnum } from '../enums';
import { Money, presentMoney } from '../money';
import { KEY_DESCRIPTION, UserError } from '../mutations';
import { PlainObject } from '../plain-object';
import { DateTime, PositiveInt } from '../scalars';

@PlainObject({
  description: 'Reserves units of one product for a limited time, at the price of the moment it was granted.',
})
export class Hold {
  @Field(() => ID)
  id!: string;

  @Field(() => Int)
  quantity!: number;

  @Field(() => Money, { description: 'Fixed when the hold was granted.' })
  unitPrice!: Money;

  @Field(() => Money, { description: 'quantity × unitPrice: the amount that a payment for this hold alone must have.' })
  total!: Money;

  @Field(() => HoldStatusEnum, {
    description:
      "EXPIRED as soon as expiresAt has passed on the database's clock, even before the sweep has run. An order that was " +
      'begun in time may still turn it CONSUMED.',
  })
  status!: HoldStatus;

  @Field(() => DateTime)
  createdAt!: Date;

  @Field(() => DateTime)
  expiresAt!: Date;

  productId!: string;
  orderId!: string | null;
}

/** `at`: the database's time when the hold was read. */
export function presentHold(hold: HoldRecord, at: Date): Hold {
  return {
    id: hold.id,
    quantity: hold.quantity,
    unitPrice: presentMoney(hold.unitPriceMinor, hold.currency),
    total: presentMoney(lineTotal(hold.quantity, hold.unitPriceMinor), hold.currency),
    status: statusOf(hold, at),
    createdAt: hold.createdAt,
    expiresAt: hold.expiresAt,
    productId: hold.productId,
    orderId: hold.orderId,
  };
}

@PlainObject()
export class HoldPayload {
  @Field(() => Hold, { nullable: true })
  hold!: Hold | null;

  @Field(() => [UserError])
  userErrors!: readonly UserError[];
}

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
