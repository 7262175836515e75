/** `npm run schema:emit`: writes schema/schema.graphql and schema/development.graphql from the code. */
import { writeFileSync } from 'node:fs';
import { projectPath } from '../config';
import { printedDevelopmentSchema, printedSchema } from '../graphql/schema';

writeFileSync(projectPath('schema', 'schema.graphql'), printedSchema());
writeFileSync(projectPath('schema', 'development.graphql'), printedDevelopmentSchema());
process.stdout.write('Written: schema/schema.graphql, schema/development.graphql\n');
