/** Example products for development, one for each kind of sale; and the way to delete everything again. */
import { run, sql } from '../postgres/statement';
import type { Database } from './database';
import { ProductRow, StockAdjustmentRow, StockRow } from './entities';

interface Seed {
  /** Fixed, so that a pasted example still works after `db:reset`. */
  id: string;
  sku: string;
  name: string;
  description: string;
  priceMinor: number;
  currency: string;
  total: number;
  maxPerCustomer?: number;
  saleStartsAt?: Date;
}

const SEEDS: readonly Seed[] = [
  {
    id: '01930000-0000-7000-8000-000000000001',
    sku: 'SNEAKER-AURORA',
    name: 'Aurora Runner, first edition',
    description: 'Fifty pairs, numbered, in the colours of the northern lights.',
    priceMinor: 18_900,
    currency: 'USD',
    total: 50,
  },
  {
    id: '01930000-0000-7000-8000-000000000002',
    sku: 'PRINT-UNIQUE',
    name: 'Night Train, hand-pulled print',
    description: 'There is exactly one.',
    priceMinor: 95_000,
    currency: 'USD',
    total: 1,
  },
  {
    id: '01930000-0000-7000-8000-000000000003',
    sku: 'CONSOLE-NEXT',
    name: 'Pocket Arcade, pre-order',
    description: 'The sale has not started yet.',
    priceMinor: 24_900,
    currency: 'USD',
    total: 500,
    saleStartsAt: new Date('2036-12-01T10:00:00Z'),
  },
  {
    id: '01930000-0000-7000-8000-000000000004',
    sku: 'TICKET-ROOFTOP',
    name: 'Rooftop Concert, standing',
    description: 'At most two tickets for each customer.',
    priceMinor: 4_999,
    currency: 'USD',
    total: 200,
    maxPerCustomer: 2,
  },
  {
    id: '01930000-0000-7000-8000-000000000005',
    sku: 'VINYL-KLANG',
    name: 'Klang, coloured vinyl',
    description: 'Pressed once, in Berlin.',
    priceMinor: 3_200,
    currency: 'EUR',
    total: 300,
  },
];

const CREATED_AT = new Date('2026-11-22T00:00:00Z');

/** Adds the example products that are missing. */
export async function seed(database: Database): Promise<void> {
  for (const example of SEEDS) await add(database, example);
}

/** Seeds a database without products. Answers whether it did. */
export async function seedIfEmpty(database: Database): Promise<boolean> {
  const isEmpty = (await database.read((em) => em.count(ProductRow))) === 0;
  if (isEmpty) await seed(database);
  return isEmpty;
}

/** Drops all tables that migrations made. Limited like every transaction: a lock held for long is an error. */
export async function dropAll(database: Database): Promise<void> {
  await database.inTransaction('dropAll', async ({ em }) => {
    await run(
      em,
      sql`DROP TABLE IF EXISTS stock_adjustments, payment_events, order_lines, orders, holds, stock, products, migrations`,
    );
  });
}

async function add(database: Database, { total, ...example }: Seed): Promise<void> {
  await database.inTransaction('seed', async ({ em }) => {
    const product = { maxPerCustomer: null, saleStartsAt: null, saleEndsAt: null, listed: true, ...example };
    // The second of two that seed at the same time waits here for the first, and then adds nothing.
    const added = await em
      .createQueryBuilder(ProductRow)
      .insert({ ...product, createdAt: CREATED_AT })
      .onConflict()
      .ignore()
      .execute('run');
    if (added.affectedRows === 0) return;
    await em.insert(StockRow, { productId: example.id, total, available: total });
    await em.insert(StockAdjustmentRow, {
      id: example.id.replace('-7000-', '-7001-'),
      productId: example.id,
      delta: total,
      reason: 'seed',
      actor: 'db:seed',
      idempotencyKey: 'seed',
      createdAt: CREATED_AT,
    });
  });
}
