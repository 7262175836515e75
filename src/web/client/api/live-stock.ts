/** Live stock over one WebSocket, which reconnects. */
import { createClient, type Client, type SubscribePayload } from 'graphql-ws';
import { StockChangedDocument, type StockChangedSubscription } from '../generated/graphql';
import { trustedName } from './ask';
import { backoff } from './retry';
import { onWake, rest } from './wake';

export type StockLevel = StockChangedSubscription['stockChanged'];
export type Connection = 'connecting' | 'live' | 'lost';

const LONGEST_WAIT_MS = 10_000;
const PING_MS = 15_000;
/** A socket without a pong within this time is dead, even if the browser does not know: a phone that left its network. */
const PONG_MS = 5_000;

export interface LiveStock {
  /** Reports the current level of at most 100 products, then each change. Returns a function that stops it. */
  watch(productIds: readonly string[], onLevel: (level: StockLevel) => void): () => void;
  close(): void;
}

export function connectLiveStock(onConnection: (connection: Connection) => void): LiveStock {
  let socket: WebSocket | null = null;
  let pongTimer: ReturnType<typeof setTimeout> | undefined;
  const client: Client = createClient({
    url: `${location.origin.replace(/^http/, 'ws')}/graphql`,
    retryAttempts: Infinity,
    shouldRetry: () => true,
    retryWait: (retries) => rest(Math.min(LONGEST_WAIT_MS, 500 * 2 ** retries) * (0.5 + Math.random() / 2)),
    keepAlive: PING_MS,
    on: {
      connecting: (isRetry) => onConnection(isRetry ? 'lost' : 'connecting'),
      connected: (connected) => {
        socket = connected as WebSocket;
        onConnection('live');
      },
      ping: (isReceived) => !isReceived && expectPong(),
      pong: (isReceived) => isReceived && clearTimeout(pongTimer),
      closed: () => {
        socket = null;
        clearTimeout(pongTimer);
        onConnection('lost');
      },
    },
  });
  const expectPong = () => {
    clearTimeout(pongTimer);
    pongTimer = setTimeout(() => client.terminate(), PONG_MS);
  };
  /** Pings at once instead of within PING_MS. */
  const check = () => {
    if (socket?.readyState !== WebSocket.OPEN) return;
    socket.send('{"type":"ping"}');
    expectPong();
  };
  const stopWaking = onWake(check);
  addEventListener('offline', check);
  return {
    watch: (productIds, onLevel) =>
      watch(client, productIds, onLevel, (isServed) => onConnection(isServed ? 'live' : 'lost')),
    close: () => {
      stopWaking();
      removeEventListener('offline', check);
      clearTimeout(pongTimer);
      void client.dispose();
    },
  };
}

/**
 * Subscribes by the document's hash, then by its text if the server does not know the hash. A subscription that the server ends
 * is retried with backoff.
 */
function watch(
  client: Client,
  productIds: readonly string[],
  onLevel: (level: StockLevel) => void,
  onServed: (isServed: boolean) => void,
): () => void {
  const variables = { productIds: [...productIds] };
  const text: SubscribePayload = { query: String(StockChangedDocument), variables };
  const extensions = trustedName(StockChangedDocument);
  let isOver = false;
  let failures = 0;
  let stop: () => void = () => undefined;
  const subscribe = (question: SubscribePayload) => {
    if (isOver) return;
    const again = async () => {
      if (isOver) return;
      // Only the hash was refused, so the text follows at once.
      if (question === text) {
        onServed(false);
        await rest(backoff((failures += 1)));
      }
      subscribe(text);
    };
    stop = client.subscribe<StockChangedSubscription>(question, {
      next: ({ data }) => {
        if (!data) return;
        if (failures > 0) onServed(true);
        failures = 0;
        onLevel(data.stockChanged);
      },
      error: () => void again(),
      complete: () => void again(),
    });
  };
  subscribe(extensions ? { query: '', variables, extensions } : text);
  return () => {
    isOver = true;
    stop();
  };
}
