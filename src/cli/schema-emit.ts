/** `npm run schema:emit`: writes schema/schema.graphql and schema/development.graphql from the code. */
import './node-version.cjs';
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { projectPath } from '../config';
import { printedDevelopmentSchema, printedSchema } from '../graphql/schema';
import { runCommand } from './options';

const command = new Command('schema:emit')
  .description(
    'Writes schema/schema.graphql and schema/development.graphql from the code, sorted, so that a diff shows what changed.',
  )
  .action(() => {
    writeFileSync(projectPath('schema', 'schema.graphql'), printedSchema());
    writeFileSync(projectPath('schema', 'development.graphql'), printedDevelopmentSchema());
    process.stdout.write('Written: schema/schema.graphql, schema/development.graphql\n');
  });

void runCommand(command);
