/** The wire part of `npm run prove`, short and with a fixed seed, against a separate server process. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freshDatabase } from '../support/database';
import { buildProject } from '../support/process';
import { Random } from '../../src/tools/load/random';
import { Tally } from './tally';
import { proveWire, WIRE_NEEDS } from './wire';

test('no bytes from a client end the server, leak a socket, disturb other clients or delay its shutdown', async () => {
  const [db, build] = await Promise.all([freshDatabase(), buildProject()]);
  try {
    const logFile = join(build.directory, 'wire.log');
    const settings = { DATABASE_URL: db.url, SWEEP_CRON: 'off', KEEP_ALIVE_SECONDS: '2', LOG_FILE: logFile };
    const server = await build.start(settings);
    let death: string | null = null;
    const ended = server.ended.then(({ code, stderr }) => {
      death = `exit code ${code}: ${stderr}`;
      return code;
    });
    const tally = new Tally();
    let rounds = 2;
    const target = {
      ...{ url: server.url, pid: server.pid },
      complaints: () => readFileSync(logFile, 'utf8').match(/^.*"event":"(uncaught|request\.failed)".*$/gm) ?? [],
      death: () => death,
      stop: () => {
        void server.end('SIGTERM');
        return ended;
      },
    };
    await proveWire(target, new Random(15), () => rounds-- > 0, tally);
    expect(tally.missing(WIRE_NEEDS)).toEqual([]);
  } finally {
    await build.remove();
    await db.close();
  }
}, 120_000);
