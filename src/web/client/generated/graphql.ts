/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
export type CancelOrderInput = {
  orderId: string | number;
};

/** Who or what cancelled an order. PAYMENT_FAILED: the provider reported that the payment failed. PAYMENT_WINDOW: paymentDueAt passed without a payment. */
export type Canceller =
  | 'CUSTOMER'
  | 'OPERATOR'
  | 'PAYMENT_FAILED'
  | 'PAYMENT_WINDOW';

export type CreateHoldInput = {
  /** Your own name for this one intent, 1 to 255 characters, best a UUID. Repeating a request with the same key has no further effect and returns the same object. The header Idempotency-Key may carry it instead, for the only mutation of a request. Keys count per customer, and those of createHold and adjustStock per product as well. */
  idempotencyKey?: string | null | undefined;
  productId: string | number;
  quantity?: number;
};

export type CreateOrderInput = {
  /** 1 to 50 holds, all or nothing. A single id counts as a list of one. */
  holdIds: Array<string | number>;
  /** Your own name for this one intent, 1 to 255 characters, best a UUID. Repeating a request with the same key has no further effect and returns the same object. The header Idempotency-Key may carry it instead, for the only mutation of a request. Keys count per customer, and those of createHold and adjustStock per product as well. */
  idempotencyKey?: string | null | undefined;
};

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

/** REFUND_DUE: paid, but no units were available; an operator must refund it. */
export type OrderStatus =
  | 'CANCELLED'
  | 'PAID'
  | 'PENDING_PAYMENT'
  | 'REFUNDED'
  | 'REFUND_DUE';

export type ReleaseHoldInput = {
  holdId: string | number;
};

/** FULLY_HELD: no unit is available now, but units in holds or unpaid orders may come back. */
export type SaleStatus =
  | 'ENDED'
  | 'FULLY_HELD'
  | 'ON_SALE'
  | 'SOLD_OUT'
  | 'UPCOMING';

export type MoneyPartsFragment = { amountMinor: number, currency: string, digits: number };

export type ProductCardFragment = { id: string, sku: string, name: string, description: string | null, availableStock: number, totalStock: number, saleStatus: SaleStatus, saleStartsAt: string | null, saleEndsAt: string | null, maxPerCustomer: number | null, price: { amountMinor: number, currency: string, digits: number } };

export type HoldStubFragment = { id: string, quantity: number, status: HoldStatus, createdAt: string, expiresAt: string, product: { id: string, name: string, sku: string }, unitPrice: { amountMinor: number, currency: string, digits: number }, total: { amountMinor: number, currency: string, digits: number } };

export type OrderCardFragment = { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, cancelledBy: Canceller | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string, digits: number }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string, digits: number } };

export type RefusalFragment = { code: ErrorCode, message: string, field: Array<string> | null, retryAfterMs: number | null, stockReturnsAt: string | null };

export type HoldQueryVariables = Exact<{
  id: string | number;
}>;


export type HoldQuery = { hold: { id: string, quantity: number, status: HoldStatus, createdAt: string, expiresAt: string, order: { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, cancelledBy: Canceller | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string, digits: number }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string, digits: number } } | null, product: { id: string, name: string, sku: string }, unitPrice: { amountMinor: number, currency: string, digits: number }, total: { amountMinor: number, currency: string, digits: number } } | null };

export type CreateHoldMutationVariables = Exact<{
  input: CreateHoldInput;
}>;


export type CreateHoldMutation = { createHold: { hold: { id: string, quantity: number, status: HoldStatus, createdAt: string, expiresAt: string, product: { id: string, name: string, sku: string }, unitPrice: { amountMinor: number, currency: string, digits: number }, total: { amountMinor: number, currency: string, digits: number } } | null, userErrors: Array<{ code: ErrorCode, message: string, field: Array<string> | null, retryAfterMs: number | null, stockReturnsAt: string | null }> } };

export type ReleaseHoldMutationVariables = Exact<{
  input: ReleaseHoldInput;
}>;


export type ReleaseHoldMutation = { releaseHold: { hold: { id: string, quantity: number, status: HoldStatus, createdAt: string, expiresAt: string, product: { id: string, name: string, sku: string }, unitPrice: { amountMinor: number, currency: string, digits: number }, total: { amountMinor: number, currency: string, digits: number } } | null, userErrors: Array<{ code: ErrorCode, message: string, field: Array<string> | null, retryAfterMs: number | null, stockReturnsAt: string | null }> } };

export type OrderQueryVariables = Exact<{
  id: string | number;
}>;


export type OrderQuery = { order: { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, cancelledBy: Canceller | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string, digits: number }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string, digits: number } } | null };

export type OrdersQueryVariables = Exact<{
  first?: number;
  after?: string | null | undefined;
}>;


export type OrdersQuery = { orders: { edges: Array<{ node: { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, cancelledBy: Canceller | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string, digits: number }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string, digits: number } } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type CreateOrderMutationVariables = Exact<{
  input: CreateOrderInput;
}>;


export type CreateOrderMutation = { createOrder: { order: { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, cancelledBy: Canceller | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string, digits: number }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string, digits: number } } | null, userErrors: Array<{ code: ErrorCode, message: string, field: Array<string> | null, retryAfterMs: number | null, stockReturnsAt: string | null }> } };

export type CancelOrderMutationVariables = Exact<{
  input: CancelOrderInput;
}>;


export type CancelOrderMutation = { cancelOrder: { order: { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, cancelledBy: Canceller | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string, digits: number }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string, digits: number } } | null, userErrors: Array<{ code: ErrorCode, message: string, field: Array<string> | null, retryAfterMs: number | null, stockReturnsAt: string | null }> } };

export type ProductsQueryVariables = Exact<{
  first?: number;
  after?: string | null | undefined;
}>;


export type ProductsQuery = { serverTime: string, products: { edges: Array<{ node: { id: string, sku: string, name: string, description: string | null, availableStock: number, totalStock: number, saleStatus: SaleStatus, saleStartsAt: string | null, saleEndsAt: string | null, maxPerCustomer: number | null, price: { amountMinor: number, currency: string, digits: number } } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type ServerTimeQueryVariables = Exact<{ [key: string]: never; }>;


export type ServerTimeQuery = { serverTime: string };

export type StockChangedSubscriptionVariables = Exact<{
  productIds: Array<string | number> | string | number;
}>;


export type StockChangedSubscription = { stockChanged: { availableStock: number, saleStatus: SaleStatus, at: string, product: { id: string, totalStock: number } } };

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
export const MoneyPartsFragmentDoc = new TypedDocumentString(`
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}
    `, {"fragmentName":"MoneyParts"}) as unknown as TypedDocumentString<MoneyPartsFragment, unknown>;
export const ProductCardFragmentDoc = new TypedDocumentString(`
    fragment ProductCard on Product {
  id
  sku
  name
  description
  price {
    ...MoneyParts
  }
  availableStock
  totalStock
  saleStatus
  saleStartsAt
  saleEndsAt
  maxPerCustomer
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}`, {"fragmentName":"ProductCard"}) as unknown as TypedDocumentString<ProductCardFragment, unknown>;
export const HoldStubFragmentDoc = new TypedDocumentString(`
    fragment HoldStub on Hold {
  id
  product {
    id
    name
    sku
  }
  quantity
  unitPrice {
    ...MoneyParts
  }
  total {
    ...MoneyParts
  }
  status
  createdAt
  expiresAt
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}`, {"fragmentName":"HoldStub"}) as unknown as TypedDocumentString<HoldStubFragment, unknown>;
export const OrderCardFragmentDoc = new TypedDocumentString(`
    fragment OrderCard on Order {
  id
  status
  lines {
    quantity
    unitPrice {
      ...MoneyParts
    }
    product {
      id
      name
      sku
    }
  }
  total {
    ...MoneyParts
  }
  createdAt
  paymentDueAt
  paidAt
  cancelledAt
  cancelledBy
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}`, {"fragmentName":"OrderCard"}) as unknown as TypedDocumentString<OrderCardFragment, unknown>;
export const RefusalFragmentDoc = new TypedDocumentString(`
    fragment Refusal on UserError {
  code
  message
  field
  retryAfterMs
  stockReturnsAt
}
    `, {"fragmentName":"Refusal"}) as unknown as TypedDocumentString<RefusalFragment, unknown>;
export const HoldDocument = new TypedDocumentString(`
    query Hold($id: ID!) {
  hold(id: $id) {
    ...HoldStub
    order {
      ...OrderCard
    }
  }
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}
fragment HoldStub on Hold {
  id
  product {
    id
    name
    sku
  }
  quantity
  unitPrice {
    ...MoneyParts
  }
  total {
    ...MoneyParts
  }
  status
  createdAt
  expiresAt
}
fragment OrderCard on Order {
  id
  status
  lines {
    quantity
    unitPrice {
      ...MoneyParts
    }
    product {
      id
      name
      sku
    }
  }
  total {
    ...MoneyParts
  }
  createdAt
  paymentDueAt
  paidAt
  cancelledAt
  cancelledBy
}`, {"hash":"sha256:ba8c8ad22b96a42feb149be6f69f2ce59601d420434f5aafd9ad6853c2706407"}) as unknown as TypedDocumentString<HoldQuery, HoldQueryVariables>;
export const CreateHoldDocument = new TypedDocumentString(`
    mutation CreateHold($input: CreateHoldInput!) {
  createHold(input: $input) {
    hold {
      ...HoldStub
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}
fragment HoldStub on Hold {
  id
  product {
    id
    name
    sku
  }
  quantity
  unitPrice {
    ...MoneyParts
  }
  total {
    ...MoneyParts
  }
  status
  createdAt
  expiresAt
}
fragment Refusal on UserError {
  code
  message
  field
  retryAfterMs
  stockReturnsAt
}`, {"hash":"sha256:7d326396ad34d592b7db66dd226bd71743b17a8b48e3eb64944fc33be391525d"}) as unknown as TypedDocumentString<CreateHoldMutation, CreateHoldMutationVariables>;
export const ReleaseHoldDocument = new TypedDocumentString(`
    mutation ReleaseHold($input: ReleaseHoldInput!) {
  releaseHold(input: $input) {
    hold {
      ...HoldStub
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}
fragment HoldStub on Hold {
  id
  product {
    id
    name
    sku
  }
  quantity
  unitPrice {
    ...MoneyParts
  }
  total {
    ...MoneyParts
  }
  status
  createdAt
  expiresAt
}
fragment Refusal on UserError {
  code
  message
  field
  retryAfterMs
  stockReturnsAt
}`, {"hash":"sha256:487ce0e44b121e6729f103764981fb9a8bf89e8a5913760b188902428b17d7f6"}) as unknown as TypedDocumentString<ReleaseHoldMutation, ReleaseHoldMutationVariables>;
export const OrderDocument = new TypedDocumentString(`
    query Order($id: ID!) {
  order(id: $id) {
    ...OrderCard
  }
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}
fragment OrderCard on Order {
  id
  status
  lines {
    quantity
    unitPrice {
      ...MoneyParts
    }
    product {
      id
      name
      sku
    }
  }
  total {
    ...MoneyParts
  }
  createdAt
  paymentDueAt
  paidAt
  cancelledAt
  cancelledBy
}`, {"hash":"sha256:32b3d6e3e88696df2bcf06b469e4314ff7f739acc33ff815ea7ed1483a04d2fe"}) as unknown as TypedDocumentString<OrderQuery, OrderQueryVariables>;
export const OrdersDocument = new TypedDocumentString(`
    query Orders($first: Int! = 20, $after: String) {
  orders(first: $first, after: $after) {
    edges {
      node {
        ...OrderCard
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}
fragment OrderCard on Order {
  id
  status
  lines {
    quantity
    unitPrice {
      ...MoneyParts
    }
    product {
      id
      name
      sku
    }
  }
  total {
    ...MoneyParts
  }
  createdAt
  paymentDueAt
  paidAt
  cancelledAt
  cancelledBy
}`, {"hash":"sha256:8e8ce6464cbc68411fc5024f688ae5859af5d6cd2490cf5c517ab8b63d279f58"}) as unknown as TypedDocumentString<OrdersQuery, OrdersQueryVariables>;
export const CreateOrderDocument = new TypedDocumentString(`
    mutation CreateOrder($input: CreateOrderInput!) {
  createOrder(input: $input) {
    order {
      ...OrderCard
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}
fragment OrderCard on Order {
  id
  status
  lines {
    quantity
    unitPrice {
      ...MoneyParts
    }
    product {
      id
      name
      sku
    }
  }
  total {
    ...MoneyParts
  }
  createdAt
  paymentDueAt
  paidAt
  cancelledAt
  cancelledBy
}
fragment Refusal on UserError {
  code
  message
  field
  retryAfterMs
  stockReturnsAt
}`, {"hash":"sha256:26c51187bf8e51bdadfc97143d661807dcd55d209ade0ca3c17d963ec013928d"}) as unknown as TypedDocumentString<CreateOrderMutation, CreateOrderMutationVariables>;
export const CancelOrderDocument = new TypedDocumentString(`
    mutation CancelOrder($input: CancelOrderInput!) {
  cancelOrder(input: $input) {
    order {
      ...OrderCard
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}
fragment OrderCard on Order {
  id
  status
  lines {
    quantity
    unitPrice {
      ...MoneyParts
    }
    product {
      id
      name
      sku
    }
  }
  total {
    ...MoneyParts
  }
  createdAt
  paymentDueAt
  paidAt
  cancelledAt
  cancelledBy
}
fragment Refusal on UserError {
  code
  message
  field
  retryAfterMs
  stockReturnsAt
}`, {"hash":"sha256:5cbf527d2c07118f7837effcce4e2510fb6168eb17bed85e8b3bf1d20f44229a"}) as unknown as TypedDocumentString<CancelOrderMutation, CancelOrderMutationVariables>;
export const ProductsDocument = new TypedDocumentString(`
    query Products($first: Int! = 50, $after: String) {
  serverTime
  products(first: $first, after: $after) {
    edges {
      node {
        ...ProductCard
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
    fragment MoneyParts on Money {
  amountMinor
  currency
  digits
}
fragment ProductCard on Product {
  id
  sku
  name
  description
  price {
    ...MoneyParts
  }
  availableStock
  totalStock
  saleStatus
  saleStartsAt
  saleEndsAt
  maxPerCustomer
}`, {"hash":"sha256:682ae8a139f013a66d015276f1b180b98a68fb8574208577fe2a3fcbd4dbc825"}) as unknown as TypedDocumentString<ProductsQuery, ProductsQueryVariables>;
export const ServerTimeDocument = new TypedDocumentString(`
    query ServerTime {
  serverTime
}
    `, {"hash":"sha256:90f2fb46f365593b0f22e6adbf2a703997ba094bbcf6b036b6f75f3f93610992"}) as unknown as TypedDocumentString<ServerTimeQuery, ServerTimeQueryVariables>;
export const StockChangedDocument = new TypedDocumentString(`
    subscription StockChanged($productIds: [ID!]!) {
  stockChanged(productIds: $productIds) {
    product {
      id
      totalStock
    }
    availableStock
    saleStatus
    at
  }
}
    `, {"hash":"sha256:ac4e8619477725f79f43db8f6a1a1356f437fa933a613f1df22f6944266b8ded"}) as unknown as TypedDocumentString<StockChangedSubscription, StockChangedSubscriptionVariables>;