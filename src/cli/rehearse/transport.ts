/** HTTP over a bounded number of connections that stay open. Node's own client: fetch costs three times the CPU a request. */
import * as http from 'node:http';
import * as https from 'node:https';

/** The server promises an answer, if only BUSY, well within this. */
const answerTimeoutMs = 10_000;
/** No answer to a rehearsal's requests is near this long: whatever is longer comes from something else. */
const maxAnswerLength = 4 * 1024 * 1024;

export interface HttpAnswer {
  readonly status: number;
  readonly retryAfterMs: number;
  readonly body: string;
}

export class Transport {
  private readonly agent: http.Agent;
  private readonly request: typeof http.request;
  isClosed = false;

  constructor(
    private readonly origin: URL,
    connections: number,
  ) {
    const isSecure = origin.protocol === 'https:';
    this.request = isSecure ? https.request : http.request;
    this.agent = new (isSecure ? https.Agent : http.Agent)({ keepAlive: true, maxSockets: connections });
  }

  /** Rejects when no whole answer came: then nobody knows whether the request had its effect. */
  post(path: string, body: string, headers: http.OutgoingHttpHeaders): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) throw new Error('the rehearsal has ended');
      const { protocol, hostname, port } = this.origin;
      const request = this.request({
        protocol,
        hostname: hostname.replace(/^\[|\]$/g, ''),
        port,
        path,
        method: 'POST',
        agent: this.agent,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers },
      });
      // Destroying is the only end that works in every state, also while the request waits for a socket.
      const timeout = setTimeout(
        () => request.destroy(new Error(`no answer within ${answerTimeoutMs / 1_000} s`)),
        answerTimeoutMs,
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
          if (text.length > maxAnswerLength) request.destroy(new Error('the answer is too long'));
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

  /** Cuts off requests in progress, too. */
  close(): void {
    this.isClosed = true;
    this.agent.destroy();
  }
}
