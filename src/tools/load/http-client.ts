/** HTTP over a bounded number of keep-alive connections. Uses node:http because fetch costs three times the CPU per request. */
import * as http from 'node:http';
import * as https from 'node:https';

/** Far more than any expected answer; a longer one is an error. */
const MAX_ANSWER_LENGTH = 4 * 1024 * 1024;

export interface HttpAnswer {
  readonly status: number;
  readonly retryAfterMs: number;
  readonly body: string;
}

export interface HttpClientOptions {
  /** Concurrent sockets; further requests wait for one. */
  readonly connections: number;
  /** Time limit of an answer, including the wait for a socket. */
  readonly answerWithinMs: number;
}

export class HttpClient {
  private readonly agent: http.Agent;
  private readonly request: typeof http.request;
  isClosed = false;

  constructor(
    private readonly origin: URL,
    private readonly options: HttpClientOptions,
  ) {
    const isSecure = origin.protocol === 'https:';
    this.request = isSecure ? https.request : http.request;
    this.agent = new (isSecure ? https.Agent : http.Agent)({ keepAlive: true, maxSockets: options.connections });
  }

  /** Rejects without a complete answer; then it is unknown whether the request had its effect. */
  post(path: string, body: string, headers: http.OutgoingHttpHeaders = {}): Promise<HttpAnswer> {
    const length = Buffer.byteLength(body);
    return this.send('POST', path, { 'content-type': 'application/json', 'content-length': length, ...headers }, body);
  }

  /** Rejects like `post`. */
  get(path: string, headers: http.OutgoingHttpHeaders = {}): Promise<HttpAnswer> {
    return this.send('GET', path, headers);
  }

  /** Aborts requests in progress, too. */
  close(): void {
    this.isClosed = true;
    this.agent.destroy();
  }

  private send(method: string, path: string, headers: http.OutgoingHttpHeaders, body?: string): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) throw new Error('the client is closed');
      const { protocol, hostname, port } = this.origin;
      const { answerWithinMs } = this.options;
      const request = this.request({
        ...{ protocol, port, path, method, headers, agent: this.agent },
        hostname: hostname.replace(/^\[|\]$/g, ''),
      });
      // Only destroying ends a request in every state, even while it waits for a socket.
      const timeout = setTimeout(
        () => request.destroy(new Error(`no answer within ${answerWithinMs / 1_000} s`)),
        answerWithinMs,
      );
      const fail = (error: Error) => {
        clearTimeout(timeout);
        reject(error);
      };
      request.on('error', fail);
      request.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          text += part;
          if (text.length > MAX_ANSWER_LENGTH) request.destroy(new Error('the answer is too long'));
        });
        response.on('error', fail);
        response.on('aborted', () => fail(new Error('the connection was lost within an answer')));
        response.on('end', () => {
          clearTimeout(timeout);
          const retryAfterMs = Number(response.headers['retry-after'] ?? 0) * 1_000 || 0;
          resolve({ status: response.statusCode ?? 0, retryAfterMs, body: text });
        });
      });
      request.end(body);
    });
  }
}
