/** /graphql: Apollo on Fastify, with its limits, its tokens, and every answer in GraphQL's shape. */
import { isUtf8 } from 'node:buffer';
import { ApolloServer, HeaderMap, type ApolloServerPlugin, type GraphQLRequestListener } from '@apollo/server';
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from '@apollo/server/plugin/disabled';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import {
  GraphQLError,
  OperationTypeNode,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLFormattedError,
} from 'graphql';
import type { Client } from '../../admission/clients';
import { workOf } from '../../admission/operation';
import type { Caller, Checkout } from '../../checkout/checkout';
import type { Config } from '../../config';
import { readFirstProductId } from '../../database/read-models';
import { UnreadableRequest } from '../../domain/errors';
import type { Logger } from '../../telemetry/logger';
import { CompiledOperations } from '../documents/compiled';
import { Context, type Room } from './context';
import { pricesOf } from '../documents/cost';
import { expectedError, STATUS_OF_CODE, type Mask } from './errors';
import { notTrusted } from '../documents/guard';
import { DOCUMENT_LIMITS, MAX_TOKENS } from '../documents/limits';
import { mediaTypeFor } from './media-types';
import { asksForPlayground, registerPlaygroundAssets, servePlayground } from '../playground/page';
import { schemaFor } from '../schema';
import { anonymous } from './tokens';
import { searchFor, sentByForeignPage } from './get-requests';

/** A document of 1,000 tokens with its variables has a few kB; an import is another command. */
export const MAX_BODY_BYTES = 256 * 1024;
/** Whoever writes a document by hand reads the first ones. */
export const MAX_VALIDATION_ERRORS = 20;

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller;
    client: Client;
    isAdmitted: boolean;
    /** Of a GET: its parameters as Apollo is to read them, from the question mark on. */
    search: string;
  }
}

export async function graphqlServer(room: Room, config: Config): Promise<ApolloServer<Context>> {
  const { mask } = room;
  const { log } = room.checkout;
  const isProduction = config.environment === 'production';
  const schema = schemaFor(config);
  // Apollo does not tell `formatError` which request the error belongs to.
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
    validationRules: DOCUMENT_LIMITS,
    validationOptions: { maxErrors: MAX_VALIDATION_ERRORS },
    documentStore: room.guard.remembered,
    formatError: (formatted, error) => mask(formatted, error, requestIds.get(error as object)),
    logger: quietLogger(log),
    plugins: [
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginLandingPageDisabled(),
      ApolloServerPluginUsageReportingDisabled(),
      pipelinePlugin(room, config, { compiled: new CompiledOperations(schema), mask, requestIds }),
    ],
  });
  await apollo.start();
  return apollo;
}

/**
 * Ours in Apollo's pipeline, all in one: each plugin, and each hook of it, costs every request a promise.
 *
 * Before an operation is executed, whichever way it came, it is admitted. Afterwards its answer gets what belongs to it: the
 * HTTP status of a code that refused it as a whole, the error of an exceeded budget, the request's id.
 */
function pipelinePlugin(
  { admission, trusted }: Room,
  config: Config,
  { compiled, mask, requestIds }: { compiled: CompiledOperations; mask: Mask; requestIds: WeakMap<object, string> },
): ApolloServerPlugin<Context> {
  const listener: GraphQLRequestListener<Context> = {
    didResolveOperation: async ({ contextValue, document, operation, request, schema, source }) => {
      if (operation?.operation === OperationTypeNode.SUBSCRIPTION) throw subscribeElsewhere();
      if (config.persistedOnly && !trusted.has(source)) throw notTrusted();
      // Without one Apollo answers that there is no such operation.
      if (!operation) return;
      const prices = pricesOf(schema, document, operation);
      contextValue.loaders.budget.begin(prices);
      if (contextValue.isAdmitted) return;
      await admission.admit(contextValue, document, operation, prices.asked(request.variables ?? {}));
    },
    responseForOperation: async ({ contextValue, document, operation, request }) => {
      const found = operation && compiled.find(document, operation);
      const result = found && (await found.execute(contextValue, request.variables ?? {}));
      if (!result) return null;
      const singleResult = formattedResult(result, mask, contextValue.requestId);
      return { http: { headers: new HeaderMap() }, body: { kind: 'single', singleResult } };
    },
    didEncounterErrors: async ({ errors, contextValue: { requestId } }) =>
      errors.forEach((error) => requestIds.set(error, requestId)),
    willSendResponse: async ({ contextValue, document, operation, request, response, schema }) => {
      if (response.body.kind !== 'single') return;
      const { budget } = contextValue.loaders;
      response.body.singleResult = budget.bounded(response.body.singleResult);
      // Without data nothing was executed: what was taken for a refusal stays taken.
      if (document && operation && 'data' in response.body.singleResult) {
        const asked = pricesOf(schema, document, operation).asked(request.variables ?? {});
        await admission.settle(contextValue, workOf(document, operation), { asked, real: budget.price });
      }
      const { status, retryAfter } = httpOf(response.body.singleResult);
      if (status) response.http.status = status;
      if (retryAfter) response.http.headers.set('retry-after', retryAfter);
    },
  };
  return { requestDidStart: async () => listener };
}

/** Executed over HTTP, a subscription would be asked for a level that nobody has read. */
function subscribeElsewhere(): GraphQLError {
  const message = 'Subscribe over WebSocket, at the same address, with the protocol graphql-transport-ws';
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } } });
}

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
  const { checkout, admission, guard, trusted: documents, verify, clientOf, mask } = room;
  const contextOf = (request: FastifyRequest): Context =>
    new Context(room, request.id, request.caller, request.client, request.isAdmitted);
  const playground = { auth: config.auth, environment: config.environment };

  const callerOf = (authorization: string, client: Client): Promise<Caller> =>
    verify(authorization).catch(async (error: unknown) => {
      await admission.mayRead({ caller: anonymous, client });
      throw error;
    });

  const answer = async (request: FastifyRequest, reply: FastifyReply): Promise<string> => {
    const { status, headers, body } = await apollo.executeHTTPGraphQLRequest({
      httpGraphQLRequest: apolloRequest(request, config),
      context: async () => contextOf(request),
    });
    // Nothing in the schema is delivered in pieces.
    if (body.kind !== 'complete') throw new Error(`Apollo answers in pieces: ${body.kind}`);
    for (const [name, value] of headers) void reply.header(name, value);
    void reply.code(status ?? 200);
    return body.string;
  };

  /** For Apollo, which knows no trusted documents. */
  const spellOut = (request: FastifyRequest): void => {
    if (request.method !== 'POST') request.search = searchFor(request.url, documents);
    else if (isRecord(request.body)) request.body = documents.spellOut(request.body);
  };

  /** The body; null: Apollo has to answer. (A reply is thenable: an async function that returned it would wait for its end.) */
  const answerTrusted = async (request: FastifyRequest, reply: FastifyReply): Promise<string | null> => {
    const trusted = request.method === 'POST' ? documents.match(request.body) : null;
    if (!trusted) {
      spellOut(request);
      const text = textIn(request);
      if (text !== null) await guard.check(text, request);
      return null;
    }
    const { compiled, text, operationName, work, prices } = trusted.document;
    const asked = prices.asked(trusted.variables);
    await admission.admitWork(request, work, asked);
    request.isAdmitted = true;
    const context = contextOf(request);
    const mediaType = mediaTypeFor(request.headers.accept);
    const { budget } = context.loaders;
    budget.begin(prices);
    const result = mediaType !== null && compiled ? await compiled.execute(context, trusted.variables) : null;
    if (!result) {
      request.body = { query: text, operationName, variables: trusted.variables };
      return null;
    }
    const formatted = budget.bounded(formattedResult(result, mask, request.id));
    await admission.settle(request, work, { asked, real: budget.price });
    const { status, retryAfter } = httpOf(formatted);
    if (retryAfter) reply.header('retry-after', retryAfter);
    void reply
      .code(status ?? 200)
      .header('content-type', mediaType ?? 'application/json; charset=utf-8')
      .header('cache-control', 'no-store');
    return `${JSON.stringify(formatted)}\n`;
  };

  return async (scope: FastifyInstance): Promise<void> => {
    scope.removeContentTypeParser(['text/plain', 'application/json']);
    scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, jsonParser(scope));
    scope.setErrorHandler((error: FastifyError, request, reply) => answerError(checkout, error, request, reply));
    scope.decorateRequest('caller', null as never);
    scope.decorateRequest('client', null as never);
    scope.decorateRequest('isAdmitted', false);
    scope.decorateRequest('search', '');
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
        const { authorization } = request.headers;
        request.caller = authorization === undefined ? anonymous : await callerOf(authorization, request.client);
        return (await answerTrusted(request, reply)) ?? answer(request, reply);
      },
    });
  };
}

/** Fastify's own parser, but for text that would be changed by reading it: U+FFFD in place of what is not UTF-8. */
function jsonParser(scope: FastifyInstance) {
  const parse = scope.getDefaultJsonParser('error', 'error');
  return (request: FastifyRequest, body: Buffer, done: (error: Error | null, value?: unknown) => void): void => {
    if (!isUtf8(body)) return done(new UnreadableRequest(400, 'The body is not well-formed UTF-8'));
    void parse(request, body.toString(), done);
  };
}

/** null: there is none, and Apollo says what is missing. */
function textIn({ method, search, body }: FastifyRequest): string | null {
  if (method !== 'POST') return new URLSearchParams(search).get('query');
  const text = isRecord(body) ? body['query'] : null;
  return typeof text === 'string' ? text : null;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What Apollo reads of a request. @as-integrations/fastify makes a URL and copies every header: 7 % of a request's time. */
function apolloRequest(request: FastifyRequest, config: Pick<Config, 'corsOrigins'>) {
  const headers = new HeaderMap();
  for (const name of READ_BY_APOLLO) {
    const value = request.headers[name];
    if (typeof value === 'string') headers.set(name, value);
  }
  // It would negotiate, and come to what it takes anyway.
  if (acceptsJson(request)) headers.delete('accept');
  // Apollo knows no HEAD; Fastify answers one with the headers of GET.
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  if (method === 'GET' && !sentByForeignPage(request.headers, config)) headers.set('apollo-require-preflight', '1');
  return { method, headers, search: request.search, body: request.body };
}

const READ_BY_APOLLO = ['accept', 'content-type', 'apollo-require-preflight', 'x-apollo-operation-name'];

/** Any other wish has its media type negotiated by Apollo. */
function acceptsJson({ headers: { accept } }: FastifyRequest): boolean {
  return accept === undefined || accept === '*/*' || accept === 'application/json';
}

/** Of what was executed without Apollo, in the order in which Apollo writes it. */
function formattedResult(
  { errors, data = null }: ExecutionResult,
  mask: Mask,
  requestId: string,
): FormattedExecutionResult {
  if (!errors) return { data };
  return { errors: errors.map((error) => mask(formattedError(error), error, requestId)), data };
}

/** As Apollo hands errors to its `formatError`. */
function formattedError(error: GraphQLError): GraphQLFormattedError {
  return { ...error.toJSON(), extensions: { code: 'INTERNAL_SERVER_ERROR', ...error.extensions } };
}

/** Whatever goes wrong before Apollo is asked: unreadable bodies, tokens that do not verify. */
function answerError(
  { log, metrics }: Checkout,
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  void reply.type(mediaTypeFor(request.headers.accept) ?? 'application/json; charset=utf-8');
  const graphqlError = expectedError(error) ?? (error instanceof GraphQLError ? error : requestError(error));
  const code = String(graphqlError?.extensions.code ?? 'INTERNAL_SERVER_ERROR');
  metrics.graphqlError(code);
  if (graphqlError) {
    const { retryAfterMs } = graphqlError.extensions;
    if (typeof retryAfterMs === 'number') reply.header('retry-after', retryAfterSeconds(retryAfterMs));
    return reply.code(STATUS_OF_CODE[code] ?? error.statusCode ?? 400).send({ errors: [graphqlError.toJSON()] });
  }
  log.error({ event: 'request.failed', err: error, requestId: request.id }, 'request.failed');
  const extensions = { code, requestId: request.id };
  return reply.code(500).send({ errors: [{ message: 'Internal server error', extensions }] });
}

function requestError(error: FastifyError): GraphQLError | null {
  const { statusCode = 500 } = error;
  if (error instanceof UnreadableRequest) {
    return new GraphQLError(error.message, { extensions: { code: 'BAD_REQUEST' } });
  }
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
