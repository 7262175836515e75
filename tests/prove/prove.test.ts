/** `npm run prove`, short, with a new seed each time. Its output says how to repeat it. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');

test('every promise holds under every injected fault of npm run prove', () => {
  const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', 'prove', '--', '--minutes', '1'], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 280_000,
    env: { ...process.env, DATABASE_URL: '' },
  });
  // 1: a promise is broken. 2: something that the proof needs never happened.
  if (status !== 0) throw new Error(`prove ended with ${status}\n${stdout}${stderr}`);
  expect(stdout).toContain('Every promise held');
}, 300_000);
