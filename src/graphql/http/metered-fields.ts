/** Counts, times and traces the answers of every root field: queries, mutations and subscriptions, on every transport. */
import { GraphQLError, type GraphQLFieldResolver, type GraphQLSchema } from 'graphql';
import { labelOfFailure } from '../../checkout/outcomes';
import { traced } from '../../telemetry/tracing';
import type { Context } from './context';

/**
 * Wraps the schema's root fields in place, without changing or delaying their answers. The counted result is OK, the code of the
 * first refusal, or the code of the error that the resolver threw.
 */
export function meterRootFields(schema: GraphQLSchema): GraphQLSchema {
  for (const type of [schema.getQueryType(), schema.getMutationType()]) {
    for (const field of Object.values(type?.getFields() ?? {})) {
      field.resolve = metered(field.name, `${type!.name.toLowerCase()} ${field.name}`, field.resolve!);
    }
  }
  for (const field of Object.values(schema.getSubscriptionType()?.getFields() ?? {})) {
    field.subscribe = metered(field.name, `subscription ${field.name}`, field.subscribe!);
  }
  return schema;
}

type Resolver = GraphQLFieldResolver<unknown, Context>;

function metered(name: string, spanName: string, resolve: Resolver): Resolver {
  return (source, args, context, info) => {
    const askedAt = performance.now();
    const count = (result: string) =>
      context.services.metrics.operation(name, result, (performance.now() - askedAt) / 1_000);
    const onError = (error: unknown) => count(codeOf(error));
    try {
      const answer = traced(spanName, () => resolve(source, args, context, info) as unknown, { resultOf });
      if (isPromise(answer)) answer.then((value) => count(resultOf(value)), onError);
      else count(resultOf(answer));
      return answer;
    } catch (error) {
      onError(error);
      throw error;
    }
  };
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as Promise<unknown> | null | undefined)?.then === 'function';
}

/** A payload contains userErrors whether or not the document selects them. */
function resultOf(answer: unknown): string {
  const { userErrors } = (answer ?? {}) as { userErrors?: readonly { code: string }[] };
  return userErrors?.[0]?.code ?? 'OK';
}

function codeOf(error: unknown): string {
  return error instanceof GraphQLError ? String(error.extensions.code ?? 'BAD_USER_INPUT') : labelOfFailure(error);
}
