/** Shoppers who subscribe to a product's stock, in their own process, over one WebSocket each. */
import { WebSocket } from 'ws';
import { followParent, tell } from './parent';

export interface WatchOrder {
  readonly kind: 'watch';
  readonly port: number;
  readonly productId: string;
  readonly watchers: number;
}

/** Sent once every watcher has received the current level. */
export interface Watching {
  readonly kind: 'watching';
}

/** The updates that all watchers received, sent after they have disconnected. */
export interface Left {
  readonly kind: 'left';
  readonly levels: number;
}

const SUBSCRIPTION =
  'subscription ($ids: [ID!]!) { stockChanged(productIds: $ids) { product { id } availableStock saleStatus at } }';
/** Sockets that connect at the same time. */
const AT_ONCE = 100;

let levels = 0;
let sockets: WebSocket[] = [];

async function watch({ port, productId, watchers }: WatchOrder): Promise<void> {
  while (sockets.length < watchers) {
    const some = Array.from({ length: Math.min(AT_ONCE, watchers - sockets.length) }, () => join(port, productId));
    sockets.push(...(await Promise.all(some)));
  }
  levels = 0;
}

/** Resolves with the first level. */
function join(port: number, productId: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/graphql`, 'graphql-transport-ws', {
      perMessageDeflate: false,
    });
    const say = (message: object) => socket.send(JSON.stringify(message));
    socket.once('open', () => say({ type: 'connection_init' }));
    socket.once('message', () => {
      say({ id: '1', type: 'subscribe', payload: { query: SUBSCRIPTION, variables: { ids: [productId] } } });
      socket.on('message', (data: Buffer) => {
        if (data.includes('"ping"')) return say({ type: 'pong' });
        if (!data.includes('availableStock')) return reject(new Error(`a watcher was told ${data.toString()}`));
        levels += 1;
        resolve(socket);
      });
    });
    socket.once('error', reject);
    socket.once('close', (code) => reject(new Error(`a watcher was closed with ${code}`)));
  });
}

async function leave(): Promise<void> {
  const open = sockets;
  sockets = [];
  await Promise.all(
    open.map((socket) => {
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.close(1000);
      return closed;
    }),
  );
}

followParent(() => undefined);
process.on('message', (order: WatchOrder | { readonly kind: 'leave' }) => {
  const done = order.kind === 'watch' ? watch(order) : leave();
  done.then(
    () =>
      tell(
        order.kind === 'watch' ? ({ kind: 'watching' } satisfies Watching) : ({ kind: 'left', levels } satisfies Left),
      ),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(1);
    },
  );
});
tell({ kind: 'ready' });
