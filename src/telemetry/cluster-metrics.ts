/**
 * /metrics with WORKERS=n: whichever worker is asked answers for all. It asks the primary, the primary asks every worker, adds
 * up, and answers.
 *
 * prom-client's own AggregatorRegistry would serve from the primary, on a second port, fail a scrape for one stuck worker, and
 * let counters fall when a worker dies, which Prometheus takes for a restart and counts twice.
 */
import type { Worker } from 'node:cluster';
import { AggregatorRegistry } from 'prom-client';
import type { Metrics, Snapshot } from './metrics';

/** How long the primary waits for its workers, and a worker for the primary, in ms. A worker's own answer takes 1.5 s at most. */
const WORKERS_MS = 2_000;
const PRIMARY_MS = 3_000;

/** Messages between the processes; `metrics` marks them. */
type Message =
  | { readonly metrics: 'wanted'; readonly id: number }
  | { readonly metrics: 'request'; readonly id: number; readonly withDatabase: boolean }
  | { readonly metrics: 'snapshot'; readonly id: number; readonly snapshot: Snapshot }
  | { readonly metrics: 'answer'; readonly id: number; readonly text: string };

function isOurs(message: unknown): message is Message {
  return typeof message === 'object' && message !== null && 'metrics' in message;
}

/** A worker's half. Answers how to scrape all workers: should the primary be silent, this worker's own metrics. */
export function scrapeAllWorkers(metrics: Metrics): () => Promise<string> {
  const waiting = new Map<number, (text: string) => void>();
  let lastId = 0;
  process.on('message', (message) => {
    if (!isOurs(message)) return;
    if (message.metrics === 'answer') waiting.get(message.id)?.(message.text);
    if (message.metrics === 'request') void sendSnapshot(metrics, message);
  });
  return async () => {
    const id = ++lastId;
    const text = await within<string>(PRIMARY_MS, (resolve) => {
      waiting.set(id, resolve);
      send({ metrics: 'wanted', id });
    });
    waiting.delete(id);
    return text ?? metrics.text();
  };
}

async function sendSnapshot(
  metrics: Metrics,
  { id, withDatabase }: { id: number; withDatabase: boolean },
): Promise<void> {
  send({ metrics: 'snapshot', id, snapshot: await metrics.snapshot({ withDatabase }) });
}

/** A primary that is gone needs no answer. */
function send(message: Message): void {
  if (process.connected) process.send!(message, undefined, undefined, () => undefined);
}

/** The primary's half. What a worker counted is kept when it dies, so that no sum ever falls. */
export class ClusterMetrics {
  private readonly last = new Map<number, Snapshot>();
  private departed: Snapshot = [];
  private readonly waiting = new Map<string, (snapshot: Snapshot) => void>();
  private collecting: Promise<string> | undefined;
  private lastId = 0;

  /** `workers`: those that are connected now. */
  constructor(private readonly workers: () => readonly Worker[]) {}

  /** Call it with every message of a worker. Other messages are ignored. */
  onMessage(worker: Worker, message: unknown): void {
    if (!isOurs(message)) return;
    if (message.metrics === 'snapshot') this.waiting.get(`${worker.id} ${message.id}`)?.(message.snapshot);
    if (message.metrics === 'wanted') void this.answer(worker, message.id);
  }

  /** To be called when a worker has ended. */
  onExit(worker: Worker): void {
    const snapshot = this.last.get(worker.id);
    this.last.delete(worker.id);
    if (snapshot) this.departed = sum([this.departed, snapshot.filter(isMonotonic)]);
  }

  /** All workers' metrics in Prometheus' text format. Who asks while others are answered gets the same answer. */
  text(): Promise<string> {
    this.collecting ??= this.collect().finally(() => (this.collecting = undefined));
    return this.collecting;
  }

  private async answer(worker: Worker, id: number): Promise<void> {
    const text = await this.text();
    if (worker.isConnected()) worker.send({ metrics: 'answer', id, text } satisfies Message, () => undefined);
  }

  private async collect(): Promise<string> {
    const workers = this.workers();
    const asked = workers.map((worker, index) => this.ask(worker, index === 0));
    await Promise.all(asked);
    return AggregatorRegistry.aggregate([this.departed, ...this.last.values()] as object[]).metrics();
  }

  /** For a worker that does not answer in time, its last snapshot. */
  private async ask(worker: Worker, withDatabase: boolean): Promise<void> {
    const id = ++this.lastId;
    const key = `${worker.id} ${id}`;
    const snapshot = await within<Snapshot>(WORKERS_MS, (resolve) => {
      this.waiting.set(key, resolve);
      worker.send({ metrics: 'request', id, withDatabase } satisfies Message, () => undefined);
    });
    this.waiting.delete(key);
    const known = snapshot ?? this.last.get(worker.id)?.filter(isMonotonic);
    if (known && !worker.isDead()) this.last.set(worker.id, known);
  }
}

function isMonotonic({ type }: Snapshot[number]): boolean {
  // prom-client's types say that it is an enum; what is sent is its name.
  return ['counter', 'histogram'].includes(String(type));
}

function sum(snapshots: readonly Snapshot[]): Snapshot {
  const registry = AggregatorRegistry.aggregate(snapshots as object[]);
  return registry.getMetricsAsArray().map((metric) => (metric as unknown as { get(): Snapshot[number] }).get());
}

/** undefined: not in time. */
async function within<T>(ms: number, work: (resolve: (value: T) => void) => void): Promise<T | undefined> {
  let timer!: NodeJS.Timeout;
  const value = await new Promise<T | undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
    work(resolve);
  });
  clearTimeout(timer);
  return value;
}
