/** WebSocket /graphql (graphql-transport-ws): live stock, and every query and mutation, under the same rules as over HTTP. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ApolloServer, GraphQLRequest } from '@apollo/server';
import { createSourceEventStream, execute, GraphQLError, parse, type ExecutionArgs } from 'graphql';
import { makeServer, type Context as Connection, type SubscribePayload } from 'graphql-ws';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Asking } from '../../admission/admission';
import type { Client } from '../../admission/clients';
import type { Config } from '../../config';
import { CallerError, RateLimited } from '../../domain/errors';
import { bytesOf } from '../documents/answer-size';
import { MAX_EVENT_BYTES, tooLarge } from '../documents/budget';
import { Context, type Room } from './context';
import { pricesOf } from '../documents/cost';
import { subscriptionReader, type Subscription } from '../documents/subscription-documents';
import { FormattedError, formatErrors } from './errors';
import { sharedResults } from '../live/shared-results';
import { anonymous } from './tokens';
import { credentialIn } from './credentials';

const PATH = '/graphql';
/** A document of 1,000 tokens with its variables has a few kB. */
const MAX_MESSAGE_BYTES = 64 * 1024;
/** What one socket may have under way; a page needs one or two. */
const MAX_OPERATIONS = 20;
/** Each takes about 30 kB. */
const MAX_SOCKETS = 20_000;
const CONNECTION_INIT_MS = 3_000;
/** A client that answers no ping by the next one is gone. */
const PING_MS = 15_000;
/** What may wait for a client that does not read; subscriptions wait for it, so only floods of pings get there. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** How long a stop waits for mutations under way, and then for clients to say goodbye. */
const DRAIN_MS = 5_000;
const GOODBYE_MS = 500;

/** Close codes: RFC 6455, and the protocol's own (`4xxx`). A client comes again after the first two. */
const GOING_AWAY = 1001;
const UNSUPPORTED_DATA = 1003;
const TRY_AGAIN_LATER = 1013;
const FORBIDDEN = 4403;

interface Peer {
  readonly socket: WebSocket;
  readonly request: IncomingMessage;
  readonly client: Client;
}
type Connected = Connection<Record<string, unknown>, Peer>;

export interface Subscriptions {
  /** Takes nothing new, lets what is under way end, and closes every socket with 1001. Before the HTTP server drains. */
  close(): Promise<void>;
}

/** Takes over the HTTP server's `upgrade` event. */
export function connectSubscriptions(
  http: Server,
  { apollo, room, config }: { apollo: ApolloServer<Context>; room: Room; config: Config },
): Subscriptions {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    handleProtocols: (protocols) => (protocols.has('graphql-transport-ws') ? 'graphql-transport-ws' : false),
  });
  const { clientOf, checkout } = room;
  const operations = operationsOf(apollo, room, config);
  const protocol = protocolOf(room, operations);
  const pings = setInterval(() => pingAll(sockets), PING_MS).unref();
  let isStopping = false;

  const count = (status: number) => checkout.metrics.httpAnswer('websocket', status);

  http.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    stream.on('error', () => stream.destroy());
    if (isStopping || sockets.clients.size >= MAX_SOCKETS) {
      count(503);
      return refuse(stream);
    }
    let isUpgraded = false;
    sockets.handleUpgrade(request, stream, head, (socket) => {
      isUpgraded = true;
      serve(protocol, { socket, request, client: clientOf(request) });
    });
    // ws answers a handshake that does not hold by itself, before it returns.
    count(isUpgraded ? 101 : 400);
  });

  return {
    close: async () => {
      isStopping = true;
      clearInterval(pings);
      await operations.drain();
      await goodbye(sockets);
      room.watch.close();
    },
  };
}

/**
 * Whether a request is a WebSocket's beginning: any other is served as if it had not asked (RFC 9110, 7.8). A body would be
 * taken for the first frames.
 */
export function asksForWebSocket({ method, url = '', headers }: IncomingMessage): boolean {
  const [path] = url.split('?', 1);
  return (
    method === 'GET' &&
    (path === PATH || path === `${PATH}/`) &&
    headers.upgrade?.toLowerCase() === 'websocket' &&
    // Java's client says that its handshake has no body.
    (headers['content-length'] ?? '0') === '0' &&
    headers['transfer-encoding'] === undefined
  );
}

/** An HTTP answer, as there is no WebSocket yet. Its bytes leave, and then the socket is gone, whatever its client does. */
function refuse(stream: Duplex): void {
  stream.once('finish', () => stream.destroy());
  stream.resume();
  stream.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
}

/** Joins a socket to the protocol, with a bound on what may wait for a client that does not read. */
function serve(protocol: ReturnType<typeof protocolOf>, peer: Peer): void {
  const { socket } = peer;
  const closed = protocol.opened(
    {
      protocol: socket.protocol,
      send: (data) =>
        new Promise((resolve) => {
          if (socket.bufferedAmount > MAX_BUFFERED_BYTES) socket.terminate();
          // A client that has gone is told by `close`; whoever sends need not know.
          socket.send(data, () => resolve());
        }),
      close: (code, reason) => socket.close(code, reason),
      onMessage: (listen) =>
        socket.on('message', (data, isBinary) => {
          // ws has checked that a text is UTF-8; bytes would be changed by reading them as one.
          if (isBinary) return socket.close(UNSUPPORTED_DATA, 'Send text messages');
          // What the protocol rejects with is a message of an unknown shape.
          listen(String(data)).catch(() => socket.close(4400, 'Invalid message received'));
        }),
    },
    peer,
  );
  // ws closes the socket itself after an error: a message too large, a bad frame, a connection reset.
  socket.on('error', () => undefined);
  socket.once('close', (code, reason) => void closed(code, String(reason)));
  isAlive.add(socket);
  socket.on('pong', () => isAlive.add(socket));
}

/** Who has answered the last ping. */
const isAlive = new WeakSet<WebSocket>();

function pingAll(sockets: WebSocketServer): void {
  for (const socket of sockets.clients) {
    if (isAlive.delete(socket)) socket.ping();
    else socket.terminate();
  }
}

async function goodbye(sockets: WebSocketServer): Promise<void> {
  for (const socket of sockets.clients) socket.close(GOING_AWAY, 'The server is stopping');
  const until = performance.now() + GOODBYE_MS;
  while (sockets.clients.size > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
  for (const socket of sockets.clients) socket.terminate();
}

type Operations = ReturnType<typeof operationsOf>;

function protocolOf({ checkout, admission, verify, mask }: Room, operations: Operations) {
  return makeServer<Record<string, unknown>, Peer>({
    connectionInitWaitTimeout: CONNECTION_INIT_MS,
    onConnect: async (connected) => {
      const { socket, client } = connected.extra;
      try {
        await verify(authorizationOf(connected));
        return true;
      } catch (error) {
        // Counted as over HTTP: guessing tokens costs the same either way.
        const isTooOften = await isRateLimited(admission.mayRead({ caller: anonymous, client }));
        const code = error instanceof CallerError ? error.code : 'SERVICE_UNAVAILABLE';
        checkout.metrics.graphqlError(isTooOften ? 'RATE_LIMITED' : code);
        if (error instanceof CallerError && !isTooOften) socket.close(FORBIDDEN, `${error.code}: ${error.message}`);
        else socket.close(TRY_AGAIN_LATER, isTooOften ? 'RATE_LIMITED' : 'SERVICE_UNAVAILABLE');
        return false;
      }
    },
    onSubscribe: async (connected, _id, payload) => {
      const requestId = randomUUID();
      const formatted = (errors: readonly unknown[]) =>
        formatErrors(errors, mask, requestId).map((error) => new FormattedError(error));
      try {
        if (Object.keys(connected.subscriptions).length > MAX_OPERATIONS) throw tooMany();
        // Asked again for every operation, for a socket may outlive its token by days.
        const caller = await verify(authorizationOf(connected));
        const started = await operations.start(payload, { caller, client: connected.extra.client }, requestId);
        return 'errors' in started ? formatted(started.errors) : started;
      } catch (error) {
        return formatted([error]);
      }
    },
    // What `start` answers is a result, or iterates over results.
    execute: (args: ExecutionArgs) => args.rootValue as never,
    subscribe: (args: ExecutionArgs) => args.rootValue as never,
    // Results are formatted already; what ends a subscription is not.
    onNext: (_client, _id, _payload, _args, result) => result as never,
    onError: (_client, _id, _payload, errors) => formatErrors(errors, mask, randomUUID()),
  });
}

const isRateLimited = (counting: Promise<void>) =>
  counting.then(
    () => false,
    (error: unknown) => error instanceof RateLimited,
  );

const tooMany = () =>
  new GraphQLError(`A socket may have ${MAX_OPERATIONS} operations under way`, {
    extensions: { code: 'RATE_LIMITED' },
  });

/** From `connection_init`, where browsers have to put it, else from the request's header. */
function authorizationOf({ connectionParams, extra }: Connected): string | undefined {
  return credentialIn(connectionParams) ?? extra.request.headers.authorization;
}

type Started = ExecutionArgs | { readonly errors: readonly GraphQLError[] };

/** Runs operations: subscriptions here, all else through Apollo, as if it had come over HTTP. */
function operationsOf(apollo: ApolloServer<Context>, room: Room, config: Config) {
  const { schema, admission, guard, trusted, mask } = room;
  const hidesSchema = config.environment === 'production';
  const readSubscription = subscriptionReader(schema, guard.remembered, { hidesSchema });
  const underWay = new Set<Promise<unknown>>();

  const execution = async (payload: SubscribePayload, contextValue: Context): Promise<Started> => {
    const { body } = await apollo.executeOperation(payload as GraphQLRequest, { contextValue });
    const result = body.kind === 'single' ? body.singleResult : body.initialResult;
    if ('data' in result) return { schema, document: EXECUTED, rootValue: result };
    return { errors: (result.errors ?? []).map((error) => new FormattedError(error)) };
  };

  const subscription = async (
    { document, operation, errors }: Subscription,
    { query, operationName, variables }: SubscribePayload,
    contextValue: Context,
  ): Promise<Started> => {
    if (errors.length > 0) return { errors };
    const price = pricesOf(schema, document, operation).asked(variables ?? {});
    await admission.admit(contextValue, document, operation, price);
    const args = { schema, document, operationName: operationName ?? null, variableValues: variables ?? {} };
    const source = await createSourceEventStream({ ...args, contextValue });
    if ('errors' in source) return { errors: (source.errors ?? []).map(orBadInput) };
    // What a level shows is the same for everybody, so it is made once, and for nobody in particular.
    const show = async (level: object) => {
      const requestId = randomUUID();
      const shared = new Context(room, requestId, anonymous, contextValue.client);
      const result = await execute({ ...args, contextValue: shared, rootValue: level });
      if (bytesOf(result, MAX_EVENT_BYTES) > MAX_EVENT_BYTES) throw tooLarge(MAX_EVENT_BYTES);
      return result.errors ? { ...result, errors: formatErrors(result.errors, mask, requestId) } : result;
    };
    const key = JSON.stringify([query, operationName, variables]);
    const levels = (source as AsyncIterable<object>)[Symbol.asyncIterator]();
    return { ...args, rootValue: sharedResults(levels, key, show) };
  };

  return {
    start: async (asked: SubscribePayload, asking: Asking, requestId: string): Promise<Started> => {
      const context = new Context(room, requestId, asking.caller, asking.client);
      const payload = trusted.spellOut(asked);
      await guard.check(payload.query, asking);
      const wanted = await readSubscription(payload.query, payload.operationName);
      if (wanted) return subscription(wanted, payload, context);
      const executing = execution(payload, context);
      underWay.add(executing);
      return executing.finally(() => underWay.delete(executing));
    },
    drain: async (): Promise<void> => {
      const enough = new Promise((resolve) => setTimeout(resolve, DRAIN_MS).unref());
      await Promise.race([Promise.allSettled([...underWay]), enough]);
    },
  };
}

/** graphql gives no code to variables that do not fit; what a resolver threw has a path. */
function orBadInput(error: GraphQLError): GraphQLError {
  if (error.path) return error;
  return new GraphQLError(error.message, { nodes: error.nodes, extensions: { code: 'BAD_USER_INPUT' } });
}

/** Stands for a document that Apollo has executed: the protocol asks for one, to tell subscriptions from the rest. */
const EXECUTED = parse('{ __typename }');
