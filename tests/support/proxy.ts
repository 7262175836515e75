/** A way to PostgreSQL, or to a server, that can be cut and mended, as a failing network is. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Proxy {
  /** The same database or server, through the proxy. */
  readonly url: string;
  /** Cuts every connection, and refuses new ones. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Keeps every connection, takes new ones, and carries nothing any more: a network that was left without a word. */
  freeze(): void;
}

export async function proxyTo(databaseUrl: string): Promise<Proxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let isFrozen = false;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
      if (isFrozen) socket.pause();
    }
  });
  let port = 0;
  const start = () =>
    new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  await start();
  port = (server.address() as AddressInfo).port;
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String(port);
  return {
    url: url.href,
    start,
    freeze: () => {
      isFrozen = true;
      for (const socket of sockets) socket.pause();
    },
    stop: async () => {
      isFrozen = false;
      if (!server.listening) return;
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
