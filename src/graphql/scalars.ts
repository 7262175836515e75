/** The contract's scalars. The integers are strict: those of graphql-scalars read 1.5 as 1 and "7" as 7. */
import { GraphQLError, GraphQLScalarType, Kind, type GraphQLScalarTypeConfig, type ValueNode } from 'graphql';
import { GraphQLDateTime } from 'graphql-scalars';
import { MAX_INT } from '../domain/input';

/** PostgreSQL has no year 0, and RFC 3339 no year 10000, which `9999-12-31T23:59:59-01:00` is in. */
const inYearsThatExist = (at: Date): Date => {
  if (at.getUTCFullYear() >= 1 && at.getUTCFullYear() <= 9_999) return at;
  throw new GraphQLError('DateTime must be within the years 0001 to 9999');
};

export const DateTime = new GraphQLScalarType<Date>({
  ...(GraphQLDateTime.toConfig() as GraphQLScalarTypeConfig<Date, Date>),
  parseValue: (value) => inYearsThatExist(GraphQLDateTime.parseValue(value)),
  parseLiteral: (node, variables) => inYearsThatExist(GraphQLDateTime.parseLiteral(node, variables) as Date),
});

export const PositiveInt = wholeNumber(
  'PositiveInt',
  'A whole number from 1 to 2147483647: no text, no fraction.',
  1,
  MAX_INT,
);

export const SafeInt = wholeNumber(
  'SafeInt',
  'A whole number within ±(2^53 − 1): no text, no fraction.',
  Number.MIN_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER,
);

function wholeNumber(name: string, description: string, min: number, max: number): GraphQLScalarType<number, number> {
  const check = (value: unknown): number => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    throw new GraphQLError(`${name} must be a whole number from ${min} to ${max}`);
  };
  return new GraphQLScalarType<number, number>({
    name,
    description,
    serialize: check,
    parseValue: check,
    parseLiteral: (node: ValueNode) => check(node.kind === Kind.INT ? Number(node.value) : null),
  });
}
