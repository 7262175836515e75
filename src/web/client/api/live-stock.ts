/** Live stock: one socket for the page, which comes back by itself. */
import { createClient, type Client, type SubscribePayload } from 'graphql-ws';
import { StockChangedDocument, type StockChangedSubscription } from '../generated/graphql';
import { trustedName } from './ask';

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
    watch: (productIds, onLevel) => watch(client, productIds, onLevel, () => onConnection('lost')),
    close: () => void client.dispose(),
  };
}

/** By the document's hash; a server that does not know it is asked again with the text. */
function watch(
  client: Client,
  productIds: readonly string[],
  onLevel: (level: StockLevel) => void,
  onFailure: () => void,
): () => void {
  const variables = { productIds: [...productIds] };
  const text = { query: String(StockChangedDocument), variables };
  const extensions = trustedName(StockChangedDocument);
  const subscribe = (question: SubscribePayload, onError: () => void) =>
    client.subscribe<StockChangedSubscription>(question, {
      next: ({ data }) => data && onLevel(data.stockChanged),
      error: onError,
      complete: () => undefined,
    });
  let stop = extensions
    ? subscribe({ query: '', variables, extensions }, () => (stop = subscribe(text, onFailure)))
    : subscribe(text, onFailure);
  return () => stop();
}
