/**
 * Load on a schedule (open model): two streams of requests, each sent when it is due, whether or not earlier ones were answered,
 * so that a stalled server does not reduce its own load (coordinated omission).
 */
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { quantilesOf } from '../load/percentiles';
import { ANSWER_WAIT_MS, faultOf, readAnswers } from './answers';
import type { LoadResult } from './load';

export interface Stream {
  /** A complete HTTP request, sent repeatedly. */
  readonly request: Uint8Array;
  readonly perSecond: number;
  /** Texts that every answer must contain, with status 200. The first wrong answer ends the whole run. */
  readonly expected: readonly string[];
  /** Whether each answer must have left a row. */
  readonly writes: boolean;
}

export interface PacedOrder {
  readonly kind: 'paced';
  readonly port: number;
  /** Not measured: connections open, queues fill. */
  readonly leadInMs: number;
  readonly measuredMs: number;
  /** The stream whose latency is measured. */
  readonly probe: Stream;
  /** The load that runs at the same time. */
  readonly noise: Stream;
}

/** `answers` and latencies are the probe's; `answersInAll` are all answers of both streams that must have left a row. */
export interface PacedResult extends LoadResult {
  readonly noise: Noise;
  /** Whether the generator missed its schedule, so that the latencies are its own rather than the server's. */
  readonly late: string | null;
}

export interface Noise {
  /** Answers to requests that were due within the measured time. */
  readonly answers: number;
  readonly perSecond: number;
  /** How late requests of both streams were sent, p99; this part of the latency is the generator's. */
  readonly behindMs: number;
}

/** Limit of how late a tenth of the requests may be. More is not a hiccup, and as large as the latencies to be measured. */
const MOST_BEHIND_MS = 20;

/** The moments of a slice in ms, on the clock of `performance.now()`. */
interface Times {
  readonly startAt: number;
  readonly beginAt: number;
  readonly endAt: number;
}

/** Latency counts from the moment when a request was due, for all requests due within the measured time. */
export async function runPaced(order: PacedOrder, tell: (message: object) => void): Promise<PacedResult> {
  const startAt = performance.now();
  const beginAt = startAt + order.leadInMs;
  const times = { startAt, beginAt, endAt: beginAt + order.measuredMs };
  const probe = new PacedStream(order.port, order.probe, times);
  const noise = new PacedStream(order.port, order.noise, times);
  const begun = sleep(order.leadInMs, undefined, { ref: false }).then(() => tell({ kind: 'begun' }));
  const ended = sleep(order.leadInMs + order.measuredMs, undefined, { ref: false }).then(() => tell({ kind: 'ended' }));
  // A failed stream leaves nothing to wait for.
  await Promise.race([Promise.all([probe.run(), noise.run(), begun, ended]), probe.failed, noise.failed]);
  probe.close();
  noise.close();

  const behindAt = quantilesOf([...probe.behind, ...noise.behind]);
  const latencyAt = quantilesOf(probe.latencies);
  const isLate = behindAt(0.9) > MOST_BEHIND_MS;
  return {
    kind: 'drained',
    answers: probe.latencies.length,
    measuredMs: order.measuredMs,
    answersInAll: [probe, noise].reduce((sum, { stream, answers }) => sum + (stream.writes ? answers : 0), 0),
    p50Ms: latencyAt(0.5),
    p99Ms: latencyAt(0.99),
    eachSecond: [],
    wrong: probe.fault ?? noise.fault,
    late: isLate
      ? `the load generator sent a tenth of its requests ${Math.round(behindAt(0.9))} ms late or more`
      : null,
    noise: {
      answers: noise.latencies.length,
      perSecond: noise.latencies.length / (order.measuredMs / 1_000),
      behindMs: behindAt(0.99),
    },
  };
}

interface Connection {
  readonly socket: Socket;
  /** When its pending request was due; null: none is pending. */
  dueAt: number | null;
}

class PacedStream {
  /** In ms, from the moment when each request was due. */
  readonly latencies: number[] = [];
  /** In ms, from the moment when each was due until it was sent. */
  readonly behind: number[] = [];
  /** Including requests that were due in the lead-in. */
  answers = 0;
  fault: string | null = null;
  readonly failed: Promise<void>;
  private fail!: (fault: string) => void;
  private onAllAnswered: () => void = () => undefined;
  private readonly connections = new Set<Connection>();
  private readonly idle: Connection[] = [];
  private sent = 0;
  private timer: NodeJS.Timeout | undefined;
  private isOver = false;

  constructor(
    private readonly port: number,
    readonly stream: Stream,
    private readonly times: Times,
  ) {
    this.failed = new Promise((resolve) => {
      this.fail = (fault) => {
        this.fault ??= fault;
        resolve();
      };
    });
  }

  /** Waits until every request is answered. */
  run(): Promise<void> {
    return new Promise((resolve) => {
      this.onAllAnswered = resolve;
      this.sendDue();
    });
  }

  close(): void {
    this.isOver = true;
    clearTimeout(this.timer);
    for (const { socket } of this.connections) socket.destroy();
  }

  private dueAt(): number {
    return this.times.startAt + (this.sent * 1_000) / this.stream.perSecond;
  }

  private sendDue(): void {
    const now = performance.now();
    for (let dueAt = this.dueAt(); dueAt <= now && dueAt < this.times.endAt; dueAt = this.dueAt()) {
      this.sent += 1;
      if (dueAt >= this.times.beginAt) this.behind.push(now - dueAt);
      const connection = this.idle.pop() ?? this.connect();
      connection.dueAt = dueAt;
      connection.socket.write(this.stream.request);
    }
    const isDone = this.dueAt() >= this.times.endAt;
    this.timer = isDone
      ? setTimeout(() => this.fail('no answer within 30 s'), ANSWER_WAIT_MS)
      : setTimeout(() => this.sendDue(), this.dueAt() - now);
  }

  private connect(): Connection {
    const socket = createConnection({ host: '127.0.0.1', port: this.port, noDelay: true });
    const connection: Connection = { socket, dueAt: null };
    this.connections.add(connection);
    let reason = 'the server closed a connection';
    readAnswers(socket, (status, body) => {
      this.note(connection.dueAt!, faultOf(status, body, this.stream.expected));
      connection.dueAt = null;
      this.idle.push(connection);
    });
    socket.once('error', (error) => (reason = error.message));
    socket.once('close', () => {
      this.connections.delete(connection);
      if (this.isOver) return;
      if (connection.dueAt !== null) this.fail(reason);
      else this.idle.splice(this.idle.indexOf(connection), 1);
    });
    return connection;
  }

  private note(dueAt: number, fault: string | null): void {
    if (fault !== null) return this.fail(fault);
    this.answers += 1;
    if (dueAt >= this.times.beginAt) this.latencies.push(performance.now() - dueAt);
    if (this.answers === this.sent && this.dueAt() >= this.times.endAt) this.onAllAnswered();
  }
}
