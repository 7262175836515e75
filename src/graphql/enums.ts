/** The enums of the schema, made from the domain's lists. */
import { registerEnumType } from 'type-graphql';
import { ERROR_CODES } from '../domain/refusals';
import { CANCELLERS, HOLD_STATUSES, ORDER_STATUSES, PAYMENT_OUTCOMES, SALE_STATUSES } from '../domain/statuses';
import { MOMENT_KINDS } from '../domain/timeline';

function enumOf(name: string, values: readonly string[], description: string): Record<string, string> {
  const type = Object.fromEntries(values.map((value) => [value, value]));
  registerEnumType(type, { name, description });
  return type;
}

export const HoldStatusEnum = enumOf(
  'HoldStatus',
  HOLD_STATUSES,
  'A hold starts ACTIVE and closes once: EXPIRED, RELEASED and CONSUMED are final.',
);
export const OrderStatusEnum = enumOf(
  'OrderStatus',
  ORDER_STATUSES,
  'REFUND_DUE: paid, but no units were available; an operator must refund it.',
);
export const CancellerEnum = enumOf(
  'Canceller',
  [...CANCELLERS, 'OPERATOR'],
  'Who or what cancelled an order. PAYMENT_FAILED: the provider reported that the payment failed. ' +
    'PAYMENT_WINDOW: paymentDueAt passed without a payment.',
);
export const SaleStatusEnum = enumOf(
  'SaleStatus',
  SALE_STATUSES,
  'FULLY_HELD: no unit is available now, but units in holds or unpaid orders may come back.',
);
export const ErrorCodeEnum = enumOf('ErrorCode', ERROR_CODES, 'Why a mutation was refused.');
export const PaymentOutcomeEnum = enumOf(
  'PaymentOutcome',
  PAYMENT_OUTCOMES,
  'What a payment event led to. PARKED, AMOUNT_MISMATCH and an open REFUND_DUE need an operator.',
);
export const MomentKindEnum = enumOf(
  'MomentKind',
  MOMENT_KINDS,
  'HOLD_EXPIRED is dated at expiresAt, when the units became available. PAYMENT_EVENT_SETTLED: only for events that had ' +
    'been parked.',
);
