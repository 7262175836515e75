/** The executable schema, built from the types and resolvers of this room; `schema/schema.graphql` is printed from it. */
import 'reflect-metadata';
import { GraphQLSchema, lexicographicSortSchema, printSchema } from 'graphql';
import { buildSchemaSync } from 'type-graphql';
import type { Config } from '../config';
import { HoldResolver } from './resolvers/holds';
import { OrderLineResolver, OrderResolver } from './resolvers/orders';
import { PaymentEventResolver } from './resolvers/payment-events';
import { ProductResolver, StockReportResolver } from './resolvers/products';
import { StockLevelResolver } from './resolvers/stock-levels';

/** type-graphql wants one as soon as there is a subscription; ours has a source of its own, and no topics. */
const NO_TOPICS = {
  publish: () => undefined,
  subscribe: (): never => {
    throw new Error('subscriptions here have no topics');
  },
};

let schema: GraphQLSchema | undefined;

/** Built once a process. */
export function checkoutSchema(): GraphQLSchema {
  schema ??= buildSchemaSync({
    resolvers: [
      ProductResolver,
      StockReportResolver,
      HoldResolver,
      OrderResolver,
      OrderLineResolver,
      PaymentEventResolver,
      StockLevelResolver,
    ],
    validate: false,
    pubSub: NO_TOPICS,
  });
  return schema;
}

/** The schema's text as it is committed: sorted, so that a diff shows what changed and nothing else. */
export function printedSchema(): string {
  return `# Printed from src/graphql by \`npm run schema:emit\`. Do not edit.\n\n${printSchema(lexicographicSortSchema(checkoutSchema()))}\n`;
}

/** What a server with these settings executes. */
export function schemaFor(_config: Config): GraphQLSchema {
  return checkoutSchema();
}
