/** The migrations and the entities describe the same tables, down to the last check and index. */
import { MIGRATIONS } from '../../migrations';
import { migrate, pendingMigrations } from '../../src/database/migrate';
import { freshDatabase, type FreshDatabase } from '../support/database';

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

let entities: unknown[];
beforeAll(async () => {
  entities = await describedByEntities();
});

test('nothing is left to migrate, and migrating again changes nothing', async () => {
  expect(await pendingMigrations(fresh.database)).toEqual([]);
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
  await fresh.database.orm.getMigrator().down({ to: 0 });
  const tables = await fresh.sql(`SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`);
  expect(tables).toEqual([{ tablename: 'migrations' }]);
  await migrate(fresh.database, fresh.url);
  expect(await described(fresh)).toEqual(entities);
});

test('of two servers that start on an empty database one migrates while the other waits', async () => {
  await fresh.database.orm.schema.dropSchema({ dropMigrationsTable: true });
  const another = await fresh.openAnother();
  try {
    const applied = await Promise.all([migrate(fresh.database, fresh.url), migrate(another, fresh.url)]);
    expect(applied.map((names) => names.length).sort()).toEqual([0, MIGRATIONS.length]);
  } finally {
    await another.close();
  }
  expect(await described(fresh)).toEqual(entities);
});
