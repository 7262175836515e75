/** The sockets of a server: one request of a socket at a time, bounds on what waits for it, and an end to all of them. */
import { createServer, IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Pipelined requests of all sockets that may wait for their turn: some 50 MB. HTTP answers a socket's requests in order, so
 * serving them one after another costs the client nothing, and keeps one socket from taking every turn of the event loop.
 */
const MAX_WAITING = 10_000;
/** A socket that takes none of the bytes that wait for it for this long is closed. */
const STALL_MS = 20_000;
/** Answers that clients have not taken yet, of all sockets. Beyond it, the sockets for which most is waiting are closed. */
const MAX_UNSENT_BYTES = 128 * 1024 * 1024;
/** How often both are looked at. */
const CHECK_MS = 1_000;
/** How long a socket whose bytes could not be read stays open for its client to read why. */
const LINGER_MS = 1_000;

/** What a request becomes here. */
interface Upgradable {
  /** It has `Upgrade`, and `Connection` names it. */
  readonly wantsUpgrade: boolean;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface Turn {
  readonly request: IncomingMessage & Upgradable;
  readonly response: ServerResponse;
}

/** One socket. */
class Line {
  underWay: Turn | null = null;
  readonly waiting: Turn[] = [];
  /** Nothing that comes behind is answered. */
  isLast = false;
  /** Why nothing more can be read. */
  failure: NodeJS.ErrnoException | null = null;
  hasEnded = false;
  /** How much had been read when the last answer left; null: a first request is still to come. */
  answeredAtBytes: number | null = null;
  /** What the client had taken of its answers at the last look that saw a change. */
  takenBytes = 0;
  takenAtMs = performance.now();

  constructor(readonly socket: Socket) {}
}

export interface SocketsOptions {
  /** Whether we speak what this request wants to upgrade to. Any other `Upgrade` is ignored (RFC 9110, 7.8). */
  readonly mayUpgrade: (request: IncomingMessage) => boolean;
  /** The whole answer to bytes that are no request. */
  readonly answerTo: (error: NodeJS.ErrnoException) => string;
  /** A handler threw, or sockets were closed for what they did not take. */
  readonly onFailure: (error: unknown) => void;
  readonly onStalled: (details: { readonly sockets: number; readonly unsentBytes: number }) => void;
}

/**
 * Promises: the requests of a socket are handled one after another, in their order, and each is handled only once its
 * predecessor's answer has left (a socket that has more to send than is answered within the limit of a request gets a 408
 * behind its last answer); bytes that cannot be read are answered after the requests before them, and only on their
 * own socket; a socket that takes no answer is closed; `destroyAll` leaves none.
 */
export class Sockets {
  private readonly lines = new Map<Socket, Line>();
  private readonly check = setInterval(() => this.closeStalled(), CHECK_MS).unref();
  private waiting = 0;

  constructor(private readonly options: SocketsOptions) {}

  /** One of perhaps several, for a host name may stand for several addresses. */
  server(handler: Handler, options: ServerOptions): Server {
    const { mayUpgrade } = this.options;
    const lines = this.lines;
    class Request extends IncomingMessage implements Upgradable {
      declare wantsUpgrade: boolean;

      /**
       * node asks whether to hand the socket to `upgrade` listeners instead of serving the request, and hands all or none to
       * them. (From node 24 on, `shouldUpgradeCallback` is asked.) One behind unanswered requests is not handed over: the
       * answers would get mixed up.
       */
      get upgrade(): boolean {
        if (!this.wantsUpgrade || this.method === 'CONNECT') return this.wantsUpgrade;
        return !lines.get(this.socket)?.underWay && mayUpgrade(this);
      }

      set upgrade(wantsUpgrade: boolean) {
        this.wantsUpgrade = wantsUpgrade;
      }
    }
    const server = createServer({ ...options, IncomingMessage: Request });
    // A client that has said all it wants, and closed its half, still gets its answers. (node has no option for it.)
    Object.assign(server, { httpAllowHalfOpen: true });
    // Node calls it when a server closes. From 26.4 on its own resets sockets of which it has read nothing yet.
    server.closeIdleConnections = () => this.closeIdle();
    server.on('connection', (socket: Socket) => this.open(socket));
    const take = (request: IncomingMessage, response: ServerResponse) =>
      this.take(handler, { request: request as Request, response });
    server.on('request', take);
    // An expectation other than `100-continue` is ignored, as RFC 9110 (10.1.1) allows: so the answer has its route's shape.
    server.on('checkExpectation', take);
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.fail(error, socket as Socket));
    return server;
  }

  /** Those between two requests. One that has not sent its first request yet is about to. */
  closeIdle(): void {
    for (const { socket, underWay, answeredAtBytes } of this.lines.values()) {
      if (!underWay && answeredAtBytes === socket.bytesRead) socket.destroy();
    }
  }

  /** Whatever they are doing, and whatever they have been upgraded to. */
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
    // node resumes a socket whenever the body of a request is read, also of one that came whole long ago.
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
    // node drops what came behind such a request in the same packet: the next bytes may begin anywhere in a request.
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
    // The other sockets have a turn each.
    setImmediate(() => {
      if (!line.socket.destroyed) this.handle(handler, line, next);
    });
  }

  /** Called for every chunk that comes after the first failure, too. */
  private fail(error: NodeJS.ErrnoException, socket: Socket): void {
    const line = this.lines.get(socket);
    if (!line || error.code === 'ECONNRESET' || socket.destroyed) return void socket.destroy();
    if (line.failure) return;
    line.failure = error;
    // Requests that have come whole are answered first; one that will never be whole has no other answer.
    if (!line.underWay || !line.underWay.request.complete) this.end(line, error);
  }

  /** Says why, and goes on reading for a moment: closing a socket with unread bytes would reset it before the client has read. */
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
