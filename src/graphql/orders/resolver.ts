/** Queries and mutations of orders. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Args, Ctx, FieldResolver, ID, Info, Mutation, Query, Resolver, Root } from 'type-graphql';
import { isId } from '../../database/ids';
import { readOrders } from '../../database/read-models';
import type { Order as OrderRecord } from '../../domain/records';
import type { Answer } from '../../domain/refusals';
import { requireCustomer, type Context } from '../http/context';
import { withKey } from '../http/idempotency-key';
import { Hold } from '../holds/types';
import { isText, PageArgs, pageOf, timeOf, type Connection, type Cut } from '../pagination';
import { Product } from '../products/types';
import {
  CancelOrderInput,
  CreateOrderInput,
  Order,
  OrderConnection,
  OrderLine,
  OrderPayload,
  presentOrder,
} from './types';

const newestFirst: Cut<OrderRecord, { createdAt: Date; id: string }> = {
  list: 'orders',
  placeOf: (order) => [order.createdAt.getTime(), order.id],
  parsePlace: ([time, id]) => {
    const createdAt = timeOf(time);
    return createdAt && isText(id) && isId(id) ? { createdAt, id } : undefined;
  },
};

@Resolver(() => Order)
export class OrderResolver {
  @Query(() => Order, {
    nullable: true,
    description: "One of the caller's own orders, or one that was made without a token.",
  })
  order(@Arg('id', () => ID) id: string, @Ctx() { loaders }: Context): Promise<Order | null> {
    return loaders.order.load(id);
  }

  @Query(() => OrderConnection, {
    description: "The caller's own orders, newest first; all orders for an admin. Needs a token.",
  })
  orders(
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<Connection<Order>> {
    requireCustomer(context);
    const { caller, loaders } = context;
    const customerId = caller.isAdmin ? null : caller.customerId;
    return pageOf(
      page,
      { budget: loaders.budget, info },
      newestFirst,
      ({ limit, after }) => context.read((em) => readOrders(em, customerId, { limit, after })),
      (record) => {
        const order = presentOrder(record);
        loaders.order.prime(order.id, order);
        return order;
      },
    );
  }

  @Mutation(() => OrderPayload, {
    description:
      'Turns 1 to 50 live holds into an order, all or nothing. Refusals: IDEMPOTENCY_KEY_REUSED; or, for each hold that cannot ' +
      'be ordered, HOLD_NOT_FOUND, HOLD_EXPIRED, HOLD_RELEASED, HOLD_ALREADY_USED or CURRENCY_MISMATCH; or BUSY.',
  })
  createOrder(
    @Arg('input', () => CreateOrderInput) input: CreateOrderInput,
    @Ctx() context: Context,
  ): Promise<OrderPayload> {
    return orderPayload(
      context,
      context.checkout.createOrder(withKey(input, context), context.caller, context.requestId),
    );
  }

  @Mutation(() => OrderPayload, {
    description:
      'Cancels an unpaid order and gives its units back. Cancelling a cancelled order again returns it unchanged. Refusals: ' +
      'ORDER_NOT_FOUND, ORDER_NOT_CANCELLABLE, BUSY.',
  })
  cancelOrder(
    @Arg('input', () => CancelOrderInput) { orderId }: CancelOrderInput,
    @Ctx() context: Context,
  ): Promise<OrderPayload> {
    return orderPayload(context, context.checkout.cancelOrder({ orderId }, context.caller, context.requestId));
  }

  @FieldResolver(() => [OrderLine])
  async lines(
    @Root() order: Order,
    @Ctx() { loaders }: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<OrderLine[]> {
    return loaders.budget.spend(await loaders.lines.load(order.id), info);
  }
}

@Resolver(() => OrderLine)
export class OrderLineResolver {
  @FieldResolver(() => Product)
  product(@Root() line: OrderLine, @Ctx() { loaders }: Context): Promise<Product | null> {
    return loaders.product.load(line.productId);
  }

  @FieldResolver(() => Hold)
  hold(@Root() line: OrderLine, @Ctx() { loaders }: Context): Promise<Hold | null> {
    return loaders.hold.load(line.holdId);
  }
}

async function orderPayload({ loaders }: Context, answer: Promise<Answer<OrderRecord>>): Promise<OrderPayload> {
  const { value, refusals } = await answer;
  loaders.clearHoldsAndOrders();
  const order = value && presentOrder(value);
  if (order) loaders.order.prime(order.id, order);
  return { order, userErrors: refusals };
}
