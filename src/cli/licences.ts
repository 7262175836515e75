/** `npm run licences`: which licences the packages have that a running server is made of, from the lockfile. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { projectPath } from '../config';
import { exitCodes, runCommand } from './options';

/** What may be combined with MIT without asking anybody. */
const PERMISSIVE =
  /^(MIT(-0)?|ISC|0BSD|BSD-[23]-Clause|Apache-2\.0|BlueOak-1\.0\.0|Unlicense|CC0-1\.0|PostgreSQL|Python-2\.0)$/;

/** Not permissive, and yet no condition on what is shipped. */
const LOOKED_AT = [
  {
    licence: 'MPL-2.0',
    name: 'lightningcss',
    why: 'makes the style sheets small when they are built, unchanged; nothing of it is in them',
  },
];

interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly link?: boolean;
}

const command = new Command('licences')
  .description('Lists the packages of package-lock.json by licence, without those of development.')
  .option('--dev', 'those of development, too')
  .addHelpText('after', '\nExit code: 0 every licence is permissive or was looked at, 1 one is not, or is missing.')
  .action(({ dev }: { dev?: boolean }) => {
    const packages = byLicence(dev === true);
    for (const [licence, names] of packages) {
      process.stdout.write(`${licence} (${names.length})\n  ${names.join('\n  ')}\n`);
    }
    for (const { licence, name, why } of LOOKED_AT) {
      if (packages.has(licence)) process.stdout.write(`looked at: ${licence} of ${name}: ${why}\n`);
    }
    const doubtful = [...packages].flatMap(([licence, names]) =>
      isPermissive(licence) || names.every((name) => wasLookedAt(licence, name)) ? [] : [licence],
    );
    if (doubtful.length === 0) return;
    process.stderr.write(`error: look at ${doubtful.join(', ')}\n`);
    process.exitCode = exitCodes.failed;
  });

function byLicence(withDevelopment: boolean): ReadonlyMap<string, string[]> {
  const { packages } = JSON.parse(readFileSync(projectPath('package-lock.json'), 'utf8')) as {
    packages: Record<string, LockedPackage>;
  };
  const found = new Map<string, string[]>();
  for (const [path, { version, license = 'no licence named', dev, link }] of Object.entries(packages)) {
    if (path === '' || link || (dev && !withDevelopment)) continue;
    const name = `${path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)} ${version}`;
    found.set(license, [...(found.get(license) ?? []), name]);
  }
  return new Map([...found].sort(([a], [b]) => a.localeCompare(b)));
}

const wasLookedAt = (licence: string, name: string): boolean =>
  LOOKED_AT.some((known) => known.licence === licence && name.startsWith(known.name));

/** `(MIT OR Apache-2.0)`: one of them is enough; `(MIT AND ISC)`: each of them counts. */
function isPermissive(licence: string): boolean {
  const parts = licence.replaceAll(/[()]/g, '').split(/ OR /);
  return parts.some((part) => part.split(/ AND /).every((one) => PERMISSIVE.test(one.trim())));
}

void runCommand(command);
