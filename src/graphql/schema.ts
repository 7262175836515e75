/** The executable schema, built from the types and resolvers of this room; `schema/schema.graphql` is printed from it. */
import 'reflect-metadata';
import { GraphQLSchema, lexicographicSortSchema, printSchema } from 'graphql';
import { buildSchemaSync } from 'type-graphql';
import { HoldResolver } from './resolvers/holds';
import { OrderLineResolver, OrderResolver } from './resolvers/orders';
import { PaymentEventResolver } from './resolvers/payment-events';
import { ProductResolver, StockReportResolver } from './resolvers/products';

let schema: GraphQLSchema | undefined;

/**
 * Built once a process, at the first call. That one alone may bring resolvers of its own (the benchmark's no-op); what the
 * server itself builds has none but ours.
 */
export function checkoutSchema(...more: readonly Function[]): GraphQLSchema {
  if (schema && more.length > 0) throw new Error('The schema is built already: nothing can be added to it');
  schema ??= buildSchemaSync({
    resolvers: [
      ProductResolver,
      StockReportResolver,
      HoldResolver,
      OrderResolver,
      OrderLineResolver,
      PaymentEventResolver,
      ...more,
    ],
    validate: false,
  });
  return schema;
}

/** The schema's text as it is committed: sorted, so that a diff shows what changed and nothing else. */
export function printedSchema(): string {
  return `# Printed from src/graphql by \`npm run schema:emit\`. Do not edit.\n\n${printSchema(lexicographicSortSchema(checkoutSchema()))}\n`;
}
