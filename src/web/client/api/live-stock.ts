/** Live stock: one socket for the page, which comes back by itself. */
import { createClient, type Client } from 'graphql-ws';
import { StockChangedDocument, type StockChangedSubscription } from '../generated/graphql';

export type StockLevel = StockChangedSubscription['stockChanged'];
export type Connection = 'connecting' | 'live' | 'lost';

const LONGEST_WAIT_MS = 10_000;
const PING_MS = 15_000;

export interface LiveStock {
  /** The current level of each product, then each change. At most 100 products. Answers how to stop. */
  watch(productIds: readonly string[], onLevel: (level: StockLevel) => void): () => void;
  close(): void;
}

export function connectLiveStock(onConnection: (connection: Connection) => void): LiveStock {
  const client: Client = createClient({
    url: `${location.origin.replace(/^http/, 'ws')}/graphql`,
    retryAttempts: Infinity,
    shouldRetry: () => true,
    retryWait: async (retries) => {
      const wait = Math.min(LONGEST_WAIT_MS, 500 * 2 ** retries) * (0.5 + Math.random() / 2);
      await new Promise((resolve) => setTimeout(resolve, wait));
    },
    keepAlive: PING_MS,
    on: {
      connecting: (isRetry) => onConnection(isRetry ? 'lost' : 'connecting'),
      connected: () => onConnection('live'),
      closed: () => onConnection('lost'),
    },
  });
  return {
    watch: (productIds, onLevel) =>
      client.subscribe<StockChangedSubscription>(
        { query: String(StockChangedDocument), variables: { productIds: [...productIds] } },
        {
          next: ({ data }) => data && onLevel(data.stockChanged),
          error: () => onConnection('lost'),
          complete: () => undefined,
        },
      ),
    close: () => void client.dispose(),
  };
}
