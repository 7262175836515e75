/** The migrations and the entities describe the same tables, down to the last check and index. */
import { Client } from 'pg';
import { MIGRATIONS } from '../../migrations';
import { migrate, pendingMigrations, planMigrations } from '../../src/database/migrate';
import { dropAll } from '../../src/database/seed';
import { freshDatabase, untilSomebodyWaits, type FreshDatabase } from '../support/database';
import { until } from '../support/project-copy';

const LATEST = MIGRATIONS.at(-1)!.name;

let fresh: FreshDatabase;
beforeAll(async () => {
  fresh = await freshDatabase();
});
afterAll(() => fresh.close());

/** Everything that PostgreSQL knows of the tables, in its own words. */
const described = ({ sql }: FreshDatabase): Promise<unknown[]> =>
  sql(`
    SELECT conrelid::regclass::text AS "table", conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace AND conrelid <> 'migrations'::regclass AND contype <> 'n'
    UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'migrations'
    UNION ALL SELECT table_name, column_name, concat_ws(' ', data_type, datetime_precision, is_nullable, column_default)
      FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'migrations'
    ORDER BY 1, 2, 3`);

/** MikroORM's own comparison sees a difference in every CHECK that PostgreSQL rewrites, so what both make is compared. */
async function describedByEntities(): Promise<unknown[]> {
  const other = await freshDatabase();
  try {
    await other.database.orm.schema.dropSchema({ dropMigrationsTable: false });
    await other.database.orm.schema.createSchema();
    return await described(other);
  } finally {
    await other.close();
  }
}

/** As nothing in production does. */
async function undo(name: string): Promise<void> {
  const { orm } = fresh.database;
  const migration = new (MIGRATIONS.find((each) => each.name === name)!.class)(orm.em.getDriver(), orm.config);
  await migration.down();
  for (const statement of migration.getQueries()) await fresh.sql(String(statement));
  await fresh.sql('DELETE FROM migrations WHERE name = $1', [name]);
}

let entities: unknown[];
beforeAll(async () => {
  entities = await describedByEntities();
});

test('nothing is left to migrate, and migrating again changes nothing', async () => {
  expect(await fresh.database.read(pendingMigrations)).toEqual([]);
  expect(await migrate(fresh.database, fresh.url)).toEqual([]);
});

test('the migrations make the tables that the entities describe, in PostgreSQL’s own words', async () => {
  expect(entities.length).toBeGreaterThan(90);
  expect(await described(fresh)).toEqual(entities);
});

test.each([
  ['a column', 'ALTER TABLE holds ADD COLUMN note text', 'ALTER TABLE holds DROP COLUMN note'],
  [
    'a nullable column',
    'ALTER TABLE holds ALTER COLUMN customer_id DROP NOT NULL',
    'ALTER TABLE holds ALTER COLUMN customer_id SET NOT NULL',
  ],
  [
    'a check',
    'ALTER TABLE stock DROP CONSTRAINT stock_available_in_range',
    'ALTER TABLE stock ADD CONSTRAINT stock_available_in_range CHECK (available BETWEEN 0 AND total)',
  ],
  [
    'an index',
    'DROP INDEX holds_active_by_expiry',
    `CREATE INDEX holds_active_by_expiry ON holds (product_id, expires_at) WHERE status = 'ACTIVE'`,
  ],
])('a drift of %s is seen', async (_, change, undo) => {
  await fresh.sql(change);
  expect(await described(fresh)).not.toEqual(entities);
  await fresh.sql(undo);
  expect(await described(fresh)).toEqual(entities);
});

test('down leaves nothing behind, and up brings it back', async () => {
  for (const { name } of MIGRATIONS.toReversed()) await undo(name);
  const tables = await fresh.sql(`SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`);
  expect(tables).toEqual([{ tablename: 'migrations' }]);
  await migrate(fresh.database, fresh.url);
  expect(await described(fresh)).toEqual(entities);
});

describe('planMigrations', () => {
  const plan = () => planMigrations(fresh.database, fresh.url, []);
  const tables = () => fresh.sql(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`);

  test('plans nothing for a migrated database', async () => {
    expect(await plan()).toEqual([]);
  });

  test('plans every migration of an empty database and changes nothing, not even the list of migrations', async () => {
    await dropAll(fresh.database);
    const planned = await plan();
    expect(planned.map(({ name }) => name)).toEqual(MIGRATIONS.map(({ name }) => name));
    expect(await tables()).toEqual([]);
  });

  test('plans the very statements that migrate the database', async () => {
    const statements = (await plan()).flatMap((migration) => migration.statements);
    for (const statement of statements) await fresh.sql(statement);
    expect(await plan()).toEqual([]);
    expect(await migrate(fresh.database, fresh.url)).toEqual([]);
    expect(await described(fresh)).toEqual(entities);
  });

  test('refuses a migration that this build does not know, as migrate does', async () => {
    await fresh.sql(`INSERT INTO migrations (name) VALUES ('20991231-add-line')`);
    await expect(plan()).rejects.toThrow(/does not know: 20991231-add-line\./);
    await fresh.sql(`DELETE FROM migrations WHERE name = '20991231-add-line'`);
  });
});

describe('while others use the tables', () => {
  beforeEach(() => undo(LATEST));

  /** A transaction that has read the products and stays open. */
  async function holdReadLock(): Promise<Client> {
    const holder = new Client({ connectionString: fresh.url, application_name: 'a long report' });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM products');
    return holder;
  }

  test('a migration that waits for a lock lets readers pass, names the session, and ends once that has ended', async () => {
    const holder = await holdReadLock();
    const said: string[] = [];
    try {
      const migrating = migrate(fresh.database, fresh.url, { say: (message) => said.push(message) });
      await untilSomebodyWaits(fresh.sql);
      // It would wait for the holder, which waits for this test.
      await fresh.sql('SELECT FROM products');
      await until(async () => said.length > 0, 'the migration reports that it waits');
      expect(said[0]).toMatch(
        new RegExp(`^waiting for the locks of ${LATEST} \\(.*a long report, idle in transaction`),
      );
      await holder.query('COMMIT');
      expect(await migrating).toEqual([LATEST]);
    } finally {
      await holder.end();
    }
    expect(await described(fresh)).toEqual(entities);
  });

  test('a migration that never gets its lock changes nothing and names statement, session and remedy', async () => {
    const holder = await holdReadLock();
    try {
      await expect(migrate(fresh.database, fresh.url, { locksWithinMs: 0 })).rejects.toThrow(
        new RegExp(
          `^Other sessions hold the locks that "ALTER TABLE products [^"]*" of migration ${LATEST} needs\\. ` +
            'Nothing was changed\\. .*a long report.*pg_terminate_backend',
        ),
      );
    } finally {
      await holder.end();
    }
    expect(await fresh.database.read(pendingMigrations)).toEqual([LATEST]);
    await migrate(fresh.database, fresh.url);
  });

  test('a statement of a migration may take longer than the 5 s that other statements have', async () => {
    await fresh.sql(
      `CREATE FUNCTION wait() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(6.5); END'`,
    );
    await fresh.sql(
      `CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION wait()`,
    );
    try {
      expect(await migrate(fresh.database, fresh.url)).toEqual([LATEST]);
    } finally {
      await fresh.sql('DROP EVENT TRIGGER slow');
      await fresh.sql('DROP FUNCTION wait()');
    }
  }, 30_000);

  test('a statement that PostgreSQL refuses is named with its migration, and nothing is changed', async () => {
    await fresh.sql('CREATE INDEX products_listed_by_name ON products (sku)');
    await expect(migrate(fresh.database, fresh.url)).rejects.toThrow(
      `PostgreSQL refused "CREATE INDEX products_listed_by_name ON products (name, id) WHERE listed" of migration ${LATEST}: ` +
        'relation "products_listed_by_name" already exists. Nothing was changed.',
    );
    expect(await fresh.sql(`SELECT FROM pg_attribute WHERE attname = 'listed' AND attnum > 0`)).toEqual([]);
    await fresh.sql('DROP INDEX products_listed_by_name');
    await migrate(fresh.database, fresh.url);
  });
});

test('of two servers that start on an empty database one migrates while the other waits', async () => {
  await dropAll(fresh.database);
  const another = await fresh.openAnother();
  try {
    const applied = await Promise.all([migrate(fresh.database, fresh.url), migrate(another, fresh.url)]);
    expect(applied.map((names) => names.length).sort()).toEqual([0, MIGRATIONS.length]);
  } finally {
    await another.close();
  }
  expect(await described(fresh)).toEqual(entities);
});
