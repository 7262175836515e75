/** Finds a port for a process that needs one before it starts. */
import { createServer, type AddressInfo } from 'node:net';

/** Free now, and very likely still free a moment later. */
export async function findFreePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
