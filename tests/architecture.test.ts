/** The rules of docs/design.md about rooms, checked by reading every source file. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';

const SRC = resolve(__dirname, '../src');
const SHARED = ['config', 'telemetry'];
/** Whom each room may know, besides itself. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  domain: [],
  config: [],
  telemetry: ['config'],
  web: SHARED,
  postgres: ['domain', ...SHARED],
  database: ['domain', 'postgres', ...SHARED],
  checkout: ['domain', 'postgres', 'database', ...SHARED],
  admission: ['domain', ...SHARED],
  graphql: ['domain', 'database', 'checkout', 'admission', 'web', ...SHARED],
  webhooks: ['domain', 'database', 'checkout', ...SHARED],
  jobs: ['domain', 'database', 'checkout', ...SHARED],
  http: ['domain', 'database', 'admission', ...SHARED],
  // A command is an entry point: it may drive whatever the server does.
  cli: ['domain', 'postgres', 'database', 'checkout', 'admission', 'graphql', 'webhooks', 'jobs', 'app.ts', ...SHARED],
  'app.ts': [
    'domain',
    'postgres',
    'database',
    'checkout',
    'admission',
    'graphql',
    'webhooks',
    'jobs',
    'http',
    'web',
    ...SHARED,
  ],
  'stopping.ts': SHARED,
  'workers.ts': ['stopping.ts', ...SHARED],
  // node-version.cjs, which lies with the other programs that run before anything is built.
  'main.ts': ['app.ts', 'workers.ts', 'stopping.ts', 'postgres', 'database', 'cli', ...SHARED],
};

/** The workshop (bench, rehearsal, attacks) may import everything, and nothing of the product imports it. */
const inWorkshop = ({ room }: { room: string }) => room === 'tools';

const all = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && !path.startsWith(`web${sep}client`))
  .map((path) => {
    const text = readFileSync(join(SRC, path), 'utf8');
    const code = text.replace(/\/\*\*?[^\n`]*?\*\/(?!.*`)|^\s*(\/\*\*|\*|\/\/).*$/gm, '');
    return { path: path.split(sep).join('/'), room: path.split(sep)[0]!, code };
  });
const rooms = new Set(all.map(({ room }) => room));
const files = all.filter((file) => !inWorkshop(file));
const offenders = (isAllowed: (file: (typeof files)[number]) => boolean, pattern: RegExp) =>
  files.filter((file) => !isAllowed(file) && pattern.test(file.code)).map((file) => file.path);
const inRoom =
  (...rooms: string[]) =>
  ({ room }: { room: string }) =>
    rooms.includes(room);

test('a room imports only the rooms below it', () => {
  const wrong = files.flatMap(({ path, room, code }) =>
    [...code.matchAll(/(?:from|import|require)\s*\(?\s*'(\.[^']*)'/g)]
      .filter(([, target]) => !target!.endsWith('/node-version.cjs')) // every entry point's first line
      .map(([, target]) => relative(SRC, resolve(SRC, dirname(path), target!)).split(sep))
      .filter(([top]) => top !== '..') // migrations, package.json
      .map(([top, ...rest]) => (rest.length === 0 && !rooms.has(top!) ? `${top!.replace(/\.js$/, '')}.ts` : top!))
      .filter((top) => top !== room && !MAY_IMPORT[room]?.includes(top))
      .map((top) => `${path} imports ${top}`),
  );
  expect(files.length).toBeGreaterThan(40);
  expect(wrong).toEqual([]);
});

test('the domain is pure: it imports nothing from outside and has no clock', () => {
  expect(offenders((file) => file.room !== 'domain', /from '(?!\.|node:util')/)).toEqual([]);
});

test('SQL text lives in postgres/, database/ and stock-keeper.ts only', () => {
  const isAllowed = (file: { room: string; path: string }) =>
    inRoom('postgres', 'database')(file) || file.path === 'checkout/stock-keeper.ts';
  expect(offenders(isAllowed, /\b(SELECT\b.*\bFROM|INSERT INTO|UPDATE\s+\w+\s+SET|DELETE FROM)\b/)).toEqual([]);
});

test('decorators of type-graphql live in graphql/, those of MikroORM in database/', () => {
  expect(offenders(inRoom('graphql'), /from 'type-graphql'/)).toEqual([]);
  expect(offenders(inRoom('database'), /^\s*@(Entity|Property|PrimaryKey|ManyToOne|Index|Unique|Check)\(/m)).toEqual(
    [],
  );
});

test('only src/config reads the environment', () => {
  expect(offenders(inRoom('config'), /process\.env/)).toEqual([]);
});

test('the clock is the database’s wherever something is decided', () => {
  const decides = inRoom('domain', 'postgres', 'database', 'checkout');
  const isExempt = (file: { room: string; path: string }) =>
    !decides(file) || file.path.startsWith('postgres/embedded/');
  expect(offenders(isExempt, /Date\.now\(\)|new Date\(\)/)).toEqual([]);
});

test('only stock-keeper.ts (and the seed) moves units', () => {
  const mayMove = ({ path }: { path: string }) => path === 'checkout/stock-keeper.ts' || path === 'database/seed.ts';
  expect(
    offenders(mayMove, /UPDATE\s+stock\b|INTO\s+stock\b|(insert|insertMany|nativeUpdate|upsert)\(\s*StockRow/),
  ).toEqual([]);
  expect(offenders(mayMove, /SET[^;`]*\bgiven_back_at\s*=/)).toEqual([]);
});

test('use cases never call use cases', () => {
  const useCase = /export (?:async )?function \w+\([^)]*(deps|shared): Dependencies/;
  const isUseCase = ({ room, path, code }: (typeof files)[number]) =>
    room === 'checkout' && path !== 'checkout/checkout.ts' && useCase.test(code);
  const useCases = files.filter(isUseCase).map(({ path }) => path);
  // A type alone calls nothing.
  const imports = new RegExp(
    `^import (?!type )[^;]*from '\\./(${useCases.map((path) => path.slice('checkout/'.length, -3)).join('|')})'`,
    'm',
  );
  expect(useCases.length).toBeGreaterThan(9);
  expect(offenders((file) => file.room !== 'checkout' || file.path === 'checkout/checkout.ts', imports)).toEqual([]);
});

test('nothing is called utils, common or helpers', () => {
  expect(files.filter(({ path }) => /(^|\/)(utils?|common|helpers?)(\/|\.ts$)/.test(path))).toEqual([]);
});

test('docs/design.md gives the same rules', () => {
  const section = readFileSync(resolve(SRC, '../docs/design.md'), 'utf8')
    .split(/^## Rooms$/m)[1]!
    .split(/^## /m)[0]!;
  const rows = section.split('\n').filter((line) => line.startsWith('| `') && !line.startsWith('| `tools`'));
  const names = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
  const documented = rows
    .map((row) => row.split('|'))
    .map(([, room, , rooms]) => [names(room!)[0], names(rooms!).sort()]);
  const rules = Object.entries(MAY_IMPORT).map(([room, rooms]) => [room, [...rooms].sort()]);
  expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(rules));
});
