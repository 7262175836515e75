/** `npm run schema:emit`: writes schema/schema.graphql and schema/development.graphql from the code. */
import './node-version.cjs';
import { readFileSync, writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { projectPath } from '../config';
import { printedDevelopmentSchema, printedReleasedSchema, printedSchema } from '../graphql/schema';
import { runCommand } from './options';

const command = new Command('schema:emit')
  .description(
    'Writes schema/schema.graphql and schema/development.graphql from the code, sorted, so that a diff shows what changed.',
  )
  .option('--release', 'also writes schema/released.graphql, against which later changes are checked')
  .action(({ release }: { release?: boolean }) => {
    writeFileSync(projectPath('schema', 'schema.graphql'), printedSchema());
    writeFileSync(projectPath('schema', 'development.graphql'), printedDevelopmentSchema());
    process.stdout.write('Written: schema/schema.graphql, schema/development.graphql\n');
    if (!release) return;
    const { version } = JSON.parse(readFileSync(projectPath('package.json'), 'utf8')) as { version: string };
    writeFileSync(projectPath('schema', 'released.graphql'), printedReleasedSchema(version));
    process.stdout.write(`Written: schema/released.graphql, of release ${version}\n`);
  });

void runCommand(command);
