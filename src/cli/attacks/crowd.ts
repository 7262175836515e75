/** The sale that goes on meanwhile: shoppers who hold one unit each of a hot product, as fast as they are answered. */
import { Agent, request } from 'node:http';
import { readFileSync } from 'node:fs';

const SHOPPERS = 64;
/** USER_HZ, in which /proc counts: 100 on every Linux that people run. */
const TICKS_PER_SECOND = 100;

const HOLD = `mutation Hold($productId: ID!) {
  createHold(input: { productId: $productId, quantity: 1 }) { hold { id expiresAt } userErrors { code } }
}`;

export interface Measured {
  readonly holdsPerSecond: number;
  /** Of the server, user and system; NaN where the system does not say. */
  readonly cpuMicrosPerHold: number;
  /** The share of one core that the server used. */
  readonly cores: number;
  /** Answers other than a granted hold, which would make the figures worthless. */
  readonly others: number;
}

/** Sells for so long, and counts what was granted. */
export async function sell(url: URL, pid: number, productId: string, ms: number): Promise<Measured> {
  const agent = new Agent({ keepAlive: true, maxSockets: SHOPPERS });
  const body = JSON.stringify({ query: HOLD, variables: { productId } });
  const count = { granted: 0, others: 0 };
  const cpuBefore = cpuSecondsOf(pid);
  const startedAt = performance.now();
  const shopper = async () => {
    while (performance.now() - startedAt < ms) {
      const text = await post(url, agent, body).catch(() => '');
      if (text.includes('"hold":{"id"')) count.granted += 1;
      else count.others += 1;
    }
  };
  await Promise.all(Array.from({ length: SHOPPERS }, shopper));
  const seconds = (performance.now() - startedAt) / 1_000;
  const cpuAfter = cpuSecondsOf(pid);
  agent.destroy();
  return {
    holdsPerSecond: count.granted / seconds,
    cpuMicrosPerHold: ((cpuAfter - cpuBefore) * 1e6) / count.granted,
    cores: (cpuAfter - cpuBefore) / seconds,
    others: count.others,
  };
}

function post(url: URL, agent: Agent, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    request(new URL('/graphql', url), { method: 'POST', agent, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(text)).on('error', reject);
    })
      .on('error', reject)
      .end(body);
  });
}

function cpuSecondsOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return NaN;
  }
}

/** Memory in use, in MB. */
export function residentMbOf(pid: number): number | null {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  } catch {
    return null;
  }
}
