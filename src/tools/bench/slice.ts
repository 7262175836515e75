/** One measured slice: counters, load, counters again, and a check that all answers are stored. */
import { open, stat } from 'node:fs/promises';
import { countEffects } from './bench-sql';
import type { Child } from './children';
import { cpuSecondsOf } from '../load/cpu';
import type { HotRowOrder } from './hot-row';
import type { LoadOrder, LoadResult } from './load';
import type { Noise, PacedOrder, PacedResult } from './paced-load';
import { reconcile, type Shop } from './stage';

export interface Slice {
  /** Correct answers per second; a wrong one ends the run. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly answers: number;
  /** Mean number of holds per transaction. null: nothing was batched, or no log says. */
  readonly meanBatch: number | null;
  /** CPU time per answer, in ms. null: unknown, or there is no such process. */
  readonly nodeCpuMs: number | null;
  readonly postgresCpuMs: number | null;
  readonly eachSecond: readonly number[];
  /** The load that ran at the same time. null: none. */
  readonly noise: Noise | null;
}

export interface Site {
  readonly generator: Child;
  readonly order: LoadOrder | PacedOrder | HotRowOrder;
  /** The process whose CPU time, with that of its children, counts as Node's. null: two kinds of requests shared it. */
  readonly cpuOf: number | null;
  readonly logFile: string | null;
  readonly postmasterPid: number | null;
  /** The table whose rows must have grown by exactly the answers; null: nothing may be written. */
  readonly writes: { readonly shop: Shop; readonly rows: 'holds' | 'orders' | 'events' } | null;
  readonly shop: Shop;
}

/** Of a server's log: some 500,000 lines. */
const MAX_LOG_BYTES = 128 * 1024 * 1024;

/** A slice that ran out of supplies earlier is too short. */
const LEAST_SHARE_OF_TIME = 0.5;

/**
 * Throws when an answer is wrong, when rows and answers differ, when `reconcile` finds a violation, or when the generator missed
 * its schedule.
 */
export async function measure(site: Site): Promise<Slice> {
  const { generator, order, cpuOf, logFile, postmasterPid } = site;
  const before = await countEffects(site.shop.client);
  const logFrom = await sizeOf(logFile);
  const node = new CpuClock(cpuOf);
  const postgres = new CpuClock(postmasterPid);
  const result = await load(generator, order, [node, postgres]);
  if (result.wrong !== null)
    throw new Error(`a wrong answer: ${result.wrong}${await complaintSince(logFile, logFrom)}`);
  if (result.late) throw new Error(result.late);
  if (result.measuredMs < order.measuredMs * LEAST_SHARE_OF_TIME) {
    throw new Error(`its supplies lasted only ${Math.round(result.measuredMs)} ms`);
  }
  const after = await countEffects(site.shop.client);
  for (const rows of ['holds', 'orders', 'events'] as const) {
    const expected = before[rows] + (site.writes?.rows === rows ? result.answersInAll : 0);
    if (after[rows] !== expected) throw new Error(`${after[rows]} ${rows} are stored, ${expected} were answered`);
  }
  if (site.writes) await reconcile(site.writes.shop);
  return {
    perSecond: result.answers / (result.measuredMs / 1_000),
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    answers: result.answers,
    meanBatch: result.noise ? null : await meanBatchSince(logFile, logFrom),
    nodeCpuMs: node.perAnswer(result),
    postgresCpuMs: postgres.perAnswer(result),
    eachSecond: result.eachSecond,
    noise: result.noise ?? null,
  };
}

async function load(
  generator: Child,
  order: object,
  clocks: readonly CpuClock[],
): Promise<LoadResult & Partial<PacedResult>> {
  const drained = generator.next<LoadResult & Partial<PacedResult>>('drained');
  // When the generator dies, `drained` reports it.
  const ignore = () => undefined;
  generator.next('begun').then(() => clocks.forEach((clock) => clock.start()), ignore);
  generator.next('ended').then(() => clocks.forEach((clock) => clock.stop()), ignore);
  generator.send(order);
  return drained;
}

class CpuClock {
  private from: number | null = null;
  private to: number | null = null;
  constructor(private readonly pid: number | null) {}

  start(): void {
    this.from = this.pid === null ? null : cpuSecondsOf(this.pid);
  }

  stop(): void {
    this.to = this.pid === null ? null : cpuSecondsOf(this.pid);
  }

  perAnswer({ answers }: LoadResult): number | null {
    if (this.from === null || this.to === null || answers === 0) return null;
    return ((this.to - this.from) * 1_000) / answers;
  }
}

async function sizeOf(logFile: string | null): Promise<number> {
  return logFile ? (await stat(logFile)).size : 0;
}

/** From the server's log, which has one `batch.committed` per transaction. */
async function meanBatchSince(logFile: string | null, from: number): Promise<number | null> {
  const sizes = [...(await logSince(logFile, from)).matchAll(/"event":"batch\.committed".*?"size":(\d+)/g)];
  return sizes.length === 0 ? null : sizes.reduce((sum, match) => sum + Number(match[1]), 0) / sizes.length;
}

/** The first warning or error in the server's log, which may explain a wrong answer. */
async function complaintSince(logFile: string | null, from: number): Promise<string> {
  const line = (await logSince(logFile, from)).split('\n').find((one) => /"level":"(warn|error|fatal)"/.test(one));
  return line ? `; the server's log: ${line.slice(0, 1_000)}` : '';
}

/** The end of the log, if a long slice wrote more than fits into a string. */
async function logSince(logFile: string | null, from: number): Promise<string> {
  if (!logFile) return '';
  const file = await open(logFile);
  try {
    const { size } = await file.stat();
    const length = Math.min(size - from, MAX_LOG_BYTES);
    return (await file.read(Buffer.alloc(length), 0, length, size - length)).buffer.toString('latin1');
  } finally {
    await file.close();
  }
}
