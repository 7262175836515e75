/** Bounds what the sockets of a server may do: one request per socket at a time, limited queues, and no stalled clients. */
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Pipelined requests that wait on all sockets together: some 50 MB. HTTP answers the requests of a socket in order, so handling
 * them one after another costs the client nothing, and keeps one socket from taking every turn of the event loop.
 */
const MAX_WAITING = 10_000;
/** A socket whose client takes none of its unsent bytes for this long is closed. */
const STALL_MS = 20_000;
/** Unsent bytes of all sockets. Above this limit the sockets with the most are closed. */
const MAX_UNSENT_BYTES = 128 * 1024 * 1024;
/** How often both limits are checked. */
const CHECK_MS = 1_000;
/** How long a socket with malformed input stays open, so that its client can read the answer. */
const LINGER_MS = 1_000;

interface Upgradable {
  /** Set when it has the header `Upgrade`, and `Connection` names it. */
  wantsUpgrade?: boolean;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface Turn {
  readonly request: IncomingMessage & Upgradable;
  readonly response: ServerResponse;
}

/** The state of one socket. */
class Line {
  underWay: Turn | null = null;
  readonly waiting: Turn[] = [];
  /** Requests behind this one are not answered. */
  isLast = false;
  /** Why no further request can be read. */
  failure: NodeJS.ErrnoException | null = null;
  hasEnded = false;
  /** Bytes that had been read when the last answer was sent; null: the first request is still to come. */
  answeredAtBytes: number | null = null;
  /** Bytes that the client had taken when a check last saw progress. */
  takenBytes = 0;
  takenAtMs = performance.now();

  constructor(readonly socket: Socket) {}
}

export interface SocketsOptions {
  /** Whether the server speaks the protocol of this `Upgrade`. Any other is ignored (RFC 9110, 7.8). */
  readonly mayUpgrade: (request: IncomingMessage) => boolean;
  /** The raw answer to bytes that are no request. */
  readonly answerTo: (error: NodeJS.ErrnoException) => string;
  /** A handler threw. */
  readonly onFailure: (error: unknown) => void;
  /** Sockets were closed because their clients did not read. */
  readonly onStalled: (details: { readonly sockets: number; readonly unsentBytes: number }) => void;
}

/**
 * Promises: the requests of a socket are handled in order, each only after the answer to the one before it was sent. (Pipelined
 * requests that are not answered within a request's time limit end in a 408.) Malformed bytes are answered after the requests
 * before them, and affect only their own socket. A socket whose client does not read is closed. `destroyAll` leaves none.
 */
export class Sockets {
  private readonly lines = new Map<Socket, Line>();
  private readonly check = setInterval(() => this.closeStalled(), CHECK_MS).unref();
  private waiting = 0;

  constructor(private readonly options: SocketsOptions) {}

  /** May be called several times, because a host name may stand for several addresses. */
  server(handler: Handler, options: ServerOptions): Server {
    const { mayUpgrade } = this.options;
    // A request behind unanswered ones is not handed to `upgrade` listeners, because the answers would get mixed up.
    const shouldUpgradeCallback = (request: IncomingMessage & Upgradable) => {
      request.wantsUpgrade = true;
      return !this.lines.get(request.socket)?.underWay && mayUpgrade(request);
    };
    const server = createServer({ ...options, shouldUpgradeCallback });
    // A client that has closed its writing half still gets its answers. (Node has no option for it.)
    Object.assign(server, { httpAllowHalfOpen: true });
    // Node calls it when a server closes. From 26.4 on its own resets sockets of which it has read nothing yet.
    server.closeIdleConnections = () => this.closeIdle();
    server.on('connection', (socket: Socket) => this.open(socket));
    const take = (request: IncomingMessage, response: ServerResponse) => this.take(handler, { request, response });
    server.on('request', take);
    // Expectations other than `100-continue` are ignored, as RFC 9110 (10.1.1) allows, so the answer has its route's shape.
    server.on('checkExpectation', take);
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.fail(error, socket as Socket));
    return server;
  }

  /** Closes sockets between two requests. A socket that has not sent its first request yet is about to, and stays. */
  closeIdle(): void {
    for (const { socket, underWay, answeredAtBytes } of this.lines.values()) {
      if (!underWay && answeredAtBytes === socket.bytesRead) socket.destroy();
    }
  }

  /** Includes sockets in use, and those upgraded to WebSocket. */
  destroyAll(): void {
    for (const socket of this.lines.keys()) socket.destroy();
  }

  close(): void {
    clearInterval(this.check);
    this.destroyAll();
  }

  private open(socket: Socket): void {
    const line = new Line(socket);
    this.lines.set(socket, line);
    // Node resumes a socket whenever a request's body is read, even one that was complete long ago.
    socket.on('resume', () => {
      if (line.waiting.length > 0) socket.pause();
    });
    socket.once('close', () => {
      this.lines.delete(socket);
      this.waiting -= line.waiting.length;
      line.waiting.length = 0;
    });
  }

  private take(handler: Handler, turn: Turn): void {
    const { socket } = turn.request;
    const line = this.lines.get(socket);
    if (!line || line.isLast || line.failure) return;
    // Node drops what followed such a request in the same packet, so the next bytes may begin in the middle of a request.
    if (turn.request.wantsUpgrade) {
      line.isLast = true;
      turn.response.shouldKeepAlive = false;
    }
    if (!line.underWay) return this.handle(handler, line, turn);
    line.waiting.push(turn);
    this.waiting += 1;
    if (this.waiting > MAX_WAITING) socket.destroy();
    else if (!socket.isPaused()) socket.pause();
  }

  private handle(handler: Handler, line: Line, turn: Turn): void {
    line.underWay = turn;
    turn.response.once('close', () => this.goOn(handler, line));
    try {
      handler(turn.request, turn.response);
    } catch (error) {
      this.options.onFailure(error);
      line.socket.destroy();
    }
  }

  private goOn(handler: Handler, line: Line): void {
    line.underWay = null;
    line.answeredAtBytes = line.socket.bytesRead;
    const next = line.waiting[0];
    if (line.failure && !next?.request.complete) return this.end(line, line.failure);
    if (!next) return;
    line.waiting.shift();
    this.waiting -= 1;
    line.underWay = next;
    if (line.waiting.length === 0) line.socket.resume();
    // Gives every other socket a turn.
    setImmediate(() => {
      if (!line.socket.destroyed) this.handle(handler, line, next);
    });
  }

  /** Also called for every chunk after the first failure. */
  private fail(error: NodeJS.ErrnoException, socket: Socket): void {
    const line = this.lines.get(socket);
    if (!line || error.code === 'ECONNRESET' || socket.destroyed) return void socket.destroy();
    if (line.failure) return;
    line.failure = error;
    // Complete requests are answered first; an incomplete one gets no other answer than this error.
    if (!line.underWay || !line.underWay.request.complete) this.end(line, error);
  }

  /** Answers, and keeps reading for a moment: closing a socket with unread bytes would reset it before the client has read. */
  private end(line: Line, error: NodeJS.ErrnoException): void {
    const { socket } = line;
    if (line.hasEnded) return;
    line.hasEnded = true;
    if (!socket.writable || line.underWay?.response.headersSent) return void socket.destroy();
    socket.end(this.options.answerTo(error));
    const linger = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(linger));
    socket.once('end', () => socket.destroySoon());
    socket.resume();
  }

  private closeStalled(): void {
    const nowMs = performance.now();
    const slow: Line[] = [];
    let unsentBytes = 0;
    let sockets = 0;
    for (const line of this.lines.values()) {
      const { socket } = line;
      const unsent = socket.writableLength;
      if (unsent === 0) {
        line.takenAtMs = nowMs;
        continue;
      }
      const takenBytes = socket.bytesWritten - unsent;
      if (takenBytes !== line.takenBytes) {
        line.takenBytes = takenBytes;
        line.takenAtMs = nowMs;
      }
      if (nowMs - line.takenAtMs > STALL_MS) {
        socket.destroy();
        sockets += 1;
      } else {
        unsentBytes += unsent;
        slow.push(line);
      }
    }
    if (unsentBytes > MAX_UNSENT_BYTES) {
      slow.sort((a, b) => b.socket.writableLength - a.socket.writableLength);
      for (const { socket } of slow) {
        if (unsentBytes <= MAX_UNSENT_BYTES) break;
        unsentBytes -= socket.writableLength;
        socket.destroy();
        sockets += 1;
      }
    }
    if (sockets > 0) this.options.onStalled({ sockets, unsentBytes });
  }
}
