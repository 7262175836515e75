/** The sale during an attack: shoppers who hold one unit each of a hot product, as fast as they are answered. */
import { cpuSecondsOf } from '../load/cpu';
import { HttpClient } from '../load/http-client';

const SHOPPERS = 64;
/** BUSY is answered within 2 s. */
const ANSWER_WITHIN_MS = 10_000;

const HOLD = `mutation Hold($productId: ID!) {
  createHold(input: { productId: $productId, quantity: 1 }) { hold { id expiresAt } userErrors { code } }
}`;

export interface Measured {
  readonly holdsPerSecond: number;
  /** CPU time of the server, user and system; NaN if the system does not say. */
  readonly cpuMicrosPerHold: number;
  /** The share of one core that the server used. */
  readonly cores: number;
  /** Answers other than a granted hold, which make the figures worthless. */
  readonly others: number;
}

/** Sells for so long, and counts what was granted. */
export async function sell(url: URL, pid: number, productId: string, ms: number): Promise<Measured> {
  const client = new HttpClient(url, { connections: SHOPPERS, answerWithinMs: ANSWER_WITHIN_MS });
  const body = JSON.stringify({ query: HOLD, variables: { productId } });
  const count = { granted: 0, others: 0 };
  const cpuBefore = cpuSecondsOf(pid) ?? NaN;
  const startedAt = performance.now();
  const shopper = async () => {
    while (performance.now() - startedAt < ms) {
      const text = await client.post('/graphql', body).then(
        (answer) => answer.body,
        () => '',
      );
      if (text.includes('"hold":{"id"')) count.granted += 1;
      else count.others += 1;
    }
  };
  await Promise.all(Array.from({ length: SHOPPERS }, shopper));
  const seconds = (performance.now() - startedAt) / 1_000;
  const cpuAfter = cpuSecondsOf(pid) ?? NaN;
  client.close();
  return {
    holdsPerSecond: count.granted / seconds,
    cpuMicrosPerHold: ((cpuAfter - cpuBefore) * 1e6) / count.granted,
    cores: (cpuAfter - cpuBefore) / seconds,
    others: count.others,
  };
}
