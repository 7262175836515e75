/** Queries and mutations of holds. */
import { Arg, Ctx, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import type { HoldAnswer } from '../../checkout/create-hold';
import type { Hold as HoldRecord } from '../../domain/records';
import type { Answer } from '../../domain/refusals';
import type { Context } from '../http/context';
import { withKey } from '../http/idempotency-key';
import { Order } from '../orders/types';
import { presentProduct, Product } from '../products/types';
import { CreateHoldInput, Hold, HoldPayload, presentHold, ReleaseHoldInput } from './types';

@Resolver(() => Hold)
export class HoldResolver {
  @Query(() => Hold, {
    nullable: true,
    description: "One of the caller's own holds, or one that was made without a token.",
  })
  hold(@Arg('id', () => ID) id: string, @Ctx() { loaders }: Context): Promise<Hold | null> {
    return loaders.hold.load(id);
  }

  @Mutation(() => HoldPayload, {
    description:
      'Reserves units of a product for a limited time, at its current price. Refusals, of which the first that applies is ' +
      'given: IDEMPOTENCY_KEY_REUSED, PRODUCT_NOT_FOUND, CUSTOMER_REQUIRED, SALE_NOT_STARTED, SALE_ENDED, LIMIT_PER_CUSTOMER, ' +
      'OUT_OF_STOCK; or BUSY.',
  })
  createHold(
    @Arg('input', () => CreateHoldInput) input: CreateHoldInput,
    @Ctx() context: Context,
  ): Promise<HoldPayload> {
    const answer = context.checkout.createHold(withKey(input, context), context.caller, context.requestId);
    return holdPayload(
      context,
      answer.then((known) => primeProduct(context, known)),
    );
  }

  @Mutation(() => HoldPayload, {
    description:
      'Gives the units of a live hold back. Releasing a released hold again returns it unchanged. Refusals: HOLD_NOT_FOUND, ' +
      'HOLD_EXPIRED, HOLD_ALREADY_USED, BUSY.',
  })
  releaseHold(
    @Arg('input', () => ReleaseHoldInput) { holdId }: ReleaseHoldInput,
    @Ctx() context: Context,
  ): Promise<HoldPayload> {
    return holdPayload(context, context.checkout.releaseHold({ holdId }, context.caller, context.requestId));
  }

  @FieldResolver(() => Product)
  product(@Root() hold: Hold, @Ctx() { loaders }: Context): Promise<Product | null> {
    return loaders.product.load(hold.productId);
  }

  @FieldResolver(() => Order, {
    nullable: true,
    description: 'Set once the hold has become an order, which the customer or a payment may have placed.',
  })
  order(@Root() hold: Hold, @Ctx() { loaders }: Context): Promise<Order | null> | null {
    return hold.orderId === null ? null : loaders.order.load(hold.orderId);
  }
}

/** The decision has read the product, so a document that asks for it needs no further query, which could fail. */
function primeProduct({ loaders }: Context, answer: HoldAnswer): HoldAnswer {
  if (answer.granted) loaders.product.prime(answer.product.id, presentProduct(answer.product));
  return answer;
}

async function holdPayload({ loaders }: Context, answer: Promise<Answer<HoldRecord>>): Promise<HoldPayload> {
  const { value, replay, refusals } = await answer;
  const userErrors = refusals;
  loaders.clearHoldsAndOrders();
  if (!value) return { hold: null, userErrors };
  // Only the database's clock can tell whether an older hold is overdue by now.
  if (replay && value.status === 'ACTIVE') return { hold: await loaders.hold.load(value.id), userErrors };
  const hold = presentHold(value, value.createdAt);
  loaders.hold.prime(value.id, hold);
  return { hold, userErrors };
}
