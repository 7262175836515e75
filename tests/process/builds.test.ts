/** Builds are made when they are needed, and never under the feet of what runs. */
import { appendFileSync, chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { findFreePort } from '../../src/tools/load/ports';
import { ProjectCopy, until, untilReady } from '../support/project-copy';

jest.setTimeout(180_000);

let project: ProjectCopy;
beforeAll(async () => {
  project = new ProjectCopy();
  await project.build();
});
afterEach(() => project.killAll());
afterAll(() => project.remove());

const token = ['npm', 'run', '--silent', 'token', '--', '--sub', 'zoe'];
const change = () => appendFileSync(project.path('src', 'domain', 'money.ts'), '\n// changed\n');
const count = (text: string, part: string) => text.split(part).length - 1;

test('npm run dev restarts once when a source is saved, and goes on when the source does not compile', async () => {
  const port = await findFreePort();
  const run = project.run(['npm', 'run', 'dev'], { PORT: String(port) });
  await untilReady(port, run);
  change();
  await until(() => run.said().includes('dev: restarting'), 'it restarts');
  await until(() => count(run.said(), 'Storefront') === 2, 'it serves again');
  await untilReady(port, run);
  const good = readFileSync(project.path('src', 'domain', 'money.ts'));
  writeFileSync(project.path('src', 'domain', 'money.ts'), 'const = nonsense');
  await until(() => run.said().includes('The build failed'), 'it says what is wrong');
  expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
  writeFileSync(project.path('src', 'domain', 'money.ts'), good);
  expect(count(run.said(), 'dev: restarting')).toBe(1);
});

test('commands next to npm run dev and npm start restart nothing and leave the running build unchanged', async () => {
  const port = await findFreePort();
  const run = project.run(['npm', 'run', 'dev'], { PORT: String(port) });
  await untilReady(port, run);
  const running = project.currentBuild();
  const files = () => readdirSync(running, { recursive: true, encoding: 'utf8' }).sort();
  const before = files();
  for (const command of [token, ['npm', 'run', 'build'], ['npm', 'run', '--silent', 'reconcile']]) {
    const { code, said } = await project.toTheEnd(command);
    expect([code, said]).toEqual([0, expect.any(String)]);
  }
  expect(run.said()).not.toContain('restarting');
  expect(files()).toEqual(before);
  expect(project.currentBuild()).toBe(running);
});

test('changed sources are built into another folder, and the earlier build stays for running programs', async () => {
  const earlier = project.currentBuild();
  change();
  expect((await project.toTheEnd(token)).code).toBe(0);
  expect(project.currentBuild()).not.toBe(earlier);
  expect(existsSync(`${earlier}/src/main.js`)).toBe(true);
  expect(existsSync(project.path('dist', 'src', 'main.js'))).toBe(true);
  expect(readdirSync(project.path('dist')).filter((name) => name.startsWith('.building'))).toEqual([]);
});

test('several commands without a build make it at the same time, and each works', async () => {
  rmSync(project.path('dist'), { recursive: true });
  const ended = await Promise.all([1, 2, 3].map(() => project.toTheEnd(token)));
  expect(ended.map(({ code, said }) => [code, /^\S+\.\S+\.\S+\n$/.test(said)])).toEqual(Array(3).fill([0, true]));
  expect(readdirSync(project.path('dist')).filter((name) => /^[0-9a-f]{16}$/.test(name))).toHaveLength(1);
});

test('a dist/ folder of an old version is replaced', async () => {
  rmSync(project.path('dist'), { recursive: true });
  await project.build();
  for (const name of ['src', 'migrations']) rmSync(project.path('dist', name));
  rmSync(project.path('dist', 'current'));
  await project.toTheEnd(['mkdir', '-p', 'dist/src/old', 'dist/migrations/old']);
  await project.build();
  expect(existsSync(project.path('dist', 'src', 'main.js'))).toBe(true);
  expect(existsSync(project.path('dist', 'src', 'old'))).toBe(false);
});

const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('a user who may not write runs what was built, and is told when the sources are newer', async () => {
  const nobody = { uid: 65_534, gid: 65_534 };
  const env = { HOME: '/nonexistent' };
  const run = ['node', 'src/cli/run.mjs', 'src/cli/token.js', '--sub', 'zoe'];
  await project.build();
  chmodSync(project.folder, 0o755);
  expect(await project.toTheEnd(run, env, nobody)).toEqual({ code: 0, said: expect.stringMatching(/^\S+\n$/) });
  change();
  const { code, said } = await project.toTheEnd(run, env, nobody);
  expect(code).toBe(0);
  expect(said).toMatch(/^The sources have changed since the last build, which runs: [^\n]*\n\S+\n$/m);
  rmSync(project.path('dist'), { recursive: true });
  const without = await project.toTheEnd(run, env, nobody);
  expect(without.code).toBe(1);
  expect(without.said).toMatch(/^error: [^\n]*Run npm run build as a user who may write there\n$/);
});

asRoot('a .env that the user may not read is one clear error, because it may name the database', async () => {
  await project.build();
  writeFileSync(project.path('.env'), 'DATABASE_URL=postgres://db.example/shop\n', { mode: 0o600 });
  const nobody = { uid: 65_534, gid: 65_534 };
  const run = ['node', 'src/cli/run.mjs', 'src/cli/token.js', '--sub', 'zoe'];
  const { code, said } = await project.toTheEnd(run, { HOME: '/nonexistent' }, nobody);
  rmSync(project.path('.env'));
  expect(code).toBe(1);
  expect(said).toMatch(/^error: \.env cannot be read: [^\n]*\n$/);
});
