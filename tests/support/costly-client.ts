/** Asks one document over HTTP or WebSocket, and counts the bytes of the answer. */
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { WebSocket } from 'ws';

export interface CostlyAnswer {
  readonly bytes: number;
  readonly text: string;
}

export class CostlyClient {
  private readonly agent = new Agent({ keepAlive: true });
  private readonly sockets = new Map<string, WebSocket>();
  private asked = 0;

  constructor(private readonly url: string) {}

  http(query: string, token: string, headers: Record<string, string> = {}): Promise<CostlyAnswer> {
    return new Promise((resolve, reject) => {
      const body = JSON.stringify({ query });
      const sent = {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        authorization: `Bearer ${token}`,
        ...headers,
      };
      request(new URL('/graphql', this.url), { method: 'POST', agent: this.agent, headers: sent }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const all = Buffer.concat(parts);
          resolve({ bytes: all.length, text: all.toString() });
        });
        response.on('error', reject);
      })
        .on('error', reject)
        .end(body);
    });
  }

  /** All that comes until the operation is complete. */
  async webSocket(query: string, token: string): Promise<CostlyAnswer> {
    const socket = await this.socketOf(token);
    const id = String((this.asked += 1));
    return new Promise((resolve, reject) => {
      let bytes = 0;
      let text = '';
      const end = (settle: () => void) => {
        socket.off('message', listen).off('close', failed);
        settle();
      };
      const failed = (code: number) => end(() => reject(new Error(`the socket was closed with ${code}`)));
      const listen = (data: Buffer) => {
        bytes += data.length;
        text += data.toString();
        const { type } = JSON.parse(data.toString()) as { type: string };
        if (type === 'complete' || type === 'error') end(() => resolve({ bytes, text }));
      };
      socket.on('message', listen).on('close', failed);
      socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query } }));
    });
  }

  close(): void {
    this.agent.destroy();
    for (const socket of this.sockets.values()) socket.terminate();
  }

  private async socketOf(token: string): Promise<WebSocket> {
    const open = this.sockets.get(token);
    if (open?.readyState === WebSocket.OPEN) return open;
    const socket = new WebSocket(`${this.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    socket.on('error', () => undefined);
    this.sockets.set(token, socket);
    await once(socket, 'open');
    socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${token}` } }));
    await once(socket, 'message');
    return socket;
  }
}
