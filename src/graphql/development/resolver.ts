/** For development and QA: mutations that simulate the payment provider and sign tokens. Production's schema has none of them. */
import { randomUUID } from 'node:crypto';
import { Arg, Ctx, Field, ID, InputType, Int, Mutation, ObjectType, Resolver } from 'type-graphql';
import { developmentJwtSecret } from '../../config';
import { isId } from '../../database/ids';
import { CallerError } from '../../domain/errors';
import { checkText } from '../../domain/input';
import type { Context } from '../http/context';
import { presentHold } from '../holds/types';
import { PositiveInt, SafeInt } from '../scalars';
import { signToken } from '../http/tokens';

const MAX_TIMES = 100;
const MAX_DELAY_MS = 24 * 3600 * 1000;
const TOKEN_TTL_SECONDS = 12 * 3600;

@InputType()
class SimulatePaymentInput {
  @Field(() => ID, { description: 'The id of an order, or of a hold.' })
  reference!: string;

  @Field(() => String, {
    defaultValue: 'payment.succeeded',
    description: 'payment.succeeded, payment.failed, payment.refunded, or any other type.',
  })
  type!: string;

  @Field(() => Int, {
    defaultValue: 0,
    description: 'Milliseconds. When it is not 0 the answer does not wait, and lists no deliveries.',
  })
  delayMs!: number;

  @Field(() => PositiveInt, {
    defaultValue: 1,
    description: `How many copies to send, all at once; at most ${MAX_TIMES}.`,
  })
  times!: number;

  @Field(() => SafeInt, { nullable: true, description: 'Omit it to send the total of the order or hold.' })
  amountMinor?: number | null;
}

@ObjectType({ description: "The webhook's answer to one copy." })
class SimulatedDelivery {
  @Field(() => Int)
  status!: number;

  @Field(() => String)
  body!: string;
}

@ObjectType()
class SimulatePaymentPayload {
  @Field(() => String)
  eventId!: string;

  @Field(() => [SimulatedDelivery])
  deliveries!: readonly SimulatedDelivery[];
}

@Resolver()
export class DevelopmentResolver {
  @Mutation(() => SimulatePaymentPayload, {
    description:
      'Development only. Simulates the payment provider: sends a signed payment event to the webhook, now or later, once or ' +
      'several times. An unknown reference needs amountMinor, and is sent without a currency.',
  })
  async simulatePayment(
    @Arg('input', () => SimulatePaymentInput) input: SimulatePaymentInput,
    @Ctx() context: Context,
  ): Promise<SimulatePaymentPayload> {
    const { reference, type, delayMs, times } = input;
    const { provider } = context.services;
    if (!provider) throw new CallerError('FORBIDDEN', 'There is no simulated payment provider here');
    checkText('reference', reference);
    checkText('type', type);
    if (times > MAX_TIMES) throw new CallerError('BAD_USER_INPUT', `times must be from 1 to ${MAX_TIMES}`);
    if (delayMs < 0 || delayMs > MAX_DELAY_MS) {
      throw new CallerError('BAD_USER_INPUT', `delayMs must be from 0 to ${MAX_DELAY_MS}`);
    }
    const about = await findReference(context, reference);
    const eventId = `evt_${randomUUID()}`;
    const event = {
      eventId,
      type,
      reference,
      amountMinor: input.amountMinor ?? about?.amountMinor,
      currency: about?.currency,
      // A refund carries the id of the payment that it gives back.
      paymentId: (type === 'payment.refunded' && about?.paymentId) || `pay_${eventId}`,
    };
    return { eventId, deliveries: await provider.send(event, { delayMs, times }) };
  }

  @Mutation(() => String, {
    description:
      'Development only. Returns a token for this customer, or for an operator, as long as the server uses the public ' +
      'development secret.',
  })
  async signInAs(
    @Arg('customerId', () => String) customerId: string,
    @Arg('isAdmin', () => Boolean, { defaultValue: false }) isAdmin: boolean,
    @Ctx() { services: { developmentAuth } }: Context,
  ): Promise<string> {
    checkText('customerId', customerId, 255, 1);
    if (developmentAuth?.kind !== 'secret' || developmentAuth.secret !== developmentJwtSecret) {
      throw new CallerError('FORBIDDEN', 'Tokens come from the issuer here: npm run token, or your own');
    }
    return signToken(developmentAuth, {
      sub: customerId,
      roles: isAdmin ? ['admin'] : [],
      ttlSeconds: TOKEN_TTL_SECONDS,
    });
  }
}

/** What a provider would know about the order or hold: its amount, and the payment that paid for it. */
async function findReference(
  { services: { reads } }: Context,
  reference: string,
): Promise<{ amountMinor: number; currency: string; paymentId: string | null } | null> {
  const id = reference.toLowerCase();
  if (!isId(id)) return null;
  const { holds, at } = await reads.holds([id]);
  const [order] = await reads.orders([holds[0]?.orderId ?? id]);
  if (order) return { amountMinor: order.totalMinor, currency: order.currency, paymentId: order.paymentId };
  return holds[0] ? { ...presentHold(holds[0], at).total, paymentId: null } : null;
}
