/** createHold without HTTP and GraphQL: N `pg` connections that each take one unit of one product in one transaction. */
import { Client } from 'pg';
import { holdOnHotRow } from './bench-sql';
import { newId } from '../../database/ids';
import { quantilesOf } from '../load/percentiles';
import type { LoadResult } from './load';
import { followParent, tell } from './parent';

export interface HotRowOrder {
  readonly kind: 'hot-row';
  readonly url: string;
  readonly productId: string;
  readonly clients: number;
  readonly leadInMs: number;
  readonly measuredMs: number;
}

async function run(order: HotRowOrder): Promise<LoadResult> {
  const clients = Array.from({ length: order.clients }, () => new Client({ connectionString: order.url }));
  for (const client of clients) await client.connect();
  const latencies: number[] = [];
  let answersInAll = 0;
  let begunAt = Number.POSITIVE_INFINITY;
  let endedAt = Number.POSITIVE_INFINITY;
  setTimeout(() => {
    begunAt = performance.now();
    tell({ kind: 'begun' });
    setTimeout(() => {
      endedAt = performance.now();
      tell({ kind: 'ended' });
    }, order.measuredMs);
  }, order.leadInMs);

  const loop = async (client: Client) => {
    while (endedAt === Number.POSITIVE_INFINITY) {
      const sentAt = performance.now();
      await holdOnHotRow(client, order.productId, newId());
      const now = performance.now();
      answersInAll += 1;
      if (now >= begunAt && now <= endedAt) latencies.push(now - sentAt);
    }
  };
  await Promise.all(clients.map(loop));
  await Promise.all(clients.map((client) => client.end()));

  const at = quantilesOf(latencies);
  return {
    kind: 'drained',
    answers: latencies.length,
    measuredMs: endedAt - begunAt,
    answersInAll,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    eachSecond: [],
    wrong: null,
  };
}

followParent(() => undefined);
process.on('message', (order: HotRowOrder) => {
  run(order).then(tell, (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  });
});
tell({ kind: 'ready' });
