/** What a start finds in the tables: what this build needs and is not there is named before anybody buys. */
import { checkSchema } from '../../src/database/check-schema';
import { freshDatabase, type FreshDatabase } from '../support/database';

let fresh: FreshDatabase;
beforeAll(async () => {
  fresh = await freshDatabase();
});
afterAll(() => fresh.close());

test('nothing is said of the tables that the migrations make', async () => {
  expect(await checkSchema(fresh.database)).toEqual([]);
});

test.each([
  [
    'a column that is missing',
    'ALTER TABLE holds RENAME COLUMN idempotency_key TO key',
    'ALTER TABLE holds RENAME COLUMN key TO idempotency_key',
    'the column holds.idempotency_key is missing',
  ],
  [
    'a column of another type',
    'ALTER TABLE orders ALTER COLUMN payment_id TYPE varchar(20)',
    'ALTER TABLE orders ALTER COLUMN payment_id TYPE text',
    'the column orders.payment_id is character varying, not text',
  ],
  [
    'a table that is missing',
    'ALTER TABLE stock_adjustments RENAME TO adjustments',
    'ALTER TABLE adjustments RENAME TO stock_adjustments',
    'the table stock_adjustments is missing',
  ],
  [
    'a column that our rows would leave empty',
    'ALTER TABLE holds ADD COLUMN gate integer NOT NULL',
    'ALTER TABLE holds DROP COLUMN gate',
    'the column holds.gate is unknown, and must have a value in each row',
  ],
  [
    'a check that guards a promise',
    'ALTER TABLE stock RENAME CONSTRAINT stock_available_in_range TO other',
    'ALTER TABLE stock RENAME CONSTRAINT other TO stock_available_in_range',
    'the constraint or unique index stock_available_in_range is missing',
  ],
  [
    'a unique key',
    'ALTER INDEX holds_idempotency_key_unique RENAME TO other',
    'ALTER INDEX other RENAME TO holds_idempotency_key_unique',
    'the constraint or unique index holds_idempotency_key_unique is missing',
  ],
  [
    'a unique column',
    'ALTER TABLE products RENAME CONSTRAINT products_sku_unique TO other',
    'ALTER TABLE products RENAME CONSTRAINT other TO products_sku_unique',
    'the constraint or unique index products_sku_unique is missing',
  ],
])('%s is refused by name', async (_name, change, undo, problem) => {
  await fresh.sql(change);
  try {
    await expect(checkSchema(fresh.database)).rejects.toThrow(problem);
  } finally {
    await fresh.sql(undo);
  }
  expect(await checkSchema(fresh.database)).toEqual([]);
});

test('an index that only makes things fast is a warning, and an unknown column that may be empty is none', async () => {
  await fresh.sql('ALTER TABLE holds ADD COLUMN note text');
  await fresh.sql('ALTER INDEX holds_active_by_expiry RENAME TO other');
  try {
    expect(await checkSchema(fresh.database)).toEqual([
      expect.stringMatching(/^the index holds_active_by_expiry is missing/),
    ]);
  } finally {
    await fresh.sql('ALTER TABLE holds DROP COLUMN note');
    await fresh.sql('ALTER INDEX other RENAME TO holds_active_by_expiry');
  }
});
