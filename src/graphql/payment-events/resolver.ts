/** Payment events, for operators. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Args, Ctx, FieldResolver, Info, Mutation, Query, Resolver, Root } from 'type-graphql';
import { readPaymentEvents } from '../../database/read-models';
import { checkText } from '../../domain/input';
import type { PaymentEvent as PaymentEventRecord } from '../../domain/records';
import { requireAdmin, type Context } from '../http/context';
import { Hold } from '../holds/types';
import { Order } from '../orders/types';
import { isText, pageOf, timeOf, type Connection, type Cut } from '../pagination';
import {
  PaymentEvent,
  PaymentEventArgs,
  PaymentEventConnection,
  PaymentEventPayload,
  presentEvent,
  ReplayPaymentEventInput,
} from './types';

const newestFirst: Cut<PaymentEventRecord, { receivedAt: Date; provider: string; eventId: string }> = {
  list: 'paymentEvents',
  placeOf: (event) => [event.receivedAt.getTime(), event.provider, event.eventId],
  parsePlace: ([time, provider, eventId]) => {
    const receivedAt = timeOf(time);
    return receivedAt && isText(provider) && isText(eventId) ? { receivedAt, provider, eventId } : undefined;
  },
};

@Resolver(() => PaymentEvent)
export class PaymentEventResolver {
  @Query(() => PaymentEventConnection, { description: 'Needs the role admin. All payment events, newest first.' })
  paymentEvents(
    @Args(() => PaymentEventArgs) { outcome = null, openOnly, ...page }: PaymentEventArgs,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<Connection<PaymentEvent>> {
    requireAdmin(context);
    return pageOf(
      page,
      { budget: context.loaders.budget, info },
      newestFirst,
      ({ limit, after }) => context.read((em) => readPaymentEvents(em, { outcome, openOnly }, { limit, after })),
      presentEvent,
    );
  }

  @Mutation(() => PaymentEventPayload, {
    description:
      'Needs the role admin. Judges a PARKED or AMOUNT_MISMATCH event again; any other event is returned unchanged. ' +
      'Refusals: PAYMENT_EVENT_NOT_FOUND, BUSY.',
  })
  async replayPaymentEvent(
    @Arg('input', () => ReplayPaymentEventInput) { provider, eventId }: ReplayPaymentEventInput,
    @Ctx() context: Context,
  ): Promise<PaymentEventPayload> {
    requireAdmin(context);
    checkText('provider', provider);
    checkText('eventId', eventId);
    const { checkout, caller, requestId } = context;
    const { value, refusals } = await checkout.replayPaymentEvent({ provider, eventId }, caller, requestId);
    context.loaders.clearHoldsAndOrders();
    return { paymentEvent: value && presentEvent(value), userErrors: refusals };
  }

  @FieldResolver(() => Order, { nullable: true })
  order(@Root() event: PaymentEvent, @Ctx() { loaders }: Context): Promise<Order | null> | null {
    return event.orderId === null ? null : loaders.order.load(event.orderId);
  }

  @FieldResolver(() => Hold, { nullable: true, description: 'Set when reference is the id of a hold.' })
  hold(@Root() event: PaymentEvent, @Ctx() { loaders }: Context): Promise<Hold | null> {
    return loaders.hold.load(event.reference);
  }
}
