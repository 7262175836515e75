/** What is broken on purpose while a sale runs. Each fault begins, lasts, and is over; what it broke must mend by itself. */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Wire } from '../support/wire';
import { ensure, until, type FailpointOrder, type Room, type ServerProcess } from './arena';
import type { Random } from '../../src/tools/load/random';

export interface Scene {
  readonly room: Room;
  readonly random: Random;
  readonly servers: readonly ServerProcess[];
  /** Between each server and PostgreSQL. */
  readonly wires: readonly Wire[];
  readonly products: readonly string[];
  /** Nothing else is broken meanwhile: what this fault does to a server is certain, and is looked for. */
  readonly isAlone: boolean;
}

export interface Fault {
  readonly name: string;
  /** Ends a server and starts it again: no two of these at once, or they would start it twice. */
  readonly restarts?: boolean;
  /** Arms a failpoint of a server, which has room for one: no two of these at once, or one would wait for what the other disarmed. */
  readonly arms?: boolean;
  /** Ends a server without a word: what its clients had asked for may have happened, and nobody was told. */
  readonly crashes?: boolean;
  run(scene: Scene): Promise<void>;
  /** What clients must have seen when the fault comes alone, or it has not been one. */
  readonly mustSee?: readonly string[];
  /** What an operator must find in the servers' log when the fault comes alone: of each, a line since it began. */
  readonly logs: readonly RegExp[];
  /**
   * Whoever was cut off had not been begun with, when the fault comes alone. (A request that is still on its way when an
   * idle connection is closed is lost unread: HTTP cannot help that, and clients send it again.)
   */
  readonly answersWhatItBegan?: boolean;
}

/** How long what lasts lasts, in ms. */
const LASTS_MS = 3_000;
/** A killed server is started again by whoever looks after it, after so long. */
const RESTART_MS = 300;
const RESTARTS = 20;
/** From the end of the process until it is ready again, through every attempt. */
const READY_AGAIN_MS = 10_000;
/** With SIGTERM. */
const STOPS_WITHIN_MS = 15_000;
/** How soon a fault must have found what it strikes. */
const FOUND_WITHIN_MS = 30_000;
const TERMINATIONS_A_SECOND = 10;

const STARTED = /"event":"server.started"/;
/** What a transaction says that lost its connection: PostgreSQL's last words where there was time for them. */
const CUT = /"event":"lock.retry".*"reason":"(connection|ECONNRESET|EPIPE|57P01|57P02|57P03)"/;
const OUTCOME_UNKNOWN = /"event":"lock.retry".*"outcomeUnknown":true/;
const GAVE_UP_WAITING = /"event":"transaction.failed".*"reason":"55P03"/;

const any = <T>({ random }: Scene, items: readonly T[]): T => random.oneOf(items);

export const FAULTS: readonly Fault[] = [
  {
    name: 'kill -9 of a server',
    restarts: true,
    run: async (scene) => {
      const server = any(scene, scene.servers);
      await server.kill();
      await restart(server, scene);
    },
    crashes: true,
    logs: [STARTED],
  },
  {
    name: 'kill -9 of a server right after a COMMIT, before anybody was told',
    restarts: true,
    arms: true,
    run: (scene) => killAt(scene, 'after-commit'),
    crashes: true,
    logs: [STARTED],
  },
  {
    name: 'kill -9 of a server right before a COMMIT',
    restarts: true,
    arms: true,
    run: (scene) => killAt(scene, 'before-commit'),
    crashes: true,
    logs: [STARTED],
  },
  {
    name: 'SIGTERM and a new start, one server after the other',
    restarts: true,
    run: async (scene) => {
      for (const server of scene.servers) {
        const startedAt = performance.now();
        const code = await server.kill('SIGTERM');
        const tookMs = Math.round(performance.now() - startedAt);
        const isOrderly = code === 0 && tookMs < STOPS_WITHIN_MS;
        ensure(!scene.isAlone || isOrderly, `SIGTERM: a server ended with ${code} after ${tookMs} ms`);
        await restart(server, scene);
      }
    },
    answersWhatItBegan: true,
    logs: [/"event":"server.stopping","signal":"SIGTERM"/, /"event":"server.stopped"/, STARTED],
  },
  {
    name: 'kill -9 of the postmaster',
    run: async (scene) => {
      process.kill(scene.room.arena.postmasterPid, 'SIGKILL');
      await Promise.all([sleep(500), untilNotReady(scene)]);
    },
    mustSee: ['UNAVAILABLE'],
    logs: [CUT],
  },
  {
    name: 'kill -9 of one backend',
    run: async (scene) => {
      // One that is at work: somebody waits for its answer.
      let isHit = false;
      while (!isHit) isHit = signal(await busyBackend(scene), 'SIGKILL');
      await sleep(500);
    },
    mustSee: ['UNAVAILABLE'],
    logs: [CUT],
  },
  {
    name: 'pg_terminate_backend, 10 a second',
    run: async (scene) => {
      const lastsMs = scene.isAlone ? 20_000 : LASTS_MS;
      const times = (lastsMs / 1_000) * TERMINATIONS_A_SECOND;
      const startedAt = performance.now();
      let terminated = 0;
      for (let n = 1; n <= times; n += 1) {
        if (await terminate(scene.room, any(scene, await backends(scene.room)))) terminated += 1;
        await sleep(startedAt + (n * lastsMs) / times - performance.now());
      }
      // At some moments a server has no connection left that could be ended.
      const isFault = !scene.isAlone || terminated >= 0.75 * times;
      if (!isFault) throw new Error(`only ${terminated} of ${times} times there was a backend to be terminated`);
    },
    logs: [CUT],
  },
  {
    name: 'COMMIT is carried out, its answer lost',
    run: (scene) => losing(scene, /COMMIT/, 'answer'),
    logs: [OUTCOME_UNKNOWN],
  },
  { name: 'COMMIT is lost', run: (scene) => losing(scene, /COMMIT/, 'question'), logs: [OUTCOME_UNKNOWN] },
  {
    name: 'any statement is lost, or its answer',
    run: (scene) => losing(scene, /./, scene.random.isTrue(0.5) ? 'answer' : 'question'),
    logs: [CUT],
  },
  {
    name: 'PostgreSQL cannot be reached',
    run: async (scene) => {
      for (const wire of scene.wires) wire.down();
      await Promise.all([sleep(LASTS_MS), untilNotReady(scene)]);
      for (const wire of scene.wires) wire.up();
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
    // Slow is no failure: the durations are in the metrics.
    logs: [],
  },
  {
    name: 'SIGSTOP of a server, then SIGCONT',
    restarts: true,
    run: async (scene) => {
      const server = any(scene, scene.servers);
      server.signal('SIGSTOP');
      await sleep(scene.isAlone ? 30_000 : 2 * LASTS_MS);
      server.signal('SIGCONT');
    },
    // It was not there to notice. Only when a transaction was open at that moment there is a lost connection to speak of.
    logs: [],
  },
  {
    name: 'SIGSTOP of a backend, then SIGCONT',
    run: async (scene) => {
      // One that has a stock row locked: others wait for that, and its own client for its answer.
      let pid: number;
      do pid = await busyBackend(scene, '/* createHold%');
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
    run: async (scene) => {
      const somebody = await lockingStock(scene);
      await sleep(LASTS_MS + 1_500);
      await somebody.end();
    },
    logs: [GAVE_UP_WAITING],
    mustSee: ['BUSY'],
  },
  {
    name: 'serialization failures and deadlocks at COMMIT',
    arms: true,
    run: async (scene) => {
      const codes = ['40001', '40P01'];
      scene.servers.forEach((server, n) => {
        const order = { point: 'before-commit', action: 'throw', code: codes[n % 2]! } as const;
        server.arm({ ...order, probability: 0.3, seed: scene.random.seed() });
      });
      await sleep(LASTS_MS);
      for (const server of scene.servers) server.arm(null);
    },
    logs: [/"event":"lock.retry".*"reason":"40001"/, /"event":"lock.retry".*"reason":"40P01"/],
  },
  {
    name: 'every connection that PostgreSQL allows is in use',
    run: async (scene) => {
      const hogs: Client[] = [];
      const grab = async () => {
        const hog = new Client({ connectionString: scene.room.url });
        hog.on('error', () => undefined);
        await hog.connect().then(
          () => hogs.push(hog),
          () => undefined,
        );
      };
      // The servers have theirs already: these are ended, again and again, and whoever comes first gets the place.
      for (const patience = AbortSignal.timeout(LASTS_MS); !patience.aborted; await sleep(20)) {
        for (const pid of await backends(scene.room)) await terminate(scene.room, pid);
        await Promise.all(Array.from({ length: 20 }, grab));
      }
      await Promise.all(hogs.map((hog) => hog.end().catch(() => undefined)));
    },
    mustSee: ['UNAVAILABLE'],
    logs: [/"reason":"53300"/],
  },
];

/** Neither is among the others: they need a small file system of their own. */
export const DISK_IS_FULL: Fault = {
  name: 'the disk of PostgreSQL is full',
  run: ({ room }) => onFullDisk(room, () => sleep(LASTS_MS)),
  mustSee: ['UNAVAILABLE'],
  logs: [/"reason":"53100"/],
};

export const LOG_DOES_NOT_FIT: Fault = {
  name: 'the write-ahead log of PostgreSQL does not fit on its disk',
  run: (scene) =>
    onFullDisk(scene.room, async () => {
      await untilLogDoesNotFit(scene.room);
      await Promise.all([sleep(LASTS_MS), untilNotReady(scene)]);
    }),
  mustSee: ['UNAVAILABLE'],
  logs: [CUT],
};

/** Filled again and again: PostgreSQL makes room, too, by removing log that it has no more need of. */
async function onFullDisk({ arena }: Room, work: () => Promise<unknown>): Promise<void> {
  const filler = join(arena.disk!, 'filler');
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

/** Uses up the files that PostgreSQL keeps for log to come, one with each turn, until it ends for want of another. */
async function untilLogDoesNotFit({ sql }: Room): Promise<void> {
  const hasEnded = await until(FOUND_WITHIN_MS, async () => {
    await sql(`SELECT pg_logical_emit_message(false, 'prove', ''), pg_switch_wal()`).catch(() => undefined);
    return sql('SELECT 1').then(
      () => false,
      () => true,
    );
  });
  if (!hasEnded) throw new Error('PostgreSQL still finds room for its log');
}

/** Until not even a few bytes more can be written. */
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

async function killAt(scene: Scene, point: FailpointOrder['point']): Promise<void> {
  const server = any(scene, scene.servers);
  server.expectEnd();
  server.arm({ point, action: 'kill', probability: 0.2, seed: scene.random.seed() });
  while (server.isRunning) await sleep(10);
  await restart(server, scene);
}

/** Of a server that has just ended. */
async function restart(server: ServerProcess, { isAlone }: Scene): Promise<void> {
  const endedAt = performance.now();
  await sleep(RESTART_MS);
  // While the database is away a server does not start, and says why: whoever looks after it tries again.
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
  // When the database is broken at the same time, it decides how soon.
  ensure(!isAlone || readyAfterMs < READY_AGAIN_MS, `a server was ready again only after ${readyAfterMs} ms`);
}

/** `/readyz` of every server says 503, so that a balancer takes it out; that it says 200 again is looked at after every fault. */
async function untilNotReady({ servers, isAlone }: Scene): Promise<void> {
  if (!isAlone) return;
  for (const { client } of servers) {
    const isOut = await until(LASTS_MS, async () => (await client.status('/readyz')) === 503);
    ensure(isOut, 'a server says that it is ready while PostgreSQL is away');
  }
}

async function losing({ wires, random }: Scene, pattern: RegExp, loss: 'answer' | 'question'): Promise<void> {
  for (const wire of wires) {
    const own = random.fork();
    wire.lose(pattern, loss, () => own.isTrue(pattern.source === '.' ? 0.02 : 0.25));
  }
  await sleep(LASTS_MS);
  for (const wire of wires) wire.lose(null);
}

/** Of the servers. Asked for anew each time, as they come and go; none while PostgreSQL does not answer. */
async function backends(
  { sql }: Pick<Room, 'sql'>,
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

/** In a statement or a transaction; its last statement is `like` this. */
async function busyBackend(scene: Scene, like = '%'): Promise<number> {
  let pids: number[] = [];
  const isFound = await until(FOUND_WITHIN_MS, async () => {
    pids = await backends(scene.room, `state <> 'idle' AND query LIKE $1`, [like]);
    return pids.length > 0;
  });
  if (!isFound) throw new Error(`no backend is at work with ${like}`);
  return any(scene, pids);
}

/** False when there was nothing to end. */
async function terminate({ sql }: Pick<Room, 'sql'>, pid: number | undefined): Promise<boolean> {
  if (pid === undefined) return false;
  const rows = await sql<{ isEnded: boolean }>('SELECT pg_terminate_backend($1) AS "isEnded"', [pid]).catch(() => []);
  return rows[0]?.isEnded === true;
}

/** False when the process is gone: something else was quicker. */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    return false;
  }
}

/** A client of PostgreSQL that has the first product's stock row locked; tried again while something else is broken, too. */
async function lockingStock({ room, products }: Scene): Promise<Client> {
  for (const patience = AbortSignal.timeout(FOUND_WITHIN_MS); ; await sleep(25)) {
    const client = new Client({ connectionString: room.url });
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
