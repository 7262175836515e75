/**
 * The load generator, in its own process so that its CPU time does not count as the server's: N keep-alive connections over bare
 * sockets, each of which sends its next request when it has the last answer (closed model). It can also send requests on a
 * schedule (open model).
 */
import { createConnection } from 'node:net';
import { quantilesOf } from '../load/percentiles';
import { ANSWER_WAIT_MS, faultOf, readAnswers } from './answers';
import { runPaced, type PacedOrder } from './paced-load';
import { followParent, tell } from './parent';

export interface LoadOrder {
  readonly kind: 'load';
  readonly port: number;
  readonly connections: number;
  /** Not measured: connections open, queues and batches fill. */
  readonly leadInMs: number;
  readonly measuredMs: number;
  /** Complete HTTP requests. */
  readonly requests: readonly Uint8Array[];
  /** Whether to start over after the last request; otherwise the slice ends early. */
  readonly repeat: boolean;
  /** Texts that every answer must contain, with status 200. The first wrong answer ends the whole run. */
  readonly expected: readonly string[];
}

export interface LoadResult {
  readonly kind: 'drained';
  /** Answers within the measured time. */
  readonly answers: number;
  readonly measuredMs: number;
  /** All answers, including those before and after the measured time. */
  readonly answersInAll: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** For a long slice: answers in each of its seconds. */
  readonly eachSecond: readonly number[];
  /** The first wrong answer. */
  readonly wrong: string | null;
}

class Load {
  private next = 0;
  private open = 0;
  private answersInAll = 0;
  private wrong: string | null = null;
  private latencies: number[] = [];
  private eachSecond: number[] = [];
  private begunAt = Number.POSITIVE_INFINITY;
  private endedAt = Number.POSITIVE_INFINITY;
  private isSending = true;

  constructor(private readonly order: LoadOrder) {}

  run(): Promise<LoadResult> {
    return new Promise((resolve) => {
      const { order } = this;
      const done = () => resolve(this.result());
      setTimeout(() => this.begin(), order.leadInMs);
      const deadline = setTimeout(
        () => this.fail('no answer within 30 s'),
        order.leadInMs + order.measuredMs + ANSWER_WAIT_MS,
      );
      for (let index = 0; index < order.connections; index += 1) {
        this.open += 1;
        this.connect(() => {
          this.open -= 1;
          if (this.open > 0) return;
          clearTimeout(deadline);
          this.end();
          done();
        });
      }
    });
  }

  private begin(): void {
    if (!this.isSending) return;
    this.begunAt = performance.now();
    tell({ kind: 'begun' });
    setTimeout(() => this.end(), this.order.measuredMs);
  }

  /** Sends nothing more, but waits for all answers, so that every effect in the database has been answered. */
  private end(): void {
    if (this.endedAt !== Number.POSITIVE_INFINITY) return;
    this.isSending = false;
    this.endedAt = performance.now();
    tell({ kind: 'ended' });
  }

  private fail(what: string): void {
    this.wrong ??= what;
    this.end();
  }

  private nextRequest(): Uint8Array | null {
    const { requests, repeat } = this.order;
    if (!this.isSending) return null;
    if (this.next === requests.length) {
      if (!repeat) {
        this.end();
        return null;
      }
      this.next = 0;
    }
    return requests[this.next++]!;
  }

  private connect(onDone: () => void): void {
    const socket = createConnection({ host: '127.0.0.1', port: this.order.port, noDelay: true });
    let sentAt = 0;
    let isDone = false;
    const finish = () => {
      if (isDone) return;
      isDone = true;
      socket.destroy();
      onDone();
    };
    const send = () => {
      const request = this.wrong === null ? this.nextRequest() : null;
      if (!request) return finish();
      sentAt = performance.now();
      socket.write(request);
    };
    readAnswers(socket, (status, body) => {
      this.note(sentAt, status, body);
      send();
    });
    socket.once('connect', send);
    socket.once('error', (error) => {
      this.fail(error.message);
      finish();
    });
    socket.once('close', () => {
      if (!isDone) this.fail('the server closed a connection');
      finish();
    });
  }

  private note(sentAt: number, status: string, body: string): void {
    this.answersInAll += 1;
    const fault = faultOf(status, body, this.order.expected);
    if (fault !== null) return this.fail(fault);
    const now = performance.now();
    if (now < this.begunAt || now > this.endedAt) return;
    this.latencies.push(now - sentAt);
    const second = Math.floor((now - this.begunAt) / 1_000);
    this.eachSecond[second] = (this.eachSecond[second] ?? 0) + 1;
  }

  private result(): LoadResult {
    const at = quantilesOf(this.latencies);
    return {
      kind: 'drained',
      answers: this.latencies.length,
      measuredMs: Math.max(0, this.endedAt - this.begunAt),
      answersInAll: this.answersInAll,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      eachSecond: Array.from(this.eachSecond, (count) => count ?? 0),
      wrong: this.wrong,
    };
  }
}

followParent(() => undefined);
process.on('message', (order: LoadOrder | PacedOrder) => {
  void (order.kind === 'paced' ? runPaced(order, tell) : new Load(order).run()).then(tell);
});
tell({ kind: 'ready' });
