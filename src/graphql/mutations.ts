/** What all mutations share: refusals as data, and the idempotency key. */
import { Field, Int } from 'type-graphql';
import type { ErrorCode } from '../domain/refusals';
import { ErrorCodeEnum } from './enums';
import { PlainObject } from './plain-object';
import { DateTime } from './scalars';

@PlainObject({
  description:
    'An expected refusal. It is data, not an exception: the object of a payload is null exactly when userErrors is not empty.',
})
export class UserError {
  @Field(() => ErrorCodeEnum, { description: 'For programs: branch on this, not on the message.' })
  code!: ErrorCode;

  @Field(() => String, {
    description: 'For developers. For OUT_OF_STOCK always: No available stock left for the product',
  })
  message!: string;

  @Field(() => [String], {
    nullable: true,
    description: 'The path of the input that was refused, such as ["holdIds", "1"].',
  })
  field?: readonly string[] | null;

  @Field(() => Int, {
    nullable: true,
    description: 'For BUSY: milliseconds to wait before sending the same request with the same idempotencyKey again.',
  })
  retryAfterMs?: number | null;

  @Field(() => DateTime, {
    nullable: true,
    description: 'For OUT_OF_STOCK: the earliest time at which held units can come back; null when none are held.',
  })
  stockReturnsAt?: Date | null;
}

export const KEY_DESCRIPTION =
  'Your own name for this one intent, 1 to 255 characters, best a UUID. Repeating a request with the same key has no further ' +
  'effect and returns the same object. The header Idempotency-Key may carry it instead, for the only mutation of a ' +
  'request. Keys count per customer, and those of createHold and adjustStock per product as well.';
