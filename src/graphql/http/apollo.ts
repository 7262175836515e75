/** Apollo Server: every request that does not take the fast path, under the same admission and budget. */
import { ApolloServer, HeaderMap, type ApolloServerPlugin, type GraphQLRequestListener } from '@apollo/server';
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from '@apollo/server/plugin/disabled';
import { GraphQLError, OperationTypeNode } from 'graphql';
import { workOf } from '../../admission/operation';
import type { Config } from '../../config';
import type { Logger } from '../../telemetry/logger';
import { pricesOf } from '../documents/cost';
import { notTrusted } from '../documents/guard';
import { MAX_TOKENS } from '../documents/limits';
import type { Context, Services } from './context';
import { formattedResult, refusalOf } from './errors';
import { admit, settle } from './receive';

/** The first ones are enough for a person who corrects a document. */
export const MAX_VALIDATION_ERRORS = 20;

export async function openApollo(services: Services, config: Config): Promise<ApolloServer<Context>> {
  const { schema, mask } = services;
  const isProduction = config.environment === 'production';
  // Apollo does not tell `formatError` which request an error belongs to.
  const requestIds = new WeakMap<object, string>();
  const apollo = new ApolloServer<Context>({
    schema,
    nodeEnv: config.environment,
    introspection: !isProduction,
    hideSchemaDetailsFromClientErrors: isProduction,
    includeStacktraceInErrorResponses: false,
    csrfPrevention: true,
    persistedQueries: false,
    allowBatchedHttpRequests: false,
    stopOnTerminationSignals: false,
    parseOptions: { maxTokens: MAX_TOKENS },
    validationOptions: { maxErrors: MAX_VALIDATION_ERRORS },
    documentStore: services.documents.remembered,
    formatError: (formatted, error) => mask(formatted, error, requestIds.get(error as object)),
    logger: quietLogger(services.log),
    plugins: [
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginLandingPageDisabled(),
      ApolloServerPluginUsageReportingDisabled(),
      pipelinePlugin(services, config, requestIds),
    ],
  });
  await apollo.start();
  return apollo;
}

/**
 * Before execution an operation is admitted. Afterwards its answer gets the HTTP status of the code that refused it as a whole,
 * or the error of an exceeded budget. One plugin for all of it: each plugin, and each hook, costs every request a promise.
 */
function pipelinePlugin(
  { schema, documents, mask }: Services,
  { persistedOnly }: Config,
  requestIds: WeakMap<object, string>,
): ApolloServerPlugin<Context> {
  const listener: GraphQLRequestListener<Context> = {
    didResolveOperation: async ({ contextValue, document, operation, request, source }) => {
      if (operation?.operation === OperationTypeNode.SUBSCRIPTION) throw subscribeElsewhere();
      if (persistedOnly && !documents.isTrusted(source)) throw notTrusted();
      // Without an operation Apollo answers that there is no such operation.
      if (!operation) return;
      const prices = pricesOf(schema, document, operation);
      await admit(contextValue, workOf(document, operation), prices, request.variables ?? {});
    },
    responseForOperation: async ({ contextValue, document, operation, request }) => {
      const found = operation && documents.planner.operations.find(document, operation);
      const result = found && (await found.execute(contextValue, request.variables ?? {}));
      if (!result) return null;
      const singleResult = formattedResult(result, mask, contextValue.requestId);
      return { http: { headers: new HeaderMap() }, body: { kind: 'single', singleResult } };
    },
    didEncounterErrors: async ({ errors, contextValue: { requestId } }) =>
      errors.forEach((error) => requestIds.set(error, requestId)),
    willSendResponse: async ({ contextValue, response }) => {
      if (response.body.kind !== 'single') return;
      response.body.singleResult = contextValue.loaders.budget.bounded(response.body.singleResult);
      // Without data nothing was executed, and the price that was taken for the refusal stays taken.
      if ('data' in response.body.singleResult) await settle(contextValue);
      const { status, retryAfter } = refusalOf(response.body.singleResult);
      if (status) response.http.status = status;
      if (retryAfter) response.http.headers.set('retry-after', retryAfter);
    },
  };
  return { requestDidStart: async () => listener };
}

/** Executed over HTTP, a subscription would resolve a level that was never read. */
function subscribeElsewhere(): GraphQLError {
  const message = 'Subscribe over WebSocket, at the same address, with the protocol graphql-transport-ws';
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } } });
}

/** Apollo warns about bad requests. These are the client's mistakes, and the client gets the message. */
function quietLogger(log: Logger) {
  const debug = (message: string) => log.debug({ event: 'apollo' }, message);
  return { debug, info: debug, warn: debug, error: (message: string) => log.error({ event: 'apollo' }, message) };
}
