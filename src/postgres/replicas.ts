/** Streaming replicas that show products: how far each is behind is measured, and one that is too far is not asked. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { Busy, Unavailable } from '../domain/errors';
import type { Logger } from '../telemetry/logger';
import { run, sql } from './statement';

/** How old what is shown may be, in ms. */
export const MAX_STALENESS_MS = 2_000;
/** How often the replicas are compared with the primary, in ms: so much of their lag is only our not knowing better. */
const LOOK_MS = 500;
/** How long a replica may take for a read, in ms; then the primary is asked. */
const ANSWER_MS = 500;
/** For so long a lag is told exactly, in ms; beyond it is told as the time since the replica was last known to be up to date. */
const REMEMBERED_MS = 60_000;

type Work<T> = (em: EntityManager) => Promise<T>;
export type Read = <T>(work: Work<T>) => Promise<T>;

export interface Replica {
  /** As it is told in log and metrics: no password is in it. */
  readonly name: string;
  readonly read: Read;
}

export interface ReplicaLag {
  readonly replica: string;
  readonly seconds: number;
}

/** So far had the primary written when it was asked. */
interface Mark {
  readonly position: number;
  readonly atMs: number;
}

interface Watched extends Replica {
  /** It has all that was committed by then; null: nobody knows. */
  freshAsOfMs: number | null;
  /** It failed to answer, and has not been measured since. */
  isSilent: boolean;
  isBeingMeasured: boolean;
  /** As it was last logged. */
  isIn: boolean;
}

/**
 * Promises: what a replica shows is at most `MAX_STALENESS_MS` old, by this process's own clock, whatever the replica, its
 * clock or its connection to the primary does; a read never fails for a replica's sake, but is then the primary's. A replica
 * is left out while it is behind, silent, or no standby any more, and comes back by itself.
 *
 * The measure is the position in the primary's WAL: a replica that has replayed what the primary had flushed at a moment has
 * everything that anybody could have seen by then. (Its own account of its delay is 0 while it is cut off.)
 */
export class Replicas {
  private readonly replicas: readonly Watched[];
  private readonly marks: Mark[] = [];
  private readonly timer: NodeJS.Timeout;
  private isMarking = false;
  private turn = 0;

  constructor(
    replicas: readonly Replica[],
    private readonly primary: Read,
    private readonly log: Logger,
  ) {
    const unknown = { freshAsOfMs: null, isSilent: false, isBeingMeasured: false, isIn: false };
    this.replicas = replicas.map((replica) => ({ ...replica, ...unknown }));
    this.timer = setInterval(() => void this.look(), LOOK_MS).unref();
    void this.look();
  }

  /** `isComplete`: whether an answer can be shown; one that is not may be too new for the replica, and the primary is asked. */
  async read<T>(work: Work<T>, isComplete: (answer: T) => boolean): Promise<T> {
    const replica = this.choose();
    if (replica) {
      try {
        const answer = await within(ANSWER_MS, replica.read(work));
        if (isComplete(answer)) return answer;
      } catch (error) {
        if (!(error instanceof Busy || error instanceof Unavailable)) throw error;
        replica.isSilent = true;
        this.tell(replica);
      }
    }
    return this.primary(work);
  }

  /** The most that each can be behind. One of which nothing is known yet is left out. */
  lags(): ReplicaLag[] {
    const nowMs = performance.now();
    return this.replicas.flatMap(({ name, freshAsOfMs }) =>
      freshAsOfMs === null ? [] : [{ replica: name, seconds: (nowMs - freshAsOfMs) / 1_000 }],
    );
  }

  close(): void {
    clearInterval(this.timer);
  }

  /** In turn, of those that are fresh enough. */
  private choose(): Watched | undefined {
    const fresh = this.replicas.filter(isFresh);
    return fresh[(this.turn = (this.turn + 1) % Math.max(1, fresh.length))];
  }

  /** Never rejects, and waits for nobody who does not answer. */
  private async look(): Promise<void> {
    if (!this.isMarking) {
      this.isMarking = true;
      await this.mark().catch(() => undefined);
      this.isMarking = false;
    }
    for (const replica of this.replicas) if (!replica.isBeingMeasured) void this.measure(replica);
  }

  private async mark(): Promise<void> {
    const atMs = performance.now();
    this.marks.push({ position: await this.primary(readFlushed), atMs });
    while (this.marks[0]!.atMs < atMs - REMEMBERED_MS) this.marks.shift();
  }

  private async measure(replica: Watched): Promise<void> {
    replica.isBeingMeasured = true;
    try {
      const replayed = await replica.read(readReplayed);
      const reached = replayed === null ? undefined : this.marks.findLast(({ position }) => position <= replayed);
      if (reached) replica.freshAsOfMs = Math.max(replica.freshAsOfMs ?? 0, reached.atMs);
      replica.isSilent = replayed === null;
    } catch {
      replica.isSilent = true;
    }
    replica.isBeingMeasured = false;
    this.tell(replica);
  }

  private tell(replica: Watched): void {
    const isIn = isFresh(replica);
    if (isIn === replica.isIn) return;
    replica.isIn = isIn;
    const { name, isSilent, freshAsOfMs } = replica;
    const lagSeconds = freshAsOfMs === null ? null : (performance.now() - freshAsOfMs) / 1_000;
    if (isIn) this.log.info({ event: 'replica.used', replica: name, lagSeconds }, 'replica.used');
    else {
      const reason = isSilent ? 'does not answer as a standby' : 'lags';
      this.log.warn({ event: 'replica.left_out', replica: name, reason, lagSeconds }, 'replica.left_out');
    }
  }
}

function isFresh({ freshAsOfMs, isSilent }: Watched): boolean {
  return !isSilent && freshAsOfMs !== null && performance.now() - freshAsOfMs <= MAX_STALENESS_MS;
}

async function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  let patience: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    patience = setTimeout(() => reject(new Unavailable({ cause: new Error(`no answer within ${ms} ms`) })), ms);
  });
  return Promise.race([answer, tooLate]).finally(() => clearTimeout(patience));
}

/** In bytes since the beginning; whatever anybody can see is flushed. */
async function readFlushed(em: EntityManager): Promise<number> {
  const [row] = await run<{ position: string }>(
    em,
    sql`/* replicas: primary */ SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0') AS position`,
  );
  return Number(row!.position);
}

/** In bytes since the beginning. null: it is no standby, or has not replayed anything yet. */
async function readReplayed(em: EntityManager): Promise<number | null> {
  const [row] = await run<{ position: string | null }>(
    em,
    sql`/* replicas: standby */ SELECT CASE WHEN pg_is_in_recovery()
      THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') END AS position`,
  );
  return row!.position === null ? null : Number(row!.position);
}
