/** WebSocket /graphql (graphql-transport-ws): subscriptions, queries and mutations, under the same rules as over HTTP. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ApolloServer, GraphQLRequest } from '@apollo/server';
import { GraphQLError, parse, type ExecutionArgs, type FormattedExecutionResult } from 'graphql';
import { makeServer, type Context as Connection, type SubscribePayload } from 'graphql-ws';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Client } from '../../admission/clients';
import { CallerError, RateLimited } from '../../domain/errors';
import { tracedRequest } from '../../telemetry/tracing';
import type { Context, Services } from './context';
import { credentialIn } from './credentials';
import { FormattedError, formatErrors } from './errors';
import { executeFast } from './fast-path';
import { refuseKeyOfSocket } from './idempotency-key';
import { authenticate, receive, type Received, type Sender } from './receive';
import { subscribe } from './subscribe';

const PATH = '/graphql';
/** A document of 1,000 tokens with its variables has a few kB. */
const MAX_MESSAGE_BYTES = 64 * 1024;
/** Operations in progress on one socket; a page needs one or two. */
const MAX_OPERATIONS = 20;
/** About 30 kB of memory each. */
const MAX_SOCKETS = 20_000;
const CONNECTION_INIT_MS = 3_000;
/** A client that has not answered a ping by the next one is disconnected. */
const PING_MS = 15_000;
/** Unsent bytes of a client that does not read. Subscriptions wait for the client, so only a flood of pings gets here. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** How long a stop waits for operations in progress, and then for clients to close. */
const DRAIN_MS = 5_000;
const CLOSE_MS = 500;

/** Close codes of RFC 6455, and the protocol's own (`4xxx`). Clients reconnect after GOING_AWAY and TRY_AGAIN_LATER. */
const GOING_AWAY = 1001;
const UNSUPPORTED_DATA = 1003;
const TRY_AGAIN_LATER = 1013;
const BAD_REQUEST = 4400;
const FORBIDDEN = 4403;

interface Peer {
  readonly socket: WebSocket;
  readonly request: IncomingMessage;
  readonly client: Client;
}
type Connected = Connection<Record<string, unknown>, Peer>;

export interface WebSockets {
  /** Accepts nothing new, lets operations in progress end, and closes every socket with 1001. Call before HTTP drains. */
  close(): Promise<void>;
}

/** Handles the HTTP server's `upgrade` event. */
export function serveWebSockets(http: Server, apollo: ApolloServer<Context>, services: Services): WebSockets {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    handleProtocols: (protocols) => (protocols.has('graphql-transport-ws') ? 'graphql-transport-ws' : false),
  });
  const { clientOf, metrics } = services;
  const operations = operationsOf(apollo, services);
  const protocol = protocolOf(services, operations);
  const pings = setInterval(() => pingAll(sockets), PING_MS).unref();
  let isStopping = false;

  const count = (status: number) => metrics.httpAnswer('websocket', status);

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
    // ws itself answers an invalid handshake before it returns.
    count(isUpgraded ? 101 : 400);
  });

  return {
    close: async () => {
      isStopping = true;
      clearInterval(pings);
      await operations.drain();
      await closeAll(sockets);
      services.watch.close();
    },
  };
}

/**
 * Whether a request opens a WebSocket. Any other `Upgrade` is ignored (RFC 9110, 7.8). A request with a body does not: the
 * body would be taken for the first frames.
 */
export function opensWebSocket({ method, url = '', headers }: IncomingMessage): boolean {
  const [path] = url.split('?', 1);
  return (
    method === 'GET' &&
    (path === PATH || path === `${PATH}/`) &&
    headers.upgrade?.toLowerCase() === 'websocket' &&
    // Java's client sends a content-length of 0.
    (headers['content-length'] ?? '0') === '0' &&
    headers['transfer-encoding'] === undefined
  );
}

/** Answers in HTTP, as there is no WebSocket yet, and destroys the socket once the bytes are sent, whatever the client does. */
function refuse(stream: Duplex): void {
  stream.once('finish', () => stream.destroy());
  stream.resume();
  stream.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
}

/** graphql-ws's own adapter for ws, with a bound on what is buffered for a client that does not read, and with pings. */
function serve(protocol: ReturnType<typeof protocolOf>, peer: Peer): void {
  const { socket } = peer;
  const closed = protocol.opened(
    {
      protocol: socket.protocol,
      send: (data) =>
        new Promise((resolve) => {
          if (socket.bufferedAmount > MAX_BUFFERED_BYTES) socket.terminate();
          // `close` reports a client that is gone; the sender need not know.
          socket.send(data, () => resolve());
        }),
      close: (code, reason) => socket.close(code, reason),
      onMessage: (listen) =>
        socket.on('message', (data, isBinary) => {
          // ws has checked that a text message is UTF-8. Reading binary data as text would change it.
          if (isBinary) return socket.close(UNSUPPORTED_DATA, 'Send text messages');
          // The protocol rejects for a message of an unknown shape.
          listen(String(data)).catch(() => socket.close(BAD_REQUEST, 'Invalid message received'));
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

/** Sockets that have answered the last ping. */
const isAlive = new WeakSet<WebSocket>();

function pingAll(sockets: WebSocketServer): void {
  for (const socket of sockets.clients) {
    if (isAlive.delete(socket)) socket.ping();
    else socket.terminate();
  }
}

async function closeAll(sockets: WebSocketServer): Promise<void> {
  for (const socket of sockets.clients) socket.close(GOING_AWAY, 'The server is stopping');
  const until = performance.now() + CLOSE_MS;
  while (sockets.clients.size > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
  for (const socket of sockets.clients) socket.terminate();
}

type Operations = ReturnType<typeof operationsOf>;

function protocolOf(services: Services, operations: Operations) {
  return makeServer<Record<string, unknown>, Peer>({
    connectionInitWaitTimeout: CONNECTION_INIT_MS,
    onConnect: async (connected) => {
      const { socket, request } = connected.extra;
      try {
        refuseKeyOfSocket(request);
        await authenticate(services, senderOf(connected));
        return true;
      } catch (error) {
        const code = error instanceof RateLimited ? 'RATE_LIMITED' : 'SERVICE_UNAVAILABLE';
        services.metrics.graphqlError(error instanceof CallerError ? error.code : code);
        if (error instanceof CallerError) socket.close(FORBIDDEN, `${error.code}: ${error.message}`);
        else socket.close(TRY_AGAIN_LATER, code);
        return false;
      }
    },
    onSubscribe: async (connected, _id, payload) => {
      const sender = senderOf(connected);
      const formatted = (errors: readonly unknown[]) =>
        formatErrors(errors, services.mask, sender.requestId).map((error) => new FormattedError(error));
      try {
        if (Object.keys(connected.subscriptions).length > MAX_OPERATIONS) throw tooMany();
        const started = await tracedRequest(
          `WEBSOCKET ${PATH}`,
          traceParentOf(connected),
          () => operations.start(payload, sender),
          { attributes: { 'checkout.request_id': sender.requestId } },
        );
        return 'errors' in started ? formatted(started.errors) : started;
      } catch (error) {
        return formatted([error]);
      }
    },
    // `start` has put a result, or an iterator over results, into rootValue.
    execute: (args: ExecutionArgs) => args.rootValue as never,
    subscribe: (args: ExecutionArgs) => args.rootValue as never,
    // Results are formatted already; the error that ends a subscription is not.
    onNext: (_client, _id, _payload, _args, result) => result as never,
    onError: (_client, _id, _payload, errors) => formatErrors(errors, services.mask, randomUUID()),
  });
}

/** A sender for each operation, and its token is verified each time: a socket may outlive its token by days. */
function senderOf({ connectionParams, extra: { client, request } }: Connected): Sender {
  return {
    requestId: randomUUID(),
    client,
    // Browsers can send a credential only in `connection_init`.
    authorization: () => credentialIn(connectionParams) ?? request.headers.authorization,
  };
}

/** Browsers can send `traceparent` only in `connection_init`. All operations of a socket then belong to one trace. */
function traceParentOf({ connectionParams, extra: { request } }: Connected): object {
  return typeof connectionParams?.traceparent === 'string' ? connectionParams : request.headers;
}

const tooMany = () =>
  new GraphQLError(`A socket may have ${MAX_OPERATIONS} operations under way`, {
    extensions: { code: 'RATE_LIMITED' },
  });

export type Started = ExecutionArgs | { readonly errors: readonly GraphQLError[] };

/** Executes operations by the same ways as HTTP: the fast path or Apollo. Subscriptions have their own. */
function operationsOf(apollo: ApolloServer<Context>, services: Services) {
  const { schema, guard } = services;
  const underWay = new Set<Promise<unknown>>();

  const executed = (result: FormattedExecutionResult): Started => {
    if ('data' in result) return { schema, document: EXECUTED, rootValue: result };
    return { errors: (result.errors ?? []).map((error) => new FormattedError(error)) };
  };

  const execute = async ({ context, fast, request }: Received): Promise<Started> => {
    const result = fast && (await executeFast(context, fast));
    if (result) return executed(result);
    const { body } = await apollo.executeOperation(request as GraphQLRequest, { contextValue: context });
    return executed(body.kind === 'single' ? body.singleResult : body.initialResult);
  };

  return {
    start: async (payload: SubscribePayload, sender: Sender): Promise<Started> => {
      const received = await receive(services, sender, payload, { mayBypassApollo: true });
      const { query, operationName, variables } = received.request as SubscribePayload;
      const subscription = received.fast ? null : await guard.readSubscription(query, operationName);
      if (subscription) return subscribe(received.context, subscription, { query, operationName, variables });
      const executing = execute(received);
      underWay.add(executing);
      return executing.finally(() => underWay.delete(executing));
    },
    drain: async (): Promise<void> => {
      const timeout = new Promise((resolve) => setTimeout(resolve, DRAIN_MS).unref());
      await Promise.race([Promise.allSettled([...underWay]), timeout]);
    },
  };
}

/** Stands for a document that was executed already: the protocol asks for one to tell subscriptions from other operations. */
const EXECUTED = parse('{ __typename }');
