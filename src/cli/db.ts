/** `npm run db:migrate`, `db:seed`, `db:reset`, `db:distribute` and `db:grant`. */
import './node-version.cjs';
import { Command, InvalidArgumentError } from 'commander';
import { checkSchema } from '../database/check-schema';
import { distribute } from '../database/distribute';
import { grantsFor } from '../database/grants';
import { migrate } from '../database/migrate';
import { dropAll, seed } from '../database/seed';
import { runCommand } from './options';
import { withDatabase } from './with-database';

const print = (line: string) => process.stdout.write(`${line}\n`);

const command = new Command('db').description(
  'Works on DATABASE_URL, or on the embedded database when that is unset, whether a server runs or not.',
);

command
  .command('migrate')
  .description('brings the tables to this build; of two that run at once, one works and the other waits')
  .action(() =>
    withDatabase(async ({ database, url, migration }) => {
      const applied = await migrate(database, url, migration);
      for (const warning of await checkSchema(database)) process.stderr.write(`${warning}\n`);
      print(applied.length === 0 ? 'Nothing to migrate.' : `Migrated: ${applied.join(', ')}`);
    }),
  );

command
  .command('seed')
  .description('adds the example products that are missing')
  .action(() =>
    withDatabase(async ({ database, url, migration }) => {
      await migrate(database, url, migration);
      await seed(database);
      print('Seeded.');
    }),
  );

command
  .command('reset')
  .description('deletes everything, then migrates and seeds; refused in production')
  .action(() =>
    withDatabase(async ({ config, database, url, migration }) => {
      if (config.environment === 'production') throw new Error('db:reset deletes every order: not in production.');
      await dropAll(database);
      await migrate(database, url, migration);
      await seed(database);
      print('Reset: empty tables, example products.');
    }),
  );

command
  .command('distribute')
  .description('spreads the tables of a Citus coordinator over its workers, rows included; stop every server before')
  .option('--dry-run', 'prints the SQL and changes nothing', false)
  .addHelpText('after', '\nExample:\n  npm run --silent db:distribute -- --dry-run')
  .action(({ dryRun }: { dryRun: boolean }) =>
    withDatabase(async ({ url, migration: { say, signal } }) => {
      const statements = await distribute(url, { dryRun, say, signal });
      if (dryRun) for (const statement of inTransaction(statements)) print(`${statement};`);
      else print(statements.length === 0 ? 'Nothing to do.' : 'Distributed. Start the servers.');
    }),
  );

command
  .command('grant')
  .description('prints the SQL that gives a role what the server needs, and no more; touches no database')
  .option('--role <name>', 'the role in the server’s DATABASE_URL', roleName, 'flash_sale')
  .addHelpText('after', '\nExample:\n  npm run --silent db:grant -- --role shop | psql "$OWNER_URL"')
  .action(({ role }: { role: string }) => {
    process.stdout.write(grantsFor(role));
  });

/** As psql has to be told; nothing stays nothing. */
const inTransaction = (statements: readonly string[]) =>
  statements.length === 0 ? [] : ['BEGIN', ...statements, 'COMMIT'];

function roleName(text: string): string {
  // As a PostgreSQL name: 63 bytes. A newline would end the comment that it is named in.
  if (!/^[^\p{Cc}]+$/u.test(text) || Buffer.byteLength(text) > 63)
    throw new InvalidArgumentError('Give 1 to 63 bytes.');
  return text;
}

void runCommand(command);
