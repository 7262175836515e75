/** Group commit: while a transaction for a key is in flight, further requests for it wait, and then share the next one. */
import { AsyncResource } from 'node:async_hooks';
import { performance } from 'node:perf_hooks';
import { Busy, Unavailable } from '../domain/errors';

/** Larger batches gain nothing more, and a batch this size still commits within some 10 ms. */
export const MAX_BATCH = 256;
const ONE_AT_A_TIME: Lanes = { lanes: 1, maxBatch: MAX_BATCH };
/** Requests that may wait for one key; the next one is BUSY at once. */
const MAX_WAITING = 10_000;
/** None waits longer for its batch to begin. */
const MAX_WAIT_MS = 2_000;
/**
 * Nothing was committed for so long: somebody else holds the lock. Then only the next batch waits, which is enough to lose no
 * time: thousands that wait in vain would cost their neighbours memory and, turned away together, the processor (P11).
 */
const STUCK_AFTER_MS = 500;
const MAX_WAITING_WHILE_STUCK = MAX_BATCH;
/** One for all of them: behind a stuck lock they are thousands a second, and what an error costs is its stack. */
const TURNED_AWAY = new Busy(1_000);
/** A turn of the event loop: what it takes to answer them all is spread. */
const TURNED_AWAY_AT_ONCE = 16;

interface Waiting<Request, Result> {
  readonly request: Request;
  readonly since: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** How many batches of one key may be in flight, and how large each may be: one request is taken in any case. */
export interface Lanes<Request = unknown> {
  readonly lanes: number;
  readonly maxBatch: number;
  /** What a request counts for. Left out: 1. */
  readonly sizeOf?: (request: Request) => number;
}

/** One result for each request, in the same order. Throws when none of them took effect, or nobody knows. */
export type Commit<Request, Result> = (key: string, requests: readonly Request[]) => Promise<readonly Result[]>;

/**
 * Promises: batches of one key begin in the order of arrival and, unless there are several lanes, follow one another; batches
 * of different keys never wait for each other. None waits for its turn longer than 2 s, and at most 10,000 a key do; when
 * nothing was committed for half a second, 256. Alone, a request goes at once: there is no timer. Nobody is answered before
 * its batch has ended. One bad request never fails its neighbours: an unexpected error re-runs the batch one by one. No
 * caller's asynchronous context (request id) is seen by a batch.
 */
export class GroupCommit<Request, Result> {
  private readonly queues = new Map<string, Queue<Request, Result>>();
  private readonly context = new AsyncResource('GroupCommit');

  constructor(
    private readonly commit: Commit<Request, Result>,
    private readonly lanes: Lanes<Request> = ONE_AT_A_TIME,
  ) {}

  /** Throws `Busy` when the request's turn did not come in time, or too many wait already: nothing happened. */
  submit(key: string, request: Request): Promise<Result> {
    let queue = this.queues.get(key);
    if (!queue) {
      queue = new Queue(key, this.commit, this.lanes, () => this.queues.delete(key));
      this.queues.set(key, queue);
    }
    const { promise, waiting } = ticket<Request, Result>(request);
    this.context.runInAsyncScope(queue.add, queue, waiting);
    return promise;
  }
}

class Queue<Request, Result> {
  private waiting: Waiting<Request, Result>[] = [];
  private inFlight = 0;
  private committedAt = performance.now();
  /** Turned away, and not told yet. */
  private readonly leaving: (() => void)[] = [];
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly key: string,
    private readonly commit: Commit<Request, Result>,
    private readonly lanes: Lanes<Request>,
    private readonly onEmpty: () => void,
  ) {}

  add(entry: Waiting<Request, Result>): void {
    const isStuck = entry.since - this.committedAt > STUCK_AFTER_MS;
    if (this.waiting.length >= (isStuck ? MAX_WAITING_WHILE_STUCK : MAX_WAITING)) return entry.reject(TURNED_AWAY);
    this.waiting.push(entry);
    if (this.inFlight >= this.lanes.lanes) this.watch();
    else void this.commitAll();
  }

  private async commitAll(): Promise<void> {
    this.inFlight += 1;
    while (this.waiting.length > 0) await this.commitNext();
    this.inFlight -= 1;
    if (this.inFlight > 0) return;
    if (this.timer) clearTimeout(this.timer);
    this.onEmpty();
  }

  private async commitNext(): Promise<void> {
    const batch = this.waiting.splice(0, this.countNext());
    try {
      const results = await this.commit(
        this.key,
        batch.map((entry) => entry.request),
      );
      this.committedAt = performance.now();
      // The next batch goes to the database first: answering this one takes the processor for longer than its statements do.
      setImmediate(() => batch.forEach((entry, index) => entry.resolve(results[index]!)));
    } catch (error) {
      const isForAll = batch.length === 1 || error instanceof Busy || error instanceof Unavailable;
      if (isForAll) this.turnAway(batch, error);
      else await this.commitOneByOne(batch);
    }
  }

  private countNext(): number {
    const { maxBatch, sizeOf = () => 1 } = this.lanes;
    let size = 0;
    const tooMuch = this.waiting.findIndex(({ request }, index) => (size += sizeOf(request)) > maxBatch && index > 0);
    return tooMuch < 0 ? this.waiting.length : tooMuch;
  }

  private async commitOneByOne(batch: readonly Waiting<Request, Result>[]): Promise<void> {
    for (const entry of batch) {
      try {
        const [result] = await this.commit(this.key, [entry.request]);
        this.committedAt = performance.now();
        entry.resolve(result!);
      } catch (error) {
        entry.reject(error);
      }
    }
  }

  /** One timer a queue, for whoever waits longest. */
  private watch(): void {
    const first = this.waiting[0];
    if (this.timer || !first) return;
    this.timer = setTimeout(
      () => {
        this.timer = null;
        this.turnAwayLate();
        this.watch();
      },
      first.since + MAX_WAIT_MS - performance.now(),
    );
  }

  private turnAwayLate(): void {
    const longAgo = performance.now() - MAX_WAIT_MS;
    const inTime = this.waiting.findIndex(({ since }) => since > longAgo);
    const late = this.waiting.splice(0, inTime < 0 ? this.waiting.length : inTime);
    this.turnAway(late, TURNED_AWAY);
  }

  private turnAway(entries: readonly Waiting<Request, Result>[], error: unknown): void {
    const isFirst = this.leaving.length === 0;
    for (const { reject } of entries) this.leaving.push(() => reject(error));
    if (isFirst) this.letSomeLeave();
  }

  private letSomeLeave(): void {
    for (const leave of this.leaving.splice(0, TURNED_AWAY_AT_ONCE)) leave();
    if (this.leaving.length > 0) setImmediate(() => this.letSomeLeave());
  }
}

function ticket<Request, Result>(request: Request) {
  let resolve!: (result: Result) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<Result>((onResult, onError) => {
    resolve = onResult;
    reject = onError;
  });
  const waiting: Waiting<Request, Result> = { request, since: performance.now(), resolve, reject };
  return { promise, waiting };
}
