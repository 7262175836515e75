/** `npm run schema:emit`: writes schema/schema.graphql from the code. */
import { writeFileSync } from 'node:fs';
import { projectPath } from '../config';
import { printedSchema } from '../graphql/schema';

writeFileSync(projectPath('schema', 'schema.graphql'), printedSchema());
process.stdout.write('Written: schema/schema.graphql\n');
