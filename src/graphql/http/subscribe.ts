/** Starts a subscription: admits it, and shares the result of each event among all who asked the same. */
import { randomUUID } from 'node:crypto';
import { createSourceEventStream, execute, GraphQLError, type ExecutionArgs } from 'graphql';
import type { SubscribePayload } from 'graphql-ws';
import { workOf } from '../../admission/operation';
import { bytesOf, MAX_EVENT_BYTES, tooLarge } from '../documents/budget';
import { pricesOf } from '../documents/cost';
import type { Subscription } from '../documents/guard';
import { sharedResults } from '../live/shared-results';
import { Context } from './context';
import { formatErrors } from './errors';
import { admit } from './receive';
import { anonymous } from './tokens';

/** Answers with an iterator over formatted results as `rootValue`, or with the errors that refuse the subscription. */
export async function subscribe(
  context: Context,
  { document, operation, errors }: Subscription,
  { query, operationName = null, variables }: Pick<SubscribePayload, 'query' | 'operationName' | 'variables'>,
): Promise<ExecutionArgs | { readonly errors: readonly GraphQLError[] }> {
  if (errors.length > 0) return { errors };
  const { services, client } = context;
  const variableValues = variables ?? {};
  const { schema, mask } = services;
  await admit(context, workOf(document, operation), pricesOf(schema, document, operation), variableValues);
  const args = { schema, document, operationName, variableValues };
  const source = await createSourceEventStream({ ...args, contextValue: context });
  if ('errors' in source) return { errors: (source.errors ?? []).map(orBadInput) };
  // A stock level is the same for every caller, so each event is executed once, as an anonymous caller.
  const show = async (level: object) => {
    const requestId = randomUUID();
    const contextValue = new Context(services, requestId, anonymous, client);
    const result = await execute({ ...args, contextValue, rootValue: level });
    if (bytesOf(result, MAX_EVENT_BYTES) > MAX_EVENT_BYTES) throw tooLarge(MAX_EVENT_BYTES);
    return result.errors ? { ...result, errors: formatErrors(result.errors, mask, requestId) } : result;
  };
  const key = JSON.stringify([query, operationName, variables]);
  const levels = (source as AsyncIterable<object>)[Symbol.asyncIterator]();
  return { ...args, rootValue: sharedResults(levels, key, show) };
}

/** graphql gives no code to variables that do not fit; a resolver's error has a path. */
function orBadInput(error: GraphQLError): GraphQLError {
  if (error.path) return error;
  return new GraphQLError(error.message, { nodes: error.nodes, extensions: { code: 'BAD_USER_INPUT' } });
}
