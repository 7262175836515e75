/** WORKERS=n: Node's cluster. One port, n processes, each with batches and pools of its own; a worker that dies is replaced. */
import cluster, { type Worker } from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterMetrics } from './telemetry/cluster-metrics';
import type { Stop } from './stopping';
import type { Logger } from './telemetry/logger';

/** A worker that dies younger than this, in ms, has a lasting reason: it is replaced after a pause, not in a busy loop. */
const YOUNG_MS = 5_000;
const PAUSE_MS = 1_000;
/** A worker that has not ended by then is killed. Longer than its own drain; what the stop has left then is PostgreSQL's. */
const STOP_WITHIN_MS = 10_500;

/** Whether this process is one of the workers. */
export const isWorker = cluster.isWorker;

/** A worker says so once it serves, with its URL, or why it cannot. */
export type WorkerReport = { readonly url: string } | { readonly error: string };

export function report(message: WorkerReport): void {
  // Without a callback, a primary that is gone would be an `error` event that nothing listens to.
  process.send?.(message, undefined, undefined, () => undefined);
}

export interface Workers {
  readonly url: string;
  /** Every worker answers its requests in progress and ends. */
  stop(): Promise<void>;
}

/**
 * Starts `count` workers with `databaseUrl` as their DATABASE_URL, and answers when all of them serve. Throws the first
 * worker's reason when it cannot serve (its port is taken), and when a stop is asked for meanwhile: then none is left running.
 */
export async function startWorkers(
  count: number,
  databaseUrl: string,
  { log, stop: asked }: { readonly log: Logger; readonly stop: Stop },
): Promise<Workers> {
  let isStopping = false;
  const fork = (): Worker => {
    const worker = cluster.fork({ DATABASE_URL: databaseUrl });
    // The system had no process or descriptor left, and the worker will have no `exit`; or its channel broke, and it will.
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
    await Promise.all(Object.values(cluster.workers ?? {}).map((worker) => endOf(worker!, asked)));
  };
  const bornAt = new Map<number, number>();
  const first = Array.from({ length: count }, fork);
  let url: string;
  try {
    [url] = (await asked.unlessRequested(Promise.all(first.map(reportOf)))) as [string];
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

/** In the order of their birth. */
function connectedWorkers(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker?.isConnected()) as Worker[];
}

async function endOf(worker: Worker, asked: Stop): Promise<void> {
  if (worker.isDead()) return;
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const kill = () => void worker.process.kill('SIGKILL');
  worker.process.kill('SIGTERM');
  const patience = setTimeout(kill, STOP_WITHIN_MS);
  void asked.hurried().then(kill);
  await ended;
  clearTimeout(patience);
}
