/** Requests that arrive while a batch is in flight wait for it and share the next one. */
import { AsyncResource } from 'node:async_hooks';
import { performance } from 'node:perf_hooks';
import { Busy, Unavailable } from '../domain/errors';
import { recordingSpan, tracedBatch, type Span } from '../telemetry/tracing';

/** Larger batches gain nothing more, and one of this size still commits within some 10 ms. */
export const MAX_BATCH = 256;
/** Requests that may wait; the next one is BUSY at once. */
const MAX_WAITING = 10_000;
/** How long a request may wait for its batch to begin. */
const MAX_WAIT_MS = 2_000;
/**
 * When nothing was committed for this long, another transaction holds the lock. Then only the next batch may wait, which loses
 * no time: thousands that wait in vain would cost other products memory and, when they are rejected together, CPU.
 */
const STUCK_AFTER_MS = 500;
const MAX_WAITING_WHILE_STUCK = MAX_BATCH;
/** One error for all, because an error costs its stack, and behind a stuck lock there are thousands a second. */
const REJECTED = new Busy(1_000);
/** Rejections per event-loop turn, so that rejecting thousands does not block it. */
const REJECTIONS_PER_TURN = 16;
/** Batches run here, so that none sees the asynchronous context (request id) of a caller. */
const OUTSIDE_OF_REQUESTS = new AsyncResource('Batcher');

interface Waiting<Request, Result> {
  readonly request: Request;
  readonly since: number;
  /** Of the sender, for the trace. */
  readonly span: Span | undefined;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export interface Concurrency<Request = unknown> {
  /** How many batches may be in flight. */
  readonly batches: number;
  /** What a request counts towards the 256 of a batch. Left out: 1. A batch takes one request in any case. */
  readonly sizeOf?: (request: Request) => number;
  /** What traces call a batch. Left out: batch.committed. */
  readonly spanName?: string;
}

const ONE_AT_A_TIME: Concurrency = { batches: 1 };
/** For reads outside of any transaction. */
export const ONE_READ_AT_A_TIME: Concurrency = { batches: 1, spanName: 'batch.read' };

/** Returns one result for each request, in the same order. Throws when none of them took effect, or when that is unknown. */
export type Work<Request, Result> = (requests: readonly Request[]) => Promise<readonly Result[]>;

/**
 * Promises: batches begin in the order of arrival and, with a concurrency of 1, follow one another. A request waits at most
 * 2 s for its batch to begin; at most 10,000 wait, and 256 when nothing was committed for half a second. There is no timer: a
 * request alone goes at once. Answers are given when the batch has ended. A batch that fails unexpectedly is re-run request by
 * request, so that one bad request cannot fail the others.
 */
export class Batcher<Request, Result> {
  private readonly waiting: Waiting<Request, Result>[] = [];
  private inFlight = 0;
  private committedAt = performance.now();
  private readonly rejections: (() => void)[] = [];
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly work: Work<Request, Result>,
    private readonly concurrency: Concurrency<Request> = ONE_AT_A_TIME,
    private readonly onIdle: () => void = () => undefined,
  ) {}

  /** Throws `Busy` when too many wait already, or the request's turn did not come in time: nothing happened. */
  submit(request: Request): Promise<Result> {
    return new Promise((resolve, reject) => {
      const entry = { request, since: performance.now(), span: recordingSpan(), resolve, reject };
      OUTSIDE_OF_REQUESTS.runInAsyncScope(this.add, this, entry);
    });
  }

  private add(entry: Waiting<Request, Result>): void {
    if (this.inFlight === 0) this.committedAt = entry.since;
    const isStuck = entry.since - this.committedAt > STUCK_AFTER_MS;
    if (this.waiting.length >= (isStuck ? MAX_WAITING_WHILE_STUCK : MAX_WAITING)) return entry.reject(REJECTED);
    this.waiting.push(entry);
    if (this.inFlight >= this.concurrency.batches) this.watchWaiting();
    else void this.runAll();
  }

  private async runAll(): Promise<void> {
    this.inFlight += 1;
    while (this.waiting.length > 0) await this.runNext();
    this.inFlight -= 1;
    if (this.inFlight > 0) return;
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    this.onIdle();
  }

  private async runNext(): Promise<void> {
    const batch = this.waiting.splice(0, this.countNext());
    try {
      const results = await this.run(batch);
      this.committedAt = performance.now();
      // The next batch is sent first: answering this one takes the CPU for longer than sending its statements does.
      setImmediate(() => batch.forEach((entry, index) => entry.resolve(results[index]!)));
    } catch (error) {
      const isForAll = batch.length === 1 || error instanceof Busy || error instanceof Unavailable;
      if (isForAll) this.reject(batch, error);
      else await this.runOneByOne(batch);
    }
  }

  private run(batch: readonly Waiting<Request, Result>[]): Promise<readonly Result[]> {
    const { spanName = 'batch.committed' } = this.concurrency;
    const spans = batch.map((entry) => entry.span);
    return tracedBatch(spanName, spans, () => this.work(batch.map((entry) => entry.request)));
  }

  private countNext(): number {
    const { sizeOf = () => 1 } = this.concurrency;
    let size = 0;
    const tooMuch = this.waiting.findIndex(({ request }, index) => (size += sizeOf(request)) > MAX_BATCH && index > 0);
    return tooMuch < 0 ? this.waiting.length : tooMuch;
  }

  private async runOneByOne(batch: readonly Waiting<Request, Result>[]): Promise<void> {
    for (const entry of batch) {
      try {
        const [result] = await this.run([entry]);
        this.committedAt = performance.now();
        entry.resolve(result!);
      } catch (error) {
        entry.reject(error);
      }
    }
  }

  /** One timer, for the request that has waited longest. */
  private watchWaiting(): void {
    const first = this.waiting[0];
    if (this.timer || !first) return;
    this.timer = setTimeout(
      () => {
        this.timer = null;
        this.rejectLate();
        this.watchWaiting();
      },
      Math.max(0, first.since + MAX_WAIT_MS - performance.now()),
    );
  }

  private rejectLate(): void {
    const longAgo = performance.now() - MAX_WAIT_MS;
    const inTime = this.waiting.findIndex(({ since }) => since > longAgo);
    this.reject(this.waiting.splice(0, inTime < 0 ? this.waiting.length : inTime), REJECTED);
  }

  private reject(entries: readonly Waiting<Request, Result>[], error: unknown): void {
    const isFirst = this.rejections.length === 0;
    for (const { reject } of entries) this.rejections.push(() => reject(error));
    if (isFirst) this.rejectSome();
  }

  private rejectSome(): void {
    for (const reject of this.rejections.splice(0, REJECTIONS_PER_TURN)) reject();
    if (this.rejections.length > 0) setImmediate(() => this.rejectSome());
  }
}
