/** The types of a payment event, and how a record becomes one. */
import { ArgsType, Field, InputType } from 'type-graphql';
import type { PaymentEvent as PaymentEventRecord } from '../../domain/records';
import type { PaymentOutcome } from '../../domain/statuses';
import { PaymentOutcomeEnum } from '../enums';
import { Money, presentMoney } from '../money';
import { UserError } from '../mutations';
import { connectionOf, PageArgs } from '../pagination';
import { PlainObject } from '../plain-object';
import { DateTime } from '../scalars';

@PlainObject({ description: "A payment provider's message, as it was received and what it led to." })
export class PaymentEvent {
  @Field(() => String, { description: 'Unique within its provider.' })
  eventId!: string;

  @Field(() => String)
  provider!: string;

  @Field(() => String, {
    description: 'payment.succeeded, payment.failed, payment.refunded, or another that is IGNORED.',
  })
  type!: string;

  @Field(() => String, { description: 'The id of the order or hold that the payment is for.' })
  reference!: string;

  @Field(() => Money, { nullable: true, description: 'null: the message had no valid amount or currency.' })
  amount!: Money | null;

  @Field(() => PaymentOutcomeEnum)
  outcome!: PaymentOutcome;

  @Field(() => DateTime)
  receivedAt!: Date;

  @Field(() => DateTime, { nullable: true, description: 'null while the event needs an operator.' })
  settledAt!: Date | null;

  @Field(() => String, { nullable: true, description: "The provider's id of the payment: what to refund." })
  paymentId!: string | null;

  orderId!: string | null;
}

export function presentEvent(event: Omit<PaymentEventRecord, 'payload'>): PaymentEvent {
  const { amountMinor, currency } = event;
  return { ...event, amount: amountMinor === null || currency === null ? null : presentMoney(amountMinor, currency) };
}

export const PaymentEventConnection = connectionOf(PaymentEvent, 'PaymentEvent');

@PlainObject()
export class PaymentEventPayload {
  @Field(() => PaymentEvent, { nullable: true })
  paymentEvent!: PaymentEvent | null;

  @Field(() => [UserError])
  userErrors!: readonly UserError[];
}

@ArgsType()
export class PaymentEventArgs extends PageArgs {
  @Field(() => PaymentOutcomeEnum, { nullable: true, description: 'Omit for all outcomes.' })
  outcome?: PaymentOutcome | null;

  @Field(() => Boolean, { defaultValue: false, description: 'Only events that still need an operator.' })
  openOnly!: boolean;
}

@InputType()
export class ReplayPaymentEventInput {
  @Field(() => String)
  provider!: string;

  @Field(() => String)
  eventId!: string;
}
