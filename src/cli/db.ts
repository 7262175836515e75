/** `npm run db:migrate`, `db:seed`, `db:reset`, `db:distribute` and `db:grant`. */
import './node-version.cjs';
import { Command, InvalidArgumentError } from 'commander';
import { checkSchema } from '../database/check-schema';
import { distribute } from '../database/distribute';
import { grantsFor } from '../database/grants';
import { migrate, planMigrations, type PendingMigration } from '../database/migrate';
import { dropAll, seed } from '../database/seed';
import { runCommand } from './options';
import { withDatabase } from './with-database';

const print = (line: string) => void process.stdout.write(`${line}\n`);

const command = new Command('db').description(
  'Uses DATABASE_URL, or the embedded database if that is unset. A server may be running.',
);

command
  .command('migrate')
  .description('migrates the tables to this build; concurrent runs wait for each other')
  .option('--plan', 'print the pending migrations as SQL without changing anything', false)
  .addHelpText(
    'after',
    `
Either all pending migrations are applied or none. One that waits for a lock lets
requests pass, and tries again for up to 5 minutes.

Exit codes:
  0    migrated, or nothing to migrate; with --plan, also when migrations are pending
  1    failed, and nothing was changed: the error names the statement and what to do
  2    bad usage
  130  interrupted (SIGINT; 143 after SIGTERM, 129 after SIGHUP), and nothing was changed

Example:
  npm run --silent db:migrate -- --plan`,
  )
  .action(({ plan }: { plan: boolean }) =>
    withDatabase(async ({ database, url, migration }) => {
      if (plan) return printPlan(await planMigrations(database, url, migration.accepted));
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
      if (config.environment === 'production')
        throw new Error('db:reset deletes all orders, so it is refused in production.');
      await dropAll(database);
      await migrate(database, url, migration);
      await seed(database);
      print('Reset: all tables are empty but for the example products.');
    }),
  );

command
  .command('distribute')
  .description('distributes the tables and rows of a Citus coordinator over its workers; stop all servers first')
  .option('--dry-run', 'print the SQL without changing anything', false)
  .addHelpText('after', '\nExample:\n  npm run --silent db:distribute -- --dry-run')
  .action(({ dryRun }: { dryRun: boolean }) =>
    withDatabase(async ({ url, migration: { say, signal } }) => {
      const statements = await distribute(url, { dryRun, say, signal });
      if (dryRun) for (const statement of inTransaction(statements)) print(`${statement};`);
      else print(statements.length === 0 ? 'Nothing to do.' : 'Distributed. You can start the servers again.');
    }),
  );

command
  .command('grant')
  .description('prints the SQL that grants a role exactly what the server needs; does not connect to a database')
  .option('--role <name>', 'the role in the server’s DATABASE_URL', roleName, 'flash_sale')
  .addHelpText('after', '\nExample:\n  npm run --silent db:grant -- --role shop | psql "$OWNER_URL"')
  .action(({ role }: { role: string }) => {
    process.stdout.write(grantsFor(role));
  });

/** For people to read, and for psql. */
function printPlan(pending: readonly PendingMigration[]): void {
  if (pending.length === 0) return print('-- Nothing to migrate.');
  print('BEGIN;');
  for (const { name, statements } of pending) {
    print(`-- ${name}`);
    for (const statement of statements) print(`${statement};`);
  }
  print('COMMIT;');
}

/** For psql. */
const inTransaction = (statements: readonly string[]) =>
  statements.length === 0 ? [] : ['BEGIN', ...statements, 'COMMIT'];

function roleName(text: string): string {
  // PostgreSQL names have up to 63 bytes. A newline would break out of the SQL comment that contains the name.
  if (!/^[^\p{Cc}]+$/u.test(text) || Buffer.byteLength(text) > 63)
    throw new InvalidArgumentError('Give 1 to 63 bytes.');
  return text;
}

void runCommand(command);
