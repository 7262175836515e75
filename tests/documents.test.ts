/** README and docs/ agree with the code: links, paths, commands, settings, statuses, codes, limits and log events. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parse as parseGraphql, validate } from 'graphql';
import { parse as parseYaml } from 'yaml';
import { environmentKeys, projectPath } from '../src/config';
import { ERROR_CODES } from '../src/domain/refusals';
import { HOLD_MOVES, ORDER_MOVES, PAYMENT_OUTCOMES, SALE_STATUSES } from '../src/domain/statuses';
import { STATUS_OF_CODE } from '../src/graphql/http/errors';
import { schemaFor } from '../src/graphql/schema';

const read = (path: string) => readFileSync(projectPath(path), 'utf8');
const filesBelow = (folder: string, extension: RegExp) =>
  readdirSync(projectPath(folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => extension.test(path))
    .map((path) => join(folder, path));

const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...filesBelow('docs', /\.md$/)].map(
  (path) => ({ path, text: read(path) }),
);
const page = (path: string) => pages.find((page) => page.path === path)!.text;
const withoutCode = (text: string) => text.replace(/^ *```[^]*?^ *```/gm, '');
const sources = filesBelow('src', /\.(ts|tsx|mjs)$/)
  .map(read)
  .join('\n');

/** The rows of the first table below a heading, each a list of its cells. */
function tableBelow(path: string, heading: string): string[][] {
  const section = page(path)
    .split(new RegExp(`^##+ ${heading}$`, 'm'))[1]!
    .split(/^## /m)[0]!;
  const lines = section.split('\n');
  const start = lines.findIndex((line) => line.startsWith('|'));
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return lines.slice(start + 2, end).map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}
const codesIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code!);

describe('README.md', () => {
  test('has at most 140 lines and 9,000 bytes', () => {
    expect(page('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(140);
    expect(Buffer.byteLength(page('README.md'))).toBeLessThanOrEqual(9_000);
  });

  test('shows a screenshot of the storefront and one of the operators’ page, each at most 150 kB', () => {
    const images = [...page('README.md').matchAll(/!\[[^\]]+\]\(([^)]+)\)/g)].map(([, path]) => path!);
    expect(images.sort()).toEqual(['docs/ops.png', 'docs/storefront.png']);
    for (const path of images) expect(readFileSync(projectPath(path)).length).toBeLessThanOrEqual(150_000);
  });
});

describe.each(pages.map(({ path, text }) => [path, text] as const))('%s', (path, text) => {
  test('links only to files and headings that exist', () => {
    const targets = [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
    const broken = targets.filter((target) => !/^https?:/.test(target) && !linkExists(path, target));
    expect(broken).toEqual([]);
  });

  test('names only paths of the repository that exist', () => {
    const named = codesIn(withoutCode(text)).filter((code) =>
      /^(src|tests|docs|migrations|schema)\/[\w./-]*$/.test(code),
    );
    expect(named.filter((name) => !pathExists(name))).toEqual([]);
  });

  // The changelog also names what was removed.
  (path === 'CHANGELOG.md' ? test.skip : test)('names only npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [...text.matchAll(/npm run (?:--silent )?([a-z]+(?::[a-z]+)?)/g)].map(([, name]) => name!);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  test('has lines of at most 120 characters outside of tables and code', () => {
    const long = withoutCode(text)
      .split('\n')
      .filter((line) => [...line].length > 120 && !line.startsWith('|') && !/^\S*https?:\S+$/.test(line.trim()));
    expect(long).toEqual([]);
  });

  test('cites no numbered section, which only a document outside the repository has', () => {
    expect(text).not.toMatch(/§/);
  });
});

describe('code blocks', () => {
  const blocks = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/^ *```(\w+)\n([^]*?)^ *```/gm)].map(([, language, code]) => ({ path, language, code: code! })),
  );
  const blocksIn = (...languages: string[]) =>
    blocks
      .filter(({ language }) => languages.includes(language!))
      .map(({ path, code }) => [path, code.trim().split('\n')[0]!, code] as const);

  test.each(blocksIn('graphql'))('in %s the GraphQL that begins with %s is valid', (_path, _line, code) => {
    const schema = schemaFor({ environment: 'development' });
    expect(validate(schema, parseGraphql(code)).map(({ message }) => message)).toEqual([]);
  });

  test.each(blocksIn('json', 'yaml'))('in %s the data that begins with %s can be parsed', (_path, _line, code) => {
    expect(parseYaml(code)).toEqual(expect.anything());
  });

  test.each(pages.map(({ path, text }) => [path, text] as const))(
    'in %s every jest command names tests',
    (_path, text) => {
      const named = [...text.matchAll(/npx jest ([\w/.\- ]*\w)/g)].flatMap(([, paths]) => paths!.split(/ -| /));
      expect(named.filter((name) => name.startsWith('tests/') && !pathExists(name))).toEqual([]);
    },
  );
});

/** A path with or without its extension: pages name tests as `tests/security/cost`. */
function pathExists(name: string): boolean {
  return ['', '.ts', '.test.ts'].some((extension) => existsSync(projectPath(name + extension)));
}

function linkExists(from: string, target: string): boolean {
  const [file, anchor] = target.split('#') as [string, string?];
  const path = file === '' ? from : relative(projectPath(), join(projectPath(dirname(from)), file));
  if (!existsSync(projectPath(path))) return false;
  return anchor === undefined || anchorsOf(read(path)).includes(anchor);
}

function anchorsOf(text: string): string[] {
  return [...withoutCode(text).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test.each(['docs/threat-model.md', 'docs/reliability.md'])('%s names only test files that exist', (path) => {
  const folders = readdirSync(projectPath('tests'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const pattern = new RegExp(`^(${folders.map(({ name }) => name).join('|')})/[\\w-]*$`);
  const named = codesIn(withoutCode(page(path))).filter((code) => pattern.test(code));
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((name) => !pathExists(`tests/${name}`) && !pathExists(`src/${name}`))).toEqual([]);
});

test('docs/commands.md explains every npm script', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const explained = tableBelow('docs/commands.md', 'Every command').map(([command]) =>
    codesIn(command!)[0]!.replace(/^npm (run )?/, ''),
  );
  expect(explained.sort()).toEqual(Object.keys(scripts).sort());
});

describe('docs/configuration.md', () => {
  const rows = ['Server', 'Database', 'Checkout', 'Secrets and identity', 'Against abuse'].flatMap((heading) =>
    tableBelow('docs/configuration.md', heading),
  );

  test('explains every setting, once', () => {
    expect(rows.map(([key]) => codesIn(key!)[0]).sort()).toEqual([...environmentKeys].sort());
  });

  test('gives the defaults of .env.example, which are those of the code', () => {
    const defaults = Object.fromEntries(
      [...read('.env.example').matchAll(/^#([A-Z_]+)=(.*)$/gm)].map(([, key, value]) => [key, value]),
    );
    expect(Object.fromEntries(rows.map(([key, value]) => [codesIn(key!)[0], codesIn(value!)[0] ?? '']))).toEqual(
      defaults,
    );
  });
});

describe('docs/errors.md', () => {
  const refusals = tableBelow('docs/errors.md', 'Refusals').flatMap(([codes]) => codesIn(codes!));
  const errors = tableBelow('docs/errors.md', 'Errors').flatMap(([codes, http]) =>
    codesIn(codes!).map((code) => [code, http!] as const),
  );

  test('explains every refusal of the code, once', () => {
    expect([...refusals].sort()).toEqual([...ERROR_CODES].sort());
  });

  test('explains every refusal of the schema, once', () => {
    const inSchema = /^enum ErrorCode \{([^]*?)^\}/m.exec(read('schema/schema.graphql'))![1]!;
    const codes = inSchema.replace(/"""[^]*?"""|"[^"\n]*"/g, '').match(/\b[A-Z_]{4,}\b/g)!;
    expect([...codes].sort()).toEqual([...refusals].sort());
  });

  test('explains every code of errors[].extensions that the server throws', () => {
    const caller = /type CallerErrorCode =\s*([^;]*);/.exec(read('src/domain/errors.ts'))![1]!;
    const thrown = [...caller.matchAll(/'(\w+)'/g)].map(([, code]) => code!);
    const explained = errors.map(([code]) => code);
    expect(thrown.length).toBeGreaterThan(1);
    expect([...thrown, ...Object.keys(STATUS_OF_CODE)].filter((code) => !explained.includes(code))).toEqual([]);
    expect(explained).toContain('INTERNAL_SERVER_ERROR');
  });

  test('gives the HTTP status of every code that has its own', () => {
    for (const [code, status] of Object.entries(STATUS_OF_CODE)) {
      expect([code, errors.find(([name]) => name === code)![1]]).toEqual([code, String(status)]);
    }
  });
});

describe('docs/design.md', () => {
  const diagrams = [...page('docs/design.md').matchAll(/^```mermaid\nstateDiagram[^]*?^```/gm)].map(([text]) => text);
  /** Every arrow between two statuses, as "FROM → TO". */
  const arrowsOf = (diagram: string) =>
    [...diagram.replaceAll(/\bA\b/g, 'ACTIVE').matchAll(/^ *(\w+) --> (\w+)/gm)].map(
      ([, from, to]) => `${from} → ${to}`,
    );
  const arrows = (moves: Record<string, readonly string[]>) =>
    Object.entries(moves).flatMap(([from, to]) => to.map((status) => `${from} → ${status}`));

  test('draws the legal moves of a hold', () => {
    expect(arrowsOf(diagrams[0]!).sort()).toEqual(arrows(HOLD_MOVES).sort());
  });

  test('draws the legal moves of an order', () => {
    expect(arrowsOf(diagrams[1]!).sort()).toEqual(arrows(ORDER_MOVES).sort());
  });

  test('names every status of a sale and every outcome of a payment event', () => {
    const text = page('docs/design.md');
    expect([...SALE_STATUSES, ...PAYMENT_OUTCOMES].filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual(
      [],
    );
  });
});

describe('docs/threat-model.md lists limits', () => {
  const rows = tableBelow('docs/threat-model.md', 'Limits');

  test('enough of them to be an index', () => {
    expect(rows.length).toBeGreaterThan(25);
  });

  test.each(rows.map(([limit, value, where]) => [limit!, value!, where!] as const))(
    '%s is %s, as the constant in %s says',
    (_limit, value, where) => {
      const [constant, file] = codesIn(where) as [string, string];
      const [, source] = new RegExp(`^(?:export )?const ${constant} = ([\\d_ *]+);`, 'm').exec(read(file)) ?? [];
      expect([where, source]).toEqual([where, expect.any(String)]);
      const inCode = source!
        .replaceAll('_', '')
        .split('*')
        .reduce((product, factor) => product * Number(factor), 1);
      expect(inUnitsOf(constant, value)).toBe(inCode);
    },
  );

  /** "256 KiB" in bytes; "15 s" in the unit that the constant's name ends with. */
  function inUnitsOf(constant: string, value: string): number {
    const [, digits, unit] = /^([\d,]+) ?(\S*)/.exec(value)!;
    const number = Number(digits!.replaceAll(',', ''));
    if (unit === 'KiB') return number * 1024;
    if (unit === 'MiB') return number * 1024 * 1024;
    if (unit === 'min') return number * 60;
    return unit === 's' && /(_MS|Ms)$/.test(constant) ? number * 1_000 : number;
  }
});

test('every log event that the pages name is logged somewhere in the code', () => {
  const families =
    /^(hold|order|payment|batch|lock|transaction|sweep|server|database|worker|request|gauge|client|replica|product|stock)\.[a-z_]+$/;
  const named = pages
    .filter(({ path }) => path !== 'CHANGELOG.md')
    .flatMap(({ text }) => codesIn(withoutCode(text)).filter((code) => families.test(code)));
  expect(named.length).toBeGreaterThan(10);
  expect(
    [...new Set(named)].filter((name) => !sources.includes(`'${name}'`) && !sources.includes(`"${name}"`)),
  ).toEqual([]);
});
