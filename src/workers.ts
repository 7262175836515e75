/** WORKERS=n: n processes on one port (Node's cluster), each with its own batches and pools. A worker that dies is replaced. */
import cluster, { type Worker } from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterMetrics } from './telemetry/cluster-metrics';
import type { Stop } from './stopping';
import type { Logger } from './telemetry/logger';

/** A worker that dies younger than this, in ms, is replaced after a pause, because its successor would probably die, too. */
const YOUNG_MS = 5_000;
const PAUSE_MS = 1_000;
/** After this, in ms, a worker is killed. Longer than its drain; the rest of the shutdown's time is PostgreSQL's. */
const STOP_WITHIN_MS = 10_500;

export const isWorker = cluster.isWorker;

/** A worker reports once: its URL when it serves, or why it cannot. */
export type WorkerReport = { readonly url: string } | { readonly error: string };

export function report(message: WorkerReport): void {
  // Without a callback, a primary that has died would cause an `error` event without a listener.
  process.send?.(message, undefined, undefined, () => undefined);
}

export interface Workers {
  readonly url: string;
  /** Lets every worker answer its requests in progress and end. */
  stop(): Promise<void>;
}

/**
 * Starts `count` workers with `databaseUrl` as their DATABASE_URL and waits until all of them serve. If one cannot (its port is
 * taken), or a signal arrives, it stops them all and throws.
 */
export async function startWorkers(
  count: number,
  databaseUrl: string,
  { log, stop: shutdown }: { readonly log: Logger; readonly stop: Stop },
): Promise<Workers> {
  let isStopping = false;
  const fork = (): Worker => {
    const worker = cluster.fork({ DATABASE_URL: databaseUrl });
    // Either the system is out of processes or descriptors, so no `exit` follows; or the channel broke, and `exit` will follow.
    worker.on('error', (err) => {
      log.error({ event: 'worker.failed', err }, 'worker.failed');
      if (worker.process.pid === undefined) void replace(PAUSE_MS);
    });
    return worker;
  };
  const replace = async (afterMs: number) => {
    await sleep(afterMs);
    if (!isStopping) bornAt.set(fork().id, performance.now());
  };
  const metrics = new ClusterMetrics(connectedWorkers);
  cluster.on('message', (worker, message) => metrics.onMessage(worker, message));
  const stop = async () => {
    isStopping = true;
    await Promise.all(Object.values(cluster.workers ?? {}).map((worker) => stopWorker(worker!, shutdown)));
  };
  const bornAt = new Map<number, number>();
  const first = Array.from({ length: count }, fork);
  let url: string;
  try {
    [url] = (await shutdown.unlessRequested(Promise.all(first.map(reportOf)))) as [string];
  } catch (error) {
    await stop();
    throw error;
  }
  for (const { id } of first) bornAt.set(id, performance.now());
  cluster.on('exit', (worker, code, signal) => {
    metrics.onExit(worker);
    if (isStopping) return;
    log.error({ event: 'worker.died', worker: worker.process.pid, code, signal }, 'worker.died');
    const isYoung = performance.now() - (bornAt.get(worker.id) ?? 0) < YOUNG_MS;
    bornAt.delete(worker.id);
    void replace(isYoung ? PAUSE_MS : 0);
  });
  return { url, stop };
}

function reportOf(worker: Worker): Promise<string> {
  return new Promise((resolve, reject) => {
    worker.on('message', (message: WorkerReport | object) => {
      if ('url' in message) resolve(message.url);
      else if ('error' in message) reject(new Error(message.error));
    });
    worker.once('exit', (code, signal) => reject(new Error(`A worker ended before it served (${signal ?? code}).`)));
  });
}

/** In the order in which they were started. */
function connectedWorkers(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker?.isConnected()) as Worker[];
}

async function stopWorker(worker: Worker, shutdown: Stop): Promise<void> {
  if (worker.isDead()) return;
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const kill = () => void worker.process.kill('SIGKILL');
  worker.process.kill('SIGTERM');
  const timer = setTimeout(kill, STOP_WITHIN_MS);
  void shutdown.hurried().then(kill);
  await ended;
  clearTimeout(timer);
}
