/** `npm run prove`, short: the same proof as by hand. What it prints says how to have it again. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');

/** Fails on a broken promise (1), and on a run in which something that it needs never happened (2): that proves nothing. */
function prove(...options: string[]): void {
  const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', 'prove', '--', ...options], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 280_000,
    env: { ...process.env, DATABASE_URL: '' },
  });
  if (status !== 0) throw new Error(`prove ended with ${status}\n${stdout}${stderr}`);
  expect(stdout).toContain('Every promise held');
}

test('every promise holds, whatever is broken on purpose, with a new seed each time', () => {
  prove('--minutes', '1');
}, 300_000);

test('every promise holds after kill -9 of a server: at any time, right after a COMMIT, and right before one', () => {
  prove('--only', 'faults', '--fault', 'kill -9 of a server', '--seed', '7');
}, 300_000);
