/** A port for a process that has to be told one before it starts. */
import { createServer, type AddressInfo } from 'node:net';

/** Free now, and very likely still free in a moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
