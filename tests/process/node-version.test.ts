/** The programs run on the Node that npm ci installs, and say so when somebody starts them on an older one. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectPath } from '../../src/config';
import { buildProject, type Build } from '../support/process';

let build: Build;
beforeAll(async () => {
  build = await buildProject();
  writeFileSync(
    join(build.directory, 'old.cjs'),
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '24.15.9' } });`,
  );
});
afterAll(() => build.remove());

const COMPILED = [
  'main',
  ...['db', 'import/main', 'reconcile', 'schema-emit', 'token', 'webhook-send'].map((c) => `cli/${c}`),
];
const PROGRAMS = [
  ...COMPILED.map((program) => join('dist', 'src', `${program}.js`)),
  ...['build', 'dev', 'run'].map((program) => join('src', 'cli', `${program}.mjs`)),
];

test.each(PROGRAMS)('%s says in one sentence which Node it needs when it runs on an older one', (program) => {
  const args = ['-r', join(build.directory, 'old.cjs'), join(build.directory, program), 'src/cli/token.js'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env: {} });
  expect({ status, stdout, stderr }).toEqual({
    status: 1,
    stdout: '',
    stderr: expect.stringMatching(
      /^error: This program needs Node 24\.16 or later, and this is Node 24\.15\.9; [^\n.]*node_modules\/\.bin\/node[^\n]*\n$/,
    ),
  });
});

test('package.json asks for the Node that the programs ask for', () => {
  const { engines, devEngines } = JSON.parse(readFileSync(projectPath('package.json'), 'utf8'));
  expect([engines.node, devEngines.runtime.version]).toEqual(['>=24.16', '>=24.16']);
});

test('no package asks for a Node that npm would warn about on a machine with Node 20', () => {
  const { packages } = JSON.parse(readFileSync(projectPath('package-lock.json'), 'utf8')) as {
    packages: Record<string, { engines?: { node?: string } }>;
  };
  const tooNew = Object.entries(packages)
    .filter(([path, { engines }]) => path !== '' && /^\s*(>=|\^)\s*2[1-9]\b[^|]*$/.test(engines?.node ?? ''))
    .map(([path, { engines }]) => `${path} needs ${engines!.node}`);
  expect(tooNew).toEqual([]);
});

const OWN_NODE = projectPath('node_modules', '.bin', 'node');
// CI removes it to try the machine's own Node.
const withOwnNode = existsSync(OWN_NODE) ? test : test.skip;

withOwnNode('npm runs scripts on the Node of node_modules, whatever the machine has', () => {
  const path = process.env.PATH!.split(':').filter((folder) => !folder.includes('node_modules'));
  const { stdout } = spawnSync('npm', ['exec', '--offline', '--call', 'node --version'], {
    cwd: projectPath(),
    encoding: 'utf8',
    env: { PATH: path.join(':'), HOME: process.env.HOME },
  });
  expect(stdout).toBe(spawnSync(OWN_NODE, ['--version'], { encoding: 'utf8' }).stdout);
});
