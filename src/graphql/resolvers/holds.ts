/** Holds: granted, looked at, released. */
import { Arg, Ctx, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import type { HoldAnswer } from '../../checkout/create-hold';
import { releaseHold } from '../../checkout/release-hold';
import type { Hold as HoldRecord } from '../../domain/records';
import type { Answer } from '../../domain/refusals';
import { by, type Context } from '../http/context';
import { outcomeOf } from '../http/errors';
import { presentHold, presentProduct } from '../present';
import { CreateHoldInput, Hold, HoldPayload, Order, Product, ReleaseHoldInput } from '../types';

@Resolver(() => Hold)
export class HoldResolver {
  @Query(() => Hold, { nullable: true, description: 'Your own hold, or one made without a token.' })
  hold(@Arg('id', () => ID) id: string, @Ctx() { loaders }: Context): Promise<Hold | null> {
    return loaders.hold.load(id);
  }

  @Mutation(() => HoldPayload, {
    description:
      'Holds units of a product for a while, at its price of now. Refusals, the first that applies: IDEMPOTENCY_KEY_REUSED, ' +
      'PRODUCT_NOT_FOUND, CUSTOMER_REQUIRED, SALE_NOT_STARTED, SALE_ENDED, LIMIT_PER_CUSTOMER, OUT_OF_STOCK; BUSY.',
  })
  createHold(
    @Arg('input', () => CreateHoldInput) input: CreateHoldInput,
    @Ctx() context: Context,
  ): Promise<HoldPayload> {
    const answer = context.room.createHold({ ...input, ...by(context) });
    return holdPayload(
      context,
      answer.then((known) => primeProduct(context, known)),
    );
  }

  @Mutation(() => HoldPayload, {
    description:
      "Gives a live hold's units back. Of a released hold it is a replay. Refusals: HOLD_NOT_FOUND, HOLD_EXPIRED, " +
      'HOLD_ALREADY_USED; BUSY.',
  })
  releaseHold(
    @Arg('input', () => ReleaseHoldInput) { holdId }: ReleaseHoldInput,
    @Ctx() context: Context,
  ): Promise<HoldPayload> {
    return holdPayload(context, releaseHold(context.checkout, context.caller, holdId));
  }

  @FieldResolver(() => Product)
  product(@Root() hold: Hold, @Ctx() { loaders }: Context): Promise<Product | null> {
    return loaders.product.load(hold.productId);
  }

  @FieldResolver(() => Order, {
    nullable: true,
    description: 'Set once an order was placed from the hold, by the shopper or by a payment.',
  })
  order(@Root() hold: Hold, @Ctx() { loaders }: Context): Promise<Order | null> | null {
    return hold.orderId === null ? null : loaders.order.load(hold.orderId);
  }
}

/** The decision has read the product: a document that asks for it costs no further query, and cannot fail for want of one. */
function primeProduct({ loaders }: Context, answer: HoldAnswer): HoldAnswer {
  if (answer.granted && answer.product) loaders.product.prime(answer.product.id, presentProduct(answer.product));
  return answer;
}

async function holdPayload({ loaders }: Context, answer: Promise<Answer<HoldRecord>>): Promise<HoldPayload> {
  const { object, isReplay, userErrors } = await outcomeOf(answer);
  loaders.forgetWhatMayHaveChanged();
  if (!object) return { hold: null, userErrors };
  // Whether an older hold is overdue by now, only the database's clock can tell.
  if (isReplay && object.status === 'ACTIVE') return { hold: await loaders.hold.load(object.id), userErrors };
  const hold = presentHold(object, object.createdAt);
  loaders.hold.prime(object.id, hold);
  return { hold, userErrors };
}
