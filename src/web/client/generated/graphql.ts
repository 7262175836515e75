/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
export type CancelOrderInput = {
  orderId: string | number;
};

export type CreateHoldInput = {
  /** Your own name of this one intent, 1 to 255 characters; a UUID is best. Repeat a request with the same key, and it has one effect. */
  idempotencyKey?: string | null | undefined;
  productId: string | number;
  quantity?: number;
};

export type CreateOrderInput = {
  /** 1 to 50 holds, all or nothing. A single id is a list of one. */
  holdIds: Array<string | number>;
  /** Your own name of this one intent, 1 to 255 characters; a UUID is best. Repeat a request with the same key, and it has one effect. */
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

/** A hold closes once: the last three are final. */
export type HoldStatus =
  | 'ACTIVE'
  | 'CONSUMED'
  | 'EXPIRED'
  | 'RELEASED';

/** REFUND_DUE: money came, and no units could be had for it. An operator has to give it back. */
export type OrderStatus =
  | 'CANCELLED'
  | 'PAID'
  | 'PENDING_PAYMENT'
  | 'REFUNDED'
  | 'REFUND_DUE';

export type ReleaseHoldInput = {
  holdId: string | number;
};

/** FULLY_HELD: nothing is available now, but held or unpaid units may come back. */
export type SaleStatus =
  | 'ENDED'
  | 'FULLY_HELD'
  | 'ON_SALE'
  | 'SOLD_OUT'
  | 'UPCOMING';

export type MoneyPartsFragment = { amountMinor: number, currency: string };

export type ProductCardFragment = { id: string, sku: string, name: string, description: string | null, availableStock: number, totalStock: number, saleStatus: SaleStatus, saleStartsAt: string | null, saleEndsAt: string | null, maxPerCustomer: number | null, price: { amountMinor: number, currency: string } };

export type HoldStubFragment = { id: string, quantity: number, status: HoldStatus, createdAt: string, expiresAt: string, product: { id: string, name: string, sku: string }, unitPrice: { amountMinor: number, currency: string }, total: { amountMinor: number, currency: string } };

export type OrderCardFragment = { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string } };

export type RefusalFragment = { code: ErrorCode, message: string, field: Array<string> | null, retryAfterMs: number | null, stockReturnsAt: string | null };

export type HoldQueryVariables = Exact<{
  id: string | number;
}>;


export type HoldQuery = { hold: { id: string, quantity: number, status: HoldStatus, createdAt: string, expiresAt: string, order: { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string } } | null, product: { id: string, name: string, sku: string }, unitPrice: { amountMinor: number, currency: string }, total: { amountMinor: number, currency: string } } | null };

export type CreateHoldMutationVariables = Exact<{
  input: CreateHoldInput;
}>;


export type CreateHoldMutation = { createHold: { hold: { id: string, quantity: number, status: HoldStatus, createdAt: string, expiresAt: string, product: { id: string, name: string, sku: string }, unitPrice: { amountMinor: number, currency: string }, total: { amountMinor: number, currency: string } } | null, userErrors: Array<{ code: ErrorCode, message: string, field: Array<string> | null, retryAfterMs: number | null, stockReturnsAt: string | null }> } };

export type ReleaseHoldMutationVariables = Exact<{
  input: ReleaseHoldInput;
}>;


export type ReleaseHoldMutation = { releaseHold: { hold: { id: string, quantity: number, status: HoldStatus, createdAt: string, expiresAt: string, product: { id: string, name: string, sku: string }, unitPrice: { amountMinor: number, currency: string }, total: { amountMinor: number, currency: string } } | null, userErrors: Array<{ code: ErrorCode, message: string, field: Array<string> | null, retryAfterMs: number | null, stockReturnsAt: string | null }> } };

export type OrderQueryVariables = Exact<{
  id: string | number;
}>;


export type OrderQuery = { order: { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string } } | null };

export type OrdersQueryVariables = Exact<{
  first?: number;
  after?: string | null | undefined;
}>;


export type OrdersQuery = { orders: { edges: Array<{ node: { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string } } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type CreateOrderMutationVariables = Exact<{
  input: CreateOrderInput;
}>;


export type CreateOrderMutation = { createOrder: { order: { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string } } | null, userErrors: Array<{ code: ErrorCode, message: string, field: Array<string> | null, retryAfterMs: number | null, stockReturnsAt: string | null }> } };

export type CancelOrderMutationVariables = Exact<{
  input: CancelOrderInput;
}>;


export type CancelOrderMutation = { cancelOrder: { order: { id: string, status: OrderStatus, createdAt: string, paymentDueAt: string, paidAt: string | null, cancelledAt: string | null, lines: Array<{ quantity: number, unitPrice: { amountMinor: number, currency: string }, product: { id: string, name: string, sku: string } }>, total: { amountMinor: number, currency: string } } | null, userErrors: Array<{ code: ErrorCode, message: string, field: Array<string> | null, retryAfterMs: number | null, stockReturnsAt: string | null }> } };

export type ProductsQueryVariables = Exact<{
  first?: number;
  after?: string | null | undefined;
}>;


export type ProductsQuery = { serverTime: string, products: { edges: Array<{ node: { id: string, sku: string, name: string, description: string | null, availableStock: number, totalStock: number, saleStatus: SaleStatus, saleStartsAt: string | null, saleEndsAt: string | null, maxPerCustomer: number | null, price: { amountMinor: number, currency: string } } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

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
}
    fragment MoneyParts on Money {
  amountMinor
  currency
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
}`, {"hash":"sha256:d642f76ef845de0ac12d5205204dcc414bd222f180eb38733d369ee19ef692c4"}) as unknown as TypedDocumentString<HoldQuery, HoldQueryVariables>;
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
}`, {"hash":"sha256:600e936136f05ea921fe16647b534e3f89c436d51b9c709d2b1fe48950dd9929"}) as unknown as TypedDocumentString<CreateHoldMutation, CreateHoldMutationVariables>;
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
}`, {"hash":"sha256:277e2e59e1c76b647fd1ca06fab2e16921881c43f8ab02e375538eee92dc5b65"}) as unknown as TypedDocumentString<ReleaseHoldMutation, ReleaseHoldMutationVariables>;
export const OrderDocument = new TypedDocumentString(`
    query Order($id: ID!) {
  order(id: $id) {
    ...OrderCard
  }
}
    fragment MoneyParts on Money {
  amountMinor
  currency
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
}`, {"hash":"sha256:759b4b442a1d33ea3bf72413e3490eba05c5a865eedc2f49058f4dc7f4a85722"}) as unknown as TypedDocumentString<OrderQuery, OrderQueryVariables>;
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
}`, {"hash":"sha256:0c760e26586c6ce0a940b2538a055ff79a12a753dd837877f21fcb83d1edeede"}) as unknown as TypedDocumentString<OrdersQuery, OrdersQueryVariables>;
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
}
fragment Refusal on UserError {
  code
  message
  field
  retryAfterMs
  stockReturnsAt
}`, {"hash":"sha256:67f14eeca5f1cd0411a3b70423bf807a844ce75f394b9f1d775c5c526a1bbb42"}) as unknown as TypedDocumentString<CreateOrderMutation, CreateOrderMutationVariables>;
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
}
fragment Refusal on UserError {
  code
  message
  field
  retryAfterMs
  stockReturnsAt
}`, {"hash":"sha256:cd0b8ea2b2e9198d496573303c878132380bbad7d5fe55a4f5a0857d395a1a34"}) as unknown as TypedDocumentString<CancelOrderMutation, CancelOrderMutationVariables>;
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
}`, {"hash":"sha256:26cd5e51718ddbed1bd8de5e29977e7a928e5d5f702c9e3834a188705b3f3bda"}) as unknown as TypedDocumentString<ProductsQuery, ProductsQueryVariables>;
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