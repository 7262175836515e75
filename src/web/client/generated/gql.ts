/* eslint-disable */
import * as types from './graphql';



/**
 * Map of all GraphQL operations in the project.
 *
 * This map has several performance disadvantages:
 * 1. It is not tree-shakeable, so it will include all operations in the project.
 * 2. It is not minifiable, so the string of a GraphQL query will be multiple times inside the bundle.
 * 3. It does not support dead code elimination, so it will add unused operations.
 *
 * Therefore it is highly recommended to use the babel or swc plugin for production.
 * Learn more about it here: https://the-guild.dev/graphql/codegen/plugins/presets/preset-client#reducing-bundle-size
 */
type Documents = {
    "fragment MoneyParts on Money {\n  amountMinor\n  currency\n  digits\n}\n\nfragment ProductCard on Product {\n  id\n  sku\n  name\n  description\n  price {\n    ...MoneyParts\n  }\n  availableStock\n  totalStock\n  saleStatus\n  saleStartsAt\n  saleEndsAt\n  maxPerCustomer\n}\n\nfragment HoldStub on Hold {\n  id\n  product {\n    id\n    name\n    sku\n  }\n  quantity\n  unitPrice {\n    ...MoneyParts\n  }\n  total {\n    ...MoneyParts\n  }\n  status\n  createdAt\n  expiresAt\n}\n\nfragment OrderCard on Order {\n  id\n  status\n  lines {\n    quantity\n    unitPrice {\n      ...MoneyParts\n    }\n    product {\n      id\n      name\n      sku\n    }\n  }\n  total {\n    ...MoneyParts\n  }\n  createdAt\n  paymentDueAt\n  paidAt\n  cancelledAt\n  cancelledBy\n}\n\nfragment Refusal on UserError {\n  code\n  message\n  field\n  retryAfterMs\n  stockReturnsAt\n}": typeof types.MoneyPartsFragmentDoc,
    "query Hold($id: ID!) {\n  hold(id: $id) {\n    ...HoldStub\n    order {\n      ...OrderCard\n    }\n  }\n}\n\nmutation CreateHold($input: CreateHoldInput!) {\n  createHold(input: $input) {\n    hold {\n      ...HoldStub\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}\n\nmutation ReleaseHold($input: ReleaseHoldInput!) {\n  releaseHold(input: $input) {\n    hold {\n      ...HoldStub\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}": typeof types.HoldDocument,
    "query Order($id: ID!) {\n  order(id: $id) {\n    ...OrderCard\n  }\n}\n\nquery Orders($first: Int! = 20, $after: String) {\n  orders(first: $first, after: $after) {\n    edges {\n      node {\n        ...OrderCard\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n}\n\nmutation CreateOrder($input: CreateOrderInput!) {\n  createOrder(input: $input) {\n    order {\n      ...OrderCard\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}\n\nmutation CancelOrder($input: CancelOrderInput!) {\n  cancelOrder(input: $input) {\n    order {\n      ...OrderCard\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}": typeof types.OrderDocument,
    "query Products($first: Int! = 50, $after: String) {\n  serverTime\n  products(first: $first, after: $after) {\n    edges {\n      node {\n        ...ProductCard\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n}": typeof types.ProductsDocument,
    "query ServerTime {\n  serverTime\n}": typeof types.ServerTimeDocument,
    "subscription StockChanged($productIds: [ID!]!) {\n  stockChanged(productIds: $productIds) {\n    product {\n      id\n      totalStock\n    }\n    availableStock\n    saleStatus\n    at\n  }\n}": typeof types.StockChangedDocument,
};
const documents: Documents = {
    "fragment MoneyParts on Money {\n  amountMinor\n  currency\n  digits\n}\n\nfragment ProductCard on Product {\n  id\n  sku\n  name\n  description\n  price {\n    ...MoneyParts\n  }\n  availableStock\n  totalStock\n  saleStatus\n  saleStartsAt\n  saleEndsAt\n  maxPerCustomer\n}\n\nfragment HoldStub on Hold {\n  id\n  product {\n    id\n    name\n    sku\n  }\n  quantity\n  unitPrice {\n    ...MoneyParts\n  }\n  total {\n    ...MoneyParts\n  }\n  status\n  createdAt\n  expiresAt\n}\n\nfragment OrderCard on Order {\n  id\n  status\n  lines {\n    quantity\n    unitPrice {\n      ...MoneyParts\n    }\n    product {\n      id\n      name\n      sku\n    }\n  }\n  total {\n    ...MoneyParts\n  }\n  createdAt\n  paymentDueAt\n  paidAt\n  cancelledAt\n  cancelledBy\n}\n\nfragment Refusal on UserError {\n  code\n  message\n  field\n  retryAfterMs\n  stockReturnsAt\n}": types.MoneyPartsFragmentDoc,
    "query Hold($id: ID!) {\n  hold(id: $id) {\n    ...HoldStub\n    order {\n      ...OrderCard\n    }\n  }\n}\n\nmutation CreateHold($input: CreateHoldInput!) {\n  createHold(input: $input) {\n    hold {\n      ...HoldStub\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}\n\nmutation ReleaseHold($input: ReleaseHoldInput!) {\n  releaseHold(input: $input) {\n    hold {\n      ...HoldStub\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}": types.HoldDocument,
    "query Order($id: ID!) {\n  order(id: $id) {\n    ...OrderCard\n  }\n}\n\nquery Orders($first: Int! = 20, $after: String) {\n  orders(first: $first, after: $after) {\n    edges {\n      node {\n        ...OrderCard\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n}\n\nmutation CreateOrder($input: CreateOrderInput!) {\n  createOrder(input: $input) {\n    order {\n      ...OrderCard\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}\n\nmutation CancelOrder($input: CancelOrderInput!) {\n  cancelOrder(input: $input) {\n    order {\n      ...OrderCard\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}": types.OrderDocument,
    "query Products($first: Int! = 50, $after: String) {\n  serverTime\n  products(first: $first, after: $after) {\n    edges {\n      node {\n        ...ProductCard\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n}": types.ProductsDocument,
    "query ServerTime {\n  serverTime\n}": types.ServerTimeDocument,
    "subscription StockChanged($productIds: [ID!]!) {\n  stockChanged(productIds: $productIds) {\n    product {\n      id\n      totalStock\n    }\n    availableStock\n    saleStatus\n    at\n  }\n}": types.StockChangedDocument,
};

/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "fragment MoneyParts on Money {\n  amountMinor\n  currency\n  digits\n}\n\nfragment ProductCard on Product {\n  id\n  sku\n  name\n  description\n  price {\n    ...MoneyParts\n  }\n  availableStock\n  totalStock\n  saleStatus\n  saleStartsAt\n  saleEndsAt\n  maxPerCustomer\n}\n\nfragment HoldStub on Hold {\n  id\n  product {\n    id\n    name\n    sku\n  }\n  quantity\n  unitPrice {\n    ...MoneyParts\n  }\n  total {\n    ...MoneyParts\n  }\n  status\n  createdAt\n  expiresAt\n}\n\nfragment OrderCard on Order {\n  id\n  status\n  lines {\n    quantity\n    unitPrice {\n      ...MoneyParts\n    }\n    product {\n      id\n      name\n      sku\n    }\n  }\n  total {\n    ...MoneyParts\n  }\n  createdAt\n  paymentDueAt\n  paidAt\n  cancelledAt\n  cancelledBy\n}\n\nfragment Refusal on UserError {\n  code\n  message\n  field\n  retryAfterMs\n  stockReturnsAt\n}"): typeof import('./graphql').MoneyPartsFragmentDoc;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "query Hold($id: ID!) {\n  hold(id: $id) {\n    ...HoldStub\n    order {\n      ...OrderCard\n    }\n  }\n}\n\nmutation CreateHold($input: CreateHoldInput!) {\n  createHold(input: $input) {\n    hold {\n      ...HoldStub\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}\n\nmutation ReleaseHold($input: ReleaseHoldInput!) {\n  releaseHold(input: $input) {\n    hold {\n      ...HoldStub\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}"): typeof import('./graphql').HoldDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "query Order($id: ID!) {\n  order(id: $id) {\n    ...OrderCard\n  }\n}\n\nquery Orders($first: Int! = 20, $after: String) {\n  orders(first: $first, after: $after) {\n    edges {\n      node {\n        ...OrderCard\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n}\n\nmutation CreateOrder($input: CreateOrderInput!) {\n  createOrder(input: $input) {\n    order {\n      ...OrderCard\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}\n\nmutation CancelOrder($input: CancelOrderInput!) {\n  cancelOrder(input: $input) {\n    order {\n      ...OrderCard\n    }\n    userErrors {\n      ...Refusal\n    }\n  }\n}"): typeof import('./graphql').OrderDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "query Products($first: Int! = 50, $after: String) {\n  serverTime\n  products(first: $first, after: $after) {\n    edges {\n      node {\n        ...ProductCard\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n}"): typeof import('./graphql').ProductsDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "query ServerTime {\n  serverTime\n}"): typeof import('./graphql').ServerTimeDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "subscription StockChanged($productIds: [ID!]!) {\n  stockChanged(productIds: $productIds) {\n    product {\n      id\n      totalStock\n    }\n    availableStock\n    saleStatus\n    at\n  }\n}"): typeof import('./graphql').StockChangedDocument;


export function graphql(source: string) {
  return (documents as any)[source] ?? {};
}
