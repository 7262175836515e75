/** Builds the executable schemas from the types and resolvers of this folder, and prints `schema/` from them. */
import 'reflect-metadata';
import { GraphQLObjectType, GraphQLSchema, lexicographicSortSchema, printSchema, printType } from 'graphql';
import { buildSchemaSync, type NonEmptyArray } from 'type-graphql';
import type { Config } from '../config';
import { meterRootFields } from './http/metered-fields';
import { DevelopmentResolver } from './development/resolver';
import { HoldResolver } from './holds/resolver';
import { OperatorResolver, StockReportResolver, TimelineResolver } from './operators/resolver';
import { OrderLineResolver, OrderResolver } from './orders/resolver';
import { PaymentEventResolver } from './payment-events/resolver';
import { ProductResolver } from './products/resolver';
import { StockLevelResolver } from './products/stock-changed';

/** type-graphql demands a PubSub for subscriptions. `stockChanged` has its own source of events and publishes none. */
const NO_TOPICS = {
  publish: () => undefined,
  subscribe: (): never => {
    throw new Error('stockChanged does not use topics');
  },
};

const PRODUCTION_RESOLVERS: NonEmptyArray<Function> = [
  ProductResolver,
  StockReportResolver,
  StockLevelResolver,
  HoldResolver,
  OrderResolver,
  OrderLineResolver,
  PaymentEventResolver,
  OperatorResolver,
  TimelineResolver,
];

/** The public contract. `more`: resolvers that only the benchmark's server has. */
export function checkoutSchema(...more: readonly Function[]): GraphQLSchema {
  return buildSchema([...PRODUCTION_RESOLVERS, ...more]);
}

/** The public contract, and what helps to try it out. */
export function developmentSchema(): GraphQLSchema {
  return buildSchema([...PRODUCTION_RESOLVERS, DevelopmentResolver]);
}

/** What a server with these settings executes. */
export function schemaFor({ environment }: Pick<Config, 'environment'>): GraphQLSchema {
  return environment === 'production' ? checkoutSchema() : developmentSchema();
}

function buildSchema(resolvers: NonEmptyArray<Function>): GraphQLSchema {
  return meterRootFields(buildSchemaSync({ resolvers, validate: false, pubSub: NO_TOPICS }));
}

const PRINTED_FROM = '# Printed from src/graphql by `npm run schema:emit`. Do not edit.\n';

/** The text of schema/schema.graphql: sorted, so that a diff shows only what changed. */
export function printedSchema(): string {
  return `${PRINTED_FROM}\n${printSchema(lexicographicSortSchema(checkoutSchema()))}\n`;
}

/** The text of schema/released.graphql, which a release writes. */
export function printedReleasedSchema(version: string): string {
  const from = `# The schema of release ${version}, written by \`npm run schema:emit -- --release\`. Do not edit.\n`;
  return printedSchema().replace(PRINTED_FROM, from);
}

/** What the development schema adds, as an extension. */
export function printedDevelopmentSchema(): string {
  const contract = checkoutSchema();
  const schema = lexicographicSortSchema(developmentSchema());
  const mutations = Object.entries(schema.getMutationType()!.toConfig().fields);
  const added = mutations.filter(([name]) => !contract.getMutationType()!.getFields()[name]);
  const types = Object.values(schema.getTypeMap()).filter(({ name }) => !contract.getType(name));
  const extension = new GraphQLObjectType({ name: 'Mutation', fields: Object.fromEntries(added) });
  return [
    `${PRINTED_FROM}# The schema has this in addition where NODE_ENV is not production.`,
    `extend ${printType(extension)}`,
    ...types.map(printType),
    '',
  ].join('\n\n');
}
