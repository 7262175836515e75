/** What is broken on purpose while a sale runs. Each fault begins, lasts, and is over; what it broke must mend by itself. */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Wire } from '../support/wire';
import { ensure, type Room, type ServerProcess } from './arena';
import type { Chance } from './chance';

export interface Scene {
  readonly room: Room;
  readonly chance: Chance;
  readonly servers: readonly ServerProcess[];
  /** Between each server and PostgreSQL. */
  readonly wires: readonly Wire[];
  readonly products: readonly string[];
}

export interface Fault {
  readonly name: string;
  /** Ends a server and starts it again: no two of these at once, or they would start it twice. */
  readonly restarts?: boolean;
  /** Arms a failpoint of a server, which has room for one: no two of these at once, or one would wait for what the other disarmed. */
  readonly arms?: boolean;
  run(scene: Scene): Promise<void>;
  /** What clients must have seen, or the fault has not been one. */
  readonly mustSee?: readonly string[];
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
const READY_AGAIN_MS = 10_000;

const any = <T>({ chance }: Scene, items: readonly T[]): T => chance.of(items);

export const FAULTS: readonly Fault[] = [
  {
    name: 'kill -9 of a server',
    restarts: true,
    run: async (scene) => {
      const server = any(scene, scene.servers);
      await server.kill();
      await restart(server);
    },
  },
  {
    name: 'kill -9 of a server right after a COMMIT, before anybody was told',
    restarts: true,
    arms: true,
    run: async (scene) => {
      const server = any(scene, scene.servers);
      server.expectEnd();
      server.arm({ point: 'after-commit', action: 'kill', chance: 0.2 });
      while (server.isRunning) await sleep(10);
      await restart(server);
    },
  },
  {
    name: 'kill -9 of a server right before a COMMIT',
    restarts: true,
    arms: true,
    run: async (scene) => {
      const server = any(scene, scene.servers);
      server.expectEnd();
      server.arm({ point: 'before-commit', action: 'kill', chance: 0.2 });
      while (server.isRunning) await sleep(10);
      await restart(server);
    },
  },
  {
    name: 'SIGTERM and a new start, one server after the other',
    restarts: true,
    run: async ({ servers }) => {
      for (const server of servers) {
        await server.kill('SIGTERM');
        await restart(server);
      }
    },
    answersWhatItBegan: true,
  },
  {
    name: 'kill -9 of the postmaster',
    run: async ({ room }) => {
      process.kill(room.arena.postmasterPid, 'SIGKILL');
      await sleep(500);
    },
  },
  {
    name: 'kill -9 of one backend',
    run: async (scene) => {
      const pid = any(scene, await backends(scene.room));
      if (pid) process.kill(pid, 'SIGKILL');
      await sleep(500);
    },
  },
  {
    name: 'pg_terminate_backend, 10 a second',
    run: async (scene) => {
      for (let n = 0; n < LASTS_MS / 100; n += 1) {
        const pid = any(scene, await backends(scene.room));
        if (pid) await scene.room.sql('SELECT pg_terminate_backend($1)', [pid]);
        await sleep(100);
      }
    },
  },
  { name: 'COMMIT is carried out, its answer lost', run: (scene) => losing(scene, /COMMIT/, 'answer') },
  { name: 'COMMIT is lost', run: (scene) => losing(scene, /COMMIT/, 'question') },
  {
    name: 'any statement is lost, or its answer',
    run: (scene) => losing(scene, /./, scene.chance.is(0.5) ? 'answer' : 'question'),
  },
  {
    name: 'PostgreSQL cannot be reached',
    run: async ({ wires }) => {
      for (const wire of wires) wire.down();
      await sleep(LASTS_MS);
      for (const wire of wires) wire.up();
    },
    mustSee: ['UNAVAILABLE'],
  },
  {
    name: 'the network to PostgreSQL swallows everything',
    run: async ({ wires }) => {
      for (const wire of wires) wire.freeze();
      await sleep(8_000);
      for (const wire of wires) wire.up();
    },
  },
  {
    name: 'PostgreSQL answers 300 ms late',
    run: async ({ wires }) => {
      for (const wire of wires) wire.slow(300);
      await sleep(LASTS_MS);
      for (const wire of wires) wire.slow(0);
    },
  },
  {
    name: 'SIGSTOP of a server, then SIGCONT',
    restarts: true,
    run: async (scene) => {
      const server = any(scene, scene.servers);
      server.signal('SIGSTOP');
      await sleep(2 * LASTS_MS);
      server.signal('SIGCONT');
    },
  },
  {
    name: 'SIGSTOP of a backend, then SIGCONT',
    run: async (scene) => {
      // One that has a stock row locked: others wait for that, and its own client for its answer.
      let pid: number | undefined;
      while (!pid) {
        const rows = await scene.room.sql<{ pid: number }>(
          `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'flash-sale'
             AND state <> 'idle' AND query LIKE '/* createHold%'`,
        );
        pid = rows[0]?.pid;
      }
      process.kill(pid, 'SIGSTOP');
      try {
        await sleep(10_000);
      } finally {
        process.kill(pid, 'SIGCONT');
      }
    },
    mustSee: ['BUSY'],
  },
  {
    name: 'somebody keeps a stock row locked',
    run: async ({ room, products }) => {
      const client = new Client({ connectionString: room.url });
      client.on('error', () => undefined);
      await client.connect();
      await client.query('BEGIN');
      await client.query('SELECT FROM stock WHERE product_id = $1 FOR UPDATE', [products[0]]);
      await sleep(LASTS_MS + 1_500);
      await client.end();
    },
    mustSee: ['BUSY'],
  },
  {
    name: 'serialization failures and deadlocks at COMMIT',
    arms: true,
    run: async (scene) => {
      const codes = ['40001', '40P01'];
      scene.servers.forEach((server, n) => {
        server.arm({ point: 'before-commit', action: 'throw', code: codes[n % 2]!, chance: 0.3 });
      });
      await sleep(LASTS_MS);
      for (const server of scene.servers) server.arm(null);
    },
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
        for (const pid of await backends(scene.room)) {
          if (pid) await scene.room.sql('SELECT pg_terminate_backend($1)', [pid]).catch(() => undefined);
        }
        await Promise.all(Array.from({ length: 20 }, grab));
      }
      await Promise.all(hogs.map((hog) => hog.end().catch(() => undefined)));
    },
    mustSee: ['UNAVAILABLE'],
  },
];

/** Not among the others: it needs a small file system of its own. */
export const DISK_IS_FULL: Fault = {
  name: 'the disk of PostgreSQL is full',
  run: async ({ room }) => {
    const filler = join(room.arena.disk!, 'filler');
    try {
      // PostgreSQL makes room, too: it removes what it has written ahead of time.
      for (const patience = AbortSignal.timeout(LASTS_MS); !patience.aborted; await sleep(50)) fill(filler);
    } finally {
      rmSync(filler);
    }
  },
  mustSee: ['UNAVAILABLE'],
};

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

async function restart(server: ServerProcess): Promise<void> {
  await sleep(RESTART_MS);
  // While the database is away a server does not start, and says why: whoever looks after it tries again.
  for (
    let attempt = 1;
    !(await server.start().then(
      () => true,
      (error: unknown) => attempt === 20 && Promise.reject(error),
    ));
    attempt += 1
  ) {
    await sleep(RESTART_MS);
  }
  const { startedWithinMs, firstStartMs } = server;
  ensure(
    startedWithinMs < Math.max(READY_AGAIN_MS, 3 * firstStartMs),
    `a server was ready again only after ${Math.round(startedWithinMs)} ms, at first after ${Math.round(firstStartMs)} ms`,
  );
}

async function losing({ wires }: Scene, pattern: RegExp, loss: 'answer' | 'question'): Promise<void> {
  for (const wire of wires) wire.lose(pattern, loss, pattern.source === '.' ? 0.02 : 0.25);
  await sleep(LASTS_MS);
  for (const wire of wires) wire.lose(null);
}

/** Of the servers. Asked for anew each time, as they come and go. */
async function backends(room: Room): Promise<(number | null)[]> {
  const rows = await room
    .sql<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'flash-sale'`,
    )
    .catch(() => []);
  return rows.length > 0 ? rows.map((row) => row.pid) : [null];
}
