/** Searches for the document that costs a server most, and checks the limits in the threat model. */
import { readFileSync } from 'node:fs';
import { developmentJwtSecret } from '../../src/config';
import { MAX_ANSWER_BYTES } from '../../src/graphql/documents/budget';
import { checkoutSchema } from '../../src/graphql/schema';
import { signToken } from '../../src/graphql/http/tokens';
import { CostlyClient } from '../support/costly-client';
import { searchCostly, type CostlyDocument } from '../support/costly-documents';
import { COSTLY_CUSTOMER, openCostlyShop } from '../support/costly-shop';
import { ensure, type Installation } from './fixture';
import type { Random } from '../../src/tools/load/random';
import type { Tally } from './tally';

/** Limit of one input in ms of the server's CPU, on a machine with other work, too. */
export const MAX_OPERATION_CPU_MS = 100;
/** The frame of a WebSocket message around the answer. */
const FRAME_BYTES = 200;
/** USER_HZ, the unit of /proc: 100 on every common Linux. Enough repetitions make one tick a small error. */
const MS_PER_TICK = 10;
const MEASURED_MS = 200;
export const COST_NEEDS = ['documents', 'executed over HTTP', 'executed over WebSocket', 'refused before'];

/** Returns the cost of the worst documents, one line each. Throws `Violation` when one exceeds a limit. */
export async function proveCost(
  installation: Installation,
  random: Random,
  isTimeLeft: () => boolean,
  tally: Tally,
): Promise<readonly string[]> {
  await openCostlyShop(installation.sql);
  const server = await installation.server({ LOG_LEVEL: 'warn', NODE_ENV: 'test' });
  const client = new CostlyClient(server.client.url);
  const auth = { kind: 'secret', secret: developmentJwtSecret } as const;
  const tokenOf = (sub: string, roles: string[]) => signToken(auth, { sub, roles, ttlSeconds: 24 * 3_600 });
  const [customer, admin] = await Promise.all([tokenOf(COSTLY_CUSTOMER, []), tokenOf('operator', ['admin'])]);

  const cpuOf = async (ask: () => Promise<unknown>, leastMs = MEASURED_MS): Promise<number> => {
    const startedAt = performance.now();
    const before = cpuMsOf(server.pid);
    let times = 0;
    for (; times < 3 || performance.now() - startedAt < leastMs; times += 1) await ask();
    return (cpuMsOf(server.pid) - before) / times;
  };
  const askWith = (document: CostlyDocument, way: 'http' | 'webSocket') => {
    const token = document.needsAdmin ? admin : customer;
    return client[way](document.text, token);
  };
  const documents = new Map<string, CostlyDocument>();
  try {
    const { tried, worst } = await searchCostly({
      schema: checkoutSchema(),
      random,
      isTimeLeft,
      measure: async (document) => {
        const way = random.isTrue(0.5) ? 'http' : 'webSocket';
        const { bytes, text } = await askWith(document, way);
        ensure(bytes <= MAX_ANSWER_BYTES + FRAME_BYTES, `an answer of ${bytes} bytes`, { document: document.text });
        ensure(!text.includes('"code":"INTERNAL_SERVER_ERROR"'), 'a document is answered by an internal error', {
          document: document.text,
        });
        const isExecuted = text.includes('"data":{');
        tally.add('documents');
        tally.add(isExecuted ? `executed over ${way === 'http' ? 'HTTP' : 'WebSocket'}` : 'refused before');
        // A refusal costs, too: it may have been executed as far as its budget allowed.
        documents.set(document.text, document);
        return { cpuMs: await cpuOf(() => askWith(document, way)), bytes };
      },
    });
    const least = await cpuOf(() => client.http('{__typename}', customer), 1_000);
    const lines = [`${tried} documents; the cheapest question there is, {__typename}, costs ${least.toFixed(2)} ms`];
    for (const [measure, { text, measured }] of worst) {
      const document = documents.get(text)!;
      for (const way of ['http', 'webSocket'] as const) {
        const runs: number[] = [];
        for (let run = 0; run < 3; run += 1) runs.push(await cpuOf(() => askWith(document, way), 1_000));
        const ms = Math.min(...runs);
        lines.push(
          `most ${measure}, over ${way}: ${ms.toFixed(1)} ms of CPU (${runs.map((one) => one.toFixed(1)).join(', ')}), ` +
            `${measured.bytes} bytes: ${text.slice(0, 400)}`,
        );
        ensure(ms <= MAX_OPERATION_CPU_MS, `a document costs ${ms} ms of CPU over ${way}`, { document: text });
      }
    }
    return lines;
  } finally {
    client.close();
  }
}

function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}
