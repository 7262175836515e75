/** `npm run prove`, short: the same proof as by hand, with a new seed each time. What it prints says how to have it again. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');

test('every promise holds, whatever is broken on purpose', () => {
  const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', 'prove', '--', '--minutes', '1'], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 280_000,
    env: { ...process.env, DATABASE_URL: '' },
  });
  // 1: a promise is broken. 2: something that the proof needs never happened, so it proves nothing.
  if (status !== 0) throw new Error(`prove ended with ${status}\n${stdout}${stderr}`);
  expect(stdout).toContain('Every promise held');
}, 300_000);
