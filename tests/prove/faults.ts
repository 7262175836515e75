/** Faults injected during a sale. Each begins, lasts and ends; the servers must recover by themselves. */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Wire } from '../support/wire';
import { ensure, until, type FailpointOrder, type Installation, type ServerProcess } from './fixture';
import type { Random } from '../../src/tools/load/random';

export interface FaultContext {
  readonly installation: Installation;
  readonly random: Random;
  readonly servers: readonly ServerProcess[];
  /** Proxies between each server and PostgreSQL. */
  readonly wires: readonly Wire[];
  readonly products: readonly string[];
  /** Whether this is the only fault, so that its effect on a server is certain and can be checked. */
  readonly isAlone: boolean;
}

export interface Fault {
  readonly name: string;
  /** Restarts a server: two such faults must not run at once, or both would start it. */
  readonly restarts?: boolean;
  /** Arms a failpoint of a server, which has only one: two such faults must not run at once, or one would disarm the other's. */
  readonly arms?: boolean;
  /** Ends a server without answering its clients, whose requests may have taken effect. */
  readonly crashes?: boolean;
  run(context: FaultContext): Promise<void>;
  /** What clients must have seen when the fault is alone; otherwise it had no effect. */
  readonly mustSee?: readonly string[];
  /** Lines that the servers' log must contain since the fault began, when it is alone. */
  readonly logs: readonly RegExp[];
  /**
   * Whether requests that were cut off had not begun, when the fault is alone. (A request that is on its way while an idle
   * connection is closed is lost unread; HTTP cannot avoid that, and clients repeat it.)
   */
  readonly answersWhatItBegan?: boolean;
}

/** Duration of lasting faults, in ms. */
const LASTS_MS = 3_000;
/** Delay after which a supervisor restarts a killed server. */
const RESTART_MS = 300;
const RESTARTS = 20;
/** From the end of the process until it is ready again, over all attempts. */
const READY_AGAIN_MS = 10_000;
/** With SIGTERM. */
const STOPS_WITHIN_MS = 15_000;
/** Time within which a fault must have found its target. */
const FOUND_WITHIN_MS = 30_000;
const TERMINATIONS_A_SECOND = 10;

const STARTED = /"event":"server.started"/;
/** Log messages of a transaction that lost its connection: PostgreSQL's last message if there was time for it. */
const CUT = /"event":"lock.retry".*"reason":"(connection|ECONNRESET|EPIPE|57P01|57P02|57P03)"/;
const OUTCOME_UNKNOWN = /"event":"lock.retry".*"outcomeUnknown":true/;
const GAVE_UP_WAITING = /"event":"transaction.failed".*"reason":"55P03"/;

const any = <T>({ random }: FaultContext, items: readonly T[]): T => random.oneOf(items);

export const FAULTS: readonly Fault[] = [
  {
    name: 'kill -9 of a server',
    restarts: true,
    run: async (context) => {
      const server = any(context, context.servers);
      await server.kill();
      await restart(server, context);
    },
    crashes: true,
    logs: [STARTED],
  },
  {
    name: 'kill -9 of a server right after a COMMIT, before anybody was told',
    restarts: true,
    arms: true,
    run: (context) => killAt(context, 'after-commit'),
    crashes: true,
    logs: [STARTED],
  },
  {
    name: 'kill -9 of a server right before a COMMIT',
    restarts: true,
    arms: true,
    run: (context) => killAt(context, 'before-commit'),
    crashes: true,
    logs: [STARTED],
  },
  {
    name: 'SIGTERM and a new start, one server after the other',
    restarts: true,
    run: async (context) => {
      for (const server of context.servers) {
        const startedAt = performance.now();
        const code = await server.kill('SIGTERM');
        const tookMs = Math.round(performance.now() - startedAt);
        const isOrderly = code === 0 && tookMs < STOPS_WITHIN_MS;
        ensure(!context.isAlone || isOrderly, `SIGTERM: a server ended with ${code} after ${tookMs} ms`);
        await restart(server, context);
      }
    },
    answersWhatItBegan: true,
    logs: [/"event":"server.stopping","signal":"SIGTERM"/, /"event":"server.stopped"/, STARTED],
  },
  {
    name: 'kill -9 of the postmaster',
    run: async (context) => {
      process.kill(context.installation.fixture.postmasterPid, 'SIGKILL');
      await Promise.all([sleep(500), untilNotReady(context)]);
    },
    mustSee: ['UNAVAILABLE'],
    logs: [CUT],
  },
  {
    name: 'kill -9 of one backend',
    run: async (context) => {
      // A busy one, whose client waits for the answer.
      let isHit = false;
      while (!isHit) isHit = signal(await busyBackend(context), 'SIGKILL');
      await sleep(500);
    },
    mustSee: ['UNAVAILABLE'],
    logs: [CUT],
  },
  {
    name: 'pg_terminate_backend, 10 a second',
    run: async (context) => {
      const lastsMs = context.isAlone ? 20_000 : LASTS_MS;
      const times = (lastsMs / 1_000) * TERMINATIONS_A_SECOND;
      const startedAt = performance.now();
      let terminated = 0;
      for (let n = 1; n <= times; n += 1) {
        if (await terminate(context.installation, any(context, await backends(context.installation)))) terminated += 1;
        await sleep(startedAt + (n * lastsMs) / times - performance.now());
      }
      // At some moments a server has no connection left to terminate.
      const isFault = !context.isAlone || terminated >= 0.75 * times;
      if (!isFault) throw new Error(`only ${terminated} of ${times} times there was a backend to be terminated`);
    },
    logs: [CUT],
  },
  {
    name: 'COMMIT is carried out, its answer lost',
    run: (context) => losing(context, /COMMIT/, 'answer'),
    logs: [OUTCOME_UNKNOWN],
  },
  { name: 'COMMIT is lost', run: (context) => losing(context, /COMMIT/, 'question'), logs: [OUTCOME_UNKNOWN] },
  {
    name: 'any statement is lost, or its answer',
    run: (context) => losing(context, /./, context.random.isTrue(0.5) ? 'answer' : 'question'),
    logs: [CUT],
  },
  {
    name: 'PostgreSQL cannot be reached',
    run: async (context) => {
      for (const wire of context.wires) wire.down();
      await Promise.all([sleep(LASTS_MS), untilNotReady(context)]);
      for (const wire of context.wires) wire.up();
    },
    mustSee: ['UNAVAILABLE'],
    logs: [CUT],
  },
  {
    name: 'the network to PostgreSQL swallows everything',
    run: async ({ wires }) => {
      for (const wire of wires) wire.freeze();
      await sleep(8_000);
      for (const wire of wires) wire.up();
    },
    logs: [/"event":"lock.retry".*"reason":"ETIMEDOUT"/],
  },
  {
    name: 'PostgreSQL answers 300 ms late',
    run: async ({ wires }) => {
      for (const wire of wires) wire.slow(300);
      await sleep(LASTS_MS);
      for (const wire of wires) wire.slow(0);
    },
    // Slowness is not logged; durations are in the metrics.
    logs: [],
  },
  {
    name: 'SIGSTOP of a server, then SIGCONT',
    restarts: true,
    run: async (context) => {
      const server = any(context, context.servers);
      server.signal('SIGSTOP');
      await sleep(context.isAlone ? 30_000 : 2 * LASTS_MS);
      server.signal('SIGCONT');
    },
    // The connection is reported lost only if a transaction was open at that moment.
    logs: [],
  },
  {
    name: 'SIGSTOP of a backend, then SIGCONT',
    run: async (context) => {
      // One that holds a stock row's lock: others wait for it, and its client waits for the answer.
      let pid: number;
      do pid = await busyBackend(context, '/* createHold%');
      while (!signal(pid, 'SIGSTOP'));
      try {
        await sleep(10_000);
      } finally {
        signal(pid, 'SIGCONT');
      }
    },
    logs: [/"event":"lock.retry".*"reason":"ETIMEDOUT"/, GAVE_UP_WAITING],
    mustSee: ['BUSY'],
  },
  {
    name: 'somebody keeps a stock row locked',
    run: async (context) => {
      const somebody = await lockingStock(context);
      await sleep(LASTS_MS + 1_500);
      await somebody.end();
    },
    logs: [GAVE_UP_WAITING],
    mustSee: ['BUSY'],
  },
  {
    name: 'serialization failures and deadlocks at COMMIT',
    arms: true,
    run: async (context) => {
      const codes = ['40001', '40P01'];
      context.servers.forEach((server, n) => {
        const order = { point: 'before-commit', action: 'throw', code: codes[n % 2]! } as const;
        server.arm({ ...order, probability: 0.3, seed: context.random.seed() });
      });
      await sleep(LASTS_MS);
      for (const server of context.servers) server.arm(null);
    },
    logs: [/"event":"lock.retry".*"reason":"40001"/, /"event":"lock.retry".*"reason":"40P01"/],
  },
  {
    name: 'every connection that PostgreSQL allows is in use',
    run: async (context) => {
      const hogs: Client[] = [];
      const grab = async () => {
        const hog = new Client({ connectionString: context.installation.url });
        hog.on('error', () => undefined);
        await hog.connect().then(
          () => hogs.push(hog),
          () => undefined,
        );
      };
      // The servers already have theirs; these are terminated repeatedly, and anyone may take the free place.
      for (const patience = AbortSignal.timeout(LASTS_MS); !patience.aborted; await sleep(20)) {
        for (const pid of await backends(context.installation)) await terminate(context.installation, pid);
        await Promise.all(Array.from({ length: 20 }, grab));
      }
      await Promise.all(hogs.map((hog) => hog.end().catch(() => undefined)));
    },
    mustSee: ['UNAVAILABLE'],
    logs: [/"reason":"53300"/],
  },
];

/** These need a small file system of their own, so they are not among the others. */
export const DISK_IS_FULL: Fault = {
  name: 'the disk of PostgreSQL is full',
  run: ({ installation }) => onFullDisk(installation, () => sleep(LASTS_MS)),
  mustSee: ['UNAVAILABLE'],
  logs: [/"reason":"53100"/],
};

export const LOG_DOES_NOT_FIT: Fault = {
  name: 'the write-ahead log of PostgreSQL does not fit on its disk',
  run: (context) =>
    onFullDisk(context.installation, async () => {
      await untilLogDoesNotFit(context.installation);
      await Promise.all([sleep(LASTS_MS), untilNotReady(context)]);
    }),
  mustSee: ['UNAVAILABLE'],
  logs: [CUT],
};

/** Fills it repeatedly, because PostgreSQL also makes room by removing old WAL. */
async function onFullDisk({ fixture }: Installation, work: () => Promise<unknown>): Promise<void> {
  const filler = join(fixture.disk!, 'filler');
  let isOver = false;
  const keepFull = async () => {
    for (; !isOver; await sleep(50)) fill(filler);
  };
  try {
    await Promise.all([keepFull(), work().finally(() => (isOver = true))]);
  } finally {
    rmSync(filler);
  }
}

/** Uses up the WAL files that PostgreSQL keeps in reserve, one per turn, until it ends for want of another. */
async function untilLogDoesNotFit({ sql }: Installation): Promise<void> {
  const hasEnded = await until(FOUND_WITHIN_MS, async () => {
    await sql(`SELECT pg_logical_emit_message(false, 'prove', ''), pg_switch_wal()`).catch(() => undefined);
    return sql('SELECT 1').then(
      () => false,
      () => true,
    );
  });
  if (!hasEnded) throw new Error('PostgreSQL still finds installation for its log');
}

/** Until not even a few more bytes can be written. */
function fill(file: string): void {
  const descriptor = openSync(file, 'a');
  try {
    for (let bytes = 2 ** 20; bytes >= 512;) {
      try {
        writeSync(descriptor, Buffer.alloc(bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        bytes /= 2;
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

export function faultNamed(name: string): Fault {
  return FAULTS.find((fault) => fault.name === name)!;
}

async function killAt(context: FaultContext, point: FailpointOrder['point']): Promise<void> {
  const server = any(context, context.servers);
  server.expectEnd();
  server.arm({ point, action: 'kill', probability: 0.2, seed: context.random.seed() });
  while (server.isRunning) await sleep(10);
  await restart(server, context);
}

/** For a server that has just ended. */
async function restart(server: ServerProcess, { isAlone }: FaultContext): Promise<void> {
  const endedAt = performance.now();
  await sleep(RESTART_MS);
  // Without its database a server does not start, and says why; the supervisor tries again.
  for (
    let attempt = 1;
    !(await server.start().then(
      () => true,
      (error: unknown) => attempt === RESTARTS && Promise.reject(error),
    ));
    attempt += 1
  ) {
    await sleep(RESTART_MS);
  }
  const readyAfterMs = Math.round(performance.now() - endedAt);
  // If the database is broken at the same time, it determines when.
  ensure(!isAlone || readyAfterMs < READY_AGAIN_MS, `a server was ready again only after ${readyAfterMs} ms`);
}

/** `/readyz` of every server must answer 503, so that a load balancer removes it; after every fault it must answer 200 again. */
async function untilNotReady({ servers, isAlone }: FaultContext): Promise<void> {
  if (!isAlone) return;
  for (const { client } of servers) {
    const isOut = await until(LASTS_MS, async () => (await client.status('/readyz')) === 503);
    ensure(isOut, 'a server says that it is ready while PostgreSQL is away');
  }
}

async function losing({ wires, random }: FaultContext, pattern: RegExp, loss: 'answer' | 'question'): Promise<void> {
  for (const wire of wires) {
    const own = random.fork();
    wire.lose(pattern, loss, () => own.isTrue(pattern.source === '.' ? 0.02 : 0.25));
  }
  await sleep(LASTS_MS);
  for (const wire of wires) wire.lose(null);
}

/** The servers' backends, read each time because they change; none while PostgreSQL does not answer. */
async function backends(
  { sql }: Pick<Installation, 'sql'>,
  condition = 'true',
  values: readonly unknown[] = [],
): Promise<number[]> {
  const rows = await sql<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'flash-sale' AND ${condition}`,
    values,
  ).catch(() => []);
  return rows.map(({ pid }) => pid);
}

/** In a statement or a transaction whose last statement is `like` this. */
async function busyBackend(context: FaultContext, like = '%'): Promise<number> {
  let pids: number[] = [];
  const isFound = await until(FOUND_WITHIN_MS, async () => {
    pids = await backends(context.installation, `state <> 'idle' AND query LIKE $1`, [like]);
    return pids.length > 0;
  });
  if (!isFound) throw new Error(`no backend is at work with ${like}`);
  return any(context, pids);
}

/** False when there was nothing to terminate. */
async function terminate({ sql }: Pick<Installation, 'sql'>, pid: number | undefined): Promise<boolean> {
  if (pid === undefined) return false;
  const rows = await sql<{ isEnded: boolean }>('SELECT pg_terminate_backend($1) AS "isEnded"', [pid]).catch(() => []);
  return rows[0]?.isEnded === true;
}

/** False when the process had already ended. */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    return false;
  }
}

/** A client of PostgreSQL that holds the lock of the first product's stock row; retried while something else is broken, too. */
async function lockingStock({ installation, products }: FaultContext): Promise<Client> {
  for (const patience = AbortSignal.timeout(FOUND_WITHIN_MS); ; await sleep(25)) {
    const client = new Client({ connectionString: installation.url });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('BEGIN');
      await client.query('SELECT FROM stock WHERE product_id = $1 FOR UPDATE', [products[0]]);
      return client;
    } catch (error) {
      await client.end().catch(() => undefined);
      if (patience.aborted) throw error;
    }
  }
}
