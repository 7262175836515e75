/** The route /graphql: requests by POST and GET, every answer in GraphQL's shape, and the playground. */
import { isUtf8 } from 'node:buffer';
import { HeaderMap, type ApolloServer } from '@apollo/server';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { GraphQLError } from 'graphql';
import type { Config } from '../../config';
import { readFirstProductId } from '../../database/read-models';
import { UnreadableRequest } from '../../domain/errors';
import type { Asked } from '../documents/known';
import { asksForPlayground, registerPlaygroundAssets, servePlayground } from '../playground/page';
import type { Context, Services } from './context';
import { expectedError, refusalOf, retryAfterSeconds, STATUS_OF_CODE } from './errors';
import { executeFast } from './fast-path';
import { askedByUrl, searchIn, searchOf, sentByForeignPage } from './get-requests';
import { IDEMPOTENCY_KEY_HEADER } from './idempotency-key';
import { JSON_TYPE, mediaTypeFor } from './media-types';
import { receive, type Received } from './receive';

/** A document of 1,000 tokens with its variables has a few kB. Imports have a command of their own. */
export const MAX_BODY_BYTES = 256 * 1024;

/** In a scope of their own, where errors have GraphQL's shape. */
export function graphqlRoutes(apollo: ApolloServer<Context>, services: Services, config: Config) {
  const { clientOf } = services;

  const handle = async (request: FastifyRequest, reply: FastifyReply): Promise<string> => {
    const isPost = request.method === 'POST';
    // Stock, time and orders are as they are now. A cache in between would store what is asked by GET.
    void reply.header('cache-control', 'no-store');
    const sender = {
      requestId: request.id,
      client: clientOf(request.raw),
      authorization: () => request.headers.authorization,
      idempotencyKey: request.headers[IDEMPOTENCY_KEY_HEADER] as string | undefined,
    };
    const asked = isPost ? objectIn(request.body) : askedByUrl(request.url);
    const received = await receive(services, sender, asked, { mayBypassApollo: isPost });
    return (await answerFast(received, request, reply)) ?? answerByApollo(apollo, received, request, reply, config);
  };

  return async (scope: FastifyInstance): Promise<void> => {
    scope.removeContentTypeParser(['text/plain', 'application/json']);
    scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, jsonParser(scope));
    scope.setErrorHandler((error: FastifyError, request, reply) => answerError(services, error, request, reply));
    if (config.playground) registerPlaygroundAssets(scope);
    scope.route({
      method: ['GET', 'POST'],
      url: '/graphql',
      bodyLimit: MAX_BODY_BYTES,
      handler: async (request, reply) => {
        if (!config.playground || !asksForPlayground(request)) return handle(request, reply);
        // The page is useful without a database, too: its examples then name no product.
        const productId = await services.database.read(readFirstProductId).catch(() => null);
        return servePlayground(reply, { ...config, productId });
      },
    });
  };
}

/** The body, or null when Apollo has to answer. (An async function that returned the reply, a thenable, would wait for its end.) */
async function answerFast(
  { context, fast }: Received,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<string | null> {
  const mediaType = mediaTypeFor(request.headers.accept);
  const result = fast && mediaType !== null ? await executeFast(context, fast) : null;
  if (!result) return null;
  const { status, retryAfter } = refusalOf(result);
  if (retryAfter) void reply.header('retry-after', retryAfter);
  void reply.code(status ?? 200).header('content-type', mediaType);
  return `${JSON.stringify(result)}\n`;
}

async function answerByApollo(
  apollo: ApolloServer<Context>,
  { context, request: asked }: Received,
  request: FastifyRequest,
  reply: FastifyReply,
  config: Config,
): Promise<string> {
  const { status, headers, body } = await apollo.executeHTTPGraphQLRequest({
    httpGraphQLRequest: apolloRequest(asked, request, config),
    context: async () => context,
  });
  // Nothing in the schema is delivered incrementally.
  if (body.kind !== 'complete') throw new Error(`Apollo answered with an incremental body: ${body.kind}`);
  for (const [name, value] of headers) void reply.header(name, value);
  void reply.code(status ?? 200);
  return body.string;
}

const HEADERS_FOR_APOLLO = ['accept', 'content-type', 'apollo-require-preflight', 'x-apollo-operation-name'];

/** What Apollo reads. @as-integrations/fastify makes a URL and copies every header, which took 7 % of a request's time. */
function apolloRequest(asked: Asked | null, { method, headers: given, url, body }: FastifyRequest, config: Config) {
  const headers = new HeaderMap();
  for (const name of HEADERS_FOR_APOLLO) {
    const value = given[name];
    if (typeof value === 'string') headers.set(name, value);
  }
  // Without `accept` Apollo chooses JSON, and does not negotiate.
  if (given.accept === '*/*' || given.accept === 'application/json') headers.delete('accept');
  if (method === 'POST') return { method, headers, search: '', body: asked ?? body };
  if (!sentByForeignPage(given, config)) headers.set('apollo-require-preflight', '1');
  // Apollo knows no HEAD; Fastify answers HEAD with the headers of GET.
  return { method: 'GET', headers, search: asked ? searchOf(asked) : searchIn(url), body };
}

/** null: Apollo answers that the body must be an object. */
function objectIn(body: unknown): Asked | null {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? body : null;
}

/** Fastify's parser, except that it refuses a body that is not UTF-8 instead of replacing parts of it by U+FFFD. */
function jsonParser(scope: FastifyInstance) {
  const parse = scope.getDefaultJsonParser('error', 'error');
  return (request: FastifyRequest, body: Buffer, done: (error: Error | null, value?: unknown) => void): void => {
    if (!isUtf8(body)) return done(new UnreadableRequest(400, 'The body is not well-formed UTF-8'));
    void parse(request, body.toString(), done);
  };
}

/** Answers what failed before execution: unreadable bodies, tokens that do not verify, refused documents. */
function answerError(
  { log, metrics }: Services,
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  void reply.type(mediaTypeFor(request.headers.accept) ?? JSON_TYPE).header('cache-control', 'no-store');
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

const MESSAGE_OF_STATUS: Readonly<Record<number, string>> = {
  413: `A request may have ${MAX_BODY_BYTES} bytes`,
  415: 'Send application/json',
};

function requestError(error: FastifyError): GraphQLError | null {
  const { statusCode = 500 } = error;
  const badRequest = (message: string) => new GraphQLError(message, { extensions: { code: 'BAD_REQUEST' } });
  if (error instanceof UnreadableRequest) return badRequest(error.message);
  if (statusCode < 400 || statusCode >= 500) return null;
  return badRequest(MESSAGE_OF_STATUS[statusCode] ?? 'The body is not well-formed JSON');
}
