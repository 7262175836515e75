/** `npm run schema:emit`: writes schema/schema.graphql from the code. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { printedSchema } from '../graphql/schema';

const file = join(__dirname, '..', '..', '..', 'schema', 'schema.graphql');
writeFileSync(file, printedSchema());
process.stdout.write('Written: schema/schema.graphql\n');
