/** The executable schemas, built from the types and resolvers of this room; `schema/` is printed from them. */
import 'reflect-metadata';
import { GraphQLObjectType, GraphQLSchema, lexicographicSortSchema, printSchema, printType } from 'graphql';
import { buildSchemaSync, type NonEmptyArray } from 'type-graphql';
import type { Config } from '../config';
import { meterRootFields } from './http/metered-fields';
import { DevelopmentResolver } from './resolvers/development';
import { HoldResolver } from './resolvers/holds';
import { OperatorResolver, TimelineResolver } from './resolvers/operators';
import { OrderLineResolver, OrderResolver } from './resolvers/orders';
import { PaymentEventResolver } from './resolvers/payment-events';
import { ProductResolver, StockReportResolver } from './resolvers/products';
import { StockLevelResolver } from './resolvers/stock-changed';

/** type-graphql wants one as soon as there is a subscription; ours has a source of its own, and no topics. */
const NO_TOPICS = {
  publish: () => undefined,
  subscribe: (): never => {
    throw new Error('subscriptions here have no topics');
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

let added: readonly Function[] = [];
let production: GraphQLSchema | undefined;
let development: GraphQLSchema | undefined;

/**
 * The public contract. Built once a process, at the first call. That one alone may bring resolvers of its own (the
 * benchmark's no-op); what the server itself builds has none but ours.
 */
export function checkoutSchema(...more: readonly Function[]): GraphQLSchema {
  if (production && more.length > 0) throw new Error('The schema is built already: nothing can be added to it');
  if (more.length > 0) added = more;
  return (production ??= buildSchema([...PRODUCTION_RESOLVERS, ...added]));
}

/** The public contract, and what helps to try it out. */
export function developmentSchema(): GraphQLSchema {
  return (development ??= buildSchema([...PRODUCTION_RESOLVERS, DevelopmentResolver, ...added]));
}

/** What a server with these settings executes. */
export function schemaFor({ environment }: Pick<Config, 'environment'>): GraphQLSchema {
  return environment === 'production' ? checkoutSchema() : developmentSchema();
}

function buildSchema(resolvers: NonEmptyArray<Function>): GraphQLSchema {
  return meterRootFields(buildSchemaSync({ resolvers, validate: false, pubSub: NO_TOPICS }));
}

const PRINTED_FROM = '# Printed from src/graphql by `npm run schema:emit`. Do not edit.\n';

/** The schema's text as it is committed: sorted, so that a diff shows what changed and nothing else. */
export function printedSchema(): string {
  return `${PRINTED_FROM}\n${printSchema(lexicographicSortSchema(checkoutSchema()))}\n`;
}

/** What development adds to it, as an extension. */
export function printedDevelopmentSchema(): string {
  const schema = lexicographicSortSchema(developmentSchema());
  const mutations = Object.entries(schema.getMutationType()!.toConfig().fields);
  const added = mutations.filter(([name]) => !checkoutSchema().getMutationType()!.getFields()[name]);
  const types = Object.values(schema.getTypeMap()).filter(({ name }) => !checkoutSchema().getType(name));
  const extension = new GraphQLObjectType({ name: 'Mutation', fields: Object.fromEntries(added) });
  return [
    `${PRINTED_FROM}# Where NODE_ENV is not production, the schema has this, too.`,
    `extend ${printType(extension)}`,
    ...types.map(printType),
    '',
  ].join('\n\n');
}
