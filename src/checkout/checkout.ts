/** All use cases behind one object: each is called with its input, the caller and the request's id. */
import { Busy } from '../domain/errors';
import type { PaymentMessage } from '../domain/payment-message';
import type { Hold, Order, PaymentEvent, Product } from '../domain/records';
import { refusal, refused, type Answer, type Refused } from '../domain/refusals';
import { adjustStock, type AdjustStockInput } from './adjust-stock';
import { cancelOrder } from './cancel-order';
import { createHolds, type CreateHoldInput, type HoldAnswer } from './create-hold';
import { createOrders, type CreateOrderInput } from './create-order';
import { createProduct } from './create-product';
import type { Caller, Dependencies, UseCase } from './dependencies';
import { limitHolds, type HoldLimits } from './hold-limits';
import { labelOfAnswer, measured } from './outcomes';
import type { NewProductInput } from './product-fields';
import { traced } from '../telemetry/tracing';
import { labelOfRecorded, recordPaymentEvents, type Recorded } from './record-payment-event';
import { releaseHold } from './release-hold';
import { replayPaymentEvent } from './replay-payment-event';
import { sweepOnce, type Swept } from './sweep';
import { updateProduct, type UpdateProductInput } from './update-product';

/** The request's id is for the log. */
type Call<Input, Result> = (input: Input, caller: Caller, requestId?: string) => Promise<Result>;

/**
 * Mutations answer refusals as data, BUSY among them: then nothing happened. They throw `CallerError`, `RateLimited` and, when
 * the database is away or an outcome is unknown, `Unavailable`. The files of the use cases say which refusals and locks.
 */
export interface Checkout {
  readonly createHold: Call<CreateHoldInput, HoldAnswer>;
  readonly releaseHold: Call<{ readonly holdId: string }, Answer<Hold>>;
  readonly createOrder: Call<CreateOrderInput, Answer<Order>>;
  readonly cancelOrder: Call<{ readonly orderId: string }, Answer<Order>>;
  readonly createProduct: Call<NewProductInput, Answer<Product>>;
  readonly updateProduct: Call<UpdateProductInput, Answer<Product>>;
  readonly adjustStock: Call<AdjustStockInput, Answer<Product>>;
  readonly replayPaymentEvent: Call<Pick<PaymentEvent, 'provider' | 'eventId'>, Answer<PaymentEvent>>;
  /** Throws `Busy` too: the provider sends the event again. */
  recordPaymentEvent(provider: string, message: PaymentMessage, requestId?: string): Promise<Recorded>;
  sweep(): Promise<Swept>;
}

/** One for each process: requests that arrive together share transactions. */
export function openCheckout(
  deps: Dependencies,
  limits: HoldLimits = { maxActiveHolds: null, holdCooldown: null },
): Checkout {
  const { metrics } = deps;
  const inRequest = (requestId: string | undefined): Dependencies =>
    requestId === undefined ? deps : { ...deps, log: deps.log.child({ requestId }) };
  const answering = <Input, A extends Answer<unknown>>(
    name: string,
    useCase: UseCase<Input, A>,
  ): Call<Input, A | Refused> => {
    const answer: Call<Input, A | Refused> = async (input, caller, requestId) => {
      try {
        return await useCase(inRequest(requestId), input, caller);
      } catch (error) {
        if (!(error instanceof Busy)) throw error;
        return refused(refusal('BUSY', { retryAfterMs: error.retryAfterMs }));
      }
    };
    return (...call) => traced(name, () => answer(...call), { resultOf: labelOfAnswer });
  };
  const createHold = measured(createHolds(deps), labelOfAnswer, (result, seconds) => metrics.hold(result, seconds));
  const record = measured(recordPaymentEvents(deps), labelOfRecorded, (outcome) => metrics.paymentEvent(outcome));
  return {
    createHold: answering('createHold', limitHolds(createHold, limits)),
    releaseHold: answering('releaseHold', releaseHold),
    createOrder: answering('createOrder', createOrders(deps)),
    cancelOrder: answering('cancelOrder', cancelOrder),
    createProduct: answering('createProduct', createProduct),
    updateProduct: answering('updateProduct', updateProduct),
    adjustStock: answering('adjustStock', adjustStock),
    replayPaymentEvent: answering('replayPaymentEvent', replayPaymentEvent),
    recordPaymentEvent: (provider, message, requestId) =>
      traced('recordPaymentEvent', () => record(inRequest(requestId), provider, message), {
        resultOf: labelOfRecorded,
      }),
    sweep: () => sweepOnce(deps),
  };
}
