/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** Why a mutation was refused. */
export type ErrorCode =
  | 'BUSY'
  | 'CURRENCY_MISMATCH'
  | 'CUSTOMER_REQUIRED'
  | 'HOLD_ALREADY_USED'
  | 'HOLD_EXPIRED'
  | 'HOLD_NOT_FOUND'
  | 'HOLD_RELEASED'
  | 'IDEMPOTENCY_KEY_REUSED'
  | 'LIMIT_PER_CUSTOMER'
  | 'ORDER_NOT_CANCELLABLE'
  | 'ORDER_NOT_FOUND'
  | 'OUT_OF_STOCK'
  | 'PAYMENT_EVENT_NOT_FOUND'
  | 'PRODUCT_NOT_FOUND'
  | 'SALE_ENDED'
  | 'SALE_NOT_STARTED'
  | 'SKU_TAKEN'
  | 'STOCK_BELOW_COMMITTED';

/** A hold starts ACTIVE and closes once: EXPIRED, RELEASED and CONSUMED are final. */
export type HoldStatus =
  | 'ACTIVE'
  | 'CONSUMED'
  | 'EXPIRED'
  | 'RELEASED';

/** HOLD_EXPIRED is dated at expiresAt, when the units became available. PAYMENT_EVENT_SETTLED: only for events that had been parked. */
export type MomentKind =
  | 'HOLD_EXPIRED'
  | 'HOLD_GRANTED'
  | 'HOLD_RELEASED'
  | 'ORDER_CANCELLED'
  | 'ORDER_PAID'
  | 'ORDER_PLACED'
  | 'ORDER_REFUNDED'
  | 'PAYMENT_EVENT_RECEIVED'
  | 'PAYMENT_EVENT_SETTLED';

/** REFUND_DUE: paid, but no units were available; an operator must refund it. */
export type OrderStatus =
  | 'CANCELLED'
  | 'PAID'
  | 'PENDING_PAYMENT'
  | 'REFUNDED'
  | 'REFUND_DUE';

/** What a payment event led to. PARKED, AMOUNT_MISMATCH and an open REFUND_DUE need an operator. */
export type PaymentOutcome =
  | 'AMOUNT_MISMATCH'
  | 'APPLIED'
  | 'IGNORED'
  | 'PARKED'
  | 'REFUND_DUE';

export type ReplayPaymentEventInput = {
  eventId: string;
  provider: string;
};

export type AmountFragment = { amountMinor: number, currency: string, digits: number };

export type OpenEventFragment = { provider: string, eventId: string, type: string, reference: string, paymentId: string | null, outcome: PaymentOutcome, receivedAt: string, settledAt: string | null, amount: { amountMinor: number, currency: string, digits: number } | null, order: { id: string, status: OrderStatus, total: { amountMinor: number, currency: string, digits: number } } | null, hold: { id: string, status: HoldStatus, total: { amountMinor: number, currency: string, digits: number } } | null };

export type OpenEventsFragment = { edges: Array<{ node: { provider: string, eventId: string, type: string, reference: string, paymentId: string | null, outcome: PaymentOutcome, receivedAt: string, settledAt: string | null, amount: { amountMinor: number, currency: string, digits: number } | null, order: { id: string, status: OrderStatus, total: { amountMinor: number, currency: string, digits: number } } | null, hold: { id: string, status: HoldStatus, total: { amountMinor: number, currency: string, digits: number } } | null } }>, pageInfo: { hasNextPage: boolean } };

export type WhatIsOpenQueryVariables = Exact<{
  first?: number;
}>;


export type WhatIsOpenQuery = { parked: { edges: Array<{ node: { provider: string, eventId: string, type: string, reference: string, paymentId: string | null, outcome: PaymentOutcome, receivedAt: string, settledAt: string | null, amount: { amountMinor: number, currency: string, digits: number } | null, order: { id: string, status: OrderStatus, total: { amountMinor: number, currency: string, digits: number } } | null, hold: { id: string, status: HoldStatus, total: { amountMinor: number, currency: string, digits: number } } | null } }>, pageInfo: { hasNextPage: boolean } }, mismatched: { edges: Array<{ node: { provider: string, eventId: string, type: string, reference: string, paymentId: string | null, outcome: PaymentOutcome, receivedAt: string, settledAt: string | null, amount: { amountMinor: number, currency: string, digits: number } | null, order: { id: string, status: OrderStatus, total: { amountMinor: number, currency: string, digits: number } } | null, hold: { id: string, status: HoldStatus, total: { amountMinor: number, currency: string, digits: number } } | null } }>, pageInfo: { hasNextPage: boolean } }, refundDue: { edges: Array<{ node: { provider: string, eventId: string, type: string, reference: string, paymentId: string | null, outcome: PaymentOutcome, receivedAt: string, settledAt: string | null, amount: { amountMinor: number, currency: string, digits: number } | null, order: { id: string, status: OrderStatus, total: { amountMinor: number, currency: string, digits: number } } | null, hold: { id: string, status: HoldStatus, total: { amountMinor: number, currency: string, digits: number } } | null } }>, pageInfo: { hasNextPage: boolean } } };

export type StockReportsQueryVariables = Exact<{
  first?: number;
  after?: string | null | undefined;
}>;


export type StockReportsQuery = { stockReports: { edges: Array<{ node: { total: number, available: number, held: number, awaitingPayment: number, sold: number, product: { id: string, name: string, sku: string } } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type ServerMetricsQueryVariables = Exact<{ [key: string]: never; }>;


export type ServerMetricsQuery = { serverMetrics: { server: string, text: string } };

export type TimelineQueryVariables = Exact<{
  id: string | number;
}>;


export type TimelineQuery = { timeline: { customerId: string | null, hold: { id: string, status: HoldStatus, quantity: number, expiresAt: string, product: { name: string }, total: { amountMinor: number, currency: string, digits: number } } | null, order: { id: string, status: OrderStatus, paymentDueAt: string, total: { amountMinor: number, currency: string, digits: number } } | null, moments: Array<{ at: string, kind: MomentKind, units: number, hold: { id: string, quantity: number, product: { name: string }, total: { amountMinor: number, currency: string, digits: number } } | null, paymentEvent: { provider: string, eventId: string, type: string, outcome: PaymentOutcome, paymentId: string | null, amount: { amountMinor: number, currency: string, digits: number } | null } | null }> } | null };

export type ReplayPaymentEventMutationVariables = Exact<{
  input: ReplayPaymentEventInput;
}>;


export type ReplayPaymentEventMutation = { replayPaymentEvent: { paymentEvent: { outcome: PaymentOutcome } | null, userErrors: Array<{ code: ErrorCode }> } };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}
export const AmountFragmentDoc = new TypedDocumentString(`
    fragment Amount on Money {
  amountMinor
  currency
  digits
}
    `, {"fragmentName":"Amount"}) as unknown as TypedDocumentString<AmountFragment, unknown>;
export const OpenEventFragmentDoc = new TypedDocumentString(`
    fragment OpenEvent on PaymentEvent {
  provider
  eventId
  type
  reference
  amount {
    ...Amount
  }
  paymentId
  outcome
  receivedAt
  settledAt
  order {
    id
    status
    total {
      ...Amount
    }
  }
  hold {
    id
    status
    total {
      ...Amount
    }
  }
}
    fragment Amount on Money {
  amountMinor
  currency
  digits
}`, {"fragmentName":"OpenEvent"}) as unknown as TypedDocumentString<OpenEventFragment, unknown>;
export const OpenEventsFragmentDoc = new TypedDocumentString(`
    fragment OpenEvents on PaymentEventConnection {
  edges {
    node {
      ...OpenEvent
    }
  }
  pageInfo {
    hasNextPage
  }
}
    fragment Amount on Money {
  amountMinor
  currency
  digits
}
fragment OpenEvent on PaymentEvent {
  provider
  eventId
  type
  reference
  amount {
    ...Amount
  }
  paymentId
  outcome
  receivedAt
  settledAt
  order {
    id
    status
    total {
      ...Amount
    }
  }
  hold {
    id
    status
    total {
      ...Amount
    }
  }
}`, {"fragmentName":"OpenEvents"}) as unknown as TypedDocumentString<OpenEventsFragment, unknown>;
export const WhatIsOpenDocument = new TypedDocumentString(`
    query WhatIsOpen($first: Int! = 50) {
  parked: paymentEvents(outcome: PARKED, openOnly: true, first: $first) {
    ...OpenEvents
  }
  mismatched: paymentEvents(
    outcome: AMOUNT_MISMATCH
    openOnly: true
    first: $first
  ) {
    ...OpenEvents
  }
  refundDue: paymentEvents(outcome: REFUND_DUE, openOnly: true, first: $first) {
    ...OpenEvents
  }
}
    fragment Amount on Money {
  amountMinor
  currency
  digits
}
fragment OpenEvent on PaymentEvent {
  provider
  eventId
  type
  reference
  amount {
    ...Amount
  }
  paymentId
  outcome
  receivedAt
  settledAt
  order {
    id
    status
    total {
      ...Amount
    }
  }
  hold {
    id
    status
    total {
      ...Amount
    }
  }
}
fragment OpenEvents on PaymentEventConnection {
  edges {
    node {
      ...OpenEvent
    }
  }
  pageInfo {
    hasNextPage
  }
}`, {"hash":"sha256:d60bc0c362832b8a82d602af6b3f551dc3ee74d921faef171a08c81b0654b284"}) as unknown as TypedDocumentString<WhatIsOpenQuery, WhatIsOpenQueryVariables>;
export const StockReportsDocument = new TypedDocumentString(`
    query StockReports($first: Int! = 50, $after: String) {
  stockReports(first: $first, after: $after) {
    edges {
      node {
        product {
          id
          name
          sku
        }
        total
        available
        held
        awaitingPayment
        sold
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
    `, {"hash":"sha256:ef90fef9a1b33229e35c7f15d436b7593d60e75349b12f1172ea54e9cd57a7e6"}) as unknown as TypedDocumentString<StockReportsQuery, StockReportsQueryVariables>;
export const ServerMetricsDocument = new TypedDocumentString(`
    query ServerMetrics {
  serverMetrics {
    server
    text
  }
}
    `, {"hash":"sha256:0ad7493fb4463935b2b4c4014011d985b439a0bae94588e7ce3dd20da4e80692"}) as unknown as TypedDocumentString<ServerMetricsQuery, ServerMetricsQueryVariables>;
export const TimelineDocument = new TypedDocumentString(`
    query Timeline($id: ID!) {
  timeline(id: $id) {
    customerId
    hold {
      id
      status
      quantity
      expiresAt
      product {
        name
      }
      total {
        ...Amount
      }
    }
    order {
      id
      status
      paymentDueAt
      total {
        ...Amount
      }
    }
    moments {
      at
      kind
      units
      hold {
        id
        quantity
        product {
          name
        }
        total {
          ...Amount
        }
      }
      paymentEvent {
        provider
        eventId
        type
        outcome
        paymentId
        amount {
          ...Amount
        }
      }
    }
  }
}
    fragment Amount on Money {
  amountMinor
  currency
  digits
}`, {"hash":"sha256:a6a844367653e4b16dacf93e3ec45fa384fd2cb24c485e9b4bacf5fcfed8c562"}) as unknown as TypedDocumentString<TimelineQuery, TimelineQueryVariables>;
export const ReplayPaymentEventDocument = new TypedDocumentString(`
    mutation ReplayPaymentEvent($input: ReplayPaymentEventInput!) {
  replayPaymentEvent(input: $input) {
    paymentEvent {
      outcome
    }
    userErrors {
      code
    }
  }
}
    `, {"hash":"sha256:18143b8de649df7e34a43271ae61a6e9dce2df772c4e13d61b9877a52dc58e4c"}) as unknown as TypedDocumentString<ReplayPaymentEventMutation, ReplayPaymentEventMutationVariables>;