/** `npm run schema:emit`: writes schema/schema.graphql and schema/development.graphql from the code. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { printedDevelopmentSchema, printedSchema } from '../graphql/schema';

const folder = join(__dirname, '..', '..', '..', 'schema');
writeFileSync(join(folder, 'schema.graphql'), printedSchema());
writeFileSync(join(folder, 'development.graphql'), printedDevelopmentSchema());
process.stdout.write('Written: schema/schema.graphql, schema/development.graphql\n');
