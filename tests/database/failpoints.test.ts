/** Failpoints: nothing happens unless a test arms one, and production cannot. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const SRC = resolve(__dirname, '../../src');

test('a sealed process cannot arm one, and what was armed is disarmed', () => {
  jest.isolateModules(() => {
    const { armFailpoints, failpoint, sealFailpoints } = jest.requireActual<
      typeof import('../../src/postgres/failpoints')
    >('../../src/postgres/failpoints');
    armFailpoints(() => {
      throw new Error('armed');
    });
    expect(() => failpoint('after-lock', '')).toThrow('armed');
    sealFailpoints();
    expect(failpoint('after-lock', '')).toBeUndefined();
    expect(() => armFailpoints(() => undefined)).toThrow(/production/);
  });
});

test('nothing in src arms one, and a production server seals them', () => {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
  const textOf = (path: string) => readFileSync(join(SRC, path), 'utf8');
  const arming = files.filter((path) => /armFailpoints\(/.test(textOf(path)));
  expect(arming).toEqual([join('postgres', 'failpoints.ts')]);
  expect(textOf('app.ts')).toContain("if (config.environment === 'production') sealFailpoints();");
});
