/** /graphql: Apollo on Fastify, with its limits, its tokens, and every answer in GraphQL's shape. */
import { ApolloServer, type ApolloServerPlugin } from '@apollo/server';
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from '@apollo/server/plugin/disabled';
import { fastifyApolloHandler } from '@as-integrations/fastify';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { GraphQLError, OperationTypeNode, type FormattedExecutionResult, type GraphQLFormattedError } from 'graphql';
import { clientsOf, type Client } from '../admission/clients';
import type { Caller } from '../checkout/checkout';
import type { Config } from '../config';
import { readFirstProductId } from '../database/views';
import type { Logger } from '../telemetry/logger';
import { contextFor, type Context, type Room } from './context';
import { expectedError, maskErrors, STATUS_OF_CODE } from './errors';
import { notTrusted } from './document-guard';
import { DOCUMENT_LIMITS, MAX_TOKENS } from './limits';
import { asksForPlayground, registerPlaygroundAssets, servePlayground } from './playground';
import { schemaFor } from './schema';
import { anonymous, createTokenVerifier } from './tokens';
import { execute } from './trusted-documents';

/** A document of 1,000 tokens with its variables has a few kB; an import is another command. */
const MAX_BODY_BYTES = 256 * 1024;
/** Whoever writes a document by hand reads the first ones. */
const MAX_VALIDATION_ERRORS = 20;

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller;
    client: Client;
    isAdmitted: boolean;
  }
}

export async function graphqlServer(room: Room, config: Config): Promise<ApolloServer<Context>> {
  const { log } = room.checkout;
  const isProduction = config.environment === 'production';
  const apollo = new ApolloServer<Context>({
    schema: schemaFor(config),
    nodeEnv: config.environment,
    introspection: !isProduction,
    hideSchemaDetailsFromClientErrors: isProduction,
    includeStacktraceInErrorResponses: false,
    csrfPrevention: true,
    persistedQueries: false,
    allowBatchedHttpRequests: false,
    stopOnTerminationSignals: false,
    parseOptions: { maxTokens: MAX_TOKENS },
    validationRules: DOCUMENT_LIMITS,
    validationOptions: { maxErrors: MAX_VALIDATION_ERRORS },
    documentStore: room.guard.remembered,
    formatError: maskErrors(log),
    logger: quietLogger(log),
    plugins: [
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginLandingPageDisabled(),
      ApolloServerPluginUsageReportingDisabled(),
      statusPlugin,
      admissionPlugin(room, config),
      subscriptionsElsewhere,
    ],
  });
  await apollo.start();
  return apollo;
}

/** Asked for each operation that Apollo is about to execute, whichever way it came. */
function admissionPlugin({ admission, trusted }: Room, { persistedOnly }: Config): ApolloServerPlugin<Context> {
  return {
    requestDidStart: async () => ({
      didResolveOperation: async ({ contextValue, document, operation, source }) => {
        if (persistedOnly && !trusted.has(source)) throw notTrusted();
        // Without one Apollo answers that there is no such operation.
        if (operation && !contextValue.isAdmitted) await admission.admit(contextValue, document, operation);
      },
      willSendResponse: async ({ contextValue: { loaders }, response }) => {
        if (!loaders.budget.isExceeded) return;
        response.body = { kind: 'single', singleResult: { errors: [loaders.budget.error.toJSON()], data: null } };
      },
    }),
  };
}

/** What was refused as a whole has its code's HTTP status; a document that was executed, even in part, is 200. */
const statusPlugin: ApolloServerPlugin<Context> = {
  requestDidStart: async () => ({
    willSendResponse: async ({ response }) => {
      if (response.body.kind !== 'single') return;
      const { status, retryAfter } = httpOf(response.body.singleResult);
      if (status) response.http.status = status;
      if (retryAfter) response.http.headers.set('retry-after', retryAfter);
    },
  }),
};

/** Executed over HTTP, a subscription would be asked for a level that nobody has read. */
const subscriptionsElsewhere: ApolloServerPlugin<Context> = {
  requestDidStart: async () => ({
    didResolveOperation: async ({ operation }) => {
      if (operation?.operation !== OperationTypeNode.SUBSCRIPTION) return;
      const message = 'Subscribe over WebSocket, at the same address, with the protocol graphql-transport-ws';
      throw new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } } });
    },
  }),
};

function httpOf({ data, errors }: FormattedExecutionResult): { status?: number | undefined; retryAfter?: string } {
  if (!errors || (data && Object.values(data).some((value) => value !== null))) return {};
  const { code, retryAfterMs } = errors[0]!.extensions ?? {};
  return {
    // Apollo says 500 when a plugin refuses an operation.
    status: STATUS_OF_CODE[String(code)] ?? (data === undefined && code === 'FORBIDDEN' ? 400 : undefined),
    ...(typeof retryAfterMs === 'number' && { retryAfter: retryAfterSeconds(retryAfterMs) }),
  };
}

/** The routes, in a scope of their own: here errors have GraphQL's shape. */
export function graphqlRoutes(apollo: ApolloServer<Context>, room: Room, config: Config) {
  const verify = createTokenVerifier(config);
  const clientOf = clientsOf(config);
  const { checkout, admission, guard, trusted: documents } = room;
  const contextOf = (request: FastifyRequest): Context => contextFor(room, request, request.id);
  const answer = fastifyApolloHandler(apollo, { context: async (request) => contextOf(request as FastifyRequest) });
  const mask = maskErrors(checkout.log);
  const playground = { auth: config.auth, environment: config.environment };

  /** The body; null: Apollo has to answer. (A reply is thenable: an async function that returned it would wait for its end.) */
  const answerTrusted = async (request: FastifyRequest, reply: FastifyReply): Promise<string | null> => {
    const trusted = request.method === 'POST' ? documents.match(request.body) : null;
    if (!trusted) {
      const text = textIn(request);
      if (text !== null) await guard.check(text, request);
      return null;
    }
    await admission.admitWork(request, trusted.document.work);
    request.isAdmitted = true;
    const context = contextOf(request);
    const executed = acceptsJson(request) ? await execute(trusted, context) : null;
    const { budget } = context.loaders;
    const result = budget.isExceeded ? { errors: [budget.error], data: null } : executed;
    if (!result) {
      const { text, operationName } = trusted.document;
      request.body = { query: text, operationName, variables: trusted.variables };
      return null;
    }
    const errors = result.errors?.map((error) => mask(formattedError(error), error));
    const formatted = { ...(errors && { errors }), data: result.data ?? null };
    const { status, retryAfter } = errors ? httpOf(formatted) : {};
    if (retryAfter) reply.header('retry-after', retryAfter);
    void reply
      .code(status ?? 200)
      .header('content-type', 'application/json; charset=utf-8')
      .header('cache-control', 'no-store');
    return `${JSON.stringify(formatted)}\n`;
  };

  return async (scope: FastifyInstance): Promise<void> => {
    scope.removeContentTypeParser('text/plain');
    scope.setErrorHandler((error: FastifyError, request, reply) => answerError(checkout.log, error, request, reply));
    scope.decorateRequest('caller', null as never);
    scope.decorateRequest('client', null as never);
    scope.decorateRequest('isAdmitted', false);
    if (config.playground) registerPlaygroundAssets(scope);
    scope.route({
      method: ['GET', 'POST'],
      url: '/graphql',
      bodyLimit: MAX_BODY_BYTES,
      handler: async (request, reply) => {
        if (config.playground && asksForPlayground(request)) {
          // The page is of use without a database, too: its examples then name no product.
          const productId = await checkout.database.read(readFirstProductId).catch(() => null);
          return servePlayground(request, reply, { ...playground, ...(productId && { productId }) });
        }
        request.client = clientOf(request.raw);
        request.caller = await verify(request.headers.authorization).catch(async (error: unknown) => {
          await admission.mayRead({ caller: anonymous, client: request.client });
          throw error;
        });
        return (await answerTrusted(request, reply)) ?? answer.call(scope, request as never, reply as never);
      },
    });
  };
}

/** null: there is none, and Apollo says what is missing. */
function textIn({ method, query, body }: FastifyRequest): string | null {
  const text = ((method === 'GET' ? query : body) as { query?: unknown } | null | undefined)?.query;
  return typeof text === 'string' ? text : null;
}

/** Any other wish has its media type negotiated by Apollo. */
function acceptsJson({ headers: { accept } }: FastifyRequest): boolean {
  return accept === undefined || accept === '*/*' || accept === 'application/json';
}

/** As Apollo hands errors to its `formatError`. */
function formattedError(error: GraphQLError): GraphQLFormattedError {
  return { ...error.toJSON(), extensions: { code: 'INTERNAL_SERVER_ERROR', ...error.extensions } };
}

/** Whatever goes wrong before Apollo is asked: unreadable bodies, tokens that do not verify. */
function answerError(log: Logger, error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const graphqlError = expectedError(error) ?? (error instanceof GraphQLError ? error : requestError(error));
  if (graphqlError) {
    const code = String(graphqlError.extensions.code);
    const { retryAfterMs } = graphqlError.extensions;
    if (typeof retryAfterMs === 'number') reply.header('retry-after', retryAfterSeconds(retryAfterMs));
    return reply.code(STATUS_OF_CODE[code] ?? error.statusCode ?? 400).send({ errors: [graphqlError.toJSON()] });
  }
  log.error({ event: 'request.failed', err: error, requestId: request.id }, 'request.failed');
  const extensions = { code: 'INTERNAL_SERVER_ERROR', requestId: request.id };
  return reply.code(500).send({ errors: [{ message: 'Internal server error', extensions }] });
}

function requestError({ statusCode = 500 }: FastifyError): GraphQLError | null {
  if (statusCode < 400 || statusCode >= 500) return null;
  const says: Record<number, string> = {
    413: `A request may have ${MAX_BODY_BYTES} bytes`,
    415: 'Send application/json',
  };
  const message = says[statusCode] ?? 'The body is not well-formed JSON';
  return new GraphQLError(message, { extensions: { code: 'BAD_REQUEST' } });
}

const retryAfterSeconds = (retryAfterMs: number) => String(Math.max(1, Math.ceil(retryAfterMs / 1_000)));

/** Apollo reports bad requests as warnings of its own; they are the client's mistakes, and the client is told. */
function quietLogger(log: Logger) {
  return {
    debug: (message: string) => log.debug({ event: 'apollo' }, message),
    info: (message: string) => log.debug({ event: 'apollo' }, message),
    warn: (message: string) => log.debug({ event: 'apollo' }, message),
    error: (message: string) => log.error({ event: 'apollo' }, message),
  };
}
